"""How data travels in a page: whole to the seventh digit, once, and thinned where it is much."""

import csv
import json
import math

import altair as alt
import numpy as np
import pytest
import simulated
from scaling.charts import catalog, drawing
from scaling.pages import packing

HOSTILE = ("</script><b>", "\"'\u2028", "__proto__", "a.b[c]", '=1+1,"x"\n', "−1", "")
ROWS = [
    {"run": "a", "x": 1 / 3, "y": 2.0, "reached": True, "B": 1},
    {"run": "a", "x": 2e-11 / 3, "y": None, "reached": False, "B": True},
    {"run": "__proto__", "x": -1e300, "y": math.nan, "reached": True},
    {"run": HOSTILE[1], "x": 123456789, "low": 1.5, "y": math.inf, "reached": True, "B": 1.0},
]


def table_of(columns, table):
    """The rows of a packed table, as page.js makes them."""

    def cells(column):
        if isinstance(column, list):
            return column
        values = columns[column["of"]]
        return [values[code] if code >= 0 else packing.MISSING for code in column["at"]]

    every = [(name, cells(columns[index])) for name, index in table["columns"]]
    return [
        {name: held[at] for name, held in every if held[at] is not packing.MISSING}
        for at in range(table["rows"])
    ]


def spec_of(columns, packed):
    """The specification of a packed figure, with its rows."""
    return {**packed["spec"], "datasets": {name: table_of(columns, t) for name, t in packed["datasets"]}}


def through_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


@pytest.fixture(scope="module")
def drawings():
    study = simulated.study()
    names = [
        name
        for name in catalog.FRONTIER_PAGE
        if not catalog.missing(name, simulated.EXPERIMENTS, study["fits"])
    ]
    return {name: drawing.draw(name, study["tables"], study["fits"]) for name in names}


def test_rows_come_back():
    store = packing.Store()
    table = store.table(ROWS)
    back = table_of(through_json(store.columns), through_json(table))
    assert [list(row) for row in back] == [
        ["run", "x", "y", "reached", "B"],
        ["run", "x", "y", "reached", "B"],
        ["run", "x", "y", "reached"],
        ["run", "x", "y", "reached", "B", "low"],
    ]
    assert [row["x"] for row in back] == [0.3333333, 6.666667e-12, -1e300, 123456789]
    assert [row["y"] for row in back] == [2.0, None, None, None]
    assert [row["run"] for row in back] == [row["run"] for row in ROWS]
    assert [row["reached"] for row in back] == [True, False, True, True]
    assert [row["B"] for row in back if "B" in row] == [1, True, 1.0]
    assert [type(row["B"]) for row in back if "B" in row] == [int, bool, float]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_comes_back(text):
    store = packing.Store()
    rows = [{"run": text, "x": 1.0}, {"run": text, "x": 2.0}, {"run": "b", "x": 3.0}]
    assert table_of(through_json(store.columns), store.table([])) == []
    table = store.table(rows)
    assert table_of(through_json(store.columns), table) == rows


def test_what_is_the_same_is_there_once():
    store = packing.Store()
    rows = [{"run": f"run {i // 50}", "N": 1000 + i // 50, "x": float(i)} for i in range(500)]
    store.table(rows)
    columns, text = len(store.columns), json.dumps(store.columns)
    assert text.count("run 7") == 1
    store.table([{**row, "y": row["x"]} for row in rows])
    assert len(store.columns) == columns, "columns are shared, under whatever name"
    store.table(rows[:250])
    assert len(store.columns) > columns


def test_figures_of_a_page_keep_all_that_they_show(drawings):
    store = packing.Store()
    packed = {name: store.figure(packing.shown(drawn)) for name, drawn in drawings.items()}
    columns = through_json(store.columns)
    for name, drawn in drawings.items():
        spec = drawing.responsive(drawing.specification(drawn))
        back = spec_of(columns, through_json(packed[name]))
        alt.Chart.from_dict(back)  # raises for what the schema does not know
        datasets = spec.pop("datasets")
        assert spec.pop("config")
        assert {key: value for key, value in back.items() if key != "datasets"} == spec
        assert list(back["datasets"]) == list(datasets)
        for key, rows in datasets.items():
            assert_alike(back["datasets"][key], rows)
        series = [(what, row) for what, table in packed[name]["data"] for row in table_of(columns, table)]
        expected = [(what, row) for what, part in drawn.data for row in part]
        assert [what for what, _ in series] == [what for what, _ in expected]
        assert_alike([row for _, row in series], [row for _, row in expected])


def assert_alike(rows, expected):
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        assert list(row) == list(other) or set(row) == set(other)
        for name, value in other.items():
            if isinstance(value, float):
                wanted = None if not math.isfinite(value) else pytest.approx(value, rel=1e-6)
                assert row[name] == wanted
            else:
                assert row[name] == value
                assert type(row[name]) is type(value)


def test_data_for_download_costs_little_where_marks_have_it(drawings):
    """No column of their series is there a second time, but for series whose rows panels hold by turns."""
    for name, drawn in drawings.items():
        shown, store = packing.shown(drawn), packing.Store()
        store.figure(shown | {"data": ()})
        marks = len(json.dumps(store.columns))
        store.figure(shown)
        assert (
            len(json.dumps(store.columns)) < (3 if name in ("steps_vs_N", "off_optimum") else 1.25) * marks
        ), name


def curves(runs, points):
    random = np.random.default_rng(0)
    return [
        {
            "run": f"run {run}",
            "x": float(x * (1 + run)),
            "y": float((run + 2) / x**0.1 + random.normal(0, 0.02)),
        }
        for run in range(runs)
        for x in np.geomspace(1, 100, points)
    ]


def envelope(rows):
    """Points that have the lowest y up to their x, from the definition."""
    return [row for row in rows if row["y"] <= min(other["y"] for other in rows if other["x"] <= row["x"])]


def test_thinning_keeps_the_envelope_and_the_ends():
    rows = curves(40, 48)
    kept = packing.thinned(rows, most=400)
    assert 200 <= len(kept) < 600
    assert envelope(kept) == envelope(rows)
    assert len(envelope(rows)) > 20
    for run in {row["run"] for row in rows}:
        every, some = ([row for row in of if row["run"] == run] for of in (rows, kept))
        assert every[0] in some
        assert every[-1] in some
        assert len(some) > 4
    assert kept == [row for row in rows if row in kept], "in order"


@pytest.mark.parametrize("change", [lambda row: {"x": row["x"], "y": row["y"]}, lambda row: row])
def test_what_is_little_or_of_no_run_is_drawn_whole(change):
    rows = [change(row) for row in curves(10, 50)]
    assert packing.thinned(rows, most=len(rows) if "run" in rows[0] else 10) is rows


def test_a_chart_that_draws_fewer_points_says_so_and_keeps_its_data(drawings, monkeypatch):
    drawn = drawings["loss_vs_NS"]
    whole = packing.shown(drawn)
    assert whole["caption"] == drawn.caption
    monkeypatch.setattr(packing, "thinned", lambda rows: rows[: len(rows) - 7] if len(rows) > 60 else rows)
    fewer = packing.shown(drawn)
    kept, every = (
        sum(len(rows) for rows in shown["spec"]["datasets"].values() if len(rows) > 60)
        for shown in (fewer, whole)
    )
    assert f"Drawn are {kept:,} of {every:,} points: the lower envelope" in fewer["caption"]
    assert fewer["data"] == drawn.data


def test_many_marks_are_drawn_as_pixels(drawings, monkeypatch):
    shown = packing.shown(drawings["loss_vs_NS"])
    assert packing.Store().figure(shown)["renderer"] == "svg"
    monkeypatch.setattr(packing, "MOST_SVG", 10)
    assert packing.Store().figure(shown)["renderer"] == "canvas"


def test_text_in_a_csv_is_never_a_formula(tmp_path):
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", 'a "quoted", b', "two\nlines", "−1", "__proto__"]
    rows = [{"run": text, "y": value} for text, value in zip(texts, [-1.5, math.nan, *range(8)], strict=True)]
    drawn = drawing.Drawing(None, "", "", (("=series", rows),))
    drawing.write_csv(tmp_path / "a.csv", drawn)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert [cell["run"] for cell in cells] == [*("'" + text for text in texts[:6]), *texts[6:]]
    assert {cell["series"] for cell in cells} == {"'=series"}
    assert [cell["y"] for cell in cells] == ["-1.5", "", *map(str, range(8))]
