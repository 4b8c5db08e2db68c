"""The best setting, and which settings are statistically tied with it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

from hpc.results.stats.estimates import LEVEL, Estimate, estimate, variance_of_mean

MAX_FURTHER = 1000
"""Further seeds above which no number of them is named."""


@dataclass(frozen=True)
class Rival:
    """Another setting beside the best one.

    Attributes:
        place: of the setting among those given.
        difference: by which the best is better, on average.
        p: how likely so great a difference is where there is none; corrected for the number of pairs.
            NaN where that is unknown, of single values.
        more: how many further seeds would tell them apart if all stays as it is; None if that can't
            be told, or is more than ``MAX_FURTHER``.
    """

    place: int
    difference: float
    p: float
    more: int | None

    def is_tied(self, level: float = LEVEL) -> bool:
        """Whether it is statistically tied with the best."""
        return not self.p <= 1 - level


@dataclass(frozen=True)
class Verdict:
    """Which setting is the best, and how sure that is.

    Attributes:
        place: of the best among those given.
        estimate: of its mean.
        rivals: all others, the closest first.
        level: of the verdict over all rivals together.
    """

    place: int
    estimate: Estimate
    rivals: tuple[Rival, ...]
    level: float

    @property
    def ties(self) -> tuple[Rival, ...]:
        """Those that are not separable from the best."""
        return tuple(rival for rival in self.rivals if rival.is_tied(self.level))


def verdict(
    points: Sequence[Mapping[Hashable, float]], mode: str, *, folds: int | None = None, level: float = LEVEL
) -> Verdict:
    """Name the best setting, and those that are not separable from it.

    The best has the best mean. Each other setting is compared with it by a two-sided t-test. Seeds are few
    and settings are many, so what a setting's own values say of their variance is moderated by what those of
    all settings say, as if each had some seeds more. Where all settings have the same
    seeds (and folds), what is common to the values of one seed is taken out first, since those trainings see
    the same batches. The p values are multiplied by the number of pairs of settings (Bonferroni), since the
    best is chosen by the same values: at level 0.95 no setting is wrongly called worse in at least 95 of 100
    sweeps.

    Args:
        settings: for each the value of every seed and fold, by what names these.
        mode: ``max`` or ``min``, what is better.
        folds: as for :func:`estimate`.
        level: of the verdict.

    Raises:
        ValueError: there is no setting, or one without a value.

    Source: G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression,
    Statistical Applications in Genetics and Molecular Biology 3, 2004, section 6.2, for the moderated
    variance, here towards the mean and with a fixed weight; B. L. Welch, Biometrika 34, 1947.
    """
    estimates = [estimate(list(values.values()), folds=folds, level=level) for values in points]
    if not estimates:
        raise ValueError("there is no setting to choose from")
    sign, pairs = (1.0 if mode == "max" else -1.0), max(1, len(points) * (len(points) - 1) // 2)
    best = max(range(len(points)), key=lambda place: (sign * estimates[place].mean, -place))
    variances, freedoms = _moderated(*_variances(points))
    rivals = []
    for place, found in enumerate(estimates):
        if place == best:
            continue
        difference = sign * (estimates[best].mean - found.mean)
        both = [best, place]
        numbers = [estimates[one].number for one in both]
        chance = _chance(difference, variances[both], freedoms[both], numbers, folds)
        p = min(chance * pairs, 1.0) if not math.isnan(chance) else math.nan
        more: int | None = 0
        if not p <= 1 - level:
            more = _further(
                difference, variances[both], freedoms[both], min(numbers), folds, (1 - level) / pairs
            )
        rivals.append(Rival(place, difference, p, more))
    return Verdict(
        best, estimates[best], tuple(sorted(rivals, key=lambda rival: (rival.difference, rival.place))), level
    )


def _variances(points: Sequence[Mapping[Hashable, float]]) -> tuple[Floats, Floats]:
    """The variance of the values of each setting, and of how many degrees of freedom that is.

    Without what the values of a seed have in common, if all settings have the same seeds. (With two settings
    that is the test of paired differences.)
    """
    import numpy as np

    names = list(points[0])
    if len(points) > 1 and all(point.keys() == points[0].keys() for point in points):
        values = np.array([[point[name] for name in names] for point in points], np.float64)
        rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
        freedom = (len(names) - 1) * (len(points) - 1) / len(points)
        squares = (rest**2).sum(axis=1)
        return squares / freedom if freedom else squares, np.full(len(points), freedom)
    each = [np.array(list(point.values()), np.float64) for point in points]
    squares = np.array([((one - one.mean()) ** 2).sum() for one in each])
    freedoms = np.array([len(one) - 1.0 for one in each])
    return squares / np.maximum(freedoms, 1), freedoms


def _moderated(variances: Floats, freedoms: Floats) -> tuple[Floats, Floats]:
    """Variances and their degrees of freedom, each drawn towards the mean of all.

    That mean counts as four degrees of freedom, less where settings are few. So much is safe: by simulation
    (tests/results/test_statistics.py) verdicts err no more often than they say, even where the standard
    deviations of settings differ by a factor of e or more.
    """
    import numpy as np

    known = freedoms > 0
    if not known.any():
        return variances, freedoms
    mean = float((variances * freedoms)[known].sum() / freedoms[known].sum())
    prior = 4 * max(0.0, 1 - 3 / int(known.sum()))
    together = np.maximum(prior + freedoms, 1e-9)  # of two settings with one seed nothing is known
    return (prior * mean + freedoms * variances) / together, prior + freedoms


def _chance(
    difference: float, variances: Floats, freedoms: Floats, numbers: Sequence[int], folds: int | None
) -> float:
    """How likely so great a difference of two means is where there is none; NaN if that is unknown."""
    if not (freedoms > 0).all():
        return math.nan  # of single trainings
    import numpy as np
    from scipy.special import stdtr

    squares = variances * np.array([variance_of_mean(number, folds) for number in numbers])
    error = math.sqrt(squares.sum())
    if error == 0:
        return 0.0 if difference else 1.0
    freedom = float(squares.sum() ** 2 / (squares**2 / freedoms).sum())
    return float(2 * stdtr(freedom, -abs(difference) / error))


def _further(
    difference: float, variances: Floats, freedoms: Floats, seeds: int, folds: int | None, alpha: float
) -> int | None:
    """How many further seeds of both would tell them apart, if the difference stays what it is."""
    if not difference or not (freedoms > 0).all():
        return None
    import numpy as np
    from scipy.special import stdtrit

    number = np.arange(max(2, seeds), seeds + MAX_FURTHER + 1)
    freedom = freedoms.sum() + 2 * (number - seeds)
    error = np.sqrt(variances.sum() * variance_of_mean(number, folds))
    enough = np.flatnonzero(abs(difference) >= stdtrit(freedom, 1 - alpha / 2) * error)
    return max(1, int(number[enough[0]]) - seeds) if len(enough) else None
