"""The plan as it is read: its page and its text, with runs and without, and names that cannot break it."""

import json
import sys

import plan as plan_script
import pytest
from scaling import grid, planned
from scaling.pages import plan as pages
from scaling.pages import render
from test_pages import HOSTILE, Page
from test_planned import HUGE, JOBS, SMALL, TINY, WIDE, config, finish, told


@pytest.fixture
def write(tmp_path):
    """A function from a plan to its page as text."""

    def page(plan):
        render.write_page(tmp_path / "plan.html", "plan.html", "", **pages.page(plan))
        return (tmp_path / "plan.html").read_text(encoding="utf-8")

    return page


@pytest.fixture
def study():
    return config({"size": {"shape": [TINY, SMALL]}, "seeds": {"shape": [SMALL], "seed": [0, 1]}})


def test_the_page_leads_with_what_remains_and_where(study, tmp_path, write):
    plan, _ = told(study, tmp_path, JOBS)
    lead = " ".join(pages.lead(plan))
    assert lead.startswith("3 of 3 runs remain to be trained: ")
    assert "GPU-hours in 7 jobs of Slurm" in lead, "six of the data, a pack"
    assert "since no run is measured on a GPU yet" in lead
    assert "2 cores of this machine" in lead
    text = write(plan)
    page = Page(text)
    rows = page.rows["experiments"]
    assert [cells[0] for cells in rows[:4]] == ["experiment", "size", "seeds", "in all"]
    assert rows[0].index("runs") == 1
    assert [cells[1] for cells in rows[1:4]] == ["2", "1", "3"]
    assert rows[2][rows[0].index("shared")] == "+ 1"
    assert {cells[0] for cells in page.rows["rules"][1:]} == {"train", "evaluate", *JOBS}
    assert "unfit" not in page.rows


def test_the_page_asks_the_network_for_nothing(study, tmp_path, write):
    text = write(told(study, tmp_path, JOBS)[0])
    assert "http" not in text.replace("http-equiv", "")
    assert len(text) < 60_000
    assert str(tmp_path) not in text


def test_rates_are_shown_beside_each_other_with_the_line_to_write(study, tmp_path, write):
    _, runs = told(study, tmp_path)
    for seconds, run in enumerate(list(runs.values())[:2], 10):
        finish(tmp_path, run, seconds=seconds)
    plan, _ = told(study, tmp_path)
    text = write(plan)
    core = next(cells for cells in Page(text).rows["rates"] if cells[0] == "core")
    assert core[1] == "3.0 × 10¹⁰"
    assert "2" in core
    assert "measured" in core
    assert f"cpu_flops: {plan['rates']['cpu_flops']['site_line']:.1e}" in core[-1]
    assert "By their own records the finished runs took" in text
    assert "2 runs on a core took" in " ".join(pages.trust(plan))
    assert "Each of the 2 sizes" in " ".join(pages.trust(plan))


def test_the_line_of_a_precision_is_yaml(study):
    assert pages.site_line("gpu_flops.bf16", 1.5e14) == "gpu_flops: {bf16: 1.5e+14}"


def test_hours_by_measured_rates_say_so(study, tmp_path):
    cpus = study | {"site": study["site"] | {"gpus_per_node": 0}}
    _, runs = told(cpus, tmp_path)
    finish(tmp_path, next(iter(runs.values())))
    assert "by the rates of 1 finished run." in " ".join(pages.lead(told(cpus, tmp_path)[0]))


def test_of_several_precisions_the_one_that_is_not_measured_is_said_to_be_stated(tmp_path):
    study = config({"size": {"shape": [WIDE], "precision": ["fp32", "bf16"]}}, site={"gpu_memory_gb": 80})
    _, runs = told(study, tmp_path)
    finish(tmp_path, next(iter(runs.values())), device="cuda")
    assert "for another precision, the stated one" in " ".join(pages.lead(told(study, tmp_path)[0]))


def test_what_does_not_fit_comes_first_and_in_the_terminal(tmp_path, write):
    study = config({"size": {"shape": [SMALL, HUGE]}}, site={"memory_gb": 1000})
    plan, _ = told(study, tmp_path, JOBS)
    page = Page(write(plan))
    assert next(iter(page.rows)) == "unfit"
    header, cells = page.rows["unfit"]
    row = dict(zip(header, cells, strict=True))
    assert "d8192" in row["run"]
    assert "GB of GPU memory" in row["why"]
    assert "site.gpu_memory_gb" in row["what would help"]
    text = pages.text(plan)
    assert f"does not fit: {plan['unfit'][0]['run']}: it does not fit 1 × 16 GB" in text
    assert "1 run does not fit" in text


def test_many_runs_that_do_not_fit_are_counted_in_the_terminal(tmp_path):
    study = config({"size": {"shape": [HUGE], "seed": list(range(13))}}, site={"memory_gb": 1000})
    text = pages.text(told(study, tmp_path)[0])
    assert text.count("does not fit: ") == pages.TOLD
    assert "and 3 more runs that do not fit" in text


def test_a_damaged_record_is_told(study, tmp_path, write):
    _, runs = told(study, tmp_path)
    finish(tmp_path, next(iter(runs.values()))).write_text("{", encoding="utf-8")
    plan, _ = told(study, tmp_path)
    assert "run.json is damaged" in write(plan)
    assert "run.json is damaged" in pages.text(plan)
    assert "1 record of finished runs is damaged." in pages.lead(plan)


def test_nothing_left_is_a_line(study, tmp_path, write):
    _, runs = told(study, tmp_path)
    for run in runs.values():
        finish(tmp_path, run)
    plan, _ = told(study, tmp_path)
    assert pages.lead(plan) == ["All 3 runs are trained and evaluated: nothing remains to train."]
    assert "nothing remains to train" in write(plan)
    assert "nothing remains to train" in pages.text(plan)


def test_finished_runs_are_a_line(tmp_path, write):
    study = config({"size": {"shape": [SMALL]}}) | {"finished": {"file": "runs.csv", "columns": {}}}
    plan, _ = told(study, tmp_path, {"finished": [["runs.parquet"]]})
    line = "The runs of this study are finished ones, read from a file: there is nothing to train."
    assert pages.text(plan) == line + "\n"
    page = Page(write(plan))
    assert list(page.rows) == ["rules"]


def test_names_cannot_break_the_page(study, tmp_path, write):
    plan, _ = told(study, tmp_path)
    plan["experiments"][0]["experiment"] = HOSTILE
    plan["damaged"] = [HOSTILE]
    text = write(plan | {"study": HOSTILE})
    assert HOSTILE not in text
    assert "<b>bold" not in text


def test_the_terminal_s_columns_are_aligned_and_not_wide(study, tmp_path):
    text = pages.text(told(study, tmp_path, JOBS)[0])
    tables = [part.splitlines() for part in text.strip().split("\n\n") if "\n" in part]
    assert [table[0].split()[0] for table in tables] == ["experiment", "rule", "on"]
    assert max(len(line) for table in tables for line in table) <= 130
    head, *rows = tables[1]
    assert {row[head.index("where") - 2 : head.index("where")] for row in rows} == {"  "}
    assert "Longest chain, " in text


@pytest.mark.parametrize(
    ("seconds", "hours"), [(0, "0"), (20, "< 0.01"), (360, "0.1"), (5000, "1.39"), (3.6e7, "10,000")]
)
def test_hours(seconds, hours):
    assert pages.hours(seconds) == hours


def test_times_and_sizes():
    assert pages.elapsed(40) == "40 seconds"
    assert pages.elapsed(86400 * 3) == "3 days"
    assert pages.elapsed(86400 * 12345) == "12,000 days"
    assert pages.size(1_250_000_000) == "1.25 GB"
    assert pages.size(0) == "0"


def test_the_script_writes_both_and_prints_the_tables(study, tmp_path, monkeypatch, capsys):
    out = {"--json": tmp_path / "plan.json", "--out": tmp_path / "plan.html"}
    given = {"--config": json.dumps(study), "--jobs": planned.packed(JOBS), "--runs": tmp_path, "--cores": 4}
    arguments = [str(part) for pair in (given | out).items() for part in pair]
    monkeypatch.setattr(sys, "argv", ["plan.py", *arguments])
    plan_script.main()
    written = json.loads(out["--json"].read_text(encoding="utf-8"))
    runs = grid.expand(study)
    state = planned.look(runs, tmp_path, JOBS)
    assert written == json.loads(json.dumps(planned.plan(study, runs, JOBS, state, tmp_path, 4)))
    assert capsys.readouterr().out == pages.text(written)
    assert "3 of 3 runs" in out["--out"].read_text(encoding="utf-8")
