# What the plan looks at: the files of every job that does not train, and which of them exist.


def files_by_rule():
    """Files of every job of the study that does not train: {rule: [files of a job, …]}."""
    data = {}
    if not FINISHED:
        documents = f"{CORPUS}/documents"
        data = {
            "wheel": [[str(path)] for path in corpus_wheels()],
            "prose": [[f"{documents}/train.parquet", f"{documents}/test.parquet"]],
            "transfer": [[f"{documents}/{name}.parquet"] for name in TRANSFER],
            "tokenizer": [[f"{TOKENS}/tokenizer.json"]],
            "tokens": [[f"{TOKENS}/{name}.npy", f"{TOKENS}/{name}.json"] for name in SETS],
            "manifest": [[f"{CORPUS}/manifest.json"]],
        }
    data["study"] = [[f"{STUDY}/study.json"]]
    tables = [f"{STUDY}/tables/{table}.parquet" for table in TABLES]
    if FINISHED and grid.is_url(FINISHED["file"]):
        data["finished_file"] = [[grid.finished_path(FINISHED)]]
    if FINISHED:
        data["finished"] = [[*tables, f"{STUDY}/tables/finished.json"]]
    else:
        data["tables"] = [tables]
    drawn = figures("html", "svg", "png", "csv")
    return data | {
        "fit": [[path, path.removesuffix(".json") + ".bootstrap.parquet"] for path in fits()],
        "allocation": [[path] for path in allocation()],
        "exponents": [[f"{STUDY}/exponents.md"]],
        "planner": [[f"{STUDY}/planner.json"]],
        "figure": [drawn[at : at + 4] for at in range(0, len(drawn), 4)],
        "page": [[f"{STUDY}/frontier.html"]],
        "report": [[f"{STUDY}/report.html", f"{STUDY}/findings.md"]],
    }


def seen(wildcards):
    """A digest of what exists: the plan is made again when something has come or gone."""
    # here and not above: it imports numpy, which every start of Snakemake would wait for
    from scaling import planned, provenance

    return provenance.digest(planned.look(RUNS, "results/runs", files_by_rule()).listed())
