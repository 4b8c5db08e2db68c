"""The structures in which a function may return its arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hpc.models.reference import ModelError

PARTS = ("train", "validation", "test")
WHOLE = "whole"
"""Stands for the name of a part where the data are not split."""


def is_whole(value: Any) -> bool:
    """Whether it is one pair of arrays, ``(x, y)``, and not parts that are split already."""
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and not all(_is_pair(part) for part in value)
        and all(hasattr(array, "__len__") for array in value)
    )


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


def parts_of(value: Any, name: str) -> dict[str, Any]:
    """The arrays of each part, or the whole, from any structure that a function may return.

    Raises:
        ModelError: the structure is another.
    """
    _refuse_no_arrays(value, name)
    if isinstance(value, Mapping):
        if "train" not in value or not set(value) <= set(PARTS):
            returned = ", ".join(map(str, value)) or "none of them"
            raise ModelError(
                f"{name} must return parts called {', '.join(PARTS)}, but it returned {returned}"
            )
        for part, pair in value.items():
            if not _is_pair(pair):
                raise ModelError(f"{name}: {part} must be a pair (x, y), but is {_shown(pair)}")
        return {part: tuple(pair) for part, pair in value.items()}
    if is_whole(value):
        return {WHOLE: tuple(value)}
    if isinstance(value, (tuple, list)) and len(value) in (2, 3) and all(map(_is_pair, value)):
        return dict(zip(PARTS, map(tuple, value), strict=False))
    raise ModelError(
        f"{name} must return (x, y), or ((x_train, y_train), (x_validation, y_validation)) and perhaps "
        f"(x_test, y_test), but it returned {_shown(value)}"
    )


FORMS = {"DatasetV2": "tf.data.Dataset", "PyDataset": "keras.utils.PyDataset", "DataLoader": "DataLoader"}
"""Objects that stream samples, by the names of their classes."""


def _refuse_no_arrays(value: Any, name: str) -> None:
    """Raise ModelError if it holds what Keras' ``fit`` takes, and this project does not so far."""
    values = list(value.values()) if isinstance(value, Mapping) else value
    values = list(values) if isinstance(values, (tuple, list)) else [values]
    for one in [*values, *(inner for part in values if isinstance(part, (tuple, list)) for inner in part)]:
        forms = [FORMS[kind.__name__] for kind in type(one).__mro__ if kind.__name__ in FORMS]
        if forms or isinstance(one, Iterator):
            form = forms[0] if forms else "generator"
            raise ModelError(
                f"{name} gives a {form}, and only arrays are taken so far: (x, y), or such pairs for "
                "training and validation; collect its samples into arrays"
            )
    pairs = values if all(isinstance(part, (tuple, list)) for part in values) else [value]
    for pair in [*pairs, value]:
        if isinstance(pair, (tuple, list)) and 2 <= len(pair) <= 3:
            _refuse_further_arrays(pair, name)


def _refuse_further_arrays(pair: Sequence[Any], name: str) -> None:
    lengths = [len(one) if hasattr(one, "shape") and np.ndim(one) else 0 for one in pair]
    if len(pair) == 3 and lengths[0] and len(set(lengths)) == 1 and np.ndim(pair[2]) == 1:
        raise ModelError(f"{name} gives (x, y, sample weights), and weights are not taken so far")
    x = pair[0]
    arrays = list(x.values()) if isinstance(x, Mapping) else x if isinstance(x, (list, tuple)) else []
    are_inputs = bool(arrays) and all(hasattr(one, "shape") and np.ndim(one) for one in arrays)
    if are_inputs and len(arrays) != lengths[1] and {len(one) for one in arrays} == {lengths[1]}:
        raise ModelError(
            f"{name} gives {len(arrays)} arrays as x, and models of several inputs are not taken so far; "
            "join them to one array, which the model takes apart"
        )


def _shown(value: object) -> str:
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple) else type(value).__name__
