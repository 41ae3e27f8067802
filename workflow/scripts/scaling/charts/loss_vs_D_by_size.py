"""Test loss against data for each model size, with L(N, D). Kaplan et al. 2020, eq. 1.5, figure 4 (left)."""

from functools import partial

import altair as alt

from scaling.charts import by_size, findings, theme, wording


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit L_ND."""
    return by_size.draw(
        fits["L_ND"],
        tables["runs"],
        place=lambda N, D: D,
        x=partial(theme.log_axis, alt.X, title=theme.D_TITLE, label=wording.si),
        title="D",
        words="Points: the lowest test loss of each run that saw all its D.",
        description="Test loss falling with training tokens, both logarithmic.",
        finding=findings.of_law(fits["L_ND"]),
    )
