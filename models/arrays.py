"""Arrays of samples: which may be used, and how they are cast."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpc.models.notes import add_note
from hpc.models.reference import ModelError

Array = NDArray[Any]


def is_finite(array: Array) -> bool:
    """Whether no value is NaN or infinite; a sum tells that faster, unless it is too great itself."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def as_array(value: object, name: str) -> Array:
    """An array of NumPy.

    Raises:
        ModelError: values are masked.
    """
    if isinstance(value, np.ma.MaskedArray) and np.any(value.mask):  # NumPy drops the mask
        raise ModelError(f"{name}: values are masked; fill in what is missing, or take the samples out")
    return np.asarray(value)


def checked_arrays(x: object, y: object, name: str, dtype: str) -> tuple[Array, Array]:
    """Inputs and targets as arrays that can be trained on.

    Raises:
        ModelError: no samples, unequal lengths, NaN or infinity, or other than real numbers.
    """
    inputs, targets = as_array(x, name), as_array(y, name)
    if targets.dtype == bool:
        targets = targets.astype(np.int32)
    if targets.ndim == 2 and targets.shape[1] == 1 and np.issubdtype(targets.dtype, np.integer):
        targets = targets[:, 0]
    for what, array in (("x", inputs), ("y", targets)):
        if array.ndim == 0 or len(array) == 0:
            raise ModelError(f"{name}: {what} holds no samples (shape {array.shape})")
        if array.dtype.kind not in "biuf":
            raise ModelError(f"{name}: {what} holds {_kind(array)}, not real numbers{_remedy(array, what)}")
        if np.issubdtype(array.dtype, np.floating) and not is_finite(array):
            raise ModelError(f"{name}: {what} holds NaN or infinity")
    if len(inputs) != len(targets):
        raise ModelError(f"{name}: x has {len(inputs)} samples, y has {len(targets)}")
    return _cast(inputs, dtype, f"{name}: x"), _cast(targets, dtype, f"{name}: y")


def _kind(array: Array) -> str:
    kinds = {"c": "complex numbers", "M": "dates", "m": "durations", "U": "text", "S": "text"}
    return f"{kinds[array.dtype.kind]} ({array.dtype})" if array.dtype.kind in kinds else str(array.dtype)


def _remedy(array: Array, what: str) -> str:
    remedies = {
        "c": "; give the real and the imaginary part as two features",
        "M": "; take what matters of a date as numbers, like the seconds since the first",
        "m": "; divide by a duration, as x / np.timedelta64(1, 's')",
    }
    if array.dtype.kind in "OSU" and what == "y":
        return "; number the classes from 0, as np.unique(y, return_inverse=True)[1] does"
    return remedies.get(array.dtype.kind, "")


def _cast(array: Array, dtype: str, name: str) -> Array:
    """Real numbers in the dtype of the training, whole ones as they are; a loss is noted."""
    great = 2 ** (np.finfo(dtype).nmant + 1)  # from here on not all whole numbers are there
    may_be_great = array.dtype != dtype and array.dtype.kind in "iuf" and array.dtype.itemsize > 2
    if may_be_great and max(-float(array.min()), float(array.max())) >= great:
        with np.errstate(over="ignore", invalid="ignore"):
            other = array.astype(dtype)
            back = other.astype(array.dtype)
        if not is_finite(other):
            raise ModelError(f"{name} holds {np.abs(array).max():.3g}, which {dtype} can't hold; scale it")
        lost = (np.abs(array.astype(np.float64)) >= great) & (array == np.floor(array)) & (back != array)
        if lost.any():
            add_note(f"{name} holds whole numbers like {int(array[lost][0])}, which {dtype} takes for "
                f"{int(other[lost][0])}; subtract what they have in common, or scale them")  # fmt: skip
    return array.astype(dtype, copy=False) if array.dtype.kind == "f" else array
