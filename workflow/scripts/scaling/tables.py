"""From run folders to the three tables that fits and charts read."""

import math
from pathlib import Path

import pyarrow as pa

from scaling import parquet, provenance

NOT_TABLED = ("versions", "branches")
"""What of a record has no column."""
NUMBERS = ("test_loss", "test_loss_se", "best_test_loss", "best_test_loss_se", "train_loss")


def run_folder(runs, run):
    """Folder of a run below ``runs``, the folder of all runs."""
    return Path(runs) / run["data"] / run["run"]


def snapshot_path(folder, step):
    """Where the folder of snapshots holds the weights after ``step``; the names sort as the steps do."""
    return folder / f"step{step:09d}.safetensors"


def snapshot_steps(folder):
    """Steps of the snapshots in ``folder``, earliest first."""
    return sorted(int(path.stem.removeprefix("step")) for path in folder.glob("step*.safetensors"))


def collect(study, runs):
    """The tables of a study: a dict from ``runs``, ``curves``, ``evaluations`` to a pyarrow Table.

    ``study``: the content of study.json; ``runs``: the folder of all runs. Raises UserError naming a
    file that is missing or damaged.
    """
    records, curves, evaluations = [], [], []
    for run in study["runs"]:
        folder = run_folder(runs, run)
        record = provenance.read_json(folder / "run.json") | {"experiments": run["experiments"]}
        flops = record.pop("flops_per_token")
        record |= {f"flops_per_token_{convention}": value for convention, value in flops.items()}
        record |= {name: math.nan if record[name] is None else record[name] for name in NUMBERS}
        record.setdefault("steps_trained", record["steps"])
        record |= {"trunk": record.get("trunk", ""), "start": record.get("start", 0)}
        record["betas"] = [float(beta) for beta in record["betas"] or []]
        records.append({name: value for name, value in record.items() if name not in NOT_TABLED})
        for tables, name in ((curves, "curve"), (evaluations, "evaluation")):
            table = parquet.read(folder / f"{name}.parquet")
            names = pa.array([run["run"]] * len(table), pa.string())
            tables.append(table.add_column(0, "run", names))
    return {
        "runs": pa.Table.from_pylist(records),
        "curves": pa.concat_tables(curves),
        "evaluations": pa.concat_tables(evaluations),
    }


def read_draws(path):
    """The draws of a fit as it was written: {column: (resamples,)}, NaN for what was dropped."""
    table = parquet.read(path)
    return {name: table[name].to_numpy() for name in table.column_names}


CURVE = pa.schema(
    [
        ("step", pa.int64()),
        ("tokens", pa.int64()),
        ("flops", pa.float64()),
        ("learning_rate", pa.float64()),
        ("train_loss", pa.float64()),
        ("test_loss", pa.float64()),
        ("test_loss_se", pa.float64()),
        ("grad_norm", pa.float64()),
        ("noise_scale", pa.float64()),
        ("noise_scale_se", pa.float64()),
        ("gradient_square", pa.float64()),
        ("gradient_variance", pa.float64()),
    ]
)
"""Columns of a run's curve.parquet: one row a test point."""

EVALUATION = pa.schema(
    [
        ("step", pa.int64()),
        ("set", pa.string()),
        ("loss", pa.float64()),
        ("loss_se", pa.float64()),
        ("bits_per_byte", pa.float64()),
        ("tokens", pa.int64()),
        ("loss_by_position", pa.list_(pa.float64())),
    ]
)
"""Columns of a run's evaluation.parquet: one row for each snapshot and set."""
