"""The hyperparameters that a model takes, as it takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from hpc.jobs.options import PARAMETERS
from hpc.models import (
    Signature,
)
from hpc.sweeps import Sweep, Trial

WORLD_NAMES = ("rank", "size")
"""Arguments by which a function of the user's asks which rank it is on, and how many there are."""
OF_TRIAL = ("seed", "epochs", "batch_size", *WORLD_NAMES)
"""Arguments without a default that a function gets by their names, where no hyperparameter has these."""

OF_MODEL = (*OF_TRIAL, "steps_per_epoch")
"""Likewise, of a function that returns a model."""


def asked_names(signature: Signature, given: Mapping[str, Any]) -> list[str]:
    """The arguments that a function must get, and are not given to it: those without a default."""
    return [name for name, one in signature.parameters.items() if one.required and name not in given]


def given_by_name(
    names: Sequence[str], sweep: Sweep, trial: Trial, world: Mapping[str, int]
) -> dict[str, Any]:
    """The values for arguments that ask by their names: for hyperparameters, or for those of ``OF_TRIAL``.

    Args:
        names: of the arguments; those without a value are left out.
        sweep: with the defaults of the training.
        trial: whose hyperparameters count.
        world: ``rank`` and ``size``.
    """
    defaults = {name: PARAMETERS[name].default for name in OF_TRIAL if name in PARAMETERS}
    known = {**defaults, **sweep.defaults, "seed": trial.seed, **world, **trial.params}
    return {name: deepcopy(known[name]) for name in names if name in known}


def numbered(name: str, signature: Signature) -> str:
    """The parameter of a model that takes a list of which ``name`` is one entry; empty if there is none.

    As ``hidden_size_0`` and ``hidden_size_1`` make the list ``hidden_size``.
    """
    found = re.fullmatch(r"(.+)_\d+", name)
    is_known = name in signature.parameters or name in PARAMETERS or signature.open
    return found[1] if found and not is_known and found[1] in signature.parameters else ""


def with_lists(params: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    """Hyperparameters with numbered ones as the list that the model takes, in the order of their numbers."""
    found: dict[str, Any] = {}
    parts: dict[str, dict[int, Any]] = {}
    for name, value in params.items():
        whole = numbered(name, signature)
        if whole:
            parts.setdefault(whole, {})[int(name.rpartition("_")[2])] = value
        else:
            found[name] = value
    return found | {whole: [part[number] for number in sorted(part)] for whole, part in parts.items()}


def given_names(sweep: Sweep, model: Signature) -> set[str]:
    """The names of all hyperparameters that a sweep gives, and of the lists that numbered ones make."""
    names = {*sweep.dimensions, *sweep.fixed}
    return names | {whole for name in names if (whole := numbered(name, model))}


def arguments(signature: Signature, sweep: Sweep, trial: Trial) -> dict[str, Any]:
    """The hyperparameters that the model of a trial takes, as it takes them: its own, to do with as it likes.

    A default of the training is not one of the model's: a model that has an argument
    ``optimizer`` of its own keeps its own default, unless the sweep gives one.
    """
    defaults = sweep.defaults if trial.model == sweep.model else {}
    own = {name: value for name, value in defaults.items() if name not in PARAMETERS}
    taken = {
        name: value
        for name, value in with_lists({**own, **trial.params}, signature).items()
        if name in signature.parameters or (signature.open and name not in PARAMETERS)
    }
    return deepcopy(taken)  # or a model that empties its list would empty that of the next trial


def can_be_stored(default: Any) -> bool:
    """Whether YAML gives a default back as it was; a tuple would be a list to the user's function."""
    if isinstance(default, dict):
        return all(isinstance(name, str) and can_be_stored(value) for name, value in default.items())
    if isinstance(default, list):
        return all(map(can_be_stored, default))
    return type(default) in (bool, int, float, str, type(None))
