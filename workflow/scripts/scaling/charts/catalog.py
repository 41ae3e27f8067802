"""The figures: what each is called, which experiments it needs and what it reads.

Light on purpose (the Snakefile imports it). A new figure is one entry here and one module of the same name
in this folder, whose ``draw(tables, fits)`` returns a :class:`scaling.charts.drawing.Drawing`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure's title, the experiments that its study must hold, the tables and the fits it reads."""

    title: str
    experiments: tuple[str, ...]
    tables: tuple[str, ...]
    fits: tuple[str, ...] = ()


FIGURES = {
    "learning_curves": Figure("Test loss against compute", ("size",), ("runs", "curves"), ("L_C",)),
    "N_opt": Figure("Best model size for a compute budget", ("size",), ("runs",), ("N_opt",)),
    "loss_vs_N": Figure("Test loss against model size", ("size",), ("runs",), ("L_N",)),
    "loss_vs_ND": Figure("Test loss against compute, by size", ("size",), ("runs",), ("chinchilla",)),
    "loss_vs_NS": Figure("Test loss against steps, by size", ("size",), ("runs",), ("L_NS",)),
    "critical_batch": Figure("Critical batch size against loss", ("batch",), ("runs",), ("B_crit",)),
    "steps_examples": Figure(
        "Steps and examples to a loss, by batch size", ("batch",), ("runs",), ("B_crit",)
    ),
    "loss_vs_NSmin": Figure(
        "Test loss against adjusted steps, by size", ("size", "batch"), ("runs",), ("L_NSmin",)
    ),
    "loss_vs_Cmin": Figure(
        "Compute as trained and adjusted", ("size", "batch"), ("runs",), ("L_C", "L_Cmin")
    ),
    "N_opt_Cmin": Figure(
        "Best size and fewest steps for a compute budget",
        ("size", "batch"),
        ("runs",),
        ("N_opt_Cmin", "S_min", "allocation"),
    ),
    "split": Figure("How a growing budget splits", ("size", "batch"), ("runs",), ("allocation",)),
    "off_optimum": Figure("What another size costs", ("size", "batch"), ("runs",), ("L_NSmin", "allocation")),
    "loss_vs_N_fixed": Figure(
        "Test loss against model size, compute or steps fixed",
        ("size", "batch"),
        ("runs", "curves"),
        ("B_crit", "L_NSmin"),
    ),
    "steps_vs_N": Figure(
        "Steps and examples to a loss, by model size",
        ("size", "batch"),
        ("runs", "curves"),
        ("B_crit", "L_NSmin"),
    ),
    "crossing": Figure(
        "Where L(C_min) meets L(D)",
        ("size", "batch", "data"),
        ("runs",),
        ("L_Cmin", "D_opt", "L_D", "allocation"),
    ),
    "loss_vs_D": Figure("Test loss against data", ("size", "data"), ("runs",), ("L_D",)),
    "overfitting": Figure("Test loss against data, by size", ("data",), ("runs",), ("L_ND",)),
    "transfer": Figure("Loss on other text against test loss", ("size",), ("runs", "evaluations")),
    "transfer_vs_N": Figure("Loss on other text against model size", ("size",), ("runs", "evaluations")),
    "shape": Figure("Shape at a fixed model size", ("shape",), ("runs",)),
}
"""Every figure by name, in the order of the page."""


def missing(name, experiments, fits):
    """What keeps figure ``name`` from being drawn, as a line for its reader; None if nothing does.

    ``experiments`` are the study's, ``fits`` its fits by law, one that could not be made with the reason.
    """
    figure = FIGURES[name]
    absent = [experiment for experiment in figure.experiments if experiment not in experiments]
    if absent:
        return f"Not in this study: add {_listed(absent)} to `experiments` in the study's config."
    for law in figure.fits:
        if law not in fits:
            return f"Not fitted in this study: `{law}`."
        if "unfitted" in fits[law]:
            return f"{fits[law]['unfitted']}."
    return None


SPLIT = ("N_opt", "L_NS", "N_opt_Cmin", "L_NSmin")


def splits(laws):
    """Whether ``laws`` tell how a budget splits, so that there is an allocation."""
    return bool({*SPLIT} & {*laws})


def available(experiments, laws, tables=("runs", "curves", "evaluations")):
    """Names of the figures of a study of these ``experiments`` that fits these ``laws``, in order.

    ``tables`` are those of the study that can have rows.
    """
    return [
        name
        for name, figure in FIGURES.items()
        if set(figure.experiments) <= set(experiments)
        and set(figure.fits) <= {*laws, *(["allocation"] if splits(laws) else [])}
        and set(figure.tables) <= set(tables)
    ]


def _listed(names):
    return " and ".join(f"`{name}`" for name in names)
