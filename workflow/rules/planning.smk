# What the plan looks at: the files of every job that does not train, and which of them exist.


def text_by_rule():
    """Files of the jobs that make documents and tokens, in the order of their rules."""
    found = {"wheel": [[str(path)] for path in corpus_wheels()]}
    if SOURCES:
        kinds = [("train", "parquet"), ("held_out", "parquet"), ("record", "json")]
        found |= {
            "sources": [[f"{CORPUS}/sources.json"]],
            "shard": [
                [f"{CORPUS}/documents/{kind}/{shard}.{ending}" for kind, ending in kinds] for shard in SHARDS
            ],
            "held_out": [documents("test")],
            "duplicates": [[f"{CORPUS}/duplicates.parquet"]],
        }
    else:
        found["prose"] = [documents("train", "test")]
    found |= {
        "transfer": [documents(name) for name in OF_WHEELS],
        "transfer_text": [documents(name) for name in TRANSFER if name not in OF_WHEELS],
        "take_tokenizer" if GIVEN else "tokenizer": [[f"{TOKENS}/tokenizer.json"]],
        "tokens": [[f"{TOKENS}/{name}.npy", f"{TOKENS}/{name}.json"] for name in SETS],
    }
    if SOURCES:
        shards = [f"{TOKENS}/train/{shard}" for shard in SHARDS]
        found |= {
            "tokens_of_shard": [[f"{shard}.npy", f"{shard}.json"] for shard in shards],
            "train_tokens": [[f"{TOKENS}/train.json"]],
        }
    leaks = [[f"{CORPUS}/leaks/{part}.parquet"] for part in train_parts()]
    found |= {"leaks": leaks, "manifest": [[f"{CORPUS}/manifest.json"]]}
    return {rule: jobs for rule, jobs in found.items() if jobs}


def files_by_rule():
    """Files of every job of the study that does not train: {rule: [files of a job, …]}."""
    data = {} if FINISHED else text_by_rule()
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


def jobs_in_short(wildcards):
    """What files_by_rule tells, packed, since hundreds of shards would not fit a command line otherwise."""
    from scaling import planned  # here for the reason below

    return planned.packed(files_by_rule())


def seen(wildcards):
    """A digest of what exists: the plan is made again when something has come or gone."""
    # here and not above: it imports numpy, which every start of Snakemake would wait for
    from scaling import planned, provenance

    return provenance.digest(planned.look(RUNS, "results/runs", files_by_rule()).listed())
