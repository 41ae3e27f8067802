"""The figures: what each is called, where it stands in the paper, what it needs and what it reads.

Light on purpose (the Snakefile imports it). A new figure is one entry here and one module of the same name
in this folder, whose ``draw(tables, fits)`` returns a :class:`scaling.charts.drawing.Drawing`.
"""

from dataclasses import dataclass

LAWS, FRONTIER, BATCH = "Laws of the loss", "Compute and the frontier", "Batch size"
SHAPE, TEXT, TRAINING = "Shape and architecture", "Other text", "Training"
"""Kinds of figures, under which `snakemake --report` lists them."""


@dataclass(frozen=True)
class Figure:
    """A figure's title, the experiments that its study must hold, the tables and the fits it reads.

    ``paper`` are the places of Kaplan et al. 2020 that show the same, such as '9 left'; ``claim`` is what the
    paper finds there, in a few words. Of the fits ``either`` it reads those that the study has, and says
    itself what it lacks.
    """

    title: str
    kind: str
    experiments: tuple[str, ...]
    tables: tuple[str, ...]
    fits: tuple[str, ...] = ()
    paper: tuple[str, ...] = ()
    claim: str = ""
    either: tuple[str, ...] = ()


FIGURES = {
    "learning_curves": Figure(
        "Test loss against compute",
        LAWS,
        ("size",),
        ("runs", "curves"),
        ("L_C",),
        paper=("1 left", "2 right"),
        claim="Loss falls as a power of compute",
    ),
    "loss_vs_D": Figure(
        "Test loss against data",
        LAWS,
        ("size", "data"),
        ("runs",),
        ("L_D",),
        paper=("1 middle",),
        claim="Loss falls as a power of the training data",
    ),
    "loss_vs_N": Figure(
        "Test loss against model size",
        LAWS,
        ("size",),
        ("runs",),
        ("L_N",),
        paper=("1 right",),
        claim="Loss falls as a power of model size",
    ),
    "curves_vs_tokens": Figure(
        "Test loss against tokens seen, by size",
        LAWS,
        ("size",),
        ("runs", "curves"),
        paper=("2 left",),
        claim="Larger models reach the same loss with fewer samples",
    ),
    "split": Figure(
        "How a growing budget splits",
        FRONTIER,
        ("size", "batch"),
        ("runs",),
        ("allocation",),
        paper=("3",),
        claim="A growing budget goes mostly into larger models, hardly into more steps",
    ),
    "loss_vs_D_by_size": Figure(
        "Test loss against data, by size",
        LAWS,
        ("data",),
        ("runs",),
        ("L_ND",),
        paper=("4 left",),
        claim="One law L(N, D) describes every size on every data set",
    ),
    "loss_vs_NSmin": Figure(
        "Test loss against adjusted steps, by size",
        LAWS,
        ("size", "batch"),
        ("runs",),
        ("L_NSmin",),
        paper=("4 right",),
        claim="One law L(N, S_min) describes the learning curves of all sizes",
    ),
    "shape": Figure(
        "Shape at a fixed model size",
        SHAPE,
        ("shape",),
        ("runs",),
        paper=("5",),
        claim="Loss depends strongly on scale and weakly on shape",
    ),
    "embeddings": Figure(
        "Test loss against model size with and without embeddings, by depth",
        SHAPE,
        ("size", "depth"),
        ("runs",),
        paper=("6",),
        claim="With embeddings left out of N, models of two layers or more fall on one line",
    ),
    "architectures": Figure(
        "LSTMs beside Transformers",
        SHAPE,
        ("size", "architecture"),
        ("runs", "evaluations"),
        paper=("7",),
        claim="LSTMs do as well early in the context, and Transformers improve on them later in it",
    ),
    "transfer_vs_N": Figure(
        "Loss on other text against model size",
        TEXT,
        ("size",),
        ("runs", "evaluations"),
        paper=("8 left",),
        claim="Loss on other text falls with model size as the test loss does",
    ),
    "transfer": Figure(
        "Loss on other text against test loss",
        TEXT,
        ("size",),
        ("runs", "evaluations"),
        paper=("8 right",),
        claim="Loss on other text lies at a constant offset from the test loss",
    ),
    "overfitting": Figure(
        "Test loss against model size, by data, and overfitting",
        LAWS,
        ("data",),
        ("runs",),
        ("L_ND",),
        paper=("9",),
        claim="One ratio of N and D governs overfitting: 8 times the model wants 5 times the data",
    ),
    "critical_batch": Figure(
        "Critical batch size against loss",
        BATCH,
        ("batch",),
        ("runs",),
        ("B_crit",),
        paper=("10",),
        claim="The critical batch size is a power of the loss, whatever the model size",
    ),
    "loss_vs_N_fixed": Figure(
        "Test loss against model size, compute or steps fixed",
        FRONTIER,
        ("size", "batch"),
        ("runs", "curves"),
        ("B_crit", "L_NSmin"),
        paper=("11",),
        claim="At a fixed compute one size is best; at fixed steps larger is better",
    ),
    "off_optimum": Figure(
        "What another size costs",
        FRONTIER,
        ("size", "batch"),
        ("runs",),
        ("L_NSmin", "allocation"),
        paper=("12",),
        claim="Training is best stopped far from convergence, and sizes near the best cost little more",
    ),
    "loss_vs_Cmin": Figure(
        "Compute as trained and adjusted",
        FRONTIER,
        ("size", "batch"),
        ("runs",),
        ("L_C", "L_Cmin"),
        paper=("13",),
        claim="Loss is a cleaner power of compute once that is adjusted to small batches",
    ),
    "N_opt_Cmin": Figure(
        "Best size and fewest steps for a compute budget",
        FRONTIER,
        ("size", "batch"),
        ("runs",),
        ("N_opt_Cmin", "S_min", "allocation"),
        paper=("14",),
        claim="The best size grows with compute to the power 0.73, the steps hardly at all",
    ),
    "crossing": Figure(
        "Where L(C_min) meets L(D)",
        FRONTIER,
        ("size", "batch", "data"),
        ("runs",),
        ("L_Cmin", "D_opt", "L_D", "allocation"),
        paper=("15",),
        claim="The frontier meets what its data allow, so that one of the laws must end",
    ),
    "early_stopping": Figure(
        "When to stop on limited data",
        TRAINING,
        ("size", "data"),
        ("runs", "curves"),
        ("L_ND", "L_NS"),
        paper=("16",),
        claim="The step at which test loss is lowest is bounded from below by the overfitting to come",
    ),
    "recurrent": Figure(
        "Recurrent Transformers beside standard ones",
        SHAPE,
        ("size", "architecture"),
        ("runs",),
        paper=("17",),
        claim="Reusing weights helps a little at a fixed N and costs its compute",
    ),
    "steps_examples": Figure(
        "Steps and examples to a loss, by batch size",
        BATCH,
        ("batch",),
        ("runs",),
        ("B_crit",),
        paper=("18",),
        claim="Steps and examples to a loss trade off along a hyperbola",
    ),
    "steps_vs_N": Figure(
        "Steps and examples to a loss, by model size",
        FRONTIER,
        ("size", "batch"),
        ("runs", "curves"),
        ("B_crit", "L_NSmin"),
        paper=("19",),
        claim="Larger models need fewer steps and fewer examples for the same loss",
    ),
    "positions": Figure(
        "Loss by position in the context",
        TEXT,
        ("size",),
        ("runs", "evaluations"),
        paper=("20",),
        claim="Loss falls as a power of the position in the context, and more so for larger models",
    ),
    "positions_vs_N": Figure(
        "Loss at fixed positions against model size",
        TEXT,
        ("size", "context"),
        ("runs", "evaluations"),
        paper=("21",),
        claim="Loss at every position falls with model size; a short context helps the first tokens",
    ),
    "schedules": Figure(
        "Learning-rate schedules at one size",
        TRAINING,
        ("schedule",),
        ("runs",),
        paper=("22",),
        claim="The schedule hardly matters if it warms up and decays",
    ),
    "logarithm": Figure(
        "A power of model size, or its logarithm?",
        LAWS,
        ("size",),
        ("runs",),
        ("L_N",),
        paper=("23",),
        claim="A power law fits L(N) better than a logarithm",
    ),
    "transfer_vs_depth": Figure(
        "Loss on other text against depth",
        TEXT,
        ("depth",),
        ("runs", "evaluations"),
        paper=("24",),
        claim="At one size, loss on other text does not depend on depth",
    ),
    "learning_rate": Figure(
        "Best learning rate against model size",
        TRAINING,
        ("learning_rate",),
        ("runs",),
        paper=("Equation D.1",),
        claim="The best learning rate falls with model size by a simple rule",
    ),
    "extrapolation": Figure(
        "Ends of learning curves, forecast",
        TRAINING,
        ("size",),
        ("runs", "curves"),
        paper=("Section 1.1",),
        claim="The end of a learning curve can be told from its beginning",
    ),
    "budget": Figure(
        "Where a budget goes: size, batch, steps and data",
        FRONTIER,
        ("size",),
        ("runs",),
        either=("N_opt_Cmin", "B_opt", "S_min", "D_opt", "N_opt", "chinchilla", "allocation"),
    ),
    "N_opt": Figure("Best model size for a compute budget", FRONTIER, ("size",), ("runs",), ("N_opt",)),
    "loss_vs_ND": Figure("Test loss against compute, by size", LAWS, ("size",), ("runs",), ("chinchilla",)),
    "loss_vs_NS": Figure("Test loss against steps, by size", LAWS, ("size",), ("runs",), ("L_NS",)),
}
"""Every figure by name: the paper's in its order, then others."""

FRONTIER_PAGE = (
    "N_opt", "loss_vs_N", "loss_vs_ND", "loss_vs_NS", "critical_batch", "steps_examples", "loss_vs_NSmin",
    "loss_vs_Cmin", "N_opt_Cmin", "budget", "split", "off_optimum", "loss_vs_N_fixed",
    "steps_vs_N", "crossing", "loss_vs_D", "loss_vs_D_by_size", "transfer", "transfer_vs_N", "shape",
)  # fmt: skip
"""Figures that stand on frontier.html too, in order, after the learning curves as its reader counts them."""

SUMMARY = (
    "shape", "loss_vs_N", "loss_vs_D", "learning_curves", "overfitting", "extrapolation", "transfer",
    "curves_vs_tokens", "off_optimum", "critical_batch", "schedules", "embeddings",
)  # fmt: skip
"""Figures whose claims are those of the paper's abstract and summary (section 1.1), in its order."""


def missing(name, experiments, fits, costs=None):
    """What keeps figure ``name`` from being drawn, as a line for its reader; None if nothing does.

    ``experiments`` are the study's, ``fits`` its fits by law, one that could not be made with the reason;
    ``costs`` are what other experiments would cost, in words, by name.
    """
    figure = FIGURES[name]
    absent = [experiment for experiment in figure.experiments if experiment not in experiments]
    if absent:
        told = "; ".join(f"`{name}`: {costs[name]}" for name in absent if name in (costs or {}))
        line = f"Not in this study: add {_listed(absent)} to `experiments` in the study's config"
        return f"{line} ({told})." if told else f"{line}."
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


def reads(name, laws):
    """The fits that figure ``name`` reads of a study that fits these ``laws``."""
    figure = FIGURES[name]
    known = {*laws, *(["allocation"] if splits(laws) else [])}
    return [*figure.fits, *(law for law in figure.either if law in known)]


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
