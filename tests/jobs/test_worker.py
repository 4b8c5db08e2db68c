"""The worker in this very process: what it asks of a model, and what it records."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import sweeps
from jobs.check import check
from jobs.processes import identity
from jobs.worker import Task, Worker
from results import Plan, Run, create

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

def nothing(input_shape):
    return "a model"
"""


def work(folder: Path, changes: dict[str, Any], parent: tuple[int, float] | None = None) -> Run:
    """A run of one trial, carried out by a worker here."""
    (folder / "net.py").write_text(NET)
    entries = {
        "name": "x",
        "model": "net.py:plain",
        "data": {"name": "digits", "train": 128, "validation": 32},
        "fixed": {"epochs": 2},
        "objective": "val_accuracy",
        **changes,
    }
    sweep = check(sweeps.parse(entries, folder), 1)
    trials = [
        {"trial": t.trial_id, "index": t.index, "params": t.params, "seed": t.seed} for t in sweep.trials
    ]
    run = folder / "r"
    create(run, Plan("x", "val_accuracy", "max", [], trials, sweep.as_yaml(), "{}\n"))
    Worker(str(run), (Task(0, 1),), "test-1-0", parent=parent)()
    return Run(run)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "net.py:subclassed"},
        {"model": "net.py:compiled"},
        {"model": "net.py:chooses"},
        {"model": "net.py:compiled", "fixed": {"epochs": 2, "learning_rate": 0.5}},
        {"model": "mlp", "fixed": {"epochs": 2, "hidden_size": [8, 4], "dropout": 0.1}},
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
        ({"model": "net.py:nothing"}, "net.py:nothing returned str, not a keras.Model"),
        ({"model": "net.py:plain", "objective": "val_own"},
         "the objective is val_own, but what this model records is loss, accuracy, val_loss, val_accuracy"),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_model_does_wrong_is_told(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    (trial,) = work(tmp_path, changes).trials.values()
    assert (trial.state, trial.attempt.reason) == ("failed", "error")
    assert said in trial.attempt.error.splitlines()[0]


def test_records_say_what_happened_in_order(tmp_path: Path) -> None:
    run = work(tmp_path, {})
    lines = (run.records / "test-1-0.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["record"] for line in lines]
    assert kinds == ["ready", "started", "epoch", "epoch", "finished", "left"]
    (trial,) = run.trials.values()
    assert (trial.attempt.ranks, trial.attempt.job_id) == (1, "test-1-0")
    assert len(trial.attempt.code) == 64


def test_a_worker_whose_command_is_gone_stops(tmp_path: Path) -> None:
    pid, started = identity(os.getpid())
    run = work(tmp_path, {}, parent=(pid, started - 100))  # another process had that number then
    (trial,) = run.trials.values()
    assert (trial.state, trial.attempts) == ("waiting", {})
    left = json.loads((run.records / "test-1-0.jsonl").read_text().splitlines()[-1])
    assert (left["how"], left["why"]) == ("stopped", "the command that watched this worker is gone")
