"""Test loss against S_min for each model size, with L(N, S_min). Kaplan et al. 2020, eq. 1.6 and figure 4."""

from functools import partial

import altair as alt

from scaling.charts import by_size, findings, fitted, theme, wording
from scaling.laws import VARIABLES


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit L_NSmin."""
    fit = fits["L_NSmin"]
    return by_size.draw(
        fit,
        tables["runs"],
        place=lambda N, S_min: S_min,
        x=partial(theme.log_axis, alt.X, title=VARIABLES["S_min"], label=wording.si),
        title="S_min",
        words="Points: the learning curves past their warm-up, each step S of a batch B adjusted to batches "
        f"far above the critical one, S_min = S / (1 + B_crit(L) / B) with {fitted.adjustment(fit)}.",
        description="Test loss falling with the least training steps that reach it, both logarithmic.",
        finding=findings.of_law(fit),
    )
