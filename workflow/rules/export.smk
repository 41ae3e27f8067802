# Networks for others: a run's weights and tokenizer in the form that the transformers library loads.


rule huggingface:
    input:
        record="results/runs/{data}/{run}/run.json",
        snapshots="results/runs/{data}/{run}/snapshots",
        evaluation="results/runs/{data}/{run}/evaluation.parquet",
        tokenizer=f"{TOKENS}/tokenizer.json",
        end=END,
        manifest=f"{CORPUS}/manifest.json",
    output:
        directory("results/runs/{data}/{run}/huggingface"),
    log:
        "results/logs/huggingface/{data}/{run}.log",
    conda:
        "../../envs/scaling.yaml"
    resources:
        **of_data_job(),
    params:
        folder=subpath(input.record, parent=True),
    message:
        "Export {wildcards.run}"
    shell:
        "python workflow/scripts/huggingface.py --run {params.folder:q} --tokenizer {input.tokenizer:q}"
        " --manifest {input.manifest:q} --out {output:q} > {log:q} 2>&1"
