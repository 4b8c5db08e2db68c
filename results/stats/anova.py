"""Main effects and interactions of hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Floats = np.ndarray[Any, np.dtype[np.float64]]


def effects(points: pd.DataFrame, names: Sequence[str], value: str, most: int = 6) -> pd.DataFrame:
    """The main effect of each hyperparameter: what settings with each of its values came to.

    Args:
        settings: one row per setting, as :func:`hpc.results.points` gives them.
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
    """How much of the variance between settings each hyperparameter explains, and each pair beyond its two.

    Sums of squares of groups of settings, as in the analysis of variance. In a full grid the parts are what
    they are called; elsewhere hyperparameters come together by chance, and parts overlap.

    Args:
        settings: as for :func:`effects`, like ``names``, ``value`` and ``most``.
        names: of the columns of hyperparameters.
        value: column of what is to be explained.
        most: values of a number.

    Returns:
        ``first``, ``second`` (empty for one hyperparameter by itself) and ``share`` of the variance, 0 to
        1, the greatest first; without rows where all settings came to the same.

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
