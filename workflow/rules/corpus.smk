# Text: wheels to documents.


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


rule prose:
    input:
        wheels(*config["corpus"]["prose"]),
    output:
        train=f"{CORPUS}/documents/train.parquet",
        test=f"{CORPUS}/documents/test.parquet",
    log:
        f"results/logs/prose/{grid.corpus_id(config)}.log",
    conda:
        "../../envs/scaling.yaml"
    threads: 2
    resources:
        **of_data_job(),
    params:
        seed=config["corpus"]["seed"],
        test_fraction=config["corpus"]["test_fraction"],
    message:
        "Read the prose of the wheels"
    shell:
        "python workflow/scripts/prose.py --wheels {input:q} --seed {params.seed}"
        " --test-fraction {params.test_fraction} --train {output.train:q} --test {output.test:q}"
        " --processes {threads} > {log:q} 2>&1"


rule transfer:
    input:
        lambda wildcards: wheels(*TRANSFER[wildcards.set]["from"]),
    output:
        f"{CORPUS}/documents/{{set}}.parquet",
    log:
        f"results/logs/transfer/{grid.corpus_id(config)}/{{set}}.log",
    wildcard_constraints:
        set="|".join(TRANSFER) or "(?!)",
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


rule manifest:
    input:
        documents=expand(f"{CORPUS}/documents/{{set}}.parquet", set=SETS),
        wheels=corpus_wheels(),
    output:
        f"{CORPUS}/manifest.json",
    log:
        f"results/logs/manifest/{grid.corpus_id(config)}.log",
    conda:
        "../../envs/scaling.yaml"
    message:
        "Write down where the text comes from"
    shell:
        "python workflow/scripts/manifest.py --documents {input.documents:q} --wheels {input.wheels:q}"
        " --out {output:q} > {log:q} 2>&1"
