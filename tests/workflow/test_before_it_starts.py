"""What Snakemake tells before a study starts: its plan, and, of a large one, its jobs in reasonable time."""

import json
import resource

import yaml

PLAN = "results/studies/smoke/plan.html"
RUNS = 5000
SECONDS = 30
"""CPU time that a dry run of 10,000 jobs may take: it takes 13 on the machine of docs/performance.md."""


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_plan_needs_no_data_and_no_slurm(bare):
    result = bare.snakemake(PLAN, "--configfile", "studies/smoke.yaml", study=None)
    assert result.returncode == 0, result.stdout
    assert "44 of 44 runs remain to be trained" in result.stdout
    assert json.loads((bare.root / "results/studies/smoke/plan.json").read_text())["totals"]["to_do"] == 44
    assert not (bare.root / "results/data").exists()
    assert (
        "Nothing to be done" in bare.snakemake(PLAN, "--configfile", "studies/smoke.yaml", study=None).stdout
    )


def test_a_plan_knows_what_is_there_and_how_fast_it_was(smoke):
    assert smoke.snakemake(PLAN).returncode == 0
    plan = json.loads((smoke.root / PLAN).with_suffix(".json").read_text())
    assert plan["totals"]["to_do"] == 0
    assert plan["rates"]["cpu_flops"]["runs"] == 44
    try:
        smoke.study(lambda study: study.update(run={"seed": 7}))
        result = smoke.snakemake(PLAN)
        assert "runs remain to be trained" in result.stdout
        assert json.loads((smoke.root / PLAN).with_suffix(".json").read_text())["totals"]["to_do"] > 0
    finally:
        smoke.study()


def test_a_dry_run_of_ten_thousand_jobs(bare):
    study = {
        "study": "large",
        "experiments": ["size"],
        "grid": {"size": {"shape": [{"n_layer": 1, "d_model": 8, "n_head": 1}], "seed": list(range(RUNS))}},
    }
    (bare.root / "large.yaml").write_text(yaml.safe_dump(study))
    for profile in ([], ["--profile", "slurm"]):
        before = cpu_seconds()
        result = bare.snakemake("-n", "--quiet", "all", *profile, "--configfile", "large.yaml", study=None)
        assert result.returncode == 0, result.stdout
        assert cpu_seconds() - before < SECONDS
