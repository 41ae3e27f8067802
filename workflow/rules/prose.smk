# Training and test text from the docstrings of wheels.


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
