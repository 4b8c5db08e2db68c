"""Trials and their epochs, as all targets of an export take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpc.results.store import Epochs, Run, TrialState
from hpc.results.tables import counted_epochs

Spans = list[list[int]]
"""Attempts and the last epoch of each that counts, in order: ``[[1, 5], [2, 9]]``."""


@dataclass(frozen=True)
class Exported:
    """What an export has done.

    Attributes:
        out: where to: a folder, or the address of MLflow.
        trials: that have begun, and so are there now.
        changed: of these, those of which something was new.
        epochs: that were new.
    """

    out: str
    trials: int
    changed: int
    epochs: int


@dataclass(frozen=True)
class Epoch:
    """One epoch that counts."""

    number: int
    time: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Course:
    """A trial and the epochs that led to where it is."""

    trial: TrialState
    spans: Spans
    epochs: list[Epoch]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.trial.state in ("finished", "pruned")

    def last(self, metric: str) -> dict[str, float]:
        """What is measured at the end only, as on the test part; and the best value of the objective."""
        if not self.is_over:
            return {}
        attempt = self.trial.attempt
        seen = {name for epoch in self.epochs[-1:] for name in epoch.metrics}
        values = {**attempt.metrics, f"best_{metric}": attempt.best}
        return {name: value for name, value in values.items() if name not in seen and value is not None}


def courses_of(run: Run) -> list[Course]:
    """Every trial that has begun, in the order of the sweep."""
    trials = [trial for trial in run.trials.values() if trial.attempts]
    trials.sort(key=lambda trial: trial.index)
    gathered, places = counted_epochs(Epochs(run), trials)
    columns = {name: gathered.column(name).to_pylist() for name in ("attempt", "epoch", "time")}
    metrics = {
        name.removeprefix("metrics."): gathered.column(name).to_pylist()
        for name in gathered.schema.names
        if name.startswith("metrics.")
    }
    found = [Course(trial, [], []) for trial in trials]
    for row, place in enumerate(places.tolist()):
        course, attempt, number = found[place], columns["attempt"][row], columns["epoch"][row]
        if course.spans and course.spans[-1][0] == attempt:
            course.spans[-1][1] = number
        else:
            course.spans.append([attempt, number])
        values = {name: column[row] for name, column in metrics.items() if column[row] is not None}
        course.epochs.append(Epoch(number, columns["time"][row], values))
    return found


def last_common_epoch(old: Sequence[Sequence[int]], new: Sequence[Sequence[int]]) -> int:
    """The last epoch up to which two courses are the same."""
    last = 0
    for before, after in zip(old, new, strict=False):
        if before[0] != after[0]:
            break
        last = min(before[1], after[1])
        if before[1] != after[1]:
            break
    return last


def params_of(run: Run, trial: TrialState) -> dict[str, Any]:
    """What a trial was trained with, by the names of the table's columns."""
    taken = {name: f"param_{name}" if name in ("seed", "fold", "model") else name for name in trial.params}
    params = {taken[name]: value for name, value in trial.params.items()}
    model = {"model": trial.model} if trial.model else {}
    fold = {"fold": trial.fold} if trial.fold is not None else {}
    return {**model, **params, "seed": trial.seed, **fold}
