"""Workers train trials that differ in numbers together, and nobody has to know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc import sweeps
from hpc.jobs.training import packing
from hpc.jobs.training.pack import Pack, Plan
from hpc.jobs.training.single import Single
from hpc.results import Run, table
from hpc.sweeps import SweepError, Trial
from tests.jobs.stopping import After
from tests.jobs.working import carried_out, planned, worker_of

DIGITS = {"name": "digits", "train": 200, "validation": 50}
SWEEP: dict[str, Any] = {
    "name": "x",
    "model": "mlp",
    "data": DIGITS,
    "space": {"learning_rate": [0.003, 0.01, 0.03], "dropout": [0.0, 0.3]},
    "fixed": {"epochs": 3, "batch_size": 50, "hidden_size": 8},
    "objective": "val_accuracy",
}


def trials(**params: list[Any]) -> list[Trial]:
    count = max(map(len, params.values()))
    seeds = params.pop("seed", [0] * count)
    return [
        Trial(i, f"t{i}", {name: some[i % len(some)] for name, some in params.items()}, seeds[i], "mlp", None)
        for i in range(count)
    ]


def test_what_differs_in_fractions_only_goes_into_one_bucket() -> None:
    some = trials(learning_rate=[0.1, 0.2, 0.3, 1], hidden_size=[8, 16], dropout=[0, 0, 0.5, 0.1])
    assert packing.buckets(some) == [[0, 2], [1, 3]]
    assert packing.buckets(trials(hidden_size=[8, 16], activation=["relu", "tanh"])) == [[0], [1]]
    folds = [replace(one, fold=number) for number, one in enumerate(trials(rate=[0.1, 0.2]))]
    assert packing.buckets(folds) == [[0], [1]]


def test_seeds_are_kept_apart_where_each_has_trials_enough() -> None:
    many = trials(rate=[0.1 * i for i in range(6)] * 2, seed=[0] * 6 + [1] * 6)
    assert packing.buckets(many) == [list(range(6)), list(range(6, 12))]
    few = trials(rate=[0.1, 0.2] * 3, seed=[0, 0, 1, 1, 2, 2])
    assert packing.buckets(few) == [list(range(6))]


def test_packs_are_as_few_and_as_equal_as_possible() -> None:
    assert [len(part) for part in packing.portions(range(251), 64)] == [62, 63, 63, 63]
    assert [len(part) for part in packing.portions(range(500), 64)] == [50] * 10  # of one shape
    assert list(packing.portions("abc", 2)) == ["a", "bc"]
    assert list(packing.portions("abc", 1)) == ["a", "b", "c"]
    assert list(packing.portions("", 4)) == []


class Layer:
    def __init__(self, units: int) -> None:
        self.units, self.compute_dtype = units, "float32"


class Model:
    def __init__(self, parameters: int) -> None:
        self.trainable_variables = [np.broadcast_to(0.0, parameters)]
        self.input_shape = (None, 784)


def a_plan(parameters: int, units: int = 10) -> Plan:
    model: Any = Model(parameters)
    return Plan(model, dense=[Layer(units)])


def test_small_networks_are_packed_and_large_ones_if_a_trial_of_both_ways_says_so() -> None:
    asked: list[int] = []

    def probe(lanes: int) -> tuple[float, float]:
        asked.append(lanes)
        return 0.002, answer

    answer = 0.001
    few = packing.choose(a_plan(2410), 12, 1000, 64, probe)
    assert (few.lanes, asked) == (12, [])
    assert "mostly overhead" in few.why
    assert packing.choose(a_plan(2410), 1000, 1000, 64, probe).lanes == packing.MAX_LANES
    short = packing.choose(a_plan(400_000), 8, 10, 128, probe)
    assert (short.lanes, asked) == (1, [])
    assert "gain nothing" in short.why
    long = packing.choose(a_plan(400_000), 8, 20_000, 128, probe)
    assert (long.lanes, asked) == (8, [8])
    assert long.why == "a step takes 2.00 ms alone, 1.00 ms as one of 8"
    answer = 0.003
    assert packing.choose(a_plan(400_000), 8, 20_000, 128, probe).lanes == 1
    huge = packing.choose(a_plan(40_000_000), 8, 20_000, 128, probe)
    assert huge.lanes == 1
    assert "256 MiB" in huge.why


def test_inputs_count_where_lanes_have_their_own() -> None:
    whole, small = 50_000, a_plan(25_450, 32)
    assert packing.most_lanes(small, 64, orders=3) == packing.MAX_LANES
    assert packing.most_lanes(small, whole) > packing.most_lanes(small, whole, orders=3) == 1
    assert packing.most_lanes(replace(small, dropout={0: None}), whole) == 1


def test_a_worker_packs_trials_that_come_to_what_they_come_to_alone(tmp_path: Path) -> None:
    for name in ("packed", "alone"):
        (tmp_path / name).mkdir()
    packed = carried_out(tmp_path / "packed", {**SWEEP, "keep": "all"})
    alone = carried_out(tmp_path / "alone", {**SWEEP, "pack": "off", "keep": "all"})
    assert [t.attempt.lanes for t in packed.trials.values()] == [6] * 6
    assert [t.attempt.lanes for t in alone.trials.values()] == [1] * 6
    for name, trial in packed.trials.items():
        other = alone.trials[name]
        assert trial.state == other.state == "finished"
        assert trial.attempt.metrics == pytest.approx(other.attempt.metrics, abs=1e-5)
        assert trial.attempt.confusion == other.attempt.confusion
        assert [r["epoch"] for r in trial.history()] == [1, 2, 3]
        assert trial.attempt.training_seconds > 0
    import keras

    for name in packed.trials:
        one, two = (
            keras.saving.load_model(run.folder / "models" / f"{name}.keras") for run in (packed, alone)
        )
        assert one.get_config() == two.get_config()
        for mine, its in zip(one.weights, two.weights, strict=True):
            np.testing.assert_allclose(np.asarray(mine), np.asarray(its), atol=1e-5)
    columns = ["trial_id", "learning_rate", "dropout", "best_val_accuracy"]
    assert table(packed.folder)[columns].equals(table(alone.folder)[columns])
    bill = packed.bill()
    assert bill is None or bill.lanes == 6


def test_a_number_of_lanes_is_kept_to(tmp_path: Path) -> None:
    run = carried_out(tmp_path, {**SWEEP, "pack": 4, "fixed": {**SWEEP["fixed"], "epochs": 1}})
    assert sorted(t.attempt.lanes for t in run.trials.values()) == [3] * 6


@pytest.mark.slow
def test_a_pack_that_is_stopped_goes_on_as_a_pack(tmp_path: Path) -> None:
    run = Run(planned(tmp_path, {**SWEEP, "fixed": {**SWEEP["fixed"], "epochs": 40}}))
    assert worker_of(run.folder, "1_0")(After(4)) == 0
    run.refresh()
    assert {t.state for t in run.trials.values()} == {"waiting"}
    assert not any(t.goes_alone for t in run.trials.values())
    assert len(list((run.folder / "checkpoints").iterdir())) == 6
    assert worker_of(run.folder, "2_0")() == 6
    run.refresh()
    for trial in run.trials.values():
        assert trial.state == "finished"
        assert trial.attempt.lanes == 6
        assert trial.attempt.after is not None
        assert trial.attempt.epochs == 40
    assert not list((run.folder / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_lane_that_diverges_fails_and_the_others_finish(tmp_path: Path) -> None:
    entries = {
        **SWEEP,
        "space": {"learning_rate": [0.1, 1e30, 0.2]},
        "fixed": {**SWEEP["fixed"], "optimizer": "sgd"},
    }
    run = carried_out(tmp_path, entries)
    assert [t.state for t in run.trials.values()] == ["finished", "failed", "finished"]
    assert [t.attempt.reason for t in run.trials.values()] == ["", "diverged", ""]
    assert "after epoch" in list(run.trials.values())[1].attempt.error


@pytest.mark.slow
def test_a_pack_that_fails_is_trained_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise MemoryError("no room for all of them")

    monkeypatch.setattr(Pack, "_gradients", fails)
    run = carried_out(tmp_path, {**SWEEP, "fixed": {**SWEEP["fixed"], "epochs": 1}})
    assert {t.state for t in run.trials.values()} == {"finished"}
    assert {max(t.attempts) for t in run.trials.values()} == {2}
    assert {t.attempt.lanes for t in run.trials.values()} == {1}
    assert "6 trials at once: MemoryError: no room" in run.notes[0]
    assert all(t.attempts[1].alone for t in run.trials.values())


@pytest.mark.slow
def test_what_can_not_be_packed_is_trained_alone_and_the_records_say_why(tmp_path: Path) -> None:
    entries = {**SWEEP, "fixed": {**SWEEP["fixed"], "batch_normalization": True, "epochs": 1}}
    run = carried_out(tmp_path, entries)
    assert {(t.state, t.attempt.lanes) for t in run.trials.values()} == {("finished", 1)}
    assert "BatchNormalization" in (run.folder / "records" / "test-1-0.jsonl").read_text()


def test_a_trial_that_can_not_be_built_fails_by_itself(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import keras\n"
        "def build(input_shape, num_classes, *, rate: float = 0.1):\n"
        "    if rate > 0.25:\n"
        "        raise RuntimeError('too much')\n"
        "    layers = [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dropout(rate)]\n"
        "    return keras.Sequential([*layers, keras.layers.Dense(num_classes, 'softmax')])\n"
    )
    entries = {
        **SWEEP,
        "model": "mine.py:build",
        "space": {"rate": [0.1, 0.2, 0.3]},
        "fixed": {"epochs": 1, "batch_size": 50},
    }
    run = carried_out(tmp_path, entries)
    assert [(t.state, t.attempt.lanes) for t in run.trials.values()] == [
        ("finished", 2),
        ("finished", 2),
        ("failed", 1),
    ]
    assert "too much" in list(run.trials.values())[2].attempt.error


@pytest.mark.parametrize("value", ["all", 0, -3, 2.5, True])
def test_a_wrong_number_of_lanes_is_told_at_once(value: Any) -> None:
    with pytest.raises(SweepError, match=r"neither auto, nor off, nor a number"):
        sweeps.parse({**SWEEP, "pack": value})


def test_how_trials_are_packed_makes_no_other_sweep() -> None:
    packed, off = (sweeps.parse({**SWEEP, "pack": value}) for value in ("auto", False))
    assert off.pack == "off"
    assert not packed.differences(off)
    assert sweeps.parse({**SWEEP, "pack": 1}).pack == "off"


@pytest.fixture
def every_bucket_is_tried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "SURE_PARAMETERS", 0)
    monkeypatch.setattr(packing, "PROBED_SECONDS", 0)


@pytest.mark.slow
@pytest.mark.usefixtures("every_bucket_is_tried_out")
def test_probing_leaves_a_training_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probed = []
    real = packing.step_seconds

    def spied(*given: Any) -> float:
        probed.append(real(*given))
        return 1.0 / len(probed)  # the second, of the pack, is the faster

    monkeypatch.setattr(packing, "step_seconds", spied)
    (tmp_path / "probed").mkdir()
    (tmp_path / "plain").mkdir()
    some = {**SWEEP, "space": {"learning_rate": [0.003, 0.01], "dropout": [0.3, 0.5]}}
    run = carried_out(tmp_path / "probed", some)
    assert len(probed) == 2
    assert all(0 < seconds < 1 for seconds in probed)
    other = carried_out(tmp_path / "plain", {**some, "pack": 4})
    assert len(probed) == 2
    for name, trial in run.trials.items():
        assert trial.attempt.lanes == 4
        assert trial.attempt.weights == other.trials[name].attempt.weights


@pytest.mark.slow
@pytest.mark.usefixtures("every_bucket_is_tried_out")
def test_a_bucket_of_several_shapes_can_be_tried_out(tmp_path: Path) -> None:
    space = {"learning_rate": [0.003, 0.01], "momentum": [0.0, 0.9]}
    run = carried_out(tmp_path, {**SWEEP, "space": space, "fixed": {**SWEEP["fixed"], "optimizer": "sgd"}})
    assert [t.state for t in run.trials.values()] == ["finished"] * 4
    assert "a step takes" in (run.folder / "records" / "test-1-0.jsonl").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("every_bucket_is_tried_out")
def test_a_trial_that_fails_while_lanes_are_tried_out_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def fails(*_: Any) -> float:
        raise MemoryError("no room to try")

    monkeypatch.setattr(packing, "step_seconds", fails)
    run = carried_out(tmp_path, {**SWEEP, "fixed": {**SWEEP["fixed"], "epochs": 1}})
    assert {(t.state, t.attempt.lanes) for t in run.trials.values()} == {("finished", 1)}


@pytest.mark.parametrize("pack", ["auto", 3])
def test_metrics_that_are_no_means_are_known_before_anything_is_packed(tmp_path: Path, pack: Any) -> None:
    entries = {
        **SWEEP, "pack": pack, "data": {"name": "regression", "n_samples": 60}, "objective": "val_loss",
        "fixed": {**SWEEP["fixed"], "metrics": ["root_mean_squared_error"], "epochs": 1},
    }  # fmt: skip
    run = carried_out(tmp_path, entries)
    assert {(t.state, t.attempt.lanes, len(t.attempts)) for t in run.trials.values()} == {("finished", 1, 1)}
    assert "is no mean" in (run.folder / "records" / "test-1-0.jsonl").read_text()


@pytest.mark.slow
def test_lanes_of_a_baseline_have_not_the_defaults_of_the_sweeps_model(tmp_path: Path) -> None:
    code = (
        "import keras\n"
        "def build(input_shape, num_classes, *, l2: float = 0.5):\n"
        "    layers = [keras.Input(input_shape), keras.layers.Flatten()]\n"
        "    return keras.Sequential([*layers, keras.layers.Dense(num_classes, 'softmax')])\n"
    )
    base = {"model": "mlp", "hidden_size": 8}
    entries = {
        **SWEEP, "model": "mine.py:build", "space": {}, "fixed": {"epochs": 2, "batch_size": 50},
        "baselines": [{**base, "learning_rate": rate} for rate in (0.01, 0.02, 0.03)],
    }  # fmt: skip
    found = []
    for pack in ("auto", "off"):
        (tmp_path / pack).mkdir()
        (tmp_path / pack / "mine.py").write_text(code)
        run = carried_out(tmp_path / pack, {**entries, "pack": pack})
        found.append({name: t.attempt.metrics["loss"] for name, t in run.trials.items()})
        lanes = [t.attempt.lanes for t in run.trials.values()]
        assert lanes == ([1, 3, 3, 3] if pack == "auto" else [1] * 4)
    assert found[0] == pytest.approx(found[1], abs=1e-5)


MIXED = """
import keras

class Noise(keras.layers.Layer):
    def call(self, x, training=False):
        import tensorflow as tf
        return x + tf.random.normal(tf.shape(x)) if training else x

def build(input_shape, num_classes, *, rate: float = 0.1):
    layers = [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dropout(rate)]
    layers += [Noise()] if rate > 0.25 else []
    return keras.Sequential([*layers, keras.layers.Dense(num_classes, "softmax")])
"""


def mixed(folder: Path, pack: str, **changes: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(MIXED)
    return {
        **SWEEP, "model": "mine.py:build", "space": {"rate": [0.1, 0.3]}, "seeds": 2, "pack": pack,
        "fixed": {"epochs": 2, "batch_size": 50}, **changes,
    }  # fmt: skip


@pytest.mark.slow
def test_one_that_is_no_lane_after_all_begins_as_it_would_alone(tmp_path: Path) -> None:
    packed, off = (carried_out(tmp_path / pack, mixed(tmp_path / pack, pack)) for pack in ("auto", "off"))
    assert sorted(t.attempt.lanes for t in packed.trials.values()) == [1, 1, 2, 2]
    for name, trial in packed.trials.items():
        if trial.attempt.lanes == 1:
            assert trial.attempt.weights == off.trials[name].attempt.weights


def test_a_stop_is_recorded_of_all_that_were_to_come(tmp_path: Path) -> None:
    entries = mixed(tmp_path / "r", "auto", fixed={"epochs": 40, "batch_size": 50})
    run = Run(planned(tmp_path / "r", entries))
    assert worker_of(run.folder, "1_0")(After(4)) == 0
    run.refresh()
    assert {t.state for t in run.trials.values()} == {"waiting"}


def test_what_fails_alone_after_its_pack_tells_of_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise MemoryError("no room for all of them")

    def fails_too(*_: Any) -> None:
        raise RuntimeError("nor for one")

    monkeypatch.setattr(Pack, "_gradients", fails)
    monkeypatch.setattr(Single, "_gradients", fails_too)
    run = carried_out(tmp_path, {**SWEEP, "space": {"dropout": [0.1, 0.2]}})
    for trial in run.trials.values():
        assert trial.attempt.error.startswith("RuntimeError: nor for one\nTraceback")
        assert "no room for all" not in trial.attempt.error


def test_lanes_whose_objective_is_never_a_number_have_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpc.jobs.attempt import TrialProgress

    add = TrialProgress.add

    def of_nan(seen: TrialProgress, epoch: Any, value: float, *rest: float) -> bool:
        return add(seen, epoch, float("nan"), *rest)

    monkeypatch.setattr(TrialProgress, "add", of_nan)
    run = carried_out(tmp_path, {**SWEEP, "pack": 3})
    for trial in run.trials.values():
        assert trial.attempt.lanes == 3
        assert (trial.state, trial.attempt.reason) == ("failed", "diverged")
        assert trial.attempt.error.startswith(
            "the objective val_accuracy was not a finite number in any of the 3"
        )
