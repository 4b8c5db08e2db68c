"""Sweeps of functions and programs that workers carry out in this process. Used by tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hpc.jobs.check import check
from hpc.jobs.node.stop import StopRequest
from hpc.results import Run, TrialState
from hpc.sweeps import parse, read
from tests.jobs.studies import begin
from tests.jobs.working import carried_out, planned, worker_of

TRAININGS = Path(__file__).parents[1] / "trainings"


class WhenThere(StopRequest):
    """A signal that comes as soon as a file is there."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    @property
    def signal(self) -> str:
        return "SIGUSR2" if self._file.exists() else ""

    @signal.setter
    def signal(self, value: str) -> None: ...


def function_sweep(folder: Path, code: str, **entries: Any) -> dict[str, Any]:
    """A sweep of a function ``train`` with that code."""
    (folder / "mine.py").write_text(code)
    return {"name": "s", "train": "mine.py:train", "objective": "val_loss", **entries}


def trial_of(
    folder: Path, entries: dict[str, Any], *requests: StopRequest | None, **worker: Any
) -> TrialState:
    """The only trial of a sweep, of which one attempt after the other is made.

    Args:
        folder: to work in.
        entries: of the sweep.
        requests: to stop, one for each attempt; one that nobody stops unless given.
        worker: its settings.
    """
    run = planned(folder, entries)
    for number, request in enumerate(requests or [None]):
        worker_of(run, f"test-1-{number}", **worker)(request)
    (trial,) = Run(run, keep_epochs=True).trials.values()
    return trial


def searched(folder: Path, entries: dict[str, Any]) -> Run:
    """A run of a sweep with a pruner, or another search that workers ask, carried out."""
    study = begin(folder / "r", check(parse(entries, folder), 1))
    worker_of(folder / "r", "test-1-0")()
    assert study.left() == 0
    return Run(folder / "r", keep_epochs=True)


def notes_of(folder: Path) -> list[str]:
    """What was noted in the run of a folder."""
    return Run(folder / "r").notes


def ready(folder: Path, name: str) -> Run:
    """A run of a training that stands ready, carried out."""
    shutil.copytree(TRAININGS, folder, dirs_exist_ok=True)
    return carried_out(folder, read(TRAININGS / f"{name}.yaml").entries)
