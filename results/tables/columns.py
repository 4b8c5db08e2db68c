"""Columns of tables: their names, their types, and those that only some runs have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hpc.results.stats import front
from hpc.results.store import STATES, Attempt, Run, TrialState

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[Any]]


CODE_LETTERS = 8
"""Of a digest, by which tables tell codes apart."""


def model_column(run: Run, trials: Iterable[TrialState]) -> dict[str, list[Any]]:
    """The column that tells the model from its baselines, if there are any."""
    return {"model": [trial.model for trial in trials]} if run.has_models else {}


def case_column(trials: Sequence[TrialState]) -> dict[str, list[Any]]:
    """The column of the names of settings, if they have any."""
    names = [trial.case or None for trial in trials]
    return {"case": names} if any(names) else {}


def stage_column(trials: Sequence[TrialState]) -> dict[str, list[Any]]:
    """The column that tells trials which confirm a setting, if there are any."""
    stages = [trial.stage or None for trial in trials]
    return {"stage": stages} if any(stages) else {}


def code_column(attempts: Sequence[Attempt]) -> dict[str, list[Any]]:
    """The column that tells trials of one code from those of another, where the user's files have changed."""
    codes = [attempt.code[:CODE_LETTERS] or None for attempt in attempts]
    return {"code": codes} if len(set(codes) - {None}) > 1 else {}


def pareto_columns(run: Run, trials: Sequence[TrialState]) -> dict[str, list[Any]]:
    """Of several objectives: the number of weights, if it is one, and which trials no other dominates."""
    if len(run.objectives) < 2:
        return {}
    best = front(run)
    names = [name for name, _ in run.objectives]
    weights = {"parameters": [trial.attempt.workload.get("parameters") for trial in trials]}
    return {
        **(weights if "parameters" in names else {}), "pareto": [trial.trial_id in best for trial in trials]
    }  # fmt: skip


def fold_column(run: Run, trials: Iterable[TrialState]) -> dict[str, list[Any]]:
    """The column of folds, if there are any."""
    return {"fold": [trial.fold for trial in trials]} if run.has_folds else {}


def make_frame(columns: dict[str, Any], whole: list[str], real: list[str]) -> pd.DataFrame:
    """A frame of columns: whole numbers, real numbers, times, categories."""
    import pandas as pd

    series: dict[str, Any] = {}
    for name, values in columns.items():
        if name in real:
            series[name] = pd.array(values, dtype="float64")
        elif name in whole:
            series[name] = pd.array(values, dtype="Int64" if None in values else "int64")
        elif name == "started":
            series[name] = (
                pd.to_datetime(pd.array(values, dtype="float64"), unit="s", utc=True)
                .round("ms")
                .as_unit("ms")
            )
        elif name == "state":
            series[name] = pd.Categorical(values, STATES)
        elif name in ("trial_id", "reason", "error"):  # texts that people fill, cut and search
            series[name] = values
        else:
            series[name] = _typed(values)
    return pd.DataFrame(series)


def _typed(values: list[Any]) -> Any:
    """Values of a hyperparameter, as a column that CSV and Parquet can hold; lists become JSON.

    What is of several kinds becomes text: "adam" beside 3, True beside 0.5.
    """
    import pandas as pd

    kinds = {type(value) for value in values}
    some = kinds - {type(None)}
    if not some:
        return values
    if some & {list, dict}:
        values = [None if value is None else json.dumps(value) for value in values]  # [64, 32] beside 128
    elif some == {bool}:
        return pd.array(values, dtype="bool" if kinds == some else "boolean")
    elif some == {int} and all(value is None or abs(value) < 2**63 for value in values):
        return pd.array(values, dtype="int64" if kinds == some else "Int64")
    elif some <= {int, float}:
        return pd.array(values, dtype="float64")
    elif some != {str}:
        values = [None if value is None else str(value) for value in values]
    return pd.Categorical(values)


def parameter_columns(run: Run, taken: set[str]) -> dict[str, str]:
    """The column of each hyperparameter."""
    return {name: f"param_{name}" if name in taken else name for name in run.parameters()}
