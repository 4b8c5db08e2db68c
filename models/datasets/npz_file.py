"""Arrays in NumPy's .npz files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from hpc.models.arrays import Array
from hpc.models.datasets.paths import FilePath, find_file, format_names
from hpc.models.reference import ModelError
from hpc.models.structures import PARTS
from hpc.sweeps.text import did_you_mean

ArrayName = Annotated[str, Field(min_length=1, description="the name of an array in the file")]


def npz(
    path: FilePath, *, x: ArrayName = "x", y: ArrayName = "y"
) -> tuple[Array, Array] | dict[str, tuple[Array, Array]]:
    """Arrays in an .npz file, as ``numpy.savez`` writes it, with one sample per row.

    The file holds the whole as ``x`` and ``y``; or parts as ``x_train`` and ``y_train``, and, if
    there are any, ``x_validation`` and ``y_validation``, ``x_test`` and ``y_test``.

    Args:
        path: relative to the current folder.
        x: name of the array of inputs, or what its parts' names begin with.
        y: likewise of the targets: whole numbers are classes from 0, others numbers to predict.

    Returns:
        The whole ``(x, y)``; or such a pair for each of ``train``, ``validation`` and ``test``
        that is there.

    Raises:
        ModelError: the file can't be read, holds no such arrays, or holds Python objects.
    """
    file = find_file(path)
    names = _array_names(file)
    problem = _arrays_problem(file, names, x, y)
    if problem:
        raise ModelError(problem)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if x in names and y in names:
                return arrays[x], arrays[y]
            return {
                part: (arrays[f"{x}_{part}"], arrays[f"{y}_{part}"])
                for part in PARTS
                if f"{x}_{part}" in names
            }
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"{file} can't be read: {error}") from None


def npz_problem(path: str, options: Mapping[str, Any]) -> str | None:
    """A sentence about an invalid file or option of ``npz``, or None; reads only the names in it."""
    try:
        file = find_file(path)
        return _arrays_problem(
            file, _array_names(file), str(options.get("x", "x")), str(options.get("y", "y"))
        )
    except ModelError as error:
        return str(error)


def _array_names(file: Path) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"{file} is no .npz file, as numpy.savez writes it: {error}") from None


def _arrays_problem(file: Path, names: Sequence[str], x: str, y: str) -> str | None:
    """A sentence about missing arrays of a file, or None."""
    pairs = {part: (f"{x}_{part}", f"{y}_{part}") for part in PARTS}
    if x in names and y in names:
        return None
    for pair in ((x, y), *pairs.values()):
        missing = [name for name in pair if name not in names]
        if len(missing) == 1:
            there = pair[0] if missing[0] == pair[1] else pair[1]
            return (
                f"there is {there!r} in {file}, but no {missing[0]!r}{did_you_mean(missing[0], names)}; "
                f"there are {format_names(names)}"
            )
    if pairs["train"][0] not in names:
        return (
            f"there are neither {x!r} and {y!r} in {file} nor {' and '.join(map(repr, pairs['train']))}; "
            f"there are {format_names(names) or 'no arrays'}. Say by x and y which hold the inputs "
            "and the targets"
        )
    return None
