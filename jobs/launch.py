"""The settings that one submission hands to its jobs: a file of JSON beside their logs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hpc.jobs.launchers.base import DEFAULT
from hpc.jobs.spec import WorkerSpec
from hpc.results import Run, TrialState, write_text

FILE = "launch.json"
_OF_THE_WORKER = {
    "ranks": "ranks", "threads": "threads", "gpus": "gpus", "checkpoint_min": "checkpoint_min",
    "rehearse": "inject_fault", "measure": "measure", "files": "files",
}  # fmt: skip
"""Entries that earlier versions wrote beside the settings of the launch, and their names in the worker's."""


@dataclass(frozen=True)
class Launch:
    """Jobs that were submitted by one command.

    Attributes:
        number: of the launch in its run; its folder is ``jobs/<number>``.
        jobs: for each job the ids of its trials, in the order to train them; none if workers ask for
            them. Earlier versions wrote their places in the sweep.
        worker: the settings of all workers, but for those that only a job knows.
        python: the command that starts Python.
        cwd: where the user typed the command.
        groups: into which a job's ranks are split, each training its own trials.
        backend: ``auto``, ``mpi`` or ``gloo``.
        mpi: by which interface of the launcher an MPI finds the ranks, or ``auto``.
        srun: further arguments of the command that starts ranks.
        requeues: how many times a job may be requeued.
        retry: how many times a trial is tried again, by the reason for which it failed.
        asks: whether workers ask the run's search for their trials.
        environment: variables for a job that does not have them; see ``rank_info.for_jobs``.
        launcher: what starts the ranks, by its name in ``launchers/registry.py``; earlier versions had one.
    """

    number: int
    jobs: tuple[tuple[str | int, ...], ...]
    worker: WorkerSpec
    python: str
    cwd: str
    groups: int = 1
    backend: str = "auto"
    mpi: str = "auto"
    srun: tuple[str, ...] = ()
    requeues: int = 20
    retry: Mapping[str, int] = field(default_factory=dict)
    asks: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    launcher: str = DEFAULT

    @property
    def ranks(self) -> int:
        """Of each job, all groups together."""
        return self.worker.ranks

    def names(self, number: int, run: Run) -> list[str]:
        """The ids of the trials of one of the jobs, in the order to train them.

        Args:
            number: of the job in this launch.
            run: that the launch is of.
        """
        mine = self.jobs[number]
        if not any(isinstance(one, int) for one in mine):
            return [str(one) for one in mine]
        by_place = {trial.index: trial.trial_id for trial in run.trials.values()}
        return [by_place[int(one)] for one in mine]

    def trials(self, number: int, run: Run) -> list[TrialState]:
        """The trials of one of the jobs, in the order to train them; arguments as of :meth:`names`.

        Raises:
            KeyError: the run has lost one of them.
        """
        return [run.trials[name] for name in self.names(number, run)]

    def write(self, folder: Path) -> None:
        """Write it into the folder of the launch."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / FILE, json.dumps(asdict(self)) + "\n")

    @staticmethod
    def read(folder: Path) -> Launch:
        """Read it from the folder of the launch.

        Raises:
            OSError, ValueError, TypeError: there is none that can be read.
        """
        return Launch.of_json(json.loads((folder / FILE).read_text()))

    @staticmethod
    def of_json(entries: Mapping[str, Any]) -> Launch:
        """Read one, as this or an earlier version has written it.

        Raises:
            KeyError, TypeError: these are not the entries of one.
        """
        mine = {name: value for name, value in entries.items() if name not in _OF_THE_WORKER}
        its = {name: entries[old] for old, name in _OF_THE_WORKER.items() if old in entries}
        mine["worker"] = WorkerSpec.of_json(entries.get("worker", {"threads": 0, **its}))
        mine["jobs"] = tuple(tuple(job) for job in entries["jobs"])
        mine["srun"] = tuple(entries.get("srun", ()))
        return Launch(**mine)
