"""What is due to chance: means over seeds and folds with their intervals, and which point is the best."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Floats = np.ndarray[Any, np.dtype[np.float64]]

LEVEL = 0.95
"""Of all intervals and verdicts, unless another is given."""
MOST_MORE = 1000
"""Further seeds above which no number of them is named."""


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
        * np.sqrt(_of_mean(number, folds))
    )


def _of_mean(number: Any, folds: int | None) -> Any:
    """The variance of the mean of so many values, for that of a value."""
    return 1 / number + (1 / (folds - 1) if folds is not None and folds > 1 else 0.0)


@dataclass(frozen=True)
class Rival:
    """Another point beside the best one.

    Attributes:
        place: of the point among those given.
        difference: by which the best is better, on average.
        p: how likely so great a difference is where there is none; corrected for the number of pairs.
            NaN where that can't be told, of single values.
        more: how many further seeds would tell them apart if all stays as it is; None if that can't
            be told, or is more than ``MOST_MORE``.
    """

    place: int
    difference: float
    p: float
    more: int | None

    def is_tied(self, level: float = LEVEL) -> bool:
        """Whether it can't be told from the best."""
        return not self.p <= 1 - level


@dataclass(frozen=True)
class Verdict:
    """Which point is the best, and how sure that is.

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
    """Name the best point, and those that are not separable from it.

    The best has the best mean. Each other point is compared with it by a two-sided t-test. Seeds are few
    and points are many, so what a point's own values say of their variance is moderated by what those of
    all points say, as if each had some seeds more. Where all points have the same
    seeds (and folds), what is common to the values of one seed is taken out first, since those trainings see
    the same batches. The p values are multiplied by the number of pairs of points (Bonferroni), since the
    best is chosen by the same values: at level 0.95 no point is wrongly called worse in at least 95 of 100
    sweeps.

    Args:
        points: for each the value of every seed and fold, by what names these.
        mode: ``max`` or ``min``, what is better.
        folds: as for :func:`estimate`.
        level: of the verdict.

    Raises:
        ValueError: there is no point, or one without a value.

    Source: G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression,
    Statistical Applications in Genetics and Molecular Biology 3, 2004, section 6.2, for the moderated
    variance, here towards the mean and with a fixed weight; B. L. Welch, Biometrika 34, 1947.
    """
    estimates = [estimate(list(values.values()), folds=folds, level=level) for values in points]
    if not estimates:
        raise ValueError("there is no point to choose from")
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
    """The variance of the values of each point, and of how many degrees of freedom that is.

    Without what the values of a seed have in common, if all points have the same seeds. (With two points
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

    That mean counts as four degrees of freedom, less where points are few. So much is safe: by simulation
    (tests/results/test_statistics.py) verdicts err no more often than they say, even where the standard
    deviations of points differ by a factor of e or more.
    """
    import numpy as np

    known = freedoms > 0
    if not known.any():
        return variances, freedoms
    mean = float((variances * freedoms)[known].sum() / freedoms[known].sum())
    prior = 4 * max(0.0, 1 - 3 / int(known.sum()))
    together = np.maximum(prior + freedoms, 1e-9)  # of two points with one seed nothing is known
    return (prior * mean + freedoms * variances) / together, prior + freedoms


def _chance(
    difference: float, variances: Floats, freedoms: Floats, numbers: Sequence[int], folds: int | None
) -> float:
    """How likely so great a difference of two means is where there is none; NaN if that can't be told."""
    if not (freedoms > 0).all():
        return math.nan  # of single trainings
    import numpy as np
    from scipy.special import stdtr

    squares = variances * np.array([_of_mean(number, folds) for number in numbers])
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

    number = np.arange(max(2, seeds), seeds + MOST_MORE + 1)
    freedom = freedoms.sum() + 2 * (number - seeds)
    error = np.sqrt(variances.sum() * _of_mean(number, folds))
    enough = np.flatnonzero(abs(difference) >= stdtrit(freedom, 1 - alpha / 2) * error)
    return max(1, int(number[enough[0]]) - seeds) if len(enough) else None


def effects(points: pd.DataFrame, names: Sequence[str], value: str, most: int = 6) -> pd.DataFrame:
    """The main effect of each hyperparameter: what points with each of its values came to.

    Args:
        points: one row per point, as :func:`hpc.results.points` gives them.
        names: of the columns of hyperparameters.
        value: column of what is to be explained.
        most: values of a number above which neighbouring ones are taken together, as many in each group.

    Returns:
        ``hyperparameter``, ``value`` (as text, ``LOW to HIGH`` of a group), ``points``, ``mean``, ``std``
        (n - 1) and ``difference`` from the mean of all, in the order of the values.
    """
    import pandas as pd

    known = points[points[value].notna()]
    parts = []
    for name in names:
        groups = known[value].groupby(grouped(known[name], most), observed=True)
        part = groups.agg(points="size", mean="mean", std="std").rename_axis("value").reset_index()
        part.insert(0, "hyperparameter", name)
        parts.append(part)
    columns = ["hyperparameter", "value", "points", "mean", "std"]
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return whole.assign(difference=whole["mean"] - known[value].mean())


def interactions(points: pd.DataFrame, names: Sequence[str], value: str, most: int = 6) -> pd.DataFrame:
    """How much of the variance between points each hyperparameter explains, and each pair beyond its two.

    Sums of squares of groups of points, as in the analysis of variance. In a full grid the parts are what
    they are called; elsewhere hyperparameters come together by chance, and parts overlap.

    Args:
        points: as for :func:`effects`, like ``names``, ``value`` and ``most``.
        names: of the columns of hyperparameters.
        value: column of what is to be explained.
        most: values of a number.

    Returns:
        ``first``, ``second`` (empty for one hyperparameter by itself) and ``share`` of the variance, 0 to
        1, the greatest first; without rows where all points came to the same.

    Source: R. A. Fisher, Statistical Methods for Research Workers, 1925, chapter VII.
    """
    import pandas as pd

    known = points[points[value].notna()]
    y, groups = known[value], {name: grouped(known[name], most) for name in names}
    total = float(((y - y.mean()) ** 2).sum())

    def between(*some: str) -> float:
        means = y.groupby([groups[name] for name in some], observed=True).transform("mean")
        return float(((means - y.mean()) ** 2).sum())

    rows: list[tuple[str, str, float]] = []
    if total > 0:
        alone = {name: between(name) for name in names}
        rows = [(name, "", part / total) for name, part in alone.items()]
        for place, first in enumerate(names):
            for second in names[place + 1 :]:
                beyond = between(first, second) - alone[first] - alone[second]
                rows.append((first, second, max(0.0, beyond) / total))
    frame = pd.DataFrame(rows, columns=["first", "second", "share"])
    return frame.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def grouped(values: pd.Series, most: int) -> pd.Series:
    """Each value as text, or the range of those it is taken together with: categories, in their order.

    Args:
        values: of a hyperparameter; what is missing is called as :func:`word_for_missing` says.
        most: different numbers above which neighbouring ones are taken together, in so many groups of about
            as many values each.

    Ordered categories stay as they are.
    """
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype) and values.cat.ordered:
        return values
    distinct = values.dropna().drop_duplicates()
    if is_number(values):
        distinct = distinct.sort_values()
        if len(distinct) > most:
            ranges = pd.qcut(values, most, duplicates="drop")
            ends = values.groupby(ranges, observed=True).agg(["min", "max"])
            names = {group: f"{low:.4g} to {high:.4g}" for group, low, high in ends.itertuples()}
            return _categories(ranges.astype(object).map(names), list(names.values()))
    return _categories(values.map(_text, na_action="ignore"), [_text(one) for one in distinct])


def word_for_missing(texts: Iterable[object]) -> str:
    """What a hyperparameter is called where it has no value: ``none``, unless that is a value of its own."""
    word, taken = "none", set(texts)
    while word in taken:
        word = f"({word})"
    return word


def is_number(values: pd.Series) -> bool:
    """Whether values of a hyperparameter are numbers, and neither texts nor true or false."""
    import pandas as pd

    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _categories(texts: pd.Series, order: list[str]) -> pd.Series:
    import pandas as pd

    none = word_for_missing(order)
    kinds = pd.CategoricalDtype(
        [*dict.fromkeys(order), *([none] if texts.isna().any() else [])], ordered=True
    )
    return texts.astype(object).where(texts.notna(), none).astype(kinds)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
