"""The model and the dataset that a sweep names, or the function, or the program."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hpc.jobs.commands import Command
from hpc.models import (
    SPLIT_OPTIONS,
    Reference,
    SplitOptions,
    dataset_reference,
    function_reference,
    model_reference,
)
from hpc.sweeps import Sweep


def model_of(sweep: Sweep, name: str = "") -> Reference:
    """The model that a sweep names, or the one of that name among its baselines."""
    return model_reference(name or sweep.model, sweep.folder)


def data_of(sweep: Sweep) -> Reference:
    """The dataset that a sweep names."""
    return dataset_reference(sweep.data["name"], sweep.folder)


def function_of(sweep: Sweep) -> Reference:
    """The function that trains, which a sweep names."""
    return function_reference(sweep.train, sweep.folder)


def command_of(sweep: Sweep) -> Command:
    """The program that trains, which a sweep names."""
    return Command(tuple(sweep.command), sweep.folder)


def data_options(sweep: Sweep) -> dict[str, Any]:
    """The options of the data, as given."""
    return {name: value for name, value in sweep.data.items() if name != "name"}


def function_options(sweep: Sweep) -> dict[str, Any]:
    """The options that the dataset's function takes: copies, to do with as it likes."""
    own = data_of(sweep).signature().parameters
    taken = {name: v for name, v in data_options(sweep).items() if name in own or name not in SPLIT_OPTIONS}
    return deepcopy(taken)


def split_options_of(sweep: Sweep) -> SplitOptions:
    """The options of every dataset: how it is split, and what its targets are."""
    taken = dict(function_options(sweep))
    if data_of(sweep).reader:
        taken.pop("classes", None)  # which means the same to both
    return SplitOptions(**{name: v for name, v in data_options(sweep).items() if name not in taken})
