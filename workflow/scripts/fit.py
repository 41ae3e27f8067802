"""Fit one law to the tables of a study: its parameters with intervals as JSON, its draws as parquet."""

import argparse

import pyarrow as pa
from scaling import laws, parquet, provenance, selections, tables


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--law", required=True, choices=laws.LAWS)
    parser.add_argument("--runs", required=True, help="runs.parquet")
    parser.add_argument("--curves", required=True, help="curves.parquet")
    parser.add_argument("--out", required=True, help="the fit, as JSON")
    parser.add_argument("--bootstrap", required=True, help="the draws, one row a resample, as parquet")
    parser.add_argument("--resamples", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--delta", type=float, required=True, help="Huber's δ, in ln L")
    parser.add_argument(
        "--critical",
        nargs=2,
        metavar=("FIT", "DRAWS"),
        help="the fit of B_crit and its draws, for an adjusted law",
    )
    args = parser.parse_args()

    runs, curves = (parquet.read(path).to_pylist() for path in (args.runs, args.curves))
    options = {"resamples": args.resamples, "seed": args.seed, "delta": args.delta}
    if args.critical:
        report, draws = args.critical
        options["critical"] = provenance.read_json(report), tables.read_draws(draws)
    report, draws = selections.fit_law(args.law, runs, curves, **options)
    for remark in selections.remarks(report):
        print(remark)
    columns = {key: pa.array(column, from_pandas=True) for key, column in draws.items()}
    parquet.write(args.bootstrap, pa.table(columns))
    provenance.write_json(args.out, report)


if __name__ == "__main__":
    provenance.run(main)
