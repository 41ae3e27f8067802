"""The chain from batch scans to the frontier, on curves simulated from the paper's laws with its noise."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from scaling import allocation, selections
from scaling.benchmark import chain
from scaling.laws import LAWS
from scaling.provenance import UserError


@pytest.fixture(scope="module")
def exact():
    """The chain on curves without noise."""
    return chain.run(0, resamples=100, noise=0.0)


def test_the_curves_are_those_of_the_laws():
    constants = chain.truth()
    N, S, B = 3e6, 5e4, 2.0**19
    loss = chain.loss(N, S, B)
    B_crit = LAWS["B_crit"].published(loss=loss)[0]
    assert LAWS["L_NSmin"].published(N=N, S_min=S / (1 + B_crit / B))[0] == pytest.approx(loss)
    assert chain.loss(N, S, 1e15) == pytest.approx(LAWS["L_NSmin"].published(N=N, S_min=S)[0])
    exponents = chain.exponents()
    assert exponents["alpha_C"] == pytest.approx(0.0525, abs=1e-4)
    assert exponents["p_N"] + exponents["p_B"] + exponents["p_S"] == pytest.approx(1)
    assert constants["B_star"] == 2.1e8


def test_without_noise_every_exponent_comes_back_by_both_roads(exact):
    fits, split = exact
    true = chain.exponents() | chain.truth()
    assert fits["B_crit"]["parameters"]["alpha_B"]["value"] == pytest.approx(true["alpha_B"], rel=0.02)
    for name in ("alpha_N", "alpha_S"):
        assert fits["L_NSmin"]["parameters"][name]["value"] == pytest.approx(true[name], rel=0.02)
    for quantity, found in split["conventions"]["6N"]["adjusted"]["exponents"].items():
        value = true["alpha_C" if quantity == "loss" else f"p_{quantity}"]
        assert found["law"]["value"] == pytest.approx(value, abs=0.005), quantity
        assert found["envelope"]["value"] == pytest.approx(value, abs=0.015), quantity


def test_the_unadjusted_frontier_is_another(exact):
    """At one batch size the exponent of N is larger, as the paper's 0.88 is than its 0.73."""
    _, split = exact
    adjusted, raw = (
        split["conventions"]["6N"][kind]["exponents"]["N"] for kind in ("adjusted", "unadjusted")
    )
    for road in ("envelope", "law"):
        assert raw[road]["value"] > adjusted[road]["value"] + 0.05


def test_what_the_paper_derives_follows(exact):
    _, split = exact
    off = split["off_optimum"]
    assert off["smallest"]["value"] == pytest.approx(0.6, abs=0.05)
    assert off["largest"]["value"] == pytest.approx(2.2, abs=0.1)
    against = off["against_convergence"]
    assert against["parameters"]["value"] == pytest.approx(2.7, abs=0.1)
    assert against["steps"]["value"] == pytest.approx(7.7, abs=0.5)
    assert against["compute"]["value"] == pytest.approx(0.65, abs=0.02)
    closed = split["closed_form"]
    assert closed["difference"]["low"] <= closed["difference"]["value"] <= closed["difference"]["high"]
    assert closed["implied"]["value"] == pytest.approx(chain.exponents()["alpha_C"], rel=0.01)


def test_with_the_papers_noise_true_values_lie_inside_the_intervals_by_both_roads():
    """The benchmark `fits` does this with more repetitions."""
    with ProcessPoolExecutor(2) as pool:
        shares = chain.coverage(repetitions=12, resamples=150, run=pool.map)
    symbols = ("α_C", "p_N", "p_B", "p_S", "p_D")
    both = {f"{symbol} by the {road}" for symbol in symbols for road in ("envelope", "law")}
    assert set(shares) == {"α_B"} | both
    for what, share in shares.items():
        assert share >= 0.66, what
    assert np.mean(list(shares.values())) >= 0.85


def test_the_uncertainty_of_B_crit_is_carried_through():
    runs, curves = chain.study(np.random.default_rng(3))
    options = {"resamples": 200, "seed": 3, "delta": 0.01}
    report, draws = selections.fit_law("B_crit", runs, curves, **options)
    sure = {name: np.full(200, report["parameters"][name]["value"]) for name in draws}
    widths = []
    for known in (draws, sure):
        found, columns = selections.fit_law("B_opt", runs, curves, critical=(report, known), **options)
        assert list(columns) == ["p_B", "B_e", "alpha_B", "B_star"]
        widths.append(found["parameters"]["p_B"]["high"] - found["parameters"]["p_B"]["low"])
    assert widths[0] > 3 * widths[1]


def test_intervals_reach_as_far_into_the_tails_as_those_of_B_crit():
    """An adjusted law knows no better what it is adjusted by than the scan's few runs do."""
    runs, curves = chain.study(np.random.default_rng(3))
    options = {"resamples": 100, "seed": 3, "delta": 0.01}
    report, draws = selections.fit_law("B_crit", runs, curves, **options)
    wide = report | {"quantiles": [0.001, 0.999]}
    found, _ = selections.fit_law("B_opt", runs, curves, critical=(wide, draws), **options)
    assert found["quantiles"] == [0.001, 0.999]


def test_the_roads_are_compared_by_draws_of_the_same_B_crit():
    """Draws that were dropped leave a gap; were they cut out, the rest would be paired with others."""
    runs, curves = chain.study(np.random.default_rng(5))
    fits, draws, critical = {}, {}, None
    for law in ("B_crit", "L_NSmin", "B_opt"):
        options = {"resamples": 200, "seed": 5, "delta": 0.01, "critical": critical}
        fits[law], draws[law] = selections.fit_law(law, runs, curves, **options)
        critical = critical or (fits[law], draws[law])

    def width():
        split = allocation.allocate(runs, fits, draws)
        found = split["conventions"]["6N"]["adjusted"]["exponents"]["B"]["difference"]
        return found["high"] - found["low"]

    whole = width()
    for column in draws["L_NSmin"].values():
        column[:8] = np.nan
    assert width() == pytest.approx(whole, rel=0.3)
    for column in draws["L_NSmin"].values():
        column[:] = np.roll(column, 8)
    assert width() > 2 * whole


def test_a_number_that_few_draws_give_is_not_certified():
    known = np.ones(100, dtype=bool)
    draws = np.where(np.arange(100) < 85, 2.0, np.nan)
    assert not allocation.Drawn(2.0, draws, (0.05, 0.95), True, known).number()["certified"]
    known[85:] = False  # those fits were dropped and say nothing about the number
    assert allocation.Drawn(2.0, draws, (0.05, 0.95), True, known).number()["certified"]
    nothing = allocation.Drawn(2.0, np.full(100, np.nan), (0.05, 0.95), True, known).number()
    assert nothing == {"missing": "its draws determine no number"}


def test_draws_of_B_crit_by_which_there_are_too_few_points_are_dropped_in_their_place(monkeypatch):
    runs, curves = chain.study(np.random.default_rng(4))
    options = {"resamples": 400, "seed": 4, "delta": 0.01}
    critical = selections.fit_law("B_crit", runs, curves, **options)
    build = selections.SELECTIONS["envelope"]
    first = critical[1]["alpha_B"][:3].tolist()

    def without(runs, curves, convention, drawn):
        if drawn.parameters["alpha_B"] in first:
            raise UserError("too few")
        return build(runs, curves, convention, drawn)

    monkeypatch.setitem(selections.SELECTIONS, "envelope", without)
    report, draws = selections.fit_law("L_Cmin", runs, curves, critical=critical, **options)
    assert report["dropped"] == 6
    assert np.flatnonzero(np.isnan(draws["alpha_C"])).tolist() == list(range(6))
    assert np.flatnonzero(np.isnan(draws["alpha_B"])).tolist() == list(range(6))
    assert draws["alpha_B"][6:8].tolist() == [critical[1]["alpha_B"][3]] * 2
    assert report["certificate"]["passed"]


def test_a_draw_whose_optimum_lies_beyond_numbers_gives_no_exponent():
    """With α_S all but zero the steps to the optimum are more than a double holds: no slope, not zero."""
    optimum = allocation.Optimum(
        {
            "C": np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, np.inf, np.inf]]),
            "N": np.array([[5.0, 6, 7, 8]] * 2),
        },
        *((0.05, 0.95), True, np.ones(1, dtype=bool)),
        computes=(float(np.exp(2.5)), float(np.exp(3.5))),
    )
    found = optimum.exponent("N")
    assert found.value == pytest.approx(1.0)
    assert np.isnan(found.draws).all()


def test_a_crossing_needs_certified_fits_and_says_where_lines_do_not_meet():
    """L(C_min) falls by 0.05; L(D) of D ∝ C^p falls by 0.1 p, faster from p = 0.5 on."""

    def crossing(p_D, passed=True):
        values = {
            "L_Cmin": {"alpha_C": 0.05, "C_c": 3e8}, "D_opt": {"p_D": p_D, "D_e": 2e10},
            "L_D": {"alpha_D": 0.1, "D_c": 5.4e13}, "N_opt_Cmin": {"p_N": 0.73, "N_e": 1.3e9},
        }  # fmt: skip
        fits = {
            law: {
                "parameters": {name: {"value": value} for name, value in found.items()},
                **{"quantiles": [0.05, 0.95], "certificate": {"passed": passed or law != "D_opt"}},
            }
            for law, found in values.items()
        }
        draws = {
            law: {key: np.full(50, value) for key, value in found.items()} for law, found in values.items()
        }
        return allocation.allocate([], fits, draws)["crossing"]

    found = crossing(0.27)
    C = found["C"]["value"]
    of_data = (5.4e13 / (2e10 * C**0.27)) ** 0.1
    assert of_data == pytest.approx((3e8 / C) ** 0.05)
    assert found["D"]["value"] == pytest.approx(2e10 * C**0.27)
    assert found["loss"]["value"] == pytest.approx((3e8 / C) ** 0.05)
    assert found["crossing_share"] == 1.0
    assert "do not meet" in crossing(0.6)["missing"]
    assert crossing(0.27, passed=False)["missing"] == (
        "a fit that it needs, of L_Cmin, D_opt, L_D, is not certified"
    )


def test_a_scan_that_is_not_passed_on_is_not_denied():
    runs, curves = chain.study(np.random.default_rng(1))
    options = {"resamples": 60, "seed": 1, "delta": 0.01}
    critical = selections.fit_law("B_crit", runs, curves, **options)
    fits, draws = {}, {}
    fits["L_NSmin"], draws["L_NSmin"] = selections.fit_law(
        "L_NSmin", runs, curves, critical=critical, **options
    )
    split = allocation.allocate(runs, fits, draws)["conventions"]["6N"]["adjusted"]["exponents"]
    assert split["B"]["envelope"]["missing"] == "B_opt is not fitted in this study"
    assert split["B"]["law"]["value"] == pytest.approx(0.25, abs=0.05)


def test_an_adjusted_law_needs_a_batch_scan_that_holds():
    runs, curves = chain.study(np.random.default_rng(1))
    options = {"resamples": 100, "seed": 1, "delta": 0.01}
    report, _ = selections.fit_law("L_Cmin", runs, curves, **options)
    assert report["unfitted"].startswith(
        "L_Cmin cannot be fitted: it needs B_crit(L), which batch scans measure"
    )
    critical, draws = selections.fit_law("B_crit", runs, curves, **options)
    report, _ = selections.fit_law("L_Cmin", runs, curves, critical=(critical, draws), **options)
    assert report["certificate"]["passed"]
    low, high = report["data"]["critical_losses"]
    assert f"measured at losses of {low:.3g} to {high:.3g} nats" in report["method"]
    assert 0 < report["data"]["extrapolated_share"] < 1
    doubted = critical | {"certificate": critical["certificate"] | {"passed": False}}
    report, _ = selections.fit_law("L_Cmin", runs, curves, critical=(doubted, draws), **options)
    assert report["certificate"]["reasons"] == ["the fit of B_crit that it is adjusted by is not certified"]
    failed = {"unfitted": "B_crit cannot be fitted: no runs"}
    report, _ = selections.fit_law("L_Cmin", runs, curves, critical=(failed, {}), **options)
    assert "it needs B_crit(L), and B_crit cannot be fitted: no runs" in report["unfitted"]


def test_every_way_of_counting_has_both_roads():
    runs, curves = chain.study(np.random.default_rng(2), noise=0.0)
    for row in runs:  # as if the head were half of 6 N at the smallest size, and embeddings 3000 parameters
        row |= {
            "flops_per_token_head": 6 * row["N"] + 6 * 2000 * row["N"] ** 0.3,
            "N_total": row["N"] + 3000.0,
        }
    _, split = chain.chain(runs, curves, seed=0, resamples=60)
    assert list(split["conventions"]) == ["6N", "head", "6N_total", "head_total"]
    p = {name: found["adjusted"]["exponents"]["N"] for name, found in split["conventions"].items()}
    for name, found in p.items():
        assert found["envelope"]["value"] == pytest.approx(found["law"]["value"], abs=0.03), name
    assert len({round(found["law"]["value"], 3) for found in p.values()}) == 4


def test_what_a_study_lacks_is_said_and_the_rest_told():
    runs, curves = chain.study(np.random.default_rng(0), noise=0.0)
    runs = [row for row in runs if row["experiments"] == ["size"]]
    fits, draws = {}, {}
    for law in ("L_C", "L_NS", "N_opt"):
        fits[law], draws[law] = selections.fit_law(law, runs, curves, resamples=60, seed=0, delta=0.01)
    split = allocation.allocate(runs, fits, draws)
    found = split["conventions"]["6N"]
    assert (
        "adjusted by B_crit(L), which no batch scan of this study measures"
        in found["adjusted"]["exponents"]["N"]["envelope"]["missing"]
    )
    assert found["unadjusted"]["exponents"]["N"]["envelope"]["value"] > 0.5
    assert found["unadjusted"]["exponents"]["N"]["law"]["value"] > 0.5
    assert found["unadjusted"]["lines"]["C"]
    assert found["adjusted"]["lines"] is None
    for part in ("off_optimum", "crossing"):
        assert "missing" in split[part]
    mixed = [row | {"B": row["B"] * (1 + (index % 2))} for index, row in enumerate(runs)]
    found = allocation.allocate(mixed, fits, draws)["conventions"]["6N"]["unadjusted"]["exponents"]["N"]
    assert found["law"]["missing"] == "its runs do not share one batch size B"
