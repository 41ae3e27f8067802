"""Windows, schedule, loop and job: what a run sees, learns, records and leaves behind."""

import copy
import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import jobs
import numpy as np
import pytest
import torch
from jobs import write_set
from scaling import evaluated, evaluation, models, parquet, tables, tokens, windows
from scaling.provenance import UserError
from scaling.training import job, loop, parallel, plan, schedules

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
RUN = {
    "run": "tiny", "data": "here", "experiments": [], "architecture": "transformer",
    "n_layer": 1, "d_model": 8, "d_ff": 32, "n_head": 2, "d_attn": 8, "reuse": 1, "n_ctx": 16, "n_vocab": 32,
    "N": 768, "dropout": 0.0, "tied": True, "precision": "fp32", "D": 4000, "B": 128, "S": 60,
    "optimizer": "adam", "learning_rate": 0.02, "betas": [0.9, 0.95], "epsilon": 1e-8, "weight_decay": 0.0,
    "clip": 1.0, "schedule": "cosine", "warmup": 5, "horizon": 60, "final": 0.0, "cooldown": 0.2, "seed": 0,
    "test_tokens": 512, "test_points": 6, "noise_steps": 4, "patience": 0, "snapshots": 3,
}  # fmt: skip
AUTO = {"micro_batch": "auto", "compile": "auto", "parallel": "auto"}
SETTINGS = AUTO | {"device": "cpu", "threads": 1, "minutes": 0, "gpu_percent": 100}


@pytest.fixture(scope="module")
def ids():
    """A text in which each token all but decides the next."""
    rng = np.random.default_rng(0)
    found = [0]
    for step in rng.integers(0, 3, 6000):
        found.append((found[-1] * 5 + 1 + step) % 32)
    return np.array(found, dtype=np.uint16)


def run_loop(ids, settings=AUTO, **changes):
    kept = {}
    run = RUN | changes
    record, curve = loop.train(
        run,
        ids[:5000],
        ids[5000:],
        plan=plan.make(run, device="cpu", processes=1, settings=settings),
        group=parallel.Group("cpu"),
        on_step=lambda state: None,
        on_snapshot=lambda step, model, weights: kept.update({step: copy.deepcopy(weights)}),
    )
    return record, curve, kept


def test_every_window_is_seen_once_an_epoch_in_an_order_of_its_own():
    ids = np.arange(1001)
    source = windows.Windows(ids, n_ctx=10, seed=3)
    assert source.count == 100
    epochs = [np.concatenate([source.batch(step, 20) for step in range(e * 5, e * 5 + 5)]) for e in (0, 1)]
    for epoch in epochs:
        assert sorted(epoch[:, 0]) == list(range(0, 1000, 10))
    assert list(epochs[0][:, 0]) != list(epochs[1][:, 0])
    np.testing.assert_array_equal(epochs[0][0], np.arange(epochs[0][0, 0], epochs[0][0, 0] + 11))


def test_a_batch_depends_on_seed_and_step_alone():
    ids = np.arange(1001)
    walked = windows.Windows(ids, n_ctx=10, seed=3)
    for step in range(13):
        expected = walked.batch(step, 30)
    np.testing.assert_array_equal(windows.Windows(ids, n_ctx=10, seed=3).batch(12, 30), expected)
    assert (windows.Windows(ids, n_ctx=10, seed=4).batch(12, 30) != expected).any()


def test_a_batch_larger_than_the_data_repeats_it():
    batch = windows.Windows(np.arange(31), n_ctx=10, seed=0).batch(0, 7)
    assert sorted(batch[:6, 0]) == [0, 0, 10, 10, 20, 20]


def windows_of(shards, D=None):
    source = windows.Windows(shards, n_ctx=10, seed=0, D=D)
    return source, sorted(source.batch(0, source.count)[:, 0])


def test_shards_are_read_as_one_set():
    shards = [np.arange(0, 205), np.arange(1000, 1031), np.arange(2000, 2005), np.arange(3000, 3101)]
    _, found = windows_of(shards)
    expected = [*range(0, 200, 10), 1000, 1010, 1020, *range(3000, 3100, 10)]
    assert found == expected
    # a shard alone is read like any array
    alone = windows.Windows([shards[0]], n_ctx=10, seed=3).batch(7, 9)
    np.testing.assert_array_equal(alone, windows.Windows(shards[0], n_ctx=10, seed=3).batch(7, 9))


def test_a_subset_is_taken_evenly_from_all_shards_and_nested():
    shards = [np.arange(0, 2001), np.arange(10_000, 11_001), np.arange(20_000, 20_501)]
    before = set()
    for count in range(1, 351):
        source, found = windows_of(shards, D=count * 10 + 1)
        assert source.count == len(found) == count
        assert before < set(found)
        before = set(found)
        if count % 7 == 0:
            shares = np.bincount(np.array(found) // 10_000, minlength=3)
            np.testing.assert_array_equal(shares, [4 * count // 7, 2 * count // 7, count // 7])
    with pytest.raises(UserError, match="train: 10 tokens do not fill one context"):
        windows_of(shards, D=10)


def test_many_shards_are_shared_out_quickly():
    sizes = np.random.default_rng(0).integers(1, 100_000, 5000)
    count = int(sizes.sum()) // 3
    taken = windows.leading(sizes, count)
    assert taken.sum() == count
    assert np.abs(taken - sizes / 3).max() <= 1
    np.testing.assert_array_equal(windows.leading(sizes, int(sizes.sum())), sizes)


def test_test_windows_span_the_whole_set():
    spread = windows.spread(np.arange(1001), n_ctx=10, tokens=50, name="test")
    assert spread.shape == (5, 11)
    assert (spread[0, 0], spread[-1, 0]) == (0, 990)
    assert windows.spread(np.arange(101), n_ctx=10, tokens=5000, name="test").shape == (10, 11)
    with pytest.raises(UserError, match="code: 10 tokens do not fill one context of n_ctx 10"):
        windows.spread(np.arange(10), n_ctx=10, tokens=50, name="code")


def test_a_run_learns_and_records_it(ids):
    record, curve, kept = run_loop(ids)
    assert record["status"] == "finished"
    assert (record["steps"], record["tokens"]) == (60, 60 * 128)
    assert record["epochs"] == pytest.approx(60 * 128 / 4000)
    assert curve[0]["test_loss"] > 3
    assert record["test_loss"] == curve[-1]["test_loss"] < 2.7
    assert record["best_test_loss"] == min(point["test_loss"] for point in curve)
    assert [point["step"] for point in curve] == schedules.log_spaced(60, 6, 100)
    assert sorted(kept) == schedules.log_spaced(60, 3, 30)
    assert curve[-1]["flops"] == 6 * 768 * 60 * 128


def test_training_repeats_to_the_last_bit(ids):
    (_, first, weights), (_, second, again) = run_loop(ids), run_loop(ids)
    assert first == second
    assert all(torch.equal(weights[60][name], again[60][name]) for name in weights[60])
    assert run_loop(ids, seed=1)[1] != first


def test_only_the_first_D_tokens_are_seen(ids):
    other = ids.copy()
    other[1000:5000] = 0
    assert run_loop(ids, D=1000)[1] == run_loop(other, D=1000)[1]
    assert run_loop(ids, D=1100)[1] != run_loop(other, D=1100)[1]


def test_patience_stops_an_overfitting_run_and_keeps_its_best_weights(ids):
    noise = np.random.default_rng(1).integers(0, 32, len(ids)).astype(np.uint16)
    record, curve, kept = run_loop(noise, D=300, S=600, test_points=20, patience=2, learning_rate=0.05)
    assert record["status"] == "stopped"
    assert record["steps"] < 600
    assert record["best_test_loss"] < record["test_loss"]
    assert record["best_step"] in kept
    after = [point for point in curve if point["step"] > record["best_step"]]
    assert len(after) == 2


def test_the_best_weights_give_the_best_loss(ids):
    noise = np.random.default_rng(1).integers(0, 32, len(ids)).astype(np.uint16)
    record, _, kept = run_loop(noise, D=300, S=600, test_points=20, patience=2, learning_rate=0.05)
    model = loop.models.build(RUN)
    model.load_state_dict(kept[record["best_step"]])
    test = windows.spread(noise[5000:], n_ctx=16, tokens=512, name="test")
    loss, error = evaluation.mean_and_error(evaluation.losses(model, test))
    assert loss == pytest.approx(record["best_test_loss"], abs=1e-6)
    assert error == pytest.approx(record["best_test_loss_se"], abs=1e-6)


@pytest.mark.parametrize("changes", [
    {"optimizer": "adamw", "weight_decay": 0.1}, {"optimizer": "adafactor", "learning_rate": 0.3},
    {"schedule": "wsd", "final": 0.1}, {"architecture": "recurrent", "reuse": 2},
    {"architecture": "lstm", "n_head": None, "d_ff": None, "d_attn": None},
    {"tied": False, "dropout": 0.05}, {"precision": "bf16"},
], ids=str)  # fmt: skip
def test_whatever_is_asked_for_learns(ids, changes):
    record, curve, _ = run_loop(ids, **changes, S=120, horizon=120)
    assert record["status"] == "finished"
    assert record["test_loss"] < curve[0]["test_loss"] - 0.3
    assert all(point["gradient_variance"] > 0 for point in curve)


def test_the_noise_is_that_of_the_gradients(ids):
    """|G|² and tr(Σ) of one step, against gradients of its parts taken by hand."""
    run = RUN | {"S": 1, "warmup": 0, "noise_steps": 1, "test_points": 1, "snapshots": 1}
    (point,) = run_loop(ids, **run)[1]
    torch.manual_seed(run["seed"])
    model = models.build(run)
    batch = torch.from_numpy(windows.Windows(ids[:4000], n_ctx=16, seed=0).batch(0, 8))

    def square(part):
        loss = torch.nn.functional.cross_entropy(
            model.logits(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten()
        )
        return sum(float(g.square().sum()) for g in torch.autograd.grad(loss, list(model.parameters())))

    small, big = square(batch[:1]), square(batch)
    assert point["grad_norm"] == pytest.approx(big**0.5, rel=1e-4)
    assert point["gradient_variance"] == pytest.approx((small - big) / (1 / 16 - 1 / 128), rel=1e-3)
    assert point["gradient_square"] == pytest.approx((128 * big - 16 * small) / (128 - 16), rel=1e-2)


def test_a_snapshot_later_than_the_checkpoint_is_made_anew(tmp_path):
    keeper = job.Keeper(tmp_path, parallel.Group("cpu"), [], 512)
    for step in (2, 5):
        keeper.snapshot(step, None, {"a": torch.zeros(2)})
    keeper.save(3, {"model/a": torch.zeros(2)}, {"kept": [2]})
    keeper.restore()
    assert tables.snapshot_steps(tmp_path / "snapshots") == [2]


def test_a_save_that_takes_long_is_begun_in_time(tmp_path):
    keeper = job.Keeper(tmp_path, parallel.Group("cpu"), [], 512)
    assert keeper.seconds_to_save() == 30
    keeper.cost, keeper.longest_pause = 40.0, 12.0
    assert keeper.seconds_to_save() == 30 + 120 + 24
    assert not keeper.due()
    keeper.saved -= 2000
    assert keeper.due()


def test_micro_batches_change_nothing_but_rounding(ids):
    whole, split = run_loop(ids), run_loop(ids, settings=AUTO | {"micro_batch": "2"})
    for mine, theirs in zip(whole[1], split[1], strict=True):
        assert mine["test_loss"] == pytest.approx(theirs["test_loss"], rel=1e-4)
        assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-2)


def test_recomputed_activations_change_nothing(ids):
    run = RUN | {"dropout": 0.1}
    made = plan.make(run, device="cpu", processes=1, settings=AUTO)
    arguments = {"group": parallel.Group("cpu"), "on_step": lambda s: None, "on_snapshot": lambda *a: None}
    plain, lean = (
        loop.train(run, ids[:5000], ids[5000:], plan=dataclasses.replace(made, recompute=again), **arguments)[
            1
        ]
        for again in (False, True)
    )
    assert plain == lean


def test_a_compiled_run_learns_the_same(ids):
    eager, compiled = (
        run_loop(ids, S=12, horizon=12),
        run_loop(ids, AUTO | {"compile": "True"}, S=12, horizon=12),
    )
    for mine, theirs in zip(eager[1], compiled[1], strict=True):
        assert mine["test_loss"] == pytest.approx(theirs["test_loss"], rel=1e-4)
        assert theirs["gradient_variance"] > 0


def test_a_schedule_moves_the_rate_that_the_optimizer_uses(ids):
    _, curve, kept = run_loop(ids, horizon=24)
    assert curve[-1]["learning_rate"] == 0.0
    assert max(point["learning_rate"] for point in curve) > 0.01
    shorter = run_loop(ids, horizon=24, S=24)[2][24]
    torch.testing.assert_close(kept[60]["final_norm.weight"], shorter["final_norm.weight"])


def test_a_diverged_run_says_so(ids):
    record, curve, _ = run_loop(ids, learning_rate=1e30, clip=1e30)
    assert record["status"] == "diverged"
    assert record["steps"] < 60
    assert all(math.isfinite(point["test_loss"]) for point in curve)


def test_a_run_whose_loss_leaves_for_good_is_diverged_though_finite(ids):
    record, _, _ = run_loop(ids, learning_rate=30.0, schedule="constant", clip=1e9, S=400)
    assert record["status"] == "diverged"
    assert record["steps"] < 400
    assert math.isfinite(record["train_loss"])


def test_a_run_that_breaks_at_a_snapshot_is_recorded_as_diverged(ids, tmp_path):
    train, test = write_set(tmp_path / "train.npy", ids[:5000]), write_set(tmp_path / "test.npy", ids[5000:])
    run = RUN | {"learning_rate": 1e30, "clip": 1e30, "S": 30, "test_points": 1}
    job.train(run, train=train, test=test, folder=tmp_path / "run", settings=SETTINGS)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "diverged"
    assert record["test_loss"] is None
    evaluated.complete(tmp_path / "run", [test], threads=1)
    study = {"runs": [RUN | {"data": "", "run": "run"}]}
    assert math.isnan(tables.collect(study, tmp_path)["runs"]["test_loss"][0].as_py())


def test_a_run_of_more_flops_than_a_float_counts_one_by_one_is_written(ids, tmp_path, monkeypatch):
    """Beyond 2^53 not every whole number is a float; runs of a GPU are there within a minute."""
    train, test = write_set(tmp_path / "train.npy", ids[:5000]), write_set(tmp_path / "test.npy", ids[5000:])
    monkeypatch.setattr(
        loop.counts,
        "flops_per_token",
        lambda **run: dict.fromkeys(("6N", "head", "attention"), 3**33),
    )
    job.train(RUN | {"S": 7}, train=train, test=test, folder=tmp_path / "run", settings=SETTINGS)
    last = parquet.read(tmp_path / "run" / "curve.parquet").to_pylist()[-1]
    assert last["flops"] == pytest.approx(7 * RUN["B"] * 3**33)
    assert last["flops"] > 2**53


def test_a_foreign_set_beside_the_tokens_does_no_harm(ids, tmp_path):
    train, test = write_set(tmp_path / "train.npy", ids[:5000]), write_set(tmp_path / "test.npy", ids[5000:])
    short = write_set(tmp_path / "short.npy", ids[:10])
    write_set(tmp_path / "torn.npy", ids[:500])
    (tmp_path / "torn.npy").write_bytes(b"")
    assert [index["set"] for _, index in job.evaluable(train, RUN)] == ["test"]
    job.train(RUN, train=train, test=test, folder=tmp_path / "run", settings=SETTINGS)
    with pytest.raises(UserError, match="short: 10 tokens do not fill one context"):
        evaluated.complete(tmp_path / "run", [test, short], threads=1)


def test_one_window_gives_no_standard_error_and_is_refused():
    with pytest.raises(UserError, match="licences: 30 tokens are not two contexts of n_ctx 16"):
        windows.spread(np.arange(30), n_ctx=16, tokens=512, name="licences")


@pytest.fixture
def trained(ids, tmp_path):
    """Folder of a run that a job has trained and evaluated."""
    train, test = write_set(tmp_path / "train.npy", ids[:5000]), write_set(tmp_path / "test.npy", ids[5000:])
    folder = tmp_path / "runs" / "here" / "tiny"
    job.train(RUN, train=train, test=test, folder=folder, settings=SETTINGS)
    shuffled = write_set(tmp_path / "code.npy", np.random.default_rng(0).permutation(ids))
    assert evaluated.complete(folder, [test, shuffled], threads=1) == (3, 3)
    return folder


def test_a_job_leaves_a_whole_folder(trained):
    assert jobs.names(trained) == [
        "checkpoints", "curve.parquet", "evaluated.json", "evaluation.parquet", "run.json", "snapshots"
    ]  # fmt: skip
    assert [path.name for path in (trained / "checkpoints").iterdir()] == ["finished"]
    record = json.loads((trained / "run.json").read_text())
    assert record["N_total"] == 768 + 8 * (3 + 1 + 4 + 1 + 4) + 16 + (32 + 16) * 8
    assert 0 < record["seconds_in_steps"] < record["seconds_total"]


def test_evaluation_covers_snapshots_and_sets(trained):
    rows = parquet.read(trained / "evaluation.parquet").to_pylist()
    assert {(row["step"], row["set"]) for row in rows} == {
        (step, name) for step in schedules.log_spaced(60, 3, 30) for name in ("test", "code")
    }
    last = {row["set"]: row for row in rows if row["step"] == 60}
    record = json.loads((trained / "run.json").read_text())
    assert last["test"]["loss"] == pytest.approx(record["test_loss"], abs=1e-6)
    assert last["test"]["loss_se"] == pytest.approx(record["test_loss_se"], abs=1e-6)
    assert last["code"]["loss"] > last["test"]["loss"] + 0.5
    assert last["test"]["bits_per_byte"] == pytest.approx(last["test"]["loss"] / math.log(2) / 2)
    positions = last["test"]["loss_by_position"]
    assert len(positions) == 16
    assert np.mean(positions) == pytest.approx(last["test"]["loss"])


def test_losses_made_ahead_are_those_of_the_snapshots(trained):
    sets = [trained.parents[2] / "test.npy", trained.parents[2] / "code.npy"]
    before = (trained / "evaluation.parquet").read_bytes()
    (trained / "evaluated.json").unlink()
    assert evaluated.complete(trained, sets, threads=1) == (0, 6)
    assert (trained / "evaluation.parquet").read_bytes() == before
    assert evaluated.complete(trained, sets, threads=1) == (6, 0)


def test_a_changed_set_is_evaluated_anew(trained, ids):
    code = write_set(trained.parents[2] / "code.npy", ids[::-1])
    sets = [trained.parents[2] / "test.npy", code]
    assert evaluated.complete(trained, sets, threads=1) == (3, 3)


def test_what_is_known_needs_no_torch(trained):
    code = "import sys; from pathlib import Path; from scaling import evaluated as e; f = Path(sys.argv[1])"
    code += "; e.complete(f, [f.parents[2] / 'test.npy'], threads=1)"
    code += "; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(trained)]
    assert subprocess.check_output(command, cwd=SCRIPTS, text=True) == "False\n"


def test_training_anew_forgets_the_losses_of_old_weights(trained, ids):
    train, test = trained.parents[2] / "train.npy", trained.parents[2] / "test.npy"
    before = (trained / "evaluation.parquet").read_bytes()
    job.train(RUN | {"seed": 1}, train=train, test=test, folder=trained, settings=SETTINGS)
    assert evaluated.complete(trained, [test, test.with_name("code.npy")], threads=1) == (6, 0)
    assert (trained / "evaluation.parquet").read_bytes() != before


def test_tables_gather_runs(trained):
    study = {"runs": [RUN | {"experiments": ["size", "shape"]}]}
    found = tables.collect(study, trained.parents[1])
    (row,) = found["runs"].to_pylist()
    assert row["experiments"] == ["size", "shape"]
    assert row["flops_per_token_6N"] == 6 * 768
    assert set(found["curves"]["run"].to_pylist()) == {"tiny"}
    assert len(found["curves"]) == 6
    assert len(found["evaluations"]) == 6


def test_tables_name_a_missing_or_damaged_file(trained):
    study = {"runs": [RUN]}
    curve = trained / "curve.parquet"
    curve.write_bytes(curve.read_bytes()[:50])
    with pytest.raises(UserError, match=r"curve\.parquet is damaged"):
        tables.collect(study, trained.parents[1])
    curve.unlink()
    with pytest.raises(UserError, match=r"curve.parquet does not exist; `snakemake .*` makes it"):
        tables.collect(study, trained.parents[1])


def test_data_that_cannot_serve_a_run_is_named():
    index = {"set": "train", "tokens": 1000, "n_vocab": 32}
    with pytest.raises(UserError, match="tiny: D is 4000 tokens, the training split holds 1000"):
        job.resolve(RUN, index, index)
    with pytest.raises(UserError, match="train holds tokens of a vocabulary of 64, expected 32"):
        job.resolve(RUN, index | {"n_vocab": 64}, index)
    assert job.resolve(RUN | {"D": "all"}, index, index)["D"] == 1000


def test_token_arrays_are_mapped_not_read(tmp_path, ids):
    found, _ = tokens.load(write_set(tmp_path / "train.npy", ids))
    assert isinstance(found, np.memmap)
