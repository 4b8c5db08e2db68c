"""The models, datasets and hyperparameters that there are, in words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from hpc.jobs.options import PARAMETERS
from hpc.models import DATASETS, FROM_DATA, MODELS, READERS, SPLIT_OPTIONS, Parameter, signature_of


def models() -> dict[str, list[str]]:
    """A few lines about each model, and about the options of every training."""
    found = {name: _lines(entry.build) for name, entry in MODELS.items()}
    training = ["Hyperparameters of every training, beside those of the model:"]
    found["(training)"] = training + [_line(parameter) for parameter in PARAMETERS.values()]
    return found


def data() -> dict[str, list[str]]:
    """A few lines about each dataset, about files, and about the options of all."""
    found = {name: _lines(entry.build) for name, entry in DATASETS.items()}
    found |= {f"FILE{suffix}": _lines(reader.read) for suffix, reader in READERS.items()}
    found["(every dataset)"] = ["Options of every dataset:", *map(_line, SPLIT_OPTIONS.values())]
    return found


def _lines(function: Callable[..., Any]) -> list[str]:
    doc = (inspect.getdoc(function) or "").splitlines()
    parameters: Mapping[str, Parameter] = signature_of(function).parameters
    return [
        doc[0] if doc else "",
        *(_line(p) for p in parameters.values() if p.name not in (*FROM_DATA, "path")),
    ]


def _line(parameter: Parameter) -> str:
    wanted = parameter.format_type()
    default = "" if parameter.default is None else f" [{parameter.default}]"
    return f"{parameter.name}: {wanted}{default}"
