"""Test loss against compute for each model size, with L(N, D). Hoffmann et al. 2022, equations 2 and 10."""

from scaling.charts import by_size, theme
from scaling.units import pf_days


def draw(tables, fits):
    """The :class:`Drawing`, from the table runs and the fit chinchilla; compute is 6 N D."""
    return by_size.draw(
        fits["chinchilla"],
        tables["runs"],
        place=lambda N, D: pf_days(6 * N * D),
        x=theme.compute_axis,
        title="PF-days",
        words="Points: the end of each run, at 6 N D FLOPs.",
        description="Test loss falling with training compute in PF-days, both logarithmic.",
        more=theme.exponents,
    )
