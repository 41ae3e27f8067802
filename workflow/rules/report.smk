# Charts, the planner and the pages.


rule figure:
    input:
        study=f"{STUDY}/study.json",
        tables=expand(f"{STUDY}/tables/{{table}}.parquet", table=TABLES),
        fits=lambda wildcards: expand(
            f"{STUDY}/fits/{{law}}.json", law=catalog.reads(wildcards.figure, study_laws())
        ),
    output:
        html=f"{STUDY}/figures/{{figure}}.html",
        svg=report(
            f"{STUDY}/figures/{{figure}}.svg",
            caption="../report/figure.rst",
            category=lambda wildcards: catalog.FIGURES[wildcards.figure].kind,
            labels=lambda wildcards: {
                "figure": catalog.FIGURES[wildcards.figure].title,
                "paper": " and ".join(catalog.FIGURES[wildcards.figure].paper) or "–",
            },
        ),
        png=f"{STUDY}/figures/{{figure}}.png",
        csv=f"{STUDY}/figures/{{figure}}.csv",
    log:
        f"{STUDY}/logs/figure/{{figure}}.log",
    wildcard_constraints:
        figure="|".join(catalog.FIGURES),
    conda:
        "../../envs/scaling.yaml"
    params:
        version=versions.RULES["figure"],
        tables=lambda wildcards, input: Path(input.tables[0]).parent,
        fits=f"{STUDY}/fits",
        claim=lambda wildcards: catalog.FIGURES[wildcards.figure].claim,
    message:
        "Draw {wildcards.figure}"
    shell:
        "python workflow/scripts/figure.py --name {wildcards.figure} --study {input.study:q}"
        " --tables {params.tables:q} --fits {params.fits:q} --html {output.html:q} --svg {output.svg:q}"
        " --png {output.png:q} --csv {output.csv:q} > {log:q} 2>&1"


rule exponents:
    input:
        lambda wildcards: [*fits(), *allocation()],
    output:
        f"{STUDY}/exponents.md",
    log:
        f"{STUDY}/logs/exponents.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        version=versions.RULES["page"],
    message:
        "Write the tables of exponents"
    shell:
        "python workflow/scripts/exponents.py --fits {input:q} --out {output:q} > {log:q} 2>&1"


rule planner:
    input:
        study=f"{STUDY}/study.json",
        runs=f"{STUDY}/tables/runs.parquet",
        fits=lambda wildcards: planned_by(".json"),
        bootstraps=lambda wildcards: planned_by(".bootstrap.parquet"),
    output:
        f"{STUDY}/planner.json",
    log:
        f"{STUDY}/logs/planner.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        version=versions.RULES["planner"],
    message:
        "Gather what plans are made from"
    shell:
        "python workflow/scripts/planner.py --study {input.study:q} --runs {input.runs:q} --fits {input.fits:q}"
        " --bootstraps {input.bootstraps:q} --out {output:q} > {log:q} 2>&1"


# No output: the answer goes to the terminal
rule plan_budget:
    input:
        f"{STUDY}/planner.json",
    log:
        f"{STUDY}/logs/plan_budget.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        budget=lambda wildcards: budget_flops(),
    message:
        "Plan a budget of {params.budget:.3g} FLOPs"
    shell:
        "python workflow/scripts/plan_budget.py --planner {input:q} --budget {params.budget}" " | tee {log:q}"


rule page:
    input:
        study=f"{STUDY}/study.json",
        origin=ORIGIN[1],
        tables=expand(f"{STUDY}/tables/{{table}}.parquet", table=TABLES),
        fits=lambda wildcards: fits(),
        allocation=lambda wildcards: allocation(),
        planner=f"{STUDY}/planner.json",
    output:
        report(f"{STUDY}/frontier.html", caption="../report/frontier.rst", category="Pages"),
    log:
        f"{STUDY}/logs/page.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        version=versions.RULES["page"],
        tables=lambda wildcards, input: Path(input.tables[0]).parent,
        origin=ORIGIN[0],
    message:
        "Make {output}"
    shell:
        "python workflow/scripts/page.py --study {input.study:q} --tables {params.tables:q}"
        " --fits {input.fits:q} {input.allocation:q} {params.origin} {input.origin:q}"
        " --planner {input.planner:q} --out {output:q} > {log:q} 2>&1"


rule report:
    input:
        study=f"{STUDY}/study.json",
        origin=ORIGIN[1],
        tables=expand(f"{STUDY}/tables/{{table}}.parquet", table=TABLES),
        fits=lambda wildcards: fits(),
        allocation=lambda wildcards: allocation(),
    output:
        page=report(f"{STUDY}/report.html", caption="../report/report.rst", category="Pages"),
        findings=f"{STUDY}/findings.md",
    log:
        f"{STUDY}/logs/report.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        version=versions.RULES["page"],
        tables=lambda wildcards, input: Path(input.tables[0]).parent,
        origin=ORIGIN[0],
    message:
        "Make {output.page}"
    shell:
        "python workflow/scripts/report.py --study {input.study:q} --tables {params.tables:q}"
        " --fits {input.fits:q} {input.allocation:q} {params.origin} {input.origin:q} --out {output.page:q}"
        " --findings {output.findings:q} > {log:q} 2>&1"
