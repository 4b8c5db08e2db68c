"""Many commands at once on one run: one carries it out, the others wait, read or say who does."""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpc import results, running, sweeps, watching
from hpc.outcome import Outcome, View
from hpc.results import Run, RunError
from tests.hpc import standin

SWEEP: dict[str, Any] = {
    "name": "x", "model": "mlp", "data": "digits", "space": {"dropout": [n / 100 for n in range(24)]},
    "fixed": {"epochs": 2}, "objective": {"metric": "val_accuracy", "mode": "max"}, "search": "grid",
}  # fmt: skip


def one_of(number: int, folder: Path) -> str:
    """What the n-th of the crowd does, and what comes of it."""
    actions: list[Callable[[], object]] = [
        lambda: running.run(sweeps.parse(SWEEP), folder=folder, workers=8, view=View()),
        lambda: running.resume(folder, view=View()),
        lambda: len(results.table(folder)),
        lambda: json.dumps(watching.status(folder)),
        lambda: results.save(Run(folder)),
    ]
    deadline = time.monotonic() + 30
    while not (folder / "sweep.yaml").exists() and number % 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    try:
        found = actions[number % 5]()
    except RunError as error:
        return "refused" if "is being carried out by process" in str(error) else f"RunError: {error}"
    return f"trained {found.trained}" if isinstance(found, Outcome) else "read"


def test_25_commands_at_once_train_each_trial_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.use(monkeypatch)
    monkeypatch.setattr(standin, "PAUSE_SECONDS", 0.02)
    folder, children = tmp_path / "r", []
    for number in range(25):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other tests may have left threads
            child = os.fork()
        if not child:
            signal.alarm(120)
            try:
                found = one_of(number, folder)
            except BaseException:
                found = traceback.format_exc()
            (tmp_path / f"said-{number}").write_text(found)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    said = Counter((tmp_path / f"said-{number}").read_text() for number in range(25))
    assert said.pop("trained 24") == 1
    assert set(said) <= {"refused", "trained 0", "read"}, said
    assert said["read"] == 15
    run = Run(folder)
    assert run.skipped() == {}
    assert [trial.state for trial in run.trials.values()] == ["finished"] * 24
    assert all(list(trial.attempts) == [1] for trial in run.trials.values())
