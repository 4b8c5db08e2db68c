"""The settings of a run, best first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpc.results.stats import half_width
from hpc.results.store import Attempt, Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[Any]]

from hpc.results.tables.by_point import trials_by_point
from hpc.results.tables.columns import parameter_columns


def leaderboard(run: Run, top: int = 10) -> pd.DataFrame:
    """The best settings, seeds and folds taken together, best first.

    A setting's value is the best of the objective that each of its trials reached, on average
    over its seeds and folds; settings of which no trial has finished come last.

    Args:
        run: as read.
        top: how many settings at most.

    Returns:
        One row per setting: ``rank`` (from 1), ``model`` (with baselines), ``case`` (where settings have
        names), the hyperparameters that vary,
        ``best_`` of the objective, its standard deviation over the trials (``std``, with more than one) and
        the 95% interval of its mean (``low``, ``high``; :func:`hpc.results.estimate`), ``test_`` of the
        objective's metric (with a test part), ``trials`` (finished ones), ``epochs`` and ``seconds`` on
        average, and ``trial_id`` of the best trial.
    """
    import numpy as np
    import pandas as pd

    best = f"best_{run.metric}"
    test = f"test_{run.metric.removeprefix('val_')}"
    after = [best, "std", "low", "high", test, "trials", "epochs", "seconds", "trial_id"]
    case = ["case"] if any(trial.case for trial in run.trials.values()) else []
    names = parameter_columns(run, {"rank", "model", *case, *after})
    varying = {name: names[name] for name in run.varying}
    means = [
        (_mean([trial.attempt.best for trial in trials]), trials)
        for trials in trials_by_point(run, run.ranked())
    ]
    sign = -1.0 if run.mode == "max" else 1.0
    means.sort(key=lambda row: (row[1][0].tier, sign * row[0]))
    rows: list[dict[str, Any]] = []
    for mean, trials in means[:top]:
        attempts: list[Attempt] = [trial.attempt for trial in trials]
        std = (
            float(np.std([attempt.best or 0.0 for attempt in attempts], ddof=1))
            if len(trials) > 1
            else math.nan
        )
        half = float(half_width(std, len(trials), folds=run.folds)) if len(trials) > 1 else math.nan
        row = {varying[name]: trials[0].params.get(name) for name in varying}
        row |= {
            "model": trials[0].model,
            "case": trials[0].case,
            best: mean,
            "std": std,
            "low": mean - half,
            "high": mean + half,
        }
        row |= {test: _mean([attempt.metrics.get(test) for attempt in attempts]), "trials": len(trials)}
        row |= {"epochs": round(sum(a.epochs for a in attempts) / len(attempts), 1)}
        row |= {"seconds": round(sum(a.seconds or 0.0 for a in attempts) / len(attempts), 2)}
        row |= {"trial_id": trials[0].trial_id}
        rows.append(row)
    columns = ["model", *case, *varying.values(), *after]
    frame = pd.DataFrame(rows, columns=columns)
    if not run.has_models:
        frame = frame.drop(columns=["model"])
    if frame[test].isna().all():
        frame = frame.drop(columns=[test])
    if frame["trials"].max() == 1 or frame.empty:
        frame = frame.drop(columns=["std", "low", "high", "trials"])
    frame.insert(0, "rank", range(1, len(frame) + 1))
    return frame


def _mean(values: Sequence[float | None]) -> float:
    """Of those that are known; NaN of none."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan
