"""Trained models that are kept: which, and that plain Keras predicts with them what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from hpc import sweeps
from hpc.jobs.training.model_store import ModelStore
from hpc.models import Array
from hpc.results import Run
from tests.jobs.working import carried_out, predicted_elsewhere, raw_data
from tests.marks import slow

NET = '''
import keras

def odd(input_shape, num_classes, units=4):
    """A model with a layer that Keras can't write, if there are more than 4 units."""
    class Odd(keras.layers.Layer):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def call(self, x):
            return self.function(x)

    layers = [keras.Input(input_shape), keras.layers.Dense(units, "relu")]
    if units > 4:
        layers.append(Odd(lambda x: x))
    return keras.Sequential([*layers, keras.layers.Dense(num_classes, "softmax")])

@keras.saving.register_keras_serializable("tests")
class Net(keras.Model):
    def __init__(self, units, **further):
        super().__init__(**further)
        self.units = units
        self.dense = keras.layers.Dense(units, "sigmoid")

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

def subclassed():
    return Net(1)
'''
ENTRIES: dict[str, Any] = {
    "name": "x",
    "model": "mlp",
    "data": {"name": "digits", "train": 150, "validation": 60, "test_split": 0.3, "test": 70},
    "fixed": {"epochs": 2},
    "objective": "val_accuracy",
}
WEIGHTS = [[[1, 2, 1], [-2, 1, -1], [2, -4, 0]], [0, 0, 0], [[-3, 0], [1, 1], [-3, 2]], [0, 0]]
SHIFTED = [WEIGHTS[0], [0.1, 0.1, 0.1], *WEIGHTS[2:]]
"""Row 1 of the courses: a forward pass by hand, without bias and with one on the hidden layer."""


def files(run: Run) -> set[str]:
    folder = run.folder / "models"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def trial(index: int) -> sweeps.Trial:
    return sweeps.Trial(index, f"t{index}", {}, 0, "mlp")


def keras_model() -> Any:
    import keras

    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


# Which models are kept


@pytest.mark.parametrize(
    ("keep", "mode", "values", "kept"),
    [
        ("best", "max", [0.2, 0.5, 0.5, 0.4, 0.9, 0.1], [[0], [1], [1], [1], [4], [4]]),
        ("best", "min", [0.2, 0.5, 0.1, 0.3], [[0], [0], [2], [2]]),
        ("best", "max", [None, -1.0, None, -2.0, 0.0], [[], [1], [1], [1], [4]]),
        ("all", "max", [0.5, 0.2, None], [[0], [0, 1], [0, 1, 2]]),
        ("none", "max", [0.5, 0.9], [[], []]),
    ],
)
def test_the_best_model_so_far_is_kept_or_all_or_none(
    tmp_path: Path, keep: str, mode: str, values: list[float | None], kept: list[list[int]]
) -> None:
    models = ModelStore(tmp_path, keep, mode)
    for index, (value, wanted) in enumerate(zip(values, kept, strict=True)):
        if models.wants(trial(index), value):
            models.save(trial(index), keras_model(), value, None)
        folder = tmp_path / "models"
        found = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        assert found == [f"t{index}.keras" for index in wanted]


def test_a_model_that_can_not_be_written_leaves_the_best_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    def full(self: Any, path: Any) -> None:
        raise OSError(28, "No space left on device")

    kept = ModelStore(tmp_path, "best", "max")
    kept.save(trial(1), keras_model(), 0.5, None)
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "save", full)
        with pytest.raises(OSError, match="No space left"):
            kept.save(trial(2), keras_model(), 0.9, None)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["t1.keras"]
    assert kept.wants(trial(3), 0.7)  # for t2 is not there


def test_of_equals_the_first_of_the_sweep_is_kept_whichever_is_finished_first(tmp_path: Path) -> None:
    kept = ModelStore(tmp_path, "best", "max")
    for index, wanted in ((4, 4), (2, 2), (3, 2), (0, 0), (1, 0)):
        if kept.wants(trial(index), 1.0):
            kept.save(trial(index), keras_model(), 1.0, None)
        assert [path.name for path in (tmp_path / "models").iterdir()] == [f"t{wanted}.keras"]


@pytest.mark.parametrize("keep", [slow("none"), slow("best"), slow("all"), None])
def test_a_worker_keeps_what_the_sweep_says(tmp_path: Path, keep: str | None) -> None:
    # the estimator is better than both networks, but is no Keras model
    changes = {"space": {"learning_rate": [1e-9, 0.01]}, "baselines": ["knn"]}
    run = carried_out(tmp_path, {**ENTRIES, **changes, **({"keep": keep} if keep else {})})
    assert run.counts()["finished"] == 3
    best, *others = [trial for trial in run.ranked() if trial.model == "mlp"]
    assert run.ranked()[0].model == "knn"
    wanted = {"none": [], "all": [best, *others]}.get(keep or "", [best])
    assert files(run) == {f"{trial.trial_id}.keras" for trial in wanted}
    assert [trial for trial in run.trials.values() if run.model_file(trial)] == sorted(
        wanted, key=lambda trial: trial.index
    )


@pytest.mark.slow
def test_a_model_that_keras_can_not_write_leaves_a_note_and_a_finished_trial(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    run = carried_out(tmp_path, {**ENTRIES, "model": "net.py:odd", "space": {"units": [4, 5]}, "keep": "all"})
    assert run.counts()["finished"] == 2
    good, bad = sorted(run.trials.values(), key=lambda trial: trial.index)
    assert files(run) == {f"{good.trial_id}.keras"}  # and no scratch file
    assert run.notes[0].startswith(f"the model of {bad.trial_id} is not kept: ")
    assert bad.attempt.weights


# What plain Keras makes of them


def raw(run: Run, **how: Any) -> dict[str, Any]:
    return dict(raw_data(sweeps.load_stored(run.sweep_file), **how).parts())


def kept(run: Run, index: int = 0) -> Path:
    (trial,) = [trial for trial in run.trials.values() if trial.index == index]
    path = run.model_file(trial)
    assert path is not None
    return path


@pytest.mark.slow
def test_plain_keras_predicts_with_kept_models_what_was_measured(tmp_path: Path) -> None:
    """One process for all of them: it takes seconds to start."""
    cases: dict[str, dict[str, Any]] = {
        "plain": {"fixed": {"epochs": 3, "optimizer": "adamw"}},
        "standard": {"fixed": {"epochs": 3, "scale": "standard", "schedule": "cosine"}},
        "minmax of folds": {"fixed": {"epochs": 3, "scale": "minmax"}, "folds": 3, "keep": "all"},
        "one output": {
            "data": {"name": "moons", "n_samples": 300, "test_split": 0.3, "noise": 0.2},
            "fixed": {"epochs": 20, "output": "sigmoid", "scale": "center", "dtype": "float64"},
        },
        "images": {
            "model": "cnn",
            "data": {"name": "pixels.npz", "test_split": 0.4},
            "fixed": {"epochs": 3, "filters": 4, "kernel_size": 2, "scale": "standard"},
        },
    }
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 200)
    pixels = (random.integers(0, 128, (200, 5, 5)) + 60 * (y[:, None, None] == [0, 0, 1, 1, 2])).astype(
        np.uint8
    )
    runs: dict[str, Run] = {}
    inputs: dict[Path, Array] = {}
    for name, case in cases.items():
        folder = tmp_path / f"the run '{name}'"
        folder.mkdir()
        np.savez(folder / "pixels.npz", x=pixels, y=y)
        runs[name] = run = carried_out(folder, {**ENTRIES, **case})
        assert run.counts()["finished"] == len(run.trials), run.trials
        assert run.notes == []
        dtype = case["fixed"].get("dtype", "float32")
        for trial in run.trials.values():
            inputs[kept(run, trial.index)] = raw(run, dtype=dtype, whole="folds" in case)["test"].x
    outputs = predicted_elsewhere(tmp_path, inputs)
    for name, run in runs.items():
        for trial in run.trials.values():
            test = raw(run, whole="folds" in cases[name])["test"]
            scores = outputs[kept(run, trial.index)]
            taken = scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype(int)
            classes = np.unique(test.y)
            assert trial.attempt.confusion["test"] == confusion_matrix(test.y, taken, labels=classes).tolist()
            assert trial.attempt.metrics["test_accuracy"] == pytest.approx(np.mean(taken == test.y), abs=1e-6)
            columns = scores if scores.shape[1] > 1 else np.hstack([1 - scores, scores])
            loss = -np.log(columns[np.arange(len(test)), test.y]).mean()
            assert trial.attempt.metrics["test_loss"] == pytest.approx(loss, rel=1e-4), name
            assert len(set(taken)) > 1, name  # there is something to confuse


@pytest.mark.slow
def test_the_forward_pass_by_hand_has_eight_digits_in_a_kept_model(tmp_path: Path) -> None:
    run = carried_out(
        tmp_path,
        {
            "name": "x",
            "model": "mlp",
            "data": {"name": "worked_example", "validation_split": 0},
            "space": {"initial_weights": [WEIGHTS, SHIFTED]},
            "fixed": {
                "hidden_size": 3, "activation": "sigmoid", "output": "sigmoid", "epochs": 0,
                "dtype": "float64",
            },
            "objective": "loss",
            "keep": "all",
        },
    )  # fmt: skip
    plain, shifted = kept(run, 0), kept(run, 1)
    x = np.array([[0.5, 0.9, -0.3]])
    outputs = predicted_elsewhere(tmp_path, {plain: x, shifted: x})
    assert [f"{value:.8f}" for value in outputs[plain][0]] == ["0.34584136", "0.85314921"]
    assert [f"{value:.8f}" for value in outputs[shifted][0]] == ["0.32269997", "0.85959729"]
    (first,) = [trial for trial in run.trials.values() if trial.index == 0]
    assert first.attempt.metrics["loss"] == pytest.approx(0, abs=1e-16)  # squares of what is below 1e-8


def test_a_subclassed_model_of_the_users_is_kept_with_its_scaling(tmp_path: Path) -> None:
    import keras

    (tmp_path / "net.py").write_text(NET)
    changes = {
        "model": "net.py:subclassed",
        "data": {"name": "moons", "n_samples": 100, "test_split": 0.3},
        "fixed": {"epochs": 5, "scale": "standard"},
    }
    run = carried_out(tmp_path, {**ENTRIES, **changes})
    assert run.notes == []
    test = raw(run)["test"]
    scores = keras.saving.load_model(kept(run)).predict(test.x, verbose=0)
    (trial,) = run.trials.values()
    assert trial.attempt.metrics["test_accuracy"] == pytest.approx(np.mean((scores[:, 0] > 0.5) == test.y))
