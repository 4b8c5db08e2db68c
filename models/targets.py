"""Targets: classes, or numbers to predict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from hpc.models.arrays import Array, as_array, is_finite
from hpc.models.notes import add_note, has_notes
from hpc.models.reference import ModelError

MAX_CLASSES = 100
"""With more different whole numbers than that, only the user knows whether they are classes."""
MAX_UNSAID = 20
"""With more classes than that, a note says how the targets were read."""


def is_one_hot(parts: Mapping[str, Any]) -> bool:
    """Whether all targets are rows of zeros with a single 1, of two numbers at least."""
    widths = set()
    for _, y in parts.values():
        try:
            array = np.asarray(y)
        except ValueError:  # rows of different lengths, which are refused later
            return False
        if array.ndim != 2 or array.shape[1] < 2 or not len(array) or array.dtype.kind not in "biuf":
            return False
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            return False
        widths.add(array.shape[1])
    return len(widths) == 1


def decide_targets(parts: Mapping[str, Any], classes: bool | Literal["auto"], name: str) -> dict[str, Any]:
    """The parts with targets as integers if they are classes, else as real numbers to predict.

    Raises:
        ModelError: they may be either, or do not fit ``classes``.
    """
    targets = {part: as_array(y, name) for part, (_, y) in parts.items()}
    is_single = all(y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1) for y in targets.values())
    if not all(y.dtype.kind in "biuf" and y.size for y in targets.values()) or not is_single:
        if classes is True and not is_single:
            raise ModelError(f"{name}: classes: true is for targets of shape (n,) or (n, 1)")
        return dict(parts)
    every = np.concatenate([y.ravel() for y in targets.values()])
    is_real = [y.dtype.kind == "f" for y in targets.values()]
    if classes is False:
        targets = {part: y if y.dtype.kind == "f" else y.astype(np.float64) for part, y in targets.items()}
    elif all(is_real) and classes == "auto":
        if _counts_from_0(every):
            add_note(
                f"{name}: the targets are real numbers, all whole, from 0 to {every.max():.0f}: they are "
                "taken as numbers to predict; classes: true takes them as classes"
            )
    elif any(is_real):
        if not is_finite(every):
            return dict(parts)  # refused later, with the part
        bad = every[every != np.floor(every)]
        if len(bad):
            why = "classes: true" if classes is True else "the targets of some parts are whole numbers"
            raise ModelError(f"{name}: {why}, but a target is {bad[0]}")
        targets = {part: y.astype(np.int64) for part, y in targets.items()}
    elif classes == "auto":
        _refuse_doubtful(every, name)
    return {part: (x, targets[part]) for part, (x, _) in parts.items()}


def _refuse_doubtful(y: Array, name: str) -> None:
    """Raise ModelError if whole numbers may as well be numbers to predict; note it where that is less likely.

    Classes are counted from 0 with few gaps, and there are several samples of each.
    """
    least, classes = int(y.min()), int(y.max()) + 1
    if least < 0:
        return  # refused later, with the part
    different = len(np.unique(y))
    if classes > MAX_CLASSES and (different < classes / 2 or classes > len(y) / 2):
        raise ModelError(
            f"{name}: the targets are whole numbers from {least} to {classes - 1}, {different} different "
            f"ones in {len(y)} samples; say classes: false under data if they are numbers to predict, "
            "classes: true if each is a class, counted from 0"
        )
    if (
        different < classes or classes > MAX_UNSAID
    ) and not has_notes():  # else the reader of their file has noted it
        gaps = f", of which {classes - different} have no sample" if different < classes else ""
        add_note(
            f"{name}: the targets, whole numbers from {least} to {classes - 1}, are taken as {classes} "
            f"classes{gaps}; classes: false takes them as numbers to predict"
        )


def _counts_from_0(y: Array) -> bool:
    """Whether real numbers are such as the numbers of classes are."""
    if not is_finite(y) or y.min() != 0 or not 1 <= y.max() < MAX_CLASSES:
        return False
    return bool((y == np.floor(y)).all()) and len(np.unique(y)) == y.max() + 1


def count_classes(targets: Mapping[str, Array], name: str) -> int | None:
    """The number of classes, None where the targets are numbers to predict.

    Raises:
        ModelError: a class has a number below 0.
    """
    y = targets["train"]
    if not np.issubdtype(y.dtype, np.integer) or y.ndim > 1:
        return None
    least = min(part.min() for part in targets.values())
    if least < 0:
        raise ModelError(
            f"{name}: classes are counted from 0, but a target is {least}; say classes: false under data if "
            "the targets are numbers to predict"
        )
    return int(max(part.max() for part in targets.values())) + 1
