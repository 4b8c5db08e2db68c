"""Rows and columns of a table by what a person types: which, in which order, by what grouped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from results.run import RunError
from results.statistics import half_width

if TYPE_CHECKING:
    import pandas as pd


def where(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """The rows for which a condition holds, as ``dropout < 0.3 and optimizer == "adam"``.

    Raises:
        RunError: it can't be understood, names no column, or is not true or false.

    The words are those of ``pandas.DataFrame.query``; names that are no Python names stand in backticks.
    """
    import pandas as pd

    example = "write it as pandas does, like 'learning_rate > 0.001 and state == \"finished\"'"
    if "@" in condition:  # Python's variables, of which a command has none to offer
        raise RunError(f"{condition!r} is no condition on columns: it holds an @; {example}.")
    try:
        chosen = frame.eval(condition, engine="python")
    except NameError as error:
        name = str(error).partition("'")[2].partition("'")[0]
        raise RunError(f"{condition!r}: there is no column {name!r}{_instead(frame, name)}.") from None
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        raise RunError(f"{condition!r} is no condition on columns ({error}); {example}.") from None
    if not isinstance(chosen, pd.Series) or not pd.api.types.is_bool_dtype(chosen):
        raise RunError(f"{condition!r} is neither true nor false of a row; {example}.")
    return frame[chosen.fillna(False)]


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
        frame: a table with one row per trial, as :func:`results.table` gives it.
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
        raise RunError("only a table of trials can be grouped, not one by epochs or points.")
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
    """What there is instead: the names that are nearly the same, or all."""
    from difflib import get_close_matches

    known = [str(column) for column in frame]
    near = get_close_matches(name, known, 1)
    return f" (did you mean {near[0]!r}?)" if near else f"; there are {', '.join(known)}"
