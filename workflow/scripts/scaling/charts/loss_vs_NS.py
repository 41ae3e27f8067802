"""Test loss against steps for each model size, with L(N, S). Kaplan et al. 2020, eq. 1.6 and figure 4."""

from functools import partial

import altair as alt

from scaling.charts import by_size, theme, wording


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit L_NS."""
    return by_size.draw(
        fits["L_NS"],
        tables["runs"],
        place=lambda N, S: S,
        x=partial(theme.log_axis, alt.X, title=theme.S_TITLE, label=wording.si),
        title="step",
        words="Points: the learning curves past their warm-up.",
        description="Test loss falling with training steps, both logarithmic.",
    )
