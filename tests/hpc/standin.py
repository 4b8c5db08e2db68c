"""A worker that trains nothing: it writes what a real one would, at once and in this process."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpc.jobs import stored
from hpc.jobs.node.processes import Identity
from hpc.jobs.source.study import open_study
from hpc.jobs.spec import Task, WorkerSpec
from hpc.profile import Resources
from hpc.results import Records, Run
from hpc.sweeps import Sweep

EPOCHS = 2
PAUSE_SECONDS = 0.0
"""After each trial."""


def value_of(trial_id: str) -> float:
    """What a trial comes to; no two come to the same."""
    return int.from_bytes(hashlib.sha256(trial_id.encode()).digest()[:6]) / 2**48


class InstantJob:
    """Stands in for :class:`hpc.schedulers.local.LocalJob`."""

    def __init__(self, spec: WorkerSpec, folder: Path, resources: Resources) -> None:
        self.spec, self.job_id, self._log = spec, spec.job_id, folder.resolve() / "0_log.out"
        self.process = Identity(2**22 + 1, 1.0, "another boot/1")  # of no process
        folder.mkdir(parents=True, exist_ok=True)
        self._has_worked = False

    def log(self, rank: int = 0) -> Path:
        return self._log

    def is_done(self) -> bool:
        if not self._has_worked:
            self._has_worked = True
            self._work()
        return True

    def stop(self, grace_seconds: float) -> None:
        """There is nothing to stop."""

    def has_succeeded(self) -> bool:
        return True

    def failure(self) -> str:
        return ""

    def tail(self, lines: int = 20) -> str:
        return ""

    def _work(self) -> None:
        folder = Path(self.spec.folder)
        sweep = stored.load(folder)
        records = Records(folder / "records" / f"{self.job_id}.jsonl")
        records.append("ready", job=self.job_id, nodes=1.0, cores=1, gpus=0)
        if sweep.uses_ask_tell:
            self._ask(sweep, folder, records)
        else:
            for task in self.spec.tasks:
                self._train(sweep, records, replace(task, trial=sweep.recognize(task.trial)))
        records.append("left", job=self.job_id, label="", how="done")
        records.close()

    def _ask(self, sweep: Sweep, folder: Path, records: Records) -> None:
        study = open_study(sweep, Run(folder))
        while (asked := study.ask(self.job_id)) is not None:
            self._train(sweep, records, Task(asked.trial, asked.attempt))
            study.tell(asked.trial, "finished", {sweep.objective.metric: 0.0}, value_of(asked.trial.trial_id))

    def _train(self, sweep: Sweep, records: Records, task: Task) -> None:
        trial = task.trial
        best, metric = value_of(trial.trial_id), sweep.objective.metric
        who = {"trial": trial.trial_id, "attempt": task.attempt}
        records.append(
            "started", **{**trial.to_record(), **who}, ranks=self.spec.ranks, job=self.job_id, node="n1",
            code="", lanes=1,
        )  # fmt: skip
        metrics: dict[str, Any] = {}
        for epoch in range(1, EPOCHS + 1):  # the lower loss is that of the worst trial
            metrics = {metric: best * epoch / EPOCHS, "val_loss": best}
            records.append("epoch", **who, epoch=epoch, metrics=metrics, seconds=float(epoch))
        time.sleep(PAUSE_SECONDS)
        records.append("finished", **who, epochs=EPOCHS, metrics=metrics, best=best, seconds=float(EPOCHS))


def use(patch: pytest.MonkeyPatch) -> None:
    """Let commands start such workers."""
    patch.setattr("hpc.schedulers.local.LocalJob", InstantJob)
    patch.setattr("hpc.local_run.POLL_SECONDS", 0.0)
