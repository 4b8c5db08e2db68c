"""One point of a sweep, and the name that never changes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """Concrete hyperparameters and a seed.

    Attributes:
        index: position in the sweep, from 0.
        trial_id: a short hash of everything that decides the outcome.
        params: name and value of every hyperparameter, those of ``fixed`` included.
        seed: of initialisation, shuffling and dropout.
    """

    index: int
    trial_id: str
    params: dict[str, Any]
    seed: int


def trial_id(model: str, data: Mapping[str, Any], params: Mapping[str, Any], seed: int) -> str:
    """``t`` and ten letters of base 32: 50 bits of the SHA-256 of the canonical JSON.

    It starts with a letter so that no table reader ever takes it for a number. Equal numbers
    give equal names (``1`` and ``1.0``), the order of keys plays no part, and a file given as
    ``path/to/file.py:function`` counts by its file's name, so that a project may be moved.
    """
    decisive = {
        "model": reference_name(model),
        "data": {**data, "name": reference_name(str(data["name"]))},
        "params": dict(params),
        "seed": seed,
    }
    text = json.dumps(_canonical(decisive), sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(text.encode()).digest()
    return "t" + base64.b32encode(digest).decode()[:10].lower()


def reference_name(reference: str) -> str:
    """``folder/file.py:function`` without the folder; anything else as it is."""
    file, colon, function = reference.rpartition(":")
    return f"{file.replace(chr(92), '/').rsplit('/', 1)[-1]}:{function}" if colon else reference


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
