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


def available(experiments, laws, tables=("runs", "curves", "evaluations")):
    """Names of the figures of a study of these ``experiments`` that fits these ``laws``, in order.

    ``tables`` are those of the study that can have rows.
    """
    return [
        name
        for name, figure in FIGURES.items()
        if set(figure.experiments) <= set(experiments)
        and set(figure.fits) <= set(laws)
        and set(figure.tables) <= set(tables)
    ]


def _listed(names):
    return " and ".join(f"`{name}`" for name in names)
