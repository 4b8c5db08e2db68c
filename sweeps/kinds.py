"""The kinds of trainings that a sweep file may name: a model with data, a function, or a program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hpc.sweeps.document import Document

Kind = Literal["model", "function", "program"]

KEYS: dict[str, Kind] = {"model": "model", "train": "function", "command": "program"}
"""The entry that names the training, for each kind."""
EXAMPLES = {"name": "digits-mlp", "model": "mlp", "data": "digits"}
_WHAT = {"model": "a model", "train": "a function", "command": "a program"}
_OF_MODELS = {
    "data": "is for a model: {what} loads its own. What it needs to know of them goes under fixed.",
    "folds": "are parts of data that are loaded here, and {what} loads its own. Give it the number of the "
    "part as a hyperparameter, for example space: {{part: [0, 1, 2]}}.",
    "baselines": "are models that are trained on data that are loaded here, and {what} loads its own; write "
    "a sweep for each, and put them side by side with `hpc compare`.",
    "pack": "is for Keras models, which can be trained as one; {what} is called for each trial by itself.",
    "callbacks": "are for Keras' fit of a model, and {what} has its own; trial.keras_callback() goes into a "
    "fit that a function calls.",
    "backend": "chooses what trains a model, and {what} trains by itself.",
}
_OF_PROGRAMS = {
    "metrics": "are patterns on what a program prints, and go with command",
    "grace_seconds": "is how long a program may take to end, and goes with command",
}


def problems(document: Document) -> Iterator[str]:
    """One sentence for each entry that a sweep's kind of training lacks, or has nothing to do with."""
    entries = document.entries
    named = [key for key in KEYS if key in entries]
    if len(named) > 1:
        yield document.problem(
            (named[-1],),
            f"is one training too many, beside {named[0]}: a sweep trains a model (model with data), calls a "
            "function (train), or starts a program (command).",
        )
        return
    if not named:
        also = "; or name a function by train, or a program by command" if "data" not in entries else ""
        yield document.problem(("model",), f"is missing, for example `model: {EXAMPLES['model']}`{also}.")
    if (not named or named == ["model"]) and "data" not in entries:
        yield document.problem(("data",), f"is missing, for example `data: {EXAMPLES['data']}`.")
    if named and named != ["model"]:
        for key, why in _OF_MODELS.items():
            if key in entries:
                yield document.problem((key,), why.format(what=_WHAT[named[0]]))
    for key, why in _OF_PROGRAMS.items():
        if key in entries and named != ["command"]:
            yield document.problem((key,), f"{why}; there is {_WHAT[named[0]] if named else 'none'} here.")
