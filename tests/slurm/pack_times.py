"""Prints what Snakemake adds to a pack of 20 runs, beside training them: see docs/performance.md."""

import tempfile
from pathlib import Path

import cluster
from conftest import Study
from project import with_corpus

RUNS = 20


def each(logs):
    """Seconds from one of the files ``logs`` to the next, on average, the first and last by their ends."""
    ends = sorted(log.stat().st_mtime for log in logs)
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def main():
    scratch = Path(tempfile.mkdtemp())
    project = with_corpus(scratch / "project", scratch)
    study = Study(project)
    shape = {"n_layer": 1, "d_model": 8, "n_head": 1}
    study.write({"size": {"shape": [shape], "seed": list(range(RUNS)), "S": 400}}, site={"hours": 8})
    with cluster.Cluster(scratch / "slurm", minutes=600) as lab:
        study.finish("results/studies/lab/tables/runs.parquet")
        (pack,) = [line for line in lab.jobs(fields="%k in %M") if "evaluate_train" in line]
    seconds = sum(run["seconds_total"] for run in study.runs.values())
    print(f"{pack}; {seconds:.1f} s of training in {RUNS} runs")
    for rule, verb in (("train", "taken in"), ("evaluate", "evaluated")):
        print(f"a run is {verb} in {each(study.root.glob(f'results/logs/{rule}/*/*.log')):.1f} s")


if __name__ == "__main__":
    main()
