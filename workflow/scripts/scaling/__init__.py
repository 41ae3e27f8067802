"""Scaling laws of language models: from a config to runs, losses, fitted laws and pages.

Modules import only from those above them in this list::

    units        quantities and how they are written
    provenance   user errors, whole-or-nothing writing, checksums, versions
    parquet      tables as files: written whole, read as they were written
    configs      config files as they are written: each key once, of bounded size
    versions     what to raise when a change of the code changes what it makes
    counts       parameters and FLOPs of a shape, in every convention (no torch)
    durations    how long a step takes on a device, by a stated rate (no torch)
    trunks       runs that share their beginning: what is trained once, and what of each by itself (no torch)
    memory       what a run needs of a device's memory (no torch)
    gpus         how many this machine has, and how much of one a run fills (no torch)
    cluster      what runs ask of Slurm, and which of them share a job (no torch)
    driver       what comes before a study's first job (no torch)
    grid         config to runs: the one place that knows what a run is called (no torch, no pandas)
    corpus       wheels to documents
    tokens       documents to token arrays
    tables       columns of the parquet files; run folders to the three tables every fit reads
    finished     runs trained elsewhere: a file's columns to the same three tables
    progress     how far a study is, for those who watch
    windows      token arrays to sequences, in an order that seed and step decide
    devices      what a process computes on, and how it uses its CPU
    models       the networks, their snapshots, and their export
    evaluation   losses on held-out text; snapshots against transfer sets
    evaluated    what of a run is evaluated already
    training     one run from its description to its curve: loop, schedules, optimizers, noise, divergence;
                 plan, parallel; checkpoints, kept results, locks, interruption; job, which ties them; pack
                 and slurm, for jobs of a cluster; launch
    verifying    whether all of a results folder is as it was written (no torch)
    forms        the functions that laws are made of, with gradients
    laws         the laws: form, inputs, published constants
    fitting      the engine, which knows no law by name: solver, resampling, selection, fit
    rows         which rows of a table of runs can be used
    costs        what an experiment that was left out would cost
    preparing    the rules that make text into tokens, and how long they take (no torch)
    planned      what a whole study will cost before it starts, and what of it would not fit (no torch)
    frontier     learning curves on a grid of compute, as trained or adjusted; compute-efficient sizes
    scans        batch scans: steps to a loss, critical batch sizes
    efficient    points of the frontier: lowest losses, best sizes, steps and data at each compute
    selections   which points of a study each law is fitted to
    allocation   how a compute budget splits, by two roads, from fits and their draws
    accelerators peak rates, and budgets as they are written
    shapes       layers, width and heads for a number of parameters
    roads        what plans are made from: the laws that tell a loss, with their draws
    planner      from a budget, a loss or a size to a model and its training, with joint intervals
    trends       how a number of each run goes with model size
    extrapolation ends of learning curves, forecast from their beginnings and from other sizes
    stopping     when runs on limited data are best stopped, and the bound on it
    overfit      how much worse a loss is than on endless data
    offsets      losses on other text as offsets from the test loss
    positions    loss by position in the context, and powers of the position
    rates        the best learning rate of each size, and rules of it
    comparison   runs beside others: at equal N or compute, around one line, by position, across depth
    charts       tables and fits to charts
    pages        charts to pages that open offline
    benchmark    the engine beside another, where the time of a study went, how far fits can be
                 believed, how soon a page can be used
"""
