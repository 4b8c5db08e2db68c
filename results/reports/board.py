"""The leaderboard of the page."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpc.results.analysis import Winner
from hpc.results.store import Run
from hpc.results.tables import leaderboard, trials_by_point
from hpc.results.text import cell

if TYPE_CHECKING:
    import pandas as pd


from hpc.results.reports.grids import grid_of
from hpc.results.reports.page import Board, Grid

MAX_BOARD_ROWS = 1000
"""Points in the leaderboard of a page."""


_WHISKER = 94.0  # pixels of the axis on which the leaderboard draws intervals


def board_of(run: Run, best: Winner | None) -> Board:
    """The leaderboard of a run."""
    frame, column = leaderboard(run, top=MAX_BOARD_ROWS), f"best_{run.metric}"
    place = [str(name) for name in frame]
    searched = [name for name in place[1 : place.index(column)] if name in run.varying]
    first = ["rank", column]  # what a narrow screen has room for
    frame = frame[first + [name for name in frame if name not in first]]
    points = len(trials_by_point(run, run.ranked()))
    grid = grid_of(frame, most=MAX_BOARD_ROWS)
    trials = [str(name) for name in frame["trial_id"]]
    tied = {point[0].trial_id for point in best.ties} if best and _is_told(best) else set()
    return Board(
        Grid(grid.columns, grid.rows, points - len(frame)),
        column,
        trials,
        [name in tied for name in trials],
        _whiskers(frame, column),
        _hint(frame, searched, column, run.mode),
    )


def _is_told(best: Winner) -> bool:
    """Whether anything is known of which settings are tied, as with one seed it is not."""
    return any(not math.isnan(rival.p) for rival in best.verdict.rivals)


def _hint(frame: pd.DataFrame, names: Sequence[str], best: str, mode: str) -> str:
    """An example for the filter: a number that varies, and the better half of the settings."""
    import pandas as pd

    terms = []
    for name in reversed([name for name in names if '"' not in name]):
        if pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name]):
            terms.append(f"{_quoted(name)}<{cell(frame[name].max())}")
            break
    if len(frame):
        terms.append(f"{_quoted(best)}{'>=' if mode == 'max' else '<='}{cell(float(frame[best].median()))}")
    return " ".join(terms)


def _quoted(name: str) -> str:
    return f'"{name}"' if re.search(r"[\s<>=!]", name) else name


def _whiskers(frame: pd.DataFrame, column: str) -> list[tuple[float, float | None, float]]:
    """Intervals on an axis of the best third of the settings, cut where it ends.

    The worst settings are often so far off that those among which one chooses would be a dot.
    """
    if "low" not in frame or not frame["low"].notna().any():
        return []
    means = [float(value) for value in frame[column]]
    typical = float((frame["high"] - frame["low"]).median())
    some = sorted((means[0], means[len(means) // 3]))
    first, last = some[0] - typical / 2, some[1] + typical / 2
    width = (last - first) or 1.0

    def at(value: float) -> float:
        return round(3 + _WHISKER * min(1.0, max(0.0, (value - first) / width)), 1)

    found: list[tuple[float, float | None, float]] = []
    for low, mean, high in zip(frame["low"], means, frame["high"], strict=True):
        ends = (mean, mean) if math.isnan(low) else (float(low), float(high))
        found.append((at(ends[0]), at(mean) if first <= mean <= last else None, at(ends[1])))
    return found
