"""All of Optuna that this project touches and Optuna calls private, in one place.

Read in Optuna 5.0. When a later version moves one of these, tests/jobs/test_private.py says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState

__all__ = ["JournalOperation", "set_attribute", "stored", "trials_of"]


def stored(study: optuna.Study, trial: optuna.Trial) -> FrozenTrial:
    """A trial as the storage has it (``Study._storage``, ``Trial._trial_id``)."""
    return study._storage.get_trial(trial._trial_id)


def set_attribute(study: optuna.Study, trial: FrozenTrial, name: str, value: Any) -> None:
    """Write an attribute of a trial that this process has not asked for (``Study._storage``)."""
    study._storage.set_trial_user_attr(trial._trial_id, name, value)


def trials_of(study: optuna.Study, states: Sequence[TrialState]) -> list[FrozenTrial]:
    """Trials as a sampler is to see them, without copies (``Study._get_trials``)."""
    return study._get_trials(deepcopy=False, states=tuple(states))
