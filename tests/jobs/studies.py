"""Searches whose trials are told by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from hpc import sweeps
from hpc.jobs.source.entries import entries_of
from hpc.jobs.source.study import Asked, Study, open_study
from hpc.results import Plan, Records, Run, create
from hpc.sweeps import Sweep

SPACE: dict[str, Any] = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": -1.0, "high": 1.0}}


def sweep_of(**changes: Any) -> Sweep:
    entries: dict[str, Any] = {
        "name": "s", "model": "any.py:build", "data": "digits", "space": SPACE, "fixed": {"epochs": 3},
        "search": {"method": "tpe", "trials": 12}, "objective": {"metric": "val_accuracy", "mode": "max"},
    }  # fmt: skip
    return sweeps.parse({**entries, **changes})


def begin(folder: Path, sweep: Sweep, storage: str = "") -> Study:
    """The folder of a run, and its study."""
    trials = [trial.to_record() for trial in sweep.trials]
    objective = sweep.objective
    plan = Plan(
        "s", objective.metric, objective.mode, list(sweep.space), trials, sweep.as_yaml(), "{}", sweep.size
    )
    create(folder, plan)
    write(folder, "study", name=f"s-{sweep.size}", storage=storage)  # the tests share a database
    study = open_study(sweep, Run(folder))
    study.prepare()
    return study


def write(folder: Path, record: str, **entries: Any) -> None:
    records = Records(folder / "records" / "run.jsonl")
    records.append(record, **entries)
    records.close()


def value_of(asked: Asked) -> float:
    params = asked.trial.params
    return float(1 - abs(params["x"] - 0.3) - abs(params.get("y", 0.0)))


def started(folder: Path, asked: Asked, job: str) -> None:
    facts = {**asked.trial.to_record(), "attempt": asked.attempt}
    write(folder, "started", **facts, ranks=1, job=job, node="n")


def finish(study: Study, asked: Asked, folder: Path | None = None, job: str = "w") -> None:
    """What a worker does with a trial."""
    value = value_of(asked)
    if folder is not None:
        started(folder, asked, job)
        who = {"trial": asked.trial.trial_id, "attempt": asked.attempt}
        write(folder, "finished", **who, epochs=3, metrics={"val_accuracy": value}, best=value, seconds=1.0)
    study.tell(asked.trial, "finished", {"val_accuracy": value}, value)


def running(study: Study) -> int:
    return sum(
        len(entries_of(which, TrialState.RUNNING)) for which in (study.studies.search, study.studies.confirm)
    )
