# Runs that were trained elsewhere: their file, then the tables that a trained study has.


# both make the tables; this file is included where nothing is trained
localrules:
    finished,


ruleorder: finished > tables


if grid.is_url(FINISHED["file"]):

    localrules:
        finished_file,

    rule finished_file:
        output:
            grid.finished_path(FINISHED),
        log:
            f"{STUDY}/logs/finished_file.log",
        conda:
            "../../envs/scaling.yaml"
        params:
            finished=json.dumps(FINISHED),
        message:
            "Download {output}"
        shell:
            "python workflow/scripts/finished.py --finished {params.finished:q} --fetch {output:q}"
            " > {log:q} 2>&1"


rule finished:
    input:
        grid.finished_path(FINISHED),
    output:
        expand(f"{STUDY}/tables/{{table}}.parquet", table=TABLES),
        f"{STUDY}/tables/finished.json",
    log:
        f"{STUDY}/logs/finished.log",
    conda:
        "../../envs/scaling.yaml"
    params:
        finished=json.dumps(FINISHED),
        version=versions.RULES["finished"],
        folder=subpath(output[0], parent=True),
    message:
        "Read finished runs from {input}"
    shell:
        "python workflow/scripts/finished.py --finished {params.finished:q} --file {input:q}"
        " --out {params.folder:q} > {log:q} 2>&1"
