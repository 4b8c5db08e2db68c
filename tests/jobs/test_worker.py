"""The worker in this very process: what it asks of a model, and what it records."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc import sweeps
from hpc.jobs.node.processes import identity
from hpc.jobs.worker import Worker
from hpc.results import Run, TrialState
from hpc.sweeps import SweepError
from tests.jobs.working import carried_out, planned, raw_data, worker_of
from tests.marks import slow

NET = """
import keras

def layers(input_shape, num_classes):
    return [keras.Input(input_shape), keras.layers.Dense(num_classes, "softmax")]

def plain(input_shape, num_classes):
    return keras.Sequential(layers(input_shape, num_classes))

def compiled(input_shape, num_classes, learning_rate=0.1):
    model = keras.Sequential(layers(input_shape, num_classes))
    optimizer = keras.optimizers.SGD(learning_rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

def chooses(input_shape, num_classes, optimizer="sgd", loss="sparse_categorical_crossentropy"):
    assert optimizer == "sgd", optimizer  # its own default, not that of the training
    model = keras.Sequential(layers(input_shape, num_classes))
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model

def subclassed(num_classes):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(num_classes, "softmax")

        def call(self, x):
            return self.dense(x)

    return Net()

def one_unit():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, "sigmoid")

        def call(self, x):
            return self.dense(x)

    return Net()

def forest(num_classes, trees=5):
    from sklearn.ensemble import RandomForestClassifier
    assert num_classes == 10
    return RandomForestClassifier(trees)

def never(input_shape, num_classes):
    class Never(keras.metrics.Metric):
        def update_state(self, y_true, y_pred, sample_weight=None):
            pass

        def result(self):
            return keras.ops.convert_to_tensor(float("nan"))

    model = keras.Sequential(layers(input_shape, num_classes))
    metrics = ["accuracy", Never(name="never")]
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics)
    return model

def nothing(input_shape):
    return "a model"

class WordlessError(Exception):
    def __str__(self):
        return {}["reason"]

def wordless(input_shape):
    raise WordlessError
"""


ENTRIES: dict[str, Any] = {
    "name": "x",
    "model": "net.py:plain",
    "data": {"name": "digits", "train": 128, "validation": 32},
    "fixed": {"epochs": 2},
    "objective": "val_accuracy",
}


NEVER = {"metric": "val_never", "mode": "max"}


def work(folder: Path, changes: dict[str, Any], **worker: Any) -> Run:
    """A run carried out by a worker here."""
    (folder / "net.py").write_text(NET)
    return carried_out(folder, {**ENTRIES, **changes}, **worker)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "net.py:subclassed"},
        {"model": "net.py:compiled"},
        {"model": "net.py:chooses"},
        {"model": "net.py:compiled", "fixed": {"epochs": 2, "learning_rate": 0.5}},
        {"model": "mlp", "fixed": {"epochs": 2, "hidden_size": [8, 4], "dropout": 0.1}},
        {"model": "mlp", "fixed": {"epochs": 2, "output": "sigmoid"}, "data": {"name": "moons"}},
        {"model": "net.py:one_unit", "data": {"name": "moons"}},
        {"model": "net.py:plain", "fixed": {"epochs": 2, "loss": "hinge", "batch_size": "full"}},
    ],
    ids=str,
)
def test_models_of_every_kind_are_trained(tmp_path: Path, changes: dict[str, Any]) -> None:
    (trial,) = work(tmp_path, changes).trials.values()
    assert (trial.state, trial.attempt.error) == ("finished", "")
    assert trial.attempt.epochs == 2
    assert set(trial.attempt.metrics) == {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "net.py:compiled", "fixed": {"optimizer": "adam"}},
         "returned a compiled model, so the sweep's optimizer would be of no effect"),
        ({"model": "net.py:nothing"},
         "net.py:nothing returned str, neither a keras.Model nor an estimator of scikit-learn"),
        ({"model": "net.py:wordless"},
         "WordlessError: what it says can't be told, since its __str__ raises KeyError"),
        ({"model": "net.py:plain", "objective": {"metric": "val_own", "mode": "max"}},
         "the objective is val_own, but what this model records is loss, accuracy, val_loss, val_accuracy"),
        ({"fixed": {"initial_weights": [[[1.0]], [0.0]]}},
         "initial_weights don't fit: the model's weights have the shapes (64, 10), (10,), not (1, 1), (1,)"),
        ({"fixed": {"initial_weights": [[0.0] * 10]}},
         "initial_weights don't fit: the model's weights have the shapes (64, 10), (10,), not (10,)"),
        ({"fixed": {"initial_weights": [[[1.0, 2.0], [3.0]], [0.0]]}},
         "initial_weights don't fit: an array has rows of different lengths"),
        ({"model": "sgd_classifier", "data": {"name": "regression"}, "fixed": {}, "objective": "loss"},
         "sgd_classifier tells classes apart, but the targets of these data are numbers to predict"),
        ({"data": {"name": "digits", "train": 3}, "folds": 4},
         "the dataset digits can't be split into 4 folds"),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_model_does_wrong_is_told(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    for trial in work(tmp_path, changes).trials.values():
        assert (trial.state, trial.attempt.reason) == ("failed", "error")
        assert said in trial.attempt.error.splitlines()[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": NEVER},
         "the objective val_never was not a finite number in any of the 2 epochs: it is nan after epoch 2"),
        ({"objective": NEVER, "fixed": {"epochs": 1}}, "the objective val_never is nan after epoch 1"),
        ({"objective": NEVER, "fixed": {"epochs": 0}}, "the objective val_never is nan after the fit"),
        ({"objective": ["val_accuracy", NEVER]}, "the objective val_never is nan at the end"),
    ],
    ids=str,
)  # fmt: skip
def test_a_trial_whose_objective_is_never_a_number_has_diverged(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    (trial,) = work(tmp_path, {"model": "net.py:never", **changes}).trials.values()
    assert (trial.state, trial.attempt.reason, trial.attempt.error) == ("failed", "diverged", said)


def test_a_further_objective_that_a_model_does_not_record_is_told(tmp_path: Path) -> None:
    (trial,) = work(
        tmp_path,
        {"model": "net.py:never", "objective": ["val_accuracy", {"metric": "val_own", "mode": "max"}]},
    ).trials.values()
    assert trial.attempt.reason == "error"
    assert "the objective is val_own, but what this model records is loss" in trial.attempt.error


def test_records_say_what_happened_in_order(tmp_path: Path) -> None:
    run = work(tmp_path, {})
    lines = (run.records / "test-1-0.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["record"] for line in lines]
    assert kinds == ["ready", "started", "epoch", "epoch", "finished", "left"]
    ready = json.loads(lines[0])
    assert {name: ready[name] for name in ("nodes", "cores", "gpus")} == {"nodes": 1, "cores": 1, "gpus": 0}
    (trial,) = run.trials.values()
    assert (trial.attempt.ranks, trial.attempt.job_id) == (1, "test-1-0")
    assert len(trial.attempt.code) == 64


def test_trials_that_differ_in_numbers_have_their_graphs_drawn_once(tmp_path: Path) -> None:
    space = {"learning_rate": [0.01, 0.1], "hidden_size": [4, 8]}
    run = work(tmp_path, {"model": "mlp", "space": space, "keep": "all", "pack": "off"})
    drawn = {
        (trial.params["hidden_size"], trial.params["learning_rate"]): trial.attempt.tracing_seconds > 0
        for trial in run.trials.values()
    }
    assert drawn == {(4, 0.01): True, (8, 0.01): True, (4, 0.1): False, (8, 0.1): False}
    for trial in run.trials.values():
        assert 0 < trial.attempt.training_seconds < (trial.attempt.seconds or 0)
    bill = run.bill()
    assert bill is not None
    assert (bill.workers, bill.graphs) == (1, 2)
    assert 0 < bill.training_seconds + bill.tracing_seconds < bill.seconds


@pytest.mark.slow
def test_a_trial_that_diverges_leaves_the_graphs_to_the_next(tmp_path: Path) -> None:
    fixed = {"epochs": 2, "optimizer": "sgd", "initializer": "he_normal"}
    space = {"learning_rate": [0.01, 1e30, 0.02]}
    run = work(tmp_path, {"model": "mlp", "space": space, "fixed": fixed, "pack": "off"})
    assert [trial.state for trial in run.trials.values()] == ["finished", "failed", "finished"]
    assert [trial.attempt.tracing_seconds > 0 for trial in run.trials.values()] == [True, False, False]
    alone = work_alone(tmp_path, fixed | {"learning_rate": 0.02})
    assert [t.attempt.weights for t in run.trials.values()][2] == alone.attempt.weights


def work_alone(folder: Path, fixed: dict[str, Any]) -> TrialState:
    """The one trial of a worker of its own."""
    (folder / "alone").mkdir()
    (trial,) = work(folder / "alone", {"model": "mlp", "space": {}, "fixed": fixed}).trials.values()
    return trial


def test_a_worker_whose_command_is_gone_stops(tmp_path: Path) -> None:
    me = identity(os.getpid())
    before = me._replace(started=me.started - 100, mark=f"{me.mark}0")
    run = work(tmp_path, {}, parent=before)  # another process had that number then
    (trial,) = run.trials.values()
    assert (trial.state, trial.attempts) == ("waiting", {})
    left = json.loads((run.records / "test-1-0.jsonl").read_text().splitlines()[-1])
    assert (left["how"], left["why"]) == ("stopped", "the command that watched this worker is gone")


def by_model(run: Run) -> dict[str, TrialState]:
    assert run.counts()["finished"] == len(run.trials), [t.attempt.error for t in run.trials.values()]
    return {Path(trial.model).name: trial for trial in run.trials.values()}


def flat(run: Run) -> dict[str, tuple[Any, Any]]:
    parts = raw_data(sweeps.load_stored(run.sweep_file)).parts()
    return {name: (part.x.reshape(len(part), -1), part.y) for name, part in parts.items()}


TESTED = {"name": "digits", "train": 200, "validation": 60, "test_split": 0.3, "test": 80}
PREFIXES = {"train": "", "validation": "val_", "test": "test_"}


@pytest.mark.slow
def test_baselines_are_measured_beside_the_model_on_the_same_data(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import label_ranking_average_precision_score as ranking
    from sklearn.neighbors import KNeighborsClassifier

    measures = ["accuracy", "label_ranking_average_precision"]
    changes = {
        "data": TESTED,
        "fixed": {"epochs": 2, "metrics": measures},
        "baselines": [{"model": "knn", "n_neighbors": 3}, "linear_regression", "net.py:forest"],
    }
    run = work(tmp_path, changes)
    found, parts = by_model(run), flat(run)
    assert list(found) == ["net.py:plain", "knn", "linear_regression", "net.py:forest"]
    knn = KNeighborsClassifier(3).fit(*parts["train"])
    regression = LinearRegression().fit(parts["train"][0], np.eye(10)[parts["train"][1]])
    for part, (x, y) in parts.items():
        prefix, one_hot = PREFIXES[part], np.eye(10)[y]
        metrics = found["knn"].attempt.metrics
        assert metrics[f"{prefix}accuracy"] == pytest.approx(knn.score(x, y), abs=1e-6)
        metrics, scores = found["linear_regression"].attempt.metrics, regression.predict(x)
        accuracy = np.mean(scores.argmax(axis=1) == y)
        assert metrics[f"{prefix}accuracy"] == pytest.approx(accuracy, abs=1e-6)
        assert metrics[f"{prefix}loss"] == pytest.approx(np.mean((scores - one_hot) ** 2), rel=1e-3)
        wanted = ranking(one_hot, scores)
        assert metrics[f"{prefix}label_ranking_average_precision"] == pytest.approx(wanted, abs=1e-5)
    names = {f"{prefix}{name}" for prefix in PREFIXES.values() for name in ("loss", *measures)}
    for trial in found.values():
        assert set(trial.attempt.metrics) == names
        assert trial.attempt.best == trial.attempt.metrics["val_accuracy"] or trial.model.endswith(":plain")
        assert {part: np.sum(counts) for part, counts in trial.attempt.confusion.items()} == {
            "validation": 60, "test": 80,
        }  # fmt: skip
    assert [bool(trial.attempt.weights) for trial in found.values()] == [True, False, False, False]
    assert [trial.attempt.epochs for trial in found.values()] == [2, 0, 0, 0]


def test_the_model_of_a_sweep_may_be_an_estimator_of_the_users_own(tmp_path: Path) -> None:
    run = work(tmp_path, {"model": "net.py:forest", "space": {"trees": [1, 20]}, "fixed": {}, "seeds": 2})
    assert run.counts()["finished"] == 4
    few, many, *others = (trial.attempt.metrics["accuracy"] for trial in run.trials.values())
    assert few is not None
    assert many is not None
    assert few < many == 1.0
    assert few != others[0]  # another seed grows another tree


@pytest.mark.parametrize("scale", [slow("none"), "standard"])
def test_folds_are_those_of_a_cross_validation_in_scikit_learn(tmp_path: Path, scale: str) -> None:
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = {"name": "digits", "test_split": 0.8, "split_seed": 42, "stratify": False}
    run = work(tmp_path, {"model": "knn", "data": data, "space": {}, "fixed": {"scale": scale}, "folds": 4})
    assert [trial.fold for trial in run.trials.values()] == [0, 1, 2, 3]
    found = [trial.attempt.metrics["val_accuracy"] for trial in run.trials.values()]
    knn = KNeighborsClassifier()
    whole = raw_data(sweeps.load_stored(run.sweep_file), whole=True)
    wanted = cross_val_score(
        knn if scale == "none" else make_pipeline(StandardScaler(), knn),
        whole.train.x, whole.train.y, cv=KFold(4),
    )  # fmt: skip
    assert found == pytest.approx(wanted.tolist(), abs=1e-6)
    assert len(set(found)) > 1


def test_what_is_measured_on_the_test_part_is_told_at_the_end_only(tmp_path: Path) -> None:
    run = work(tmp_path, {"data": TESTED, "fixed": {"epochs": 5, "validation_freq": 2}})
    (trial,) = run.trials.values()
    assert [record["epoch"] for record in trial.history()] == [2, 4, 5]
    assert trial.attempt.epochs == 5
    text = (run.records / "test-1-0.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert [record["record"] for record in records if "test_loss" in json.dumps(record)] == ["finished"]
    assert {"test_loss", "test_accuracy"} <= set(trial.attempt.metrics)


def test_training_begins_with_the_weights_that_are_given(tmp_path: Path) -> None:
    kernel, bias = np.zeros((64, 10)).tolist(), [0.0] * 9 + [5.0]
    run = work(tmp_path, {"fixed": {"epochs": 0, "initial_weights": [kernel, bias]}})
    (trial,) = run.trials.values()
    y = flat(run)["validation"][1]
    assert trial.attempt.metrics["val_accuracy"] == pytest.approx(np.mean(y == 9), abs=1e-6)
    confusion = np.array(trial.attempt.confusion["validation"])
    assert confusion[:, 9].tolist() == np.bincount(y, minlength=10).tolist()
    assert trial.attempt.epochs == 0


def test_a_training_without_validation_is_judged_by_what_it_trains_on(tmp_path: Path) -> None:
    run = work(
        tmp_path, {"data": {"name": "digits", "validation_split": 0, "train": 64}, "objective": "loss"}
    )
    (trial,) = run.trials.values()
    assert set(trial.attempt.metrics) == {"loss", "accuracy"}
    assert trial.attempt.best == trial.attempt.metrics["loss"]
    assert trial.attempt.confusion == {}


def test_a_table_beside_the_sweep_is_trained_on_wherever_the_worker_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "it's a project"
    (folder / "lab").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = [f"{x:.3f},{z:.3f},{'warm' if x > z else 'cold'}" for x, z in random.normal(size=(200, 2))]
    (folder / "lab" / "my table.csv").write_text("\n".join(["in,out,kind", *rows]) + "\n")
    monkeypatch.chdir("/")
    changes = {"data": {"name": "lab/my table.csv", "test_split": 0.2}, "baselines": ["logistic_regression"]}
    run = work(folder, {**changes, "model": "mlp"})
    found = by_model(run)
    accuracy = found["logistic_regression"].attempt.metrics["test_accuracy"]
    assert accuracy is not None
    assert accuracy > 0.9
    assert len(found["mlp"].attempt.code) == 64  # a change of the table is noticed


@pytest.mark.parametrize("numbers", [1, slow(2)])
def test_numbers_are_predicted_beside_a_baseline(tmp_path: Path, numbers: int) -> None:
    changes = {
        "model": "linear",
        "data": {
            "name": "regression",
            "n_samples": 60,
            "n_features": 3,
            "n_targets": numbers,
            "test_split": 0.2,
        },
        "fixed": {"epochs": 1, "metrics": ["r2_score"], "scale": "standard"},
        "baselines": ["linear_regression"],
        "objective": "val_r2_score",
    }
    found = by_model(work(tmp_path, changes))
    assert found["linear_regression"].attempt.metrics["test_r2_score"] == pytest.approx(1, abs=1e-4)
    assert set(found["linear"].attempt.metrics) == set(found["linear_regression"].attempt.metrics)
    assert found["linear"].attempt.confusion == {}


def test_trials_of_either_precision_stand_side_by_side(tmp_path: Path) -> None:
    run = work(tmp_path, {"space": {"dtype": ["float32", "float64"]}, "fixed": {"epochs": 1}, "keep": "all"})
    import keras

    assert (keras.config.floatx(), keras.config.dtype_policy().name) == ("float32", "float32")
    assert run.counts()["finished"] == 2
    for trial in run.trials.values():
        path = run.model_file(trial)
        assert path is not None
        assert keras.saving.load_model(path).weights[0].dtype == trial.params["dtype"]


def test_a_worker_trains_no_other_trial_than_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    folder = planned(tmp_path, ENTRIES)
    worker = worker_of(folder, "1_0")
    (task, *_) = worker.spec.tasks
    other = replace(task, trial=replace(task.trial, seed=7))
    with pytest.raises(SweepError, match=rf"what is to be trained as {task.trial.trial_id}"):
        Worker(worker.spec.but(tasks=(other,)))()
