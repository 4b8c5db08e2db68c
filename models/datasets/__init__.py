"""The datasets that have a name of their own, and the files of data that are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hpc.models.datasets.digits import digits
from hpc.models.datasets.files import csv, csv_problem, npz, npz_problem
from hpc.models.datasets.generated import (
    blobs,
    circles,
    classification,
    classification_problem,
    moons,
    regression,
    worked_example,
)
from hpc.models.datasets.mnist import mnist, mnist_problem
from hpc.models.reference import Reader

DATASETS: dict[str, Callable[..., Any]] = {
    "digits": digits,
    "mnist": mnist,
    "blobs": blobs,
    "circles": circles,
    "moons": moons,
    "classification": classification,
    "regression": regression,
    "worked_example": worked_example,
}
PROBLEMS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "mnist": mnist_problem,
    "classification": classification_problem,
}
"""What can be wrong with options that are right one by one, told without loading anything."""
NUMBERS = ("regression", "worked_example")
"""Those whose targets are numbers to predict, not classes."""
DIVIDED = ("mnist",)
"""Those that come with a test part of their own; the others come whole."""
READERS = {".csv": Reader(csv, csv_problem), ".npz": Reader(npz, npz_problem)}
"""By the end of a file's name: what reads it."""
