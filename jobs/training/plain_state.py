"""The attributes of an object as plain values and arrays, without pickles."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hpc.models import Array

OPERATIONS = ("less", "greater", "less_equal", "greater_equal")
"""Functions of ``keras.ops`` that callbacks keep as attributes, to compare by."""
LARGE_BYTES, LOOKED_AT = 2**24, 4096
"""Arrays above this are not read whole to see whether they have changed, but so many of their numbers."""
PASSED_OVER = ("model", "_model", "params", "validation_data")
"""Attributes that ``fit`` sets."""


class NotPlainError(ValueError):
    """A value that is made of other things than numbers, words, lists, groups and arrays."""


def encode(value: Any, arrays: list[Array]) -> Any:
    """A value as JSON; its arrays are appended to ``arrays``.

    Raises:
        NotPlainError: it can't be.
    """
    if value is None or isinstance(value, (bool, str)) or type(value) in (int, float):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.hasobject:
            raise NotPlainError("an array of objects")
        arrays.append(np.array(value))
        return {"array": len(arrays) - 1, "number": isinstance(value, np.generic)}
    if isinstance(value, np.random.Generator):
        return {"generator": encode(value.bit_generator.state, arrays)}
    if isinstance(value, np.random.RandomState):
        return {"random": encode(value.get_state(legacy=False), arrays)}
    if type(value) in (list, tuple):
        return {type(value).__name__: [encode(one, arrays) for one in value]}
    if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections"):
        return {"items": [[encode(key, arrays), encode(one, arrays)] for key, one in value.items()]}
    if getattr(value, "__module__", "").startswith("keras.") and getattr(value, "__name__", "") in OPERATIONS:
        return {"operation": value.__name__}
    raise NotPlainError(type(value).__name__)


def decode(text: Any, arrays: Sequence[Array], now: Any = None) -> Any:
    """Undo :func:`encode`; ``now`` is the value that is there, whose random generator is set."""
    if not isinstance(text, dict):
        return text
    (kind, given), *further = text.items()
    if kind == "array":
        value = arrays[given]
        return value[()] if dict(further)["number"] else value
    if kind in ("list", "tuple"):
        values = [decode(one, arrays) for one in given]
        return values if kind == "list" else tuple(values)
    if kind == "items":
        return {decode(key, arrays): decode(one, arrays) for key, one in given}
    if kind == "operation":
        import keras

        return getattr(keras.ops, given)
    state = decode(given, arrays)
    if kind == "generator":
        now.bit_generator.state = state
    else:
        now.set_state(state)
    return now


def attributes(value: object, arrays: list[Array], but: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The attributes of an object that are plain, as JSON.

    Args:
        value: the object.
        arrays: takes its arrays.
        but: digests of attributes that are left out while they are what they were, as :func:`digests` gives.
    """
    found: dict[str, Any] = {}
    for name, one in _own(value):
        mine: list[Array] = []
        try:
            if but is not None and but.get(name) == _mark(one):
                continue
            text = encode(one, mine)
        except (NotPlainError, RecursionError):
            continue
        found[name] = _shifted(text, len(arrays))
        arrays += mine
    return found


def digests(value: object) -> dict[str, str]:
    """A digest of each plain attribute of an object."""
    found = {}
    for name, one in _own(value):
        try:
            found[name] = _mark(one)
        except (NotPlainError, RecursionError):
            continue
    return found


def restore(value: object, found: Mapping[str, Any], arrays: Sequence[Array]) -> None:
    """Give an object the attributes that :func:`attributes` gave."""
    for name, text in found.items():
        setattr(value, name, decode(text, arrays, getattr(value, name, None)))


def lost(value: object) -> list[str]:
    """The names of attributes that are not plain, nor functions, and so are not kept."""
    found = []
    for name, one in _own(value):
        try:
            encode(one, [])
        except (NotPlainError, RecursionError):
            if not callable(one):
                found.append(name)
    return found


def _own(value: object) -> Iterable[tuple[str, Any]]:
    entries = getattr(value, "__dict__", {})
    return [(name, one) for name, one in entries.items() if name not in PASSED_OVER]


def _mark(value: Any) -> str:
    """A digest of a value; of a large array by some of its numbers, or a file of samples would be read."""
    from hpc.jobs.training.samples import digest

    arrays: list[Array] = []
    if isinstance(value, np.ndarray) and value.nbytes > LARGE_BYTES:
        return digest([value.reshape(-1)[:: value.size // LOOKED_AT]])
    text = encode(value, arrays)
    return json.dumps(text, sort_keys=True) + digest(arrays)


def _shifted(text: Any, by: int) -> Any:
    """The same with arrays that stand further behind."""
    if isinstance(text, list):
        return [_shifted(one, by) for one in text]
    if isinstance(text, dict):
        if "array" in text:
            return {**text, "array": text["array"] + by}
        return {name: _shifted(one, by) for name, one in text.items()}
    return text
