"""Means over seeds and folds, and their confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]


LEVEL = 0.95
"""Of all intervals and verdicts, unless another is given."""


@dataclass(frozen=True)
class Estimate:
    """What some values say about the mean of those they are taken from.

    Attributes:
        number: of values.
        mean: of them.
        std: their standard deviation (n - 1); NaN of a single one.
        low: end of the interval; NaN of a single value.
        high: its other end.
    """

    number: int
    mean: float
    std: float
    low: float
    high: float


def estimate(values: Sequence[float], *, folds: int | None = None, level: float = LEVEL) -> Estimate:
    """Mean, standard deviation and the confidence interval of the mean.

    Args:
        values: at least one, finite.
        folds: how many folds the data had, if values are of different folds.
        level: how often, of many such intervals, the mean is within.

    Raises:
        ValueError: there is no value.

    Source: Student, The probable error of a mean, Biometrika 6, 1908. Folds share most of their training
    samples, so their values vary less than those of fresh data would: variance as corrected by C. Nadeau,
    Y. Bengio, Inference for the generalization error, Machine Learning 52, 2003, section 3.
    """
    import numpy as np

    found = np.asarray(values, dtype=np.float64)
    number = len(found)
    if not number:
        raise ValueError("there is no value to estimate a mean from")
    mean = float(found.mean())
    if number == 1:
        return Estimate(1, mean, math.nan, math.nan, math.nan)
    std = float(found.std(ddof=1))
    half = float(half_width(std, number, folds=folds, level=level))
    return Estimate(number, mean, std, mean - half, mean + half)


def half_width(std: Any, number: Any, *, folds: int | None = None, level: float = LEVEL) -> Any:
    """Half of the interval that :func:`estimate` gives, of one mean or of arrays of them.

    Args:
        std: standard deviation of the values, or an array of such.
        number: how many values each is of; NaN comes out for a single one.
        folds: as for :func:`estimate`, like ``level``.
        level: of the interval.
    """
    import numpy as np
    from scipy.special import stdtrit  # scipy.stats takes half a second to import

    number = np.asarray(number, np.float64)
    return (
        stdtrit(np.where(number > 1, number - 1, np.nan), (1 + level) / 2)
        * std
        * np.sqrt(variance_of_mean(number, folds))
    )


def variance_of_mean(number: Any, folds: int | None) -> Any:
    """The variance of the mean of so many values, for that of a value."""
    return 1 / number + (1 / (folds - 1) if folds is not None and folds > 1 else 0.0)
