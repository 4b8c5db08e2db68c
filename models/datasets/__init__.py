"""The datasets that have a name of their own, one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from models.datasets.digits import digits
from models.datasets.mnist import mnist, mnist_problem

DATASETS: dict[str, Callable[..., Any]] = {"digits": digits, "mnist": mnist}
PROBLEMS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {"mnist": mnist_problem}
"""What can be wrong with options that are right one by one, told without loading anything."""
