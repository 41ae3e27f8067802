"""What an experiment that a study leaves out would cost: how it is reckoned and how it is told."""

import pytest
from scaling import costs
from scaling.charts import catalog, drawing, wording


def trained(flops, rate, *, device="cpu", threads=1, processes=1, tokens=1000):
    """A row of the table of runs that was trained at ``rate`` FLOP/s of each core or GPU."""
    units = threads if device == "cpu" else processes
    return {
        **{"flops_per_token_attention": flops, "tokens": tokens, "device": device},
        **{"threads": threads, "processes": processes, "seconds_total": flops * tokens / (rate * units)},
    }


def test_rates_are_interpolated_between_the_sizes_that_were_trained():
    runs = [trained(1e4, 1e9), trained(1e6, 4e9)]
    found = costs.estimate([[1e5, 100], [1e5, 300]], runs)
    assert (found.runs, found.tokens, found.flops, found.device) == (2, 400, 4e7, "cpu")
    assert found.seconds == pytest.approx(4e7 / 2e9)


def test_beyond_the_sizes_that_were_trained_the_rate_is_that_of_the_last():
    runs = [trained(1e4, 1e9), trained(1e6, 4e9)]
    assert costs.estimate([[1e8, 10]], runs).seconds == pytest.approx(1e9 / 4e9)
    assert costs.estimate([[1e2, 10]], runs).seconds == pytest.approx(1e3 / 1e9)


def test_seconds_are_those_of_one_core_or_one_gpu():
    cores = [trained(1e5, 1e9, threads=4)]
    assert costs.estimate([[1e5, 1000]], cores).seconds == pytest.approx(0.1)
    gpus = [trained(1e5, 1e12, device="cuda", processes=2, threads=2), trained(1e5, 9e12, device="cuda")]
    found = costs.estimate([[1e5, 1e7]], [*gpus, *cores])
    assert (found.seconds, found.device) == (pytest.approx(1e12 / 5e12), "cuda"), "the device of most runs"


def test_runs_of_others_tell_no_rate():
    found = costs.estimate([[1e5, 100]], [{"tokens": 100, "N": 7}])
    assert (found.seconds, found.device) == (None, None)
    assert wording.cost(found) == "1 run, 1.0 × 10⁷ FLOPs"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (89, "89 seconds"), (90, "2 minutes"), (3600, "60 minutes"), (12600, "3.5 hours")],
)
def test_durations_are_told_as_a_reader_says_them(seconds, words):
    assert wording.duration(seconds) == words


def test_a_missing_figure_names_its_experiments_and_their_cost():
    offered = {
        "depth": {"runs": [[1e5, 1e6], [1e5, 1e6]]},
        "size": {"runs": []},
        "schedule": {"refused": "grid.schedule: found B 100, expected a multiple of n_ctx 128"},
    }
    told = drawing.told_costs(offered, [trained(1e5, 1e9)])
    assert told["depth"] == "2 runs, 2.0 × 10¹¹ FLOPs, about 3 minutes of a CPU core"
    assert catalog.missing("embeddings", {"shape"}, {}, told) == (
        "Not in this study: add `size` and `depth` to `experiments` in the study's config (`size`: nothing "
        "to train, all its runs are in this study; `depth`: 2 runs, 2.0 × 10¹¹ FLOPs, about 3 minutes of a "
        "CPU core)."
    )
    assert "cannot be trained as configured: grid.schedule: found B 100" in catalog.missing(
        "schedules", {"size"}, {}, told
    )
    assert catalog.missing("embeddings", {"size", "depth"}, {}, told) is None
