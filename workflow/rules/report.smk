# Charts and the page.


rule figure:
    input:
        tables=expand(f"{STUDY}/tables/{{table}}.parquet", table=TABLES),
        fits=lambda wildcards: expand(f"{STUDY}/fits/{{law}}.json", law=catalog.FIGURES[wildcards.figure].fits),
    output:
        multiext(f"{STUDY}/figures/{{figure}}", html=".html", svg=".svg", png=".png", csv=".csv"),
    wildcard_constraints:
        figure="|".join(catalog.FIGURES),
    params:
        tables=f"{STUDY}/tables",
        fits=f"{STUDY}/fits",
    log:
        f"{STUDY}/logs/figure/{{figure}}.log",
    conda:
        "../../envs/scaling.yaml"
    message:
        "Draw {wildcards.figure}"
    shell:
        "python workflow/scripts/figure.py --name {wildcards.figure} --tables {params.tables:q}"
        " --fits {params.fits:q} --html {output.html:q} --svg {output.svg:q} --png {output.png:q}"
        " --csv {output.csv:q} > {log:q} 2>&1"


rule page:
    input:
        study=f"{STUDY}/study.json",
        manifest=f"{CORPUS}/manifest.json",
        tables=expand(f"{STUDY}/tables/{{table}}.parquet", table=TABLES),
        fits=expand(f"{STUDY}/fits/{{law}}.json", law=LAWS),
    output:
        f"{STUDY}/frontier.html",
    params:
        tables=f"{STUDY}/tables",
        fits=f"{STUDY}/fits",
    log:
        f"{STUDY}/logs/page.log",
    conda:
        "../../envs/scaling.yaml"
    message:
        "Make {output}"
    shell:
        "python workflow/scripts/page.py --study {input.study:q} --tables {params.tables:q}"
        " --fits {params.fits:q} --manifest {input.manifest:q} --out {output:q} > {log:q} 2>&1"
