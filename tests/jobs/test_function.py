"""Trials that call a function of the user's: what it is told, what it tells, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpc.results import Run, table
from tests.jobs.called import function_sweep, notes_of, ready, searched, trial_of
from tests.jobs.stopping import After
from tests.jobs.working import carried_out, planned, worker_of


def test_a_function_gets_hyperparameters_and_its_trial_by_the_names_of_its_arguments(tmp_path: Path) -> None:
    code = """
import json

def train(rate, layers, trial, seed, size, depth=3):
    facts = [rate, layers, depth, seed, size, trial.params, trial.seed, trial.attempt, trial.rank, trial.size,
             trial.local_rank, trial.step, trial.restored]
    (trial.folder / "facts.json").write_text(json.dumps(facts))
    assert not any(trial.scratch.iterdir())
    (trial.folder / "scratch").write_text(str(trial.scratch))
    layers.append("mine to do with as I like")
    return {"val_loss": rate, "other": trial.id.encode() and 1}
"""
    params = {"rate": 0.5, "layers": [1, 2]}
    trial = trial_of(tmp_path, function_sweep(tmp_path, code, fixed=params, seeds=[7]))
    assert trial.attempt.error == ""
    assert (trial.state, trial.attempt.metrics) == ("finished", {"val_loss": 0.5, "other": 1.0})
    folder = tmp_path / "r" / "trials" / trial.trial_id
    facts = '[0.5, [1, 2], 3, 7, 1, {"rate": 0.5, "layers": [1, 2]}, 7, 1, 0, 1, 0, null, null]'
    assert (folder / "facts.json").read_text() == facts
    assert not Path((folder / "scratch").read_text()).exists()
    assert (trial.model, trial.params) == ("mine.py:train", params)


def test_a_function_of_any_names_gets_all_hyperparameters(tmp_path: Path) -> None:
    code = "def train(**all):\n    assert all == {'a': 1, 'b': 2}, all\n    return 0.0\n"
    assert trial_of(tmp_path, function_sweep(tmp_path, code, fixed={"a": 1, "b": 2})).state == "finished"


@pytest.mark.parametrize(
    ("returned", "metrics"),
    [
        ("0.25", {"val_loss": 0.25}),
        ("1", {"val_loss": 1.0}),
        ("np.float32(0.5)", {"val_loss": 0.5}),
        ("np.array(0.5)", {"val_loss": 0.5}),
        ("{'val_loss': np.int64(3), 'a': 1}", {"val_loss": 3.0, "a": 1.0}),
        ("trial.report(1, val_loss=0.5, a=2)", {"val_loss": 0.5, "a": 2.0}),
        ("trial.report(1, val_loss=0.5) or 0.25", {"val_loss": 0.25}),
        ("trial.report(1, val_loss=0.5) or {'test': 1}", {"val_loss": 0.5, "test": 1.0}),
    ],
)
def test_a_function_returns_metrics_or_a_number_or_has_reported(
    tmp_path: Path, returned: str, metrics: dict[str, float]
) -> None:
    code = f"import numpy as np\ndef train(trial):\n    return {returned}\n"
    attempt = trial_of(tmp_path, function_sweep(tmp_path, code)).attempt
    assert (attempt.state, attempt.error, attempt.metrics) == ("finished", "", metrics)
    assert attempt.best == metrics["val_loss"]


WRONG = {
    "pass": "ValueError: mine.py:train has returned nothing, and reported nothing: return val_loss as a "
    "number, or {'val_loss': …}, or call trial.report",
    "return {}": "ValueError: mine.py:train has returned nothing, and reported nothing: ",
    "return {'loss': 1.0}": "ValueError: the objective is val_loss, but what this function records is ",
    "return 'good'": "TypeError: mine.py:train has returned str, which is neither a dict of metrics, nor a "
    "number for val_loss, nor nothing (the metric val_loss is str 'good', which is no number)",
    "return True": "TypeError: mine.py:train has returned bool, which is neither ",
    "return {'val_loss': [1, 2]}": "TypeError: the metric val_loss is list [1, 2], which is no number",
    "trial.report(1, val_loss='0.5')": "TypeError: the metric val_loss is str '0.5', which is no number",
    "trial.report(1, loss=0.5)": "ValueError: the objective is val_loss, but what this function records is "
    "loss",
    "trial.report(1.5, val_loss=0.5)": "TypeError: report(1.5, …): a step is a whole number",
    "trial.report(-1, val_loss=0.5)": "ValueError: report(-1, …): the step is negative; steps go up",
    "trial.report(3, val_loss=1); trial.report(3, val_loss=1)": "ValueError: report(3, …): the step is not "
    "larger than 3, the last one; steps go up",
    "import numpy; return numpy.ones(2)": "TypeError: mine.py:train has returned ndarray, which is neither ",
    "raise OSError('no such data')": "OSError: no such data",
    "import sys; sys.exit(3)": "sys.exit(3) was called by train (mine.py, line 2)",
}


@pytest.mark.parametrize("body", WRONG)
def test_what_a_function_does_wrong_is_told_in_a_sentence(tmp_path: Path, body: str) -> None:
    attempt = trial_of(tmp_path, function_sweep(tmp_path, f"def train(trial):\n    {body}\n")).attempt
    assert (attempt.state, attempt.reason) == ("failed", "error")
    assert attempt.error.splitlines()[0].startswith(WRONG[body])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return float('nan')", "val_loss is nan after all"),
        (
            "trial.report(1, val_loss=1); trial.report(2, val_loss=float('inf'))",
            "val_loss is inf after step 2",
        ),
        ("trial.report(1, val_loss=1, loss=float('nan'))", "loss is nan after step 1"),
        ("trial.report(1, val_loss=1); return float('nan')", "val_loss is nan at the end"),
    ],
)
def test_a_loss_that_is_no_number_is_a_divergence(tmp_path: Path, body: str, why: str) -> None:
    attempt = trial_of(tmp_path, function_sweep(tmp_path, f"def train(trial):\n    {body}\n")).attempt
    assert (attempt.state, attempt.reason, attempt.error) == ("failed", "diverged", why)


def test_reports_are_epochs_of_the_table(tmp_path: Path) -> None:
    code = (
        "def train(trial):\n    for step in range(5):\n        trial.report(step, val_loss=(step - 2) ** 2)\n"
    )
    trial = trial_of(tmp_path, function_sweep(tmp_path, code))
    assert [one["epoch"] for one in trial.history()] == [0, 1, 2, 3, 4]
    assert (trial.attempt.epochs, trial.attempt.best, trial.attempt.metrics) == (4, 0.0, {"val_loss": 4.0})


STEPS = """
import hpc

def train(trial, steps=6, swallows=False):
    begin = 0
    if trial.restored is not None:
        begin = int((trial.restored / "step").read_text())
        assert begin == trial.step
    for step in range(begin + 1, steps + 1):
        try:
            trial.report(step, val_loss=trial.params.get("loss", 1.0) / step)
        except (hpc.Pruned, hpc.Stopped) as why:
            (trial.folder / "heard").write_text(type(why).__name__)
            if not swallows:
                raise
            return 0.0
        if trial.should_stop and trial.params.get("saves", True):
            with trial.checkpoint() as folder:
                (folder / "step").write_text(str(step))
            raise AssertionError("it has been stopped when it had written")
"""


def test_a_function_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    entries = function_sweep(tmp_path, STEPS)
    trial = trial_of(tmp_path, entries, After(3), None)
    assert [attempt.state for attempt in trial.attempts.values()] == ["waiting", "finished"]
    first, second = trial.attempts.values()
    assert second.after == (1, first.epochs)
    assert 0 < first.epochs < 6
    assert [one["epoch"] for one in trial.history()] == [1, 2, 3, 4, 5, 6]
    assert not any((tmp_path / "r" / "checkpoints").iterdir())


def test_one_that_was_stopped_after_its_last_step_has_nothing_left_to_do(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, function_sweep(tmp_path, STEPS, fixed={"steps": 1}), After(1), None)
    assert [attempt.state for attempt in trial.attempts.values()] == ["waiting", "finished"]
    assert (trial.attempt.error, trial.attempt.metrics) == ("", {"val_loss": 1.0})


@pytest.mark.parametrize("swallows", [False, True])
def test_one_that_writes_no_checkpoint_is_stopped_one_report_later(tmp_path: Path, swallows: bool) -> None:
    entries = function_sweep(tmp_path, STEPS, fixed={"swallows": swallows, "steps": 50})
    code = (tmp_path / "mine.py").read_text().replace('"saves", True', '"saves", False')
    (tmp_path / "mine.py").write_text(code)
    trial = trial_of(tmp_path, entries, After(4))
    assert (trial.state, trial.attempt.epochs < 50) == ("waiting", True)
    assert (tmp_path / "r" / "trials" / trial.trial_id / "heard").read_text() == "Stopped"


@pytest.mark.parametrize("swallows", [False, True])
def test_a_pruner_ends_the_worse_ones_whatever_they_make_of_it(tmp_path: Path, swallows: bool) -> None:
    entries = function_sweep(
        tmp_path, STEPS.replace("swallows=False", "swallows=False, loss=1"),
        space={"loss": [1, 2, 3, 4]}, fixed={"swallows": swallows},
        search={"method": "grid", "pruner": {"name": "median", "n_startup_trials": 1}},
    )  # fmt: skip
    run = searched(tmp_path, entries)
    assert run.counts()["pruned"] == 3
    for trial in run.trials.values():
        if trial.state == "pruned":
            assert (run.folder / "trials" / trial.trial_id / "heard").read_text() == "Pruned"
            assert trial.attempt.epochs == 1


def test_a_checkpoint_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    code = """
def train(trial):
    trial.report(1, val_loss=1)
    with trial.checkpoint() as folder:
        (folder / "good").write_text("1")
    trial.report(2, val_loss=1)
    try:
        with trial.checkpoint() as folder:
            (folder / "bad").write_text("2")
            raise OSError("no room")
    except OSError:
        pass
    raise RuntimeError("killed here")
"""
    trial_of(tmp_path, function_sweep(tmp_path, code))
    (kept,) = (tmp_path / "r" / "checkpoints").iterdir()
    assert sorted(path.name for path in kept.iterdir()) == [".hpc.json", "good"]


def test_one_whose_worker_was_killed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    code = """
import os, signal

def train(trial):
    if trial.restored is None:
        trial.report(1, val_loss=1)
        with trial.checkpoint() as folder:
            (folder / "state").write_text("after 1")
        trial.report(2, val_loss=1)
        os.kill(os.getpid(), signal.SIGKILL)
    assert (trial.restored / "state").read_text() == "after 1"
    assert trial.step == 1 and trial.attempt == 2
    trial.report(2, val_loss=0.5)
"""
    run = planned(tmp_path, function_sweep(tmp_path, code))
    killed = subprocess.run([sys.executable, "-m", "tests.jobs.plain_rank", str(run), "test-1-0"])
    assert killed.returncode == -signal.SIGKILL
    worker_of(run, "test-1-1")()
    (trial,) = Run(run, keep_epochs=True).trials.values()
    assert (trial.state, trial.attempt.error) == ("finished", "")
    assert (trial.attempt.after, trial.attempt.best) == ((1, 1), 0.5)


def test_what_a_function_changes_of_the_process_is_put_back(tmp_path: Path) -> None:
    code = """
import os, signal, sys

def train(trial):
    os.chdir(trial.scratch)
    os.environ["MINE"] = "1"
    del os.environ["PATH"]
    sys.argv[:] = ["other"]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return 0.0
"""
    before = os.getcwd(), dict(os.environ), list(sys.argv), signal.getsignal(signal.SIGTERM)
    trial = trial_of(tmp_path, function_sweep(tmp_path, code))
    assert trial.state == "finished"
    after = os.getcwd(), dict(os.environ), list(sys.argv), signal.getsignal(signal.SIGTERM)
    names = {*before[1], *after[1]} - {name for name in after[1] if before[1].get(name) == after[1][name]}
    assert "MINE" not in names
    assert "PATH" not in names
    assert (before[0], before[2:]) == (after[0], after[2:])


def test_random_numbers_are_those_of_the_seed(tmp_path: Path) -> None:
    code = """
import random, numpy

def train():
    return {"val_loss": random.random(), "b": numpy.random.rand()}
"""
    run = carried_out(tmp_path, function_sweep(tmp_path, code, seeds=2))
    again = carried_out(tmp_path / "..", {**function_sweep(tmp_path.parent, code, seeds=2)})
    found = [trial.attempt.metrics for trial in run.trials.values()]
    assert found[0] != found[1]
    assert [trial.attempt.metrics for trial in again.trials.values()] == found


def test_no_tensorflow_is_loaded_for_a_function_that_needs_none(tmp_path: Path) -> None:
    code = """
import sys

def train():
    assert not {"tensorflow", "keras", "horovod"} & {*sys.modules}
    return 0
"""
    run = planned(tmp_path, function_sweep(tmp_path, code))
    subprocess.run([sys.executable, "-m", "tests.jobs.plain_rank", str(run), "test-1-0"], check=True)
    (trial,) = Run(run).trials.values()
    assert (trial.state, trial.attempt.error) == ("finished", "")


@pytest.mark.parametrize("name", ["rosenbrock", "partial_fit", "gradient_tape"])
def test_the_trainings_that_stand_ready_train(tmp_path: Path, name: str) -> None:
    run = ready(tmp_path, name)
    assert {trial.attempt.error for trial in run.trials.values()} == {""}
    assert run.counts()["finished"] == len(run.trials)
    rows: Any = table(run.folder)
    assert {"trial_id", "state", "error"} <= set(rows.columns)
    assert notes_of(tmp_path) == []


FIT = """
def train(trial, epochs=4):
    import keras
    import numpy as np

    keras.utils.set_random_seed(trial.seed)
    x = np.arange(32, dtype="float32")[:, None] / 32
    if trial.restored is not None:
        model = keras.saving.load_model(trial.restored / "model.keras")
    else:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(trial.optimizer(keras.optimizers.SGD(0.1, momentum=0.9)), "mse")
    model.fit(
        x, 3 * x, epochs=epochs, initial_epoch=trial.step or 0, verbose=0, shuffle=False,
        validation_data=(x, 3 * x), callbacks=[trial.keras_callback()],
    )
"""


def test_the_callback_of_fit_reports_stops_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = trial_of(tmp_path / "whole", function_sweep(tmp_path / "whole", FIT))
    parts = trial_of(tmp_path / "parts", function_sweep(tmp_path / "parts", FIT), After(3), None)
    assert (whole.attempt.error, parts.attempt.error) == ("", "")
    assert [attempt.state for attempt in parts.attempts.values()] == ["waiting", "finished"]
    assert [one["epoch"] for one in whole.history()] == [1, 2, 3, 4]
    assert {"loss", "val_loss"} <= whole.attempt.metrics.keys()
    assert [one["metrics"] for one in parts.history()] == [one["metrics"] for one in whole.history()]


@pytest.mark.slow
def test_a_function_may_use_horovod(tmp_path: Path) -> None:
    code = """
def train(trial):
    import horovod.tensorflow as mine

    assert trial.horovod is mine
    return float(trial.horovod.size() + mine.rank())
"""
    run = planned(tmp_path, function_sweep(tmp_path, code, seeds=2))
    subprocess.run([sys.executable, "-m", "tests.jobs.plain_rank", str(run), "test-1-0"], check=True)
    for trial in Run(run).trials.values():
        assert (trial.attempt.error, trial.attempt.metrics) == ("", {"val_loss": 1.0})
