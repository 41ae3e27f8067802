# Laws: one job for each.


rule fit:
    input:
        runs=f"{STUDY}/tables/runs.parquet",
        curves=f"{STUDY}/tables/curves.parquet",
    output:
        fit=f"{STUDY}/fits/{{law}}.json",
        bootstrap=f"{STUDY}/fits/{{law}}.bootstrap.parquet",
    log:
        f"{STUDY}/logs/fit/{{law}}.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        resamples=config["fits"]["resamples"],
        seed=config["fits"]["seed"],
        delta=config["fits"]["delta"],
        law=lambda wildcards: known_law(wildcards.law),
        version=versions.RULES["fit"],
    message:
        "Fit {wildcards.law}"
    shell:
        "python workflow/scripts/fit.py --law {params.law} --runs {input.runs:q} --curves {input.curves:q}"
        " --resamples {params.resamples} --seed {params.seed} --delta {params.delta} --out {output.fit:q}"
        " --bootstrap {output.bootstrap:q} > {log:q} 2>&1"
