"""What the charts of a fitted law share: its points with error bars, what it left out, its line and band."""

import altair as alt

from scaling.charts import theme, wording


def points(fit, runs):
    """The fit's own points, as rows of run, shape, N, x, y and the ends of one standard error."""
    by_name, data = {run["run"]: run for run in runs}, fit["data"]
    errors = data["y_se"] or [None] * len(data["x"])
    return [
        theme.with_error({**described(by_name.get(run), run), "x": x, "y": y}, y, error)
        for run, x, y, error in zip(data["run"], data["x"], data["y"], errors, strict=True)
    ]


def described(run, name):
    """What a tooltip says of a run: its name, shape and N."""
    return {"run": name} if run is None else {"run": name, "shape": wording.shape(run), "N": run["N"]}


def tooltip(x, y):
    """The tooltip of a point whose axes are called ``x`` and ``y``."""
    return [
        alt.Tooltip("run:N"),
        alt.Tooltip("shape:N"),
        alt.Tooltip("N:Q", format=",d"),
        alt.Tooltip("x:Q", format=".4~s", title=x),
        alt.Tooltip("y:Q", format=".4~r", title=y),
    ]


def error_bars(rows, x, y):
    """A layer of bars of one standard error either side, for the rows that have one."""
    bars = theme.chart([row for row in rows if "low" in row])
    return bars.mark_rule(style="error", clip=True, aria=False).encode(x=x("x"), y=y("low"), y2="high:Q")
