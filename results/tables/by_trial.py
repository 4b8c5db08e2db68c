"""The table with one row per trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpc.results.stats import by_trial
from hpc.results.store import Run, TrialState

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[Any]]

from hpc.results.tables.columns import (
    case_column,
    code_column,
    fold_column,
    make_frame,
    model_column,
    parameter_columns,
    pareto_columns,
    stage_column,
)

_COSTS = ("node_hours", "core_hours", "gpu_hours", "energy_joules")


def trial_table(run: Run, trials: list[TrialState]) -> pd.DataFrame:
    """One row per trial."""
    attempts = [trial.attempt for trial in trials]
    metrics = list(dict.fromkeys(name for attempt in attempts for name in attempt.metrics))
    best = f"best_{run.metric}"
    stage, code, pareto = stage_column(trials), code_column(attempts), pareto_columns(run, trials)
    after = ["seed", "fold", *stage, *code, "epochs", *metrics, best, *pareto, "seconds", "ranks", "job_id",
             "node", "error", "started", *_COSTS]  # fmt: skip
    case = case_column(trials)
    names = parameter_columns(run, {"trial_id", "state", "reason", "model", *case, *after})
    columns: dict[str, list[Any]] = {
        "trial_id": [trial.trial_id for trial in trials],
        "state": [attempt.state for attempt in attempts],
        "reason": [attempt.reason or None for attempt in attempts],
        **model_column(run, trials),
        **case,
        **{names[name]: [trial.params.get(name) for trial in trials] for name in names},
        "seed": [trial.seed for trial in trials],
        **fold_column(run, trials),
        **stage,
        **code,
        "epochs": [attempt.epochs for attempt in attempts],
        **{name: [attempt.metrics.get(name) for attempt in attempts] for name in metrics},
        best: [attempt.best for attempt in attempts],
        **pareto,
        "seconds": [attempt.seconds for attempt in attempts],
        "ranks": [attempt.ranks for attempt in attempts],
        "job_id": [attempt.job_id or None for attempt in attempts],
        "node": [attempt.node or None for attempt in attempts],
        "error": [attempt.error or None for attempt in attempts],
        "started": [attempt.started or None for attempt in attempts],
    }
    frame = make_frame(
        columns, whole=["seed", "fold", "epochs", "ranks", "parameters"], real=[*metrics, best, "seconds"]
    )
    costs = by_trial(run)  # which has the same order
    return frame.assign(**{name: costs[name] for name in _COSTS})
