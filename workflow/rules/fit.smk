# Laws, one job for each, and how a budget splits by them.


rule fit:
    input:
        runs=f"{STUDY}/tables/runs.parquet",
        curves=f"{STUDY}/tables/curves.parquet",
        critical=lambda wildcards: adjusted_by(wildcards.law),
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
        critical=lambda wildcards, input: " ".join(["--critical", *input.critical]) if input.critical else "",
        version=versions.RULES["fit"],
    message:
        "Fit {wildcards.law}"
    shell:
        "python workflow/scripts/fit.py --law {params.law} --runs {input.runs:q} --curves {input.curves:q}"
        " --resamples {params.resamples} --seed {params.seed} --delta {params.delta} --out {output.fit:q}"
        " --bootstrap {output.bootstrap:q} {params.critical} > {log:q} 2>&1"


rule allocation:
    input:
        runs=f"{STUDY}/tables/runs.parquet",
        fits=lambda wildcards: allocated(".json"),
        bootstraps=lambda wildcards: allocated(".bootstrap.parquet"),
    output:
        f"{STUDY}/fits/allocation.json",
    log:
        f"{STUDY}/logs/fit/allocation.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        version=versions.RULES["allocation"],
    message:
        "Tell how a budget splits"
    shell:
        "python workflow/scripts/allocation.py --runs {input.runs:q} --fits {input.fits:q}"
        " --bootstraps {input.bootstraps:q} --out {output:q} > {log:q} 2>&1"
