# Evaluations: every snapshot of a run against every set; then all runs of the study as tables.


rule evaluate:
    input:
        record="results/runs/{data}/{run}/run.json",
        snapshots="results/runs/{data}/{run}/snapshots",
        sets=HELD_OUT,
    output:
        "results/runs/{data}/{run}/evaluation.parquet",
    log:
        "results/logs/evaluate/{data}/{run}.log",
    group:
        job_of if ON_CLUSTER else None
    conda:
        "../../envs/scaling.yaml"
    threads: 1
    resources:
        **of_run(evaluate_minutes),
    params:
        folder=subpath(output[0], parent=True),
        version=versions.RULES["evaluation"],
    message:
        "Evaluate {wildcards.run}"
    shell:
        "python workflow/scripts/evaluate.py --run {params.folder:q} --sets {input.sets:q}"
        " --threads {threads} --device {resources.device} --gpu-percent {resources.gpu_percent}"
        " > {log:q} 2>&1"


rule study:
    output:
        f"{STUDY}/study.json",
    log:
        f"{STUDY}/logs/study.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        version=versions.RULES["study"],
        config=json.dumps({key: value for key, value in config.items() if key not in UNRELATED}),
    message:
        "Write down the study"
    shell:
        "python workflow/scripts/study.py --config {params.config:q} --out {output:q} > {log:q} 2>&1"


rule tables:
    input:
        study=f"{STUDY}/study.json",
        # functions: jobs of a cluster, which read the rules too, do not wait for three files of every run
        records=lambda wildcards: run_files("run.json"),
        curves=lambda wildcards: run_files("curve.parquet"),
        evaluations=lambda wildcards: run_files("evaluation.parquet"),
    output:
        expand(f"{STUDY}/tables/{{table}}.parquet", table=TABLES),
    log:
        f"{STUDY}/logs/tables.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        folder=subpath(output[0], parent=True),
    message:
        "Gather all runs into tables"
    shell:
        # the runs are named by study.json: a large study's files would not fit a command line
        "python workflow/scripts/tables.py --study {input.study:q} --runs results/runs"
        " --out {params.folder:q} > {log:q} 2>&1"
