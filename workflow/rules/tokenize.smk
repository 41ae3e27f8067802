# Tokens: documents to arrays of ids.


if GIVEN:

    rule take_tokenizer:
        input:
            GIVEN if "file" in config["tokenizer"] else [],
        output:
            tokenizer=f"{TOKENS}/tokenizer.json",
            end=END,
        log:
            f"results/logs/tokenizer/{grid.corpus_id(config)}_{grid.tokenizer_id(config)}.log",
        localrule: True
        conda:
            "../../envs/scaling.yaml"
        params:
            given=GIVEN,
            revision=[f"--revision={config['tokenizer']['revision']}"] if "hub" in config["tokenizer"] else [],
            n_vocab=config["tokenizer"]["n_vocab"],
            end=config["tokenizer"].get("end", "<|endoftext|>"),
        message:
            "Take the tokenizer {params.given}"
        shell:
            "python workflow/scripts/take_tokenizer.py --given {params.given:q} {params.revision:q}"
            " --n-vocab {params.n_vocab} --end {params.end:q}"
            " --out {output.tokenizer:q} --out-end {output.end:q} > {log:q} 2>&1"

else:

    rule tokenizer:
        input:
            documents(train_parts()[0]),
        output:
            f"{TOKENS}/tokenizer.json",
        log:
            f"results/logs/tokenizer/{grid.corpus_id(config)}_{grid.tokenizer_id(config)}.log",
        conda:
            "../../envs/scaling.yaml"
        threads: 2
        resources:
            **of_data_job(),
        params:
            n_vocab=config["tokenizer"]["n_vocab"],
        message:
            "Train a tokenizer of {params.n_vocab} entries"
        shell:
            "RAYON_NUM_THREADS={threads} python workflow/scripts/tokenizer.py --documents {input:q}"
            " --n-vocab {params.n_vocab} --out {output:q} > {log:q} 2>&1"


rule tokens:
    input:
        tokenizer=f"{TOKENS}/tokenizer.json",
        documents=f"{CORPUS}/documents/{{set}}.parquet",
        end=END,
    output:
        ids=f"{TOKENS}/{{set}}.npy",
        index=f"{TOKENS}/{{set}}.json",
    log:
        f"results/logs/tokens/{grid.corpus_id(config)}_{grid.tokenizer_id(config)}/{{set}}.log",
    priority: DATA_FIRST
    conda:
        "../../envs/scaling.yaml"
    threads: lambda wildcards: 2 if wildcards.set == "train" else 1
    resources:
        **of_data_job(),
    params:
        version=versions.RULES["tokens"],
    message:
        "Tokenize {wildcards.set}"
    shell:
        "RAYON_NUM_THREADS={threads} python workflow/scripts/tokens.py --tokenizer {input.tokenizer:q}"
        # not params: tokens are the same for any context
        f" --n-ctx {max((run['n_ctx'] for run in RUNS.values()), default=1)}"
        " --documents {input.documents:q} --out {output.ids:q} > {log:q} 2>&1"
