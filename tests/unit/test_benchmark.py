"""What `make bench` reports."""

import pyarrow as pa
import pytest
from scaling import benchmark, tables

RUN = {
    "run": "a", "experiments": ["size"], "N": 768, "threads": 1, "tokens_per_second": 1e5,
    "flops_per_token_attention": 2e4, "seconds_in_steps": 30.0, "seconds_total": 32.0,
}  # fmt: skip


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """Figures of a study of two runs that took 50 s on two cores of 10 GFLOP/s."""
    rows = [RUN, RUN | {"run": "b", "N": 3072, "experiments": ["data"], "seconds_in_steps": 50.0}]
    tables.write_table(tmp_path / "results/tables/runs.parquet", pa.Table.from_pylist(rows))
    monkeypatch.setattr(benchmark, "peak_per_core", lambda cores: 1e10)
    monkeypatch.setattr(benchmark, "run_from_nothing", lambda *arguments: 50.0)
    return benchmark.measure(None, None, tmp_path, cores=2)


def test_idle_core_seconds_count(figures):
    assert figures["share_in_training"] == pytest.approx(80 / 100)


def test_speed_is_a_share_of_the_peak(figures):
    assert figures["runs"][0]["share_of_peak"] == pytest.approx(1e5 * 2e4 / 1e10)


def test_the_table_shows_the_sizes(figures):
    lines = benchmark.describe(figures).splitlines()
    assert "80 of its 100 core-seconds were inside training steps: 80.0%" in lines[0]
    assert lines[1] == "peak of a matrix multiplication: 10.0 GFLOP/s a core"
    assert lines[3:] == ["       768    100,000    20.0%     30.0 s"]


def test_the_peak_is_that_of_a_machine():
    assert 1e8 < benchmark.matmul_peak() < 1e14
