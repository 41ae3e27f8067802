# Text: wheels, transfer sets, where all of it comes from.


rule wheel:
    output:
        "results/data/wheels/{wheel}.whl",
    log:
        "results/logs/wheel/{wheel}.log",
    priority: DATA_FIRST
    conda:
        "../../envs/scaling.yaml"
    params:
        pin=pin,
    message:
        "Download {wildcards.wheel}"
    shell:
        "python workflow/scripts/wheel.py --pin {params.pin:q} --out {output:q} > {log:q} 2>&1"


rule transfer:
    input:
        lambda wildcards: wheels(*TRANSFER[wildcards.set]["from"]),
    output:
        f"{CORPUS}/documents/{{set}}.parquet",
    log:
        f"results/logs/transfer/{grid.corpus_id(config)}/{{set}}.log",
    wildcard_constraints:
        set="|".join(OF_WHEELS) or "(?!)",
    priority: DATA_FIRST
    conda:
        "../../envs/scaling.yaml"
    resources:
        **of_data_job(),
    params:
        version=versions.RULES["transfer"],
        read=lambda wildcards: TRANSFER[wildcards.set]["read"],
        bytes=config["corpus"]["transfer_bytes"],
        seed=config["corpus"]["seed"],
    message:
        "Read the transfer set {wildcards.set}"
    shell:
        "python workflow/scripts/transfer.py --name {wildcards.set} --read {params.read}"
        " --max-bytes {params.bytes} --seed {params.seed} --wheels {input:q} --out {output:q} > {log:q} 2>&1"


rule transfer_text:
    input:
        lambda wildcards: local_files(TRANSFER[wildcards.set]),
    output:
        f"{CORPUS}/documents/{{set}}.parquet",
    log:
        f"results/logs/transfer/{grid.corpus_id(config)}/{{set}}.log",
    wildcard_constraints:
        set="|".join(name for name in TRANSFER if name not in OF_WHEELS) or "(?!)",
    priority: DATA_FIRST
    conda:
        "../../envs/scaling.yaml"
    resources:
        **of_data_job(),
    params:
        version=versions.RULES["transfer_text"],
        spec=lambda wildcards: json.dumps(grid.source(TRANSFER[wildcards.set])),
        bytes=config["corpus"]["transfer_bytes"],
        seed=config["corpus"]["seed"],
    message:
        "Read the transfer set {wildcards.set}"
    shell:
        "python workflow/scripts/transfer_text.py --name {wildcards.set} --spec {params.spec:q}"
        " --max-bytes {params.bytes} --seed {params.seed} --out {output:q} > {log:q} 2>&1"


rule leaks:
    input:
        documents=f"{CORPUS}/documents/{{part}}.parquet",
        duplicates=[f"{CORPUS}/duplicates.parquet"] if SOURCES else [],
        sets=documents(*HELD_OUT_SETS),
    output:
        f"{CORPUS}/leaks/{{part}}.parquet",
    log:
        f"results/logs/leaks/{grid.corpus_id(config)}/{{part}}.log",
    wildcard_constraints:
        part=r"train(/\d{5})?",
    conda:
        "../../envs/scaling.yaml"
    resources:
        **of_data_job(),
    params:
        version=versions.RULES["leaks"],
        duplicates=lambda wildcards, input: [f"--duplicates={path}" for path in input.duplicates],
    message:
        "Look for held-out text in {wildcards.part}"
    shell:
        "python workflow/scripts/leaks.py --documents {input.documents:q} {params.duplicates:q}"
        " --sets {input.sets:q} --out {output:q} > {log:q} 2>&1"


rule manifest:
    input:
        sets=documents(*HELD_OUT_SETS),
        train=documents(*train_parts()),
        leaks=[f"{CORPUS}/leaks/{part}.parquet" for part in train_parts()],
        wheels=corpus_wheels(),
        sources=[f"{CORPUS}/sources.json", f"{CORPUS}/duplicates.parquet"] if SOURCES else [],
    output:
        f"{CORPUS}/manifest.json",
    log:
        f"results/logs/manifest/{grid.corpus_id(config)}.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        version=versions.RULES["manifest"],
        sources=lambda wildcards, input: [
            f"--{name}={path}" for name, path in zip(("sources", "duplicates"), input.sources)
        ],
    message:
        "Write down where the text comes from"
    shell:
        "python workflow/scripts/manifest.py --sets {input.sets:q} --train {input.train:q}"
        " --leaks {input.leaks:q} --wheels {input.wheels:q} {params.sources:q} --out {output:q} > {log:q} 2>&1"
