"""The table with one row per setting: trials over seeds and folds taken together."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hpc.results.stats import half_width
from hpc.results.store import Run, TrialState

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[Any]]

from hpc.results.tables.base import Runs, each_run
from hpc.results.tables.gathering import _one


def points(runs: Runs) -> pd.DataFrame:
    """One row per setting, its trials over seeds and folds taken together, in the order of the sweep.

    Args:
        runs: the folder of a run, or several; with several, a first column ``run`` names them.

    Returns:
        ``model`` (with baselines), a column per hyperparameter, ``trials`` (finished ones), then
        for the last value of every metric, ``best_`` of the objective, ``epochs`` and ``seconds``
        the mean and, called ``_std``, the standard deviation over the trials (n - 1; nothing for
        a single one); for ``best_`` of the objective also ``_low`` and ``_high``, the ends of the 95%
        interval of the mean (:func:`hpc.results.estimate`).

    Raises:
        RunError: one of them is not the folder of a run.
    """
    return each_run(runs, _points)


def _points(run: Run) -> pd.DataFrame:
    import pandas as pd

    best = f"best_{run.metric}"
    frame = _one(run, epochs=False).set_index("trial_id")
    names = [str(name) for name in frame]
    seed = names.index("seed")  # hyperparameters stand before it, what was measured after
    point, after = frame[names[2:seed]], frame.loc[:, "seed":"seconds"]
    measured = ["epochs", *after.select_dtypes("float64")]
    taken = {"trials", *measured, *(f"{name}_std" for name in measured), f"{best}_low", f"{best}_high"}
    groups = [[trial.trial_id for trial in trials] for trials in trials_by_point(run, run.counted())]
    made = point.loc[[group[0] for group in groups]].reset_index(drop=True)
    made = made.rename(columns={name: f"param_{name}" for name in point if name in taken})
    made["trials"] = pd.array([len(group) for group in groups], dtype="int64")
    numbers = {name: number for number, group in enumerate(groups) for name in group}
    parts = after.loc[list(numbers), measured].astype("float64").groupby(list(numbers.values()))
    means, deviations = parts.mean(), parts.std()
    for name in measured:
        made[name], made[f"{name}_std"] = means[name], deviations[name]
        if name == best:
            half = half_width(deviations[name], made["trials"], folds=run.folds)
            made[f"{name}_low"], made[f"{name}_high"] = means[name] - half, means[name] + half
    return made


def trials_by_point(run: Run, trials: Iterable[TrialState]) -> list[list[TrialState]]:
    """Trials that have ended well and differ in seed and fold only; pruned ones where there are no others."""
    groups: dict[str, list[TrialState]] = {}
    for trial in trials:
        if trial.state in ("finished", "pruned"):
            key = json.dumps([trial.model, trial.params], sort_keys=True)
            groups.setdefault(key, []).append(trial)
    whole = [[trial for trial in group if trial.state == "finished"] for group in groups.values()]
    return [finished or group for finished, group in zip(whole, groups.values(), strict=True)]
