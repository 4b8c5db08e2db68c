"""Pairs of trials of two runs, and how their results differ."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hpc.results.store import Run, TrialState

if TYPE_CHECKING:
    import pandas as pd


def pair_trials(a: Run, b: Run) -> tuple[str, pd.DataFrame, str]:
    """What made the pairs, the table of them, and why there are none."""
    import pandas as pd

    columns = ["pair", "a", "b", "difference", "seconds_ratio"]
    if (a.metric, a.mode) != (b.metric, b.mode):
        why = f"the objectives differ ({a.mode} {a.metric}, {b.mode} {b.metric})"
        return "", pd.DataFrame(columns=columns), why
    ended = [[trial for trial in run.ranked() if trial.state in ("finished", "pruned")] for run in (a, b)]
    names = _compared(a, b)
    alike = {t.model for t in ended[0]} & {t.model for t in ended[1]}

    def point(trial: TrialState) -> list[Any]:
        model = [trial.model] if alike else []  # two models are compared where all else is the same
        return [*model, {name: trial.params[name] for name in names if name in trial.params}]

    def as_text(trial: TrialState, *further: Any) -> str:
        return json.dumps([*point(trial), *further], sort_keys=True)

    ways: dict[str, Callable[[TrialState], str]] = {
        "trial": lambda trial: trial.trial_id,
        "seed": lambda trial: as_text(trial, trial.seed, trial.fold),
        "point": as_text,
    }
    for way, key in ways.items():
        rows: list[list[Any]] = []
        for both in _matched(ended, key).values():
            values = [_mean(trial.attempt.best for trial in trials) for trials in both]
            seconds = [_mean(map(seconds_of, trials)) for trials in both]
            name = _pair_name(both[0][0], way, names)
            rows.append([name, *values, values[1] - values[0], _ratio(*seconds)])
        if rows:
            return way, pd.DataFrame(rows, columns=columns), ""
    why = "no trial of one of them has ended well" if not all(ended) else "they have no setting in common"
    return "", pd.DataFrame(columns=columns), why


def _compared(a: Run, b: Run) -> list[str]:
    """Hyperparameters that both runs have, and that differ between trials of one of them.

    One that is the same in all trials of a run, and another in all of the other's, is what has been changed.
    """
    others = set(b.parameters())
    found = []
    for name in a.parameters():
        values = [{repr(t.params[name]) for t in run.trials.values() if name in t.params} for run in (a, b)]
        if name in others and max(map(len, values)) > 1:
            found.append(name)
    return found


def _matched(
    ended: Sequence[Iterable[TrialState]], key: Callable[[TrialState], str]
) -> dict[str, tuple[list[TrialState], list[TrialState]]]:
    """The trials of both runs for each key that is in both, in the order of the first sweep."""
    groups: list[dict[str, list[TrialState]]] = [{}, {}]
    for group, trials in zip(groups, ended, strict=True):
        for trial in sorted(trials, key=lambda trial: trial.index):
            group.setdefault(key(trial), []).append(trial)
    return {name: (trials, groups[1][name]) for name, trials in groups[0].items() if name in groups[1]}


def _pair_name(trial: TrialState, way: str, names: Sequence[str]) -> str:
    if way == "trial":
        return trial.trial_id
    params = [f"{name}={format_entry(trial.params[name])}" for name in names if name in trial.params]
    fold = [f"fold={trial.fold}"] if trial.fold is not None else []
    return " ".join([*params, *([f"seed={trial.seed}", *fold] if way == "seed" else [])])


def seconds_of(trial: TrialState) -> float | None:
    """How long a trial took; its part, of a pack."""
    attempt = trial.attempt
    return attempt.seconds / attempt.lanes if attempt.seconds else None


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def _ratio(a: float, b: float) -> float:
    return b / a if a > 0 and b > 0 else math.nan


def format_entry(value: Any) -> str:
    """An entry of a sweep or of a provenance as text."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
