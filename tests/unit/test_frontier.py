import numpy as np
import pytest
from scaling import frontier
from scaling.provenance import UserError
from scaling.rows import CONVENTIONS
from scaling.units import PF_DAY


def run(N, **changes):
    """A row of runs.parquet, as far as the frontier reads it."""
    row = {"run": f"N{N}", "experiments": ["size"], "N": N, "status": "finished", "warmup": 10}
    return row | {"test_loss": 4.0, "flops_per_token_6N": 6 * N, "flops_per_token_head": None} | changes


def curve(name, steps, losses, *, B=2048):
    return [
        {"run": name, "step": int(step), "tokens": int(step) * B, "test_loss": float(loss)}
        for step, loss in zip(steps, losses, strict=True)
    ]


def test_curves_start_after_warm_up_never_rise_and_are_not_extrapolated():
    runs = [run(N) for N in (1000, 2000, 4000)]
    curves = []
    for row in runs:
        curves += curve(row["run"], [5, 10, 100, 1000], [1.0, 6.0, 4.0, 5.0])
    iso = frontier.interpolate(runs, curves, CONVENTIONS["6N"])
    assert iso.compute[[0, -1]] * PF_DAY == pytest.approx([6 * 2000 * 2048 * 10, 6 * 2000 * 2048 * 1000])
    losses = np.exp(iso.loss)
    assert np.nanmax(np.where(np.isfinite(losses), losses, np.nan)) <= 6.0  # 1.0 was before warm-up
    assert losses[1][[0, -1]] == pytest.approx([6.0, 4.0])  # the lowest so far, not the last
    assert np.isinf(losses[0][-1])
    assert np.isinf(losses[2][0])
    middle = np.interp(np.log(30.0), np.log([10, 100]), np.log([6.0, 4.0]))
    at = np.log(6 * 2000 * 2048 * 30 / PF_DAY)
    assert np.interp(at, np.log(iso.compute), iso.loss[1]) == pytest.approx(middle, abs=2e-3)


def test_a_minimum_counts_only_between_sizes_that_have_data():
    sizes = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 32.0])
    inf = np.inf
    losses = np.array(
        [
            [5.0, 3.0, inf, 5.0],
            [4.0, 4.0, inf, 4.5],
            [3.0, 5.0, 3.0, 4.0],
            [4.0, 6.0, 4.0, 3.0],
            [5.0, 7.0, 5.0, inf],
            [5.5, 7.0, 5.0, 4.0],
            [6.0, 8.0, 6.0, inf],
        ]
    )
    found = frontier.bracketed(sizes, losses).T.tolist()
    assert found[0] == [True] * 6 + [False]  # the best, two sizes on either side, every run of a size
    assert not any(found[1])  # the smallest is best
    assert not any(found[2])  # the best is the smallest that has data
    assert found[3] == [False, True, True, True, False, True, False]


def test_where_a_run_that_has_ended_did_better_there_is_no_frontier():
    """Two sizes end low, as schedules make them; the third only catches up later."""
    runs, curves = [run(N) for N in (1000, 2000, 8000)], []
    for N, ends in ((1000, 4.2), (2000, 4.0), (8000, 3.5)):
        curves += curve(f"N{N}", [10, 100, 1000, 1100], [6.0, 5.0, 4.8, ends])
    long = run(16000)
    iso = frontier.interpolate(
        [*runs, long], [*curves, *curve("N16000", [10, 1000], [6.5, 5.5])], CONVENTIONS["6N"]
    )
    best = iso.loss.min(0)
    gap = ~iso.lowest
    assert gap.any()
    assert (best[gap] > best[iso.compute < iso.compute[gap].min()].min()).all()
    assert (np.diff(best[iso.lowest]) <= 0).all()
    assert iso.compute[gap].min() > 6 * 1000 * 2048 * 1100 / PF_DAY
    assert not iso.bracketed[:, gap].any()


def test_a_count_that_the_runs_lack_is_named():
    runs = [run(N) for N in (1000, 2000, 4000)]
    curves = [row for one in runs for row in curve(one["run"], [10, 100], [5.0, 4.0])]
    with pytest.raises(UserError, match="its runs have no flops_per_token_head"):
        frontier.interpolate(runs, curves, CONVENTIONS["head"])
