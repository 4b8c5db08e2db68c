"""Rows and columns of a table by what a person types: which, in which order, by what grouped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hpc.results.stats import half_width
from hpc.results.store import RunError
from hpc.results.text import cell

if TYPE_CHECKING:
    import pandas as pd


def where(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """The rows for which a condition holds, as ``dropout < 0.3 and optimizer == "adam"``.

    Raises:
        RunError: it can't be understood, names no column, or is not true or false.

    The words are those of ``docs/conditions.md``, nearly as of ``pandas.DataFrame.query``; names that are no
    Python names stand in backticks. What is neither a number nor a text counts as the text that tables show.
    """
    import numpy as np

    from hpc.sweeps import expression

    try:
        read = expression.read(condition, rows=True)
        if not read.names:
            raise ValueError("it names no column")
        for name in read.names:
            if name not in frame:
                message = f"{expression.cited(condition)}: there is no column {expression.cited(name)}"
                raise RunError(f"{message}{_instead(frame, name)}.")
        rows = zip(*(_values(frame[name]) for name in read.names), strict=True)
        chosen = np.fromiter((read(row) for row in rows), bool, len(frame))
    except RunError:
        raise
    except ValueError as error:
        raise RunError(
            f"{expression.cited(condition)} is no condition on columns ({error}); write for example "
            "'learning_rate > 0.001 and state == \"finished\"'."
        ) from None
    return frame[chosen]


def _values(column: pd.Series) -> list[Any]:
    """Of a column, as Python's numbers and texts; None where one is missing."""
    if column.ndim > 1:
        raise RunError(f"there are several columns {column.columns[0]!r}, so that none can be meant.")
    values = column.astype(object).where(column.notna(), None).tolist()
    if column.dtype.kind in "iuf":
        return values
    return [value if value is None or isinstance(value, _PLAIN) else _plain(value) for value in values]


_PLAIN = (bool, int, float, str)
_MOMENT = re.compile(r"\d{4}(-\d\d(-\d\d([ T]\d\d(:\d\d(:\d\d.*)?)?)?)?)?")


class _Moment(str):
    """A time as a table shows it, whose texts are in the order of times, with others of that form only."""

    __slots__ = ()

    def _with(self, other: object) -> str:
        if other is None:
            raise TypeError("it is missing")
        if not isinstance(other, str) or not _MOMENT.fullmatch(other):
            raise ValueError(f"{other!r} is no time as it is compared with; write '2026-11-30 20:15'")
        return str(other)

    def __lt__(self, other: str) -> bool:
        return str(self) < self._with(other)

    def __le__(self, other: str) -> bool:
        return str(self) <= self._with(other)

    def __gt__(self, other: str) -> bool:
        return str(self) > self._with(other)

    def __ge__(self, other: str) -> bool:
        return str(self) >= self._with(other)


def _plain(value: Any) -> Any:
    """A number of NumPy as one of Python, anything else as the text that a table shows."""
    made = value.item() if hasattr(value, "dtype") and not value.shape else value
    if isinstance(made, _PLAIN):
        return made
    return _Moment(cell(value)) if hasattr(value, "isoformat") else cell(value)


def sort(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Rows in the order of some columns; descending by those with a ``-`` before them; unknown ones last.

    Raises:
        RunError: there is no such column.
    """
    known = [name.removeprefix("-") if name not in frame else name for name in names]
    _check(frame, known)
    rising = [name in frame for name in names]
    return frame.sort_values(known, ascending=rising, kind="stable", na_position="last")


def columns(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Some columns, in that order.

    Raises:
        RunError: there is no such column.
    """
    _check(frame, names)
    return frame[list(names)]


def group(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """One row per combination of the values of some columns, over the trials that have ended well.

    Args:
        frame: a table with one row per trial, as :func:`hpc.results.table` gives it.
        names: of columns.

    Returns:
        The columns, ``trials`` (finished or pruned), and of each metric, ``best_`` of the objective and
        ``seconds`` the mean; of ``best_`` also standard deviation, and ends of the 95% interval of the mean
        over the trials of that row, whatever else differs between them (``_std``, ``_low``, ``_high``).

    Raises:
        RunError: there is no such column, or the table is not one of trials.
    """
    _check(frame, names)
    if "state" not in frame or "seconds" not in frame:
        raise RunError("only a table of trials can be grouped, not one by epochs or settings.")
    ended = frame[frame["state"].isin(["finished", "pruned"])]
    place = [str(name) for name in frame]
    measured = [
        name for name in place[place.index("epochs") + 1 : place.index("seconds") + 1] if name not in names
    ]
    groups = ended.groupby(list(names), dropna=False, observed=True, sort=True)
    made = groups.size().rename("trials").to_frame()
    folds = frame["fold"].nunique() if "fold" in frame else None
    for name in measured:
        made[name] = groups[name].mean()
        if name.startswith("best_"):
            made[f"{name}_std"] = groups[name].std()
            half = half_width(made[f"{name}_std"], groups[name].count(), folds=folds)
            made[f"{name}_low"], made[f"{name}_high"] = made[name] - half, made[name] + half
    made = made.reset_index()
    made.attrs = frame.attrs
    return made


def _check(frame: pd.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        if name not in frame:
            raise RunError(f"there is no column {name!r}{_instead(frame, name)}.")


def _instead(frame: pd.DataFrame, name: str) -> str:
    """The most similar name of a column, or the names of all."""
    from hpc.sweeps.text import did_you_mean

    known = [str(column) for column in frame]
    return did_you_mean(name, known) or f"; there are {', '.join(known)}"
