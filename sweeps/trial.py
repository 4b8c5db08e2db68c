"""One trial of a sweep, and its id, which never changes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One setting with a seed, trained once.

    Attributes:
        index: position in the sweep, from 0.
        trial_id: a short hash of everything that decides the outcome.
        params: name and value of every hyperparameter, those of ``fixed`` included.
        seed: the seed of initialization, shuffling and dropout.
        model: as the sweep names it, or one of its baselines; a function that trains; empty of a program.
        fold: which part of the training samples is for validation, from 0; None without folds.
        stage: ``confirm`` for a trial that confirms a setting; else empty.
        case: the name of the setting, if the sweep lists it with one; else empty.
    """

    index: int
    trial_id: str
    params: dict[str, Any]
    seed: int
    model: str
    fold: int | None = None
    stage: str = ""
    case: str = ""

    def to_record(self) -> dict[str, Any]:
        """The trial as plain values, as records hold it."""
        further: dict[str, Any] = {} if self.fold is None else {"fold": self.fold}
        further |= {"stage": self.stage} if self.stage else {}
        further |= {"case": self.case} if self.case else {}
        return {
            "trial": self.trial_id, "index": self.index, "params": self.params, "seed": self.seed,
            "model": self.model, **further,
        }  # fmt: skip


def trial_id(
    model: str,
    data: Mapping[str, Any],
    params: Mapping[str, Any],
    seed: int,
    fold: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> str:
    """``t`` and ten letters of base 32: 50 bits of the SHA-256 of the canonical JSON.

    It starts with a letter so that no table reader ever takes it for a number. Equal numbers
    give equal names (``1`` and ``1.0``), the order of keys plays no part, and a file given as
    ``path/to/file.py:function`` counts by its file's name, so that a project may be moved. So does
    a file of data. ``fold`` says which of how many folds, and how they are made; ``training`` how it is
    trained, where the sweep says so.
    """
    decisive: dict[str, Any] = {
        "model": reference_name(model),
        "data": {**data, "name": reference_name(str(data["name"]))},
        "params": dict(params),
        "seed": seed,
    }
    if fold is not None:
        decisive["fold"] = fold
    decisive |= training or {}
    return _hashed(decisive)


def called_id(training: Mapping[str, Any], params: Mapping[str, Any], seed: int) -> str:
    """As :func:`trial_id`, of a trial that calls a function or starts a program.

    Args:
        training: ``train``, or ``command`` and the patterns of ``metrics``.
        params: hyperparameters.
        seed: of the trial.
    """
    mine = {**training, "train": reference_name(training["train"])} if "train" in training else training
    return _hashed({**mine, "params": dict(params), "seed": seed})


def _hashed(decisive: Mapping[str, Any]) -> str:
    text = json.dumps(_canonical(decisive), sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(text.encode()).digest()
    return "t" + base64.b32encode(digest[:10]).decode()[:10].lower()


def place_and_function(reference: str) -> tuple[str, str]:
    """The file or module of ``file.py:function``, and the function; of anything else all, and no function.

    Folders may have colons in their names: only one before the name of a function counts.
    """
    place, _, function = reference.rpartition(":")
    return (place, function) if place and function.isidentifier() else (reference, "")


def names_a_file(reference: str) -> bool:
    """Whether a model or dataset is in a file: ``file.py:function``, or one of data like ``a.csv``."""
    place, function = place_and_function(reference)
    return place.endswith(".py") if function else "." in reference


def reference_name(reference: str) -> str:
    """A file without its folder; anything else as it is.

    Names of trials are made of it. So of data in a folder like ``10:30``, given with that folder, it has
    what stands around the last colon, as it always had; ``Sweep.names`` has the name of one that was given
    without.
    """
    file, colon, function = reference.rpartition(":")
    name = (file if colon else function).replace("\\", "/").rsplit("/", 1)[-1]
    return f"{name}:{function}" if colon else name if names_a_file(reference) else reference


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
