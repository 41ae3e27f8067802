# Training and test text from the hub, from files and from Debian, in shards.


rule sources:
    input:
        local_files(*SOURCES),
    output:
        f"{CORPUS}/sources.json",
    log:
        f"results/logs/sources/{grid.corpus_id(config)}.log",
    localrule: True
    conda:
        "../../envs/scaling.yaml"
    params:
        specs=json.dumps([grid.source(spec) for spec in SOURCES]),
    message:
        "Look up the files of the sources"
    shell:
        "python workflow/scripts/sources.py --specs {params.specs:q} --out {output:q} > {log:q} 2>&1"


rule shard:
    input:
        f"{CORPUS}/sources.json",
    output:
        train=f"{CORPUS}/documents/train/{{shard}}.parquet",
        held_out=f"{CORPUS}/documents/held_out/{{shard}}.parquet",
        record=f"{CORPUS}/documents/record/{{shard}}.json",
    log:
        f"results/logs/shard/{grid.corpus_id(config)}/{{shard}}.log",
    priority: DATA_FIRST
    conda:
        "../../envs/scaling.yaml"
    resources:
        **of_data_job(),
    params:
        shards=len(SHARDS),
        seed=config["corpus"]["seed"],
        test_fraction=config["corpus"]["test_fraction"],
        test_bytes=config["corpus"]["test_bytes"],
        train_bytes=(
            [f"--train-bytes={config['corpus']['train_bytes']}"] if config["corpus"]["train_bytes"] else []
        ),
        weights=(
            ["--weights", *weights] if (weights := [s["weight"] for s in SOURCES if "weight" in s]) else []
        ),
    message:
        "Read shard {wildcards.shard} of {params.shards}"
    shell:
        "python workflow/scripts/shard.py --listing {input:q} --shard {wildcards.shard} --shards {params.shards}"
        " --seed {params.seed} --test-fraction {params.test_fraction} --test-bytes {params.test_bytes}"
        " {params.train_bytes:q} {params.weights:q} --train {output.train:q} --held-out {output.held_out:q}"
        " --record {output.record:q} > {log:q} 2>&1"


rule held_out:
    input:
        documents(*(f"held_out/{shard}" for shard in SHARDS)),
    output:
        f"{CORPUS}/documents/test.parquet",
    log:
        f"results/logs/held_out/{grid.corpus_id(config)}.log",
    priority: DATA_FIRST
    conda:
        "../../envs/scaling.yaml"
    resources:
        **of_data_job(),
    params:
        test_bytes=config["corpus"]["test_bytes"],
        seed=config["corpus"]["seed"],
    message:
        "Gather the test text"
    shell:
        "python workflow/scripts/held_out.py --parts {input:q} --test-bytes {params.test_bytes}"
        " --seed {params.seed} --out {output:q} > {log:q} 2>&1"


rule duplicates:
    input:
        documents("test", *train_parts()),
    output:
        f"{CORPUS}/duplicates.parquet",
    log:
        f"results/logs/duplicates/{grid.corpus_id(config)}.log",
    conda:
        "../../envs/scaling.yaml"
    resources:
        **of_data_job(),
    message:
        "Find documents that are there twice"
    shell:
        "python workflow/scripts/duplicates.py --parts {input:q} --out {output:q} > {log:q} 2>&1"


rule tokens_of_shard:
    input:
        tokenizer=f"{TOKENS}/tokenizer.json",
        documents=f"{CORPUS}/documents/train/{{shard}}.parquet",
        duplicates=f"{CORPUS}/duplicates.parquet",
        end=END,
    output:
        ids=f"{TOKENS}/train/{{shard}}.npy",
        index=f"{TOKENS}/train/{{shard}}.json",
    log:
        f"results/logs/tokens/{grid.corpus_id(config)}_{grid.tokenizer_id(config)}/train/{{shard}}.log",
    priority: DATA_FIRST
    conda:
        "../../envs/scaling.yaml"
    resources:
        **of_data_job(),
    params:
        version=versions.RULES["tokens"],
    message:
        "Tokenize shard {wildcards.shard}"
    shell:
        "TOKENIZERS_PARALLELISM=false python workflow/scripts/tokens.py --tokenizer {input.tokenizer:q}"
        " --documents {input.documents:q} --duplicates {input.duplicates:q} --set train --out {output.ids:q} > {log:q} 2>&1"


rule train_tokens:
    input:
        ids=[f"{TOKENS}/train/{shard}.npy" for shard in SHARDS],
        indexes=[f"{TOKENS}/train/{shard}.json" for shard in SHARDS],
    output:
        f"{TOKENS}/train.json",
    log:
        f"results/logs/train_tokens/{grid.corpus_id(config)}_{grid.tokenizer_id(config)}.log",
    localrule: True
    conda:
        "../../envs/scaling.yaml"
    message:
        "Count the training tokens"
    shell:
        "python workflow/scripts/train_tokens.py --indexes {input.indexes:q} --out {output:q} > {log:q} 2>&1"
