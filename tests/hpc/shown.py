"""A run to look at by commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpc import results, sweeps
from hpc.results import Plan

DEFAULTS = {"dropout": 0.0, "optimizer": "adam", "batch_size": 32}


def make(folder: Path, **changes: Any) -> list[str]:
    """A run in which nothing has begun yet; the ids of its trials."""
    entries = {
        "name": "x",
        "model": "mlp",
        "data": {"name": "digits", "train": 256},
        "space": {"hidden_size": [8, [16, 8], 32]},
        "fixed": {"epochs": 4, "learning_rate": 0.01},
        "objective": "val_accuracy",
        "defaults": DEFAULTS,
        **changes,
    }
    sweep = sweeps.parse(entries, folder.parent)
    objective, trials = sweep.objective, [trial.to_record() for trial in sweep.trials]
    space = list(sweep.space)
    results.create(
        folder, Plan("x", objective.metric, objective.mode, space, trials, sweep.as_yaml(), "{}\n")
    )
    return [trial.trial_id for trial in sweep.trials]
