# What the study will cost: from the config and from what exists, before anything runs.


rule plan:
    output:
        page=f"{STUDY}/plan.html",
        table=f"{STUDY}/plan.json",
    log:
        f"{STUDY}/logs/plan.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        version=versions.RULES["plan"],
        config=json.dumps(config),
        jobs=jobs_in_short,
        seen=seen,
        cores=len(os.sched_getaffinity(0)),
    message:
        "Tell what the study will cost"
    shell:
        # what it tells goes to the terminal too
        "python workflow/scripts/plan.py --config {params.config:q} --jobs {params.jobs:q}"
        " --runs results/runs --cores {params.cores} --json {output.table:q} --out {output.page:q}"
        " | tee {log:q}"
