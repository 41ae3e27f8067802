# From text to frontier: documents, tokens, runs, evaluations, tables, fits, figures, page.
# What a study holds is said in config.yaml; how each arrow is made, in workflow/rules/.

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/written.smk"


configfile: "config.yaml"
configfile: "slurm/site.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/planning.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/corpus.smk"


if SOURCES:

    include: "workflow/rules/sources.smk"

else:

    include: "workflow/rules/prose.smk"


include: "workflow/rules/tokenize.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/export.smk"


if FINISHED:

    include: "workflow/rules/finished.smk"


include: "workflow/rules/fit.smk"
include: "workflow/rules/report.smk"


# On a cluster these run where Snakemake does: they fetch, gather, fit and draw
localrules:
    all,
    plan,
    study,
    wheel,
    manifest,
    tables,
    fit,
    allocation,
    exponents,
    figure,
    planner,
    plan_budget,
    page,
    report,


rule all:
    default_target: True
    input:
        f"{STUDY}/frontier.html",
        f"{STUDY}/report.html",
        f"{STUDY}/exponents.md",
        lambda wildcards: figures("html", "svg", "png", "csv"),


onstart:
    begin()


onsuccess:
    accept_results()


onerror:
    explain_failure()
    accept_results()
