# Runs: one job for each grid point.


rule train:
    input:
        train=TRAIN_TOKENS,
        train_index=f"{TOKENS}/train.json",
        test=f"{TOKENS}/test.npy",
        test_index=f"{TOKENS}/test.json",
        trunk=trunk_of,
    output:
        record="results/runs/{data}/{run}/run.json",
        curve="results/runs/{data}/{run}/curve.parquet",
        snapshots=directory("results/runs/{data}/{run}/snapshots"),
    log:
        "results/logs/train/{data}/{run}.log",
    priority: priority
    group:
        job_of if ON_CLUSTER else None
    conda:
        "../../envs/scaling.yaml"
    threads: lambda wildcards: processes(described(wildcards))
    # not params: how a run is executed is no reason to train it again
    resources:
        **of_run(train_minutes),
    params:
        run=lambda wildcards: json.dumps(described(wildcards) | {"experiments": []}),
        folder=subpath(output.record, parent=True),
    message:
        "Train {wildcards.run}"
    shell:
        "python workflow/scripts/train.py --run {params.run:q} --train {input.train:q} --test {input.test:q}"
        # not params: another set is no reason to train again
        f" --sets {' '.join(HELD_OUT_SETS)}"
        " --out {params.folder:q} --threads {threads} --device {resources.device}"
        " --processes {resources.processes} --nodes {resources.machines} --parallel {resources.parallel}"
        " --micro-batch {resources.micro_batch} --compile {resources.compile} --minutes {resources.minutes}"
        " --gpu-percent {resources.gpu_percent} {resources.at_limit} > {log:q} 2>&1"
