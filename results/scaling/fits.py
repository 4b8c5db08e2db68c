"""Seconds as a sum of two terms, fitted to measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[np.float64]]


DRAWS, CONFIDENCE = 1000, 0.9
"""Times that the model is fitted to measurements drawn anew, and how much of these an interval holds."""


@dataclass(frozen=True)
class Line:
    """Seconds as a sum of two terms, fitted to measurements.

    Attributes:
        terms: the coefficients, shape (2,), none below 0.
        draws: those fitted to measurements drawn anew, shape (draws, 2).
        is_bracket: whether the measurements can't tell the two terms apart; draws then lie anywhere
            between all in the one and all in the other.
    """

    terms: Array
    draws: Array
    is_bracket: bool = False

    def at(self, first: float, second: float) -> tuple[float, Array]:
        """The seconds for these factors of the terms, and those by each draw, shape (draws,)."""
        factors = np.array([first, second])
        return float(self.terms @ factors), self.draws @ factors


def fitted(
    factors: Sequence[tuple[float, float]],
    seconds: Sequence[float],
    spreads: Sequence[float],
    rng: np.random.Generator,
) -> Line:
    """Fit two terms to measured seconds, by least squares of relative errors; terms are not below 0.

    Args:
        factors: of the two terms, for each measurement.
        seconds: that were measured.
        spreads: relative standard deviation of each.
        rng: for the draws: each measurement is drawn about its fitted value, with its spread and
            what the fit leaves over (a parametric bootstrap: B. Efron, R. Tibshirani, An introduction
            to the bootstrap, 1993, section 6.5).
    """
    from scipy.optimize import nnls

    design, target = np.array(factors, np.float64), np.array(seconds, np.float64)
    relative = design / target[:, None]
    spread = np.array(spreads, np.float64)
    if np.linalg.matrix_rank(relative / np.linalg.norm(relative, axis=0).clip(1e-300), tol=1e-3) < 2:
        sizes = np.array([1 / max(column.mean(), 1e-300) for column in relative.T])
        shares = rng.uniform(size=DRAWS)
        noise = np.exp(rng.normal(0, max(1e-9, float(spread.mean())), DRAWS))
        draws = np.stack([shares * sizes[0] * noise, (1 - shares) * sizes[1] * noise], axis=1)
        return Line(sizes / 2, draws, is_bracket=True)
    terms, _ = nnls(relative, np.ones(len(target)))
    middle = design @ terms
    left = float(np.sqrt(np.sum((middle / target - 1) ** 2) / max(1, len(target) - 2)))
    noise = np.exp(rng.normal(0, 1, (DRAWS, len(target))) * np.sqrt(spread**2 + left**2))
    draws = np.array([nnls(design / drawn[:, None], np.ones(len(target)))[0] for drawn in middle * noise])
    return Line(terms, draws)
