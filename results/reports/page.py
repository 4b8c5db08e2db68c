"""The parts of the page, as its template takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpc.results.analysis import Winner
from hpc.results.store import Run

if TYPE_CHECKING:
    from hpc.results.store import Failure


@dataclass(frozen=True)
class Cell:
    """A value in a table of the page: as it is read, and whole, as sorting and copying take it."""

    text: str
    value: str
    is_number: bool


@dataclass(frozen=True)
class Grid:
    """A table of the page.

    Attributes:
        columns: their names.
        rows: cells, as many in each as there are columns.
        more: how many further rows there are that the page leaves out.
    """

    columns: list[str]
    rows: list[list[Cell]]
    more: int = 0

    def is_numeric(self, place: int) -> bool:
        """Whether a column holds numbers, and so stands to the right."""
        cells = [row[place] for row in self.rows if row[place].value]
        return bool(cells) and all(one.is_number for one in cells)


@dataclass(frozen=True)
class Figure:
    """A chart as it stands in the page."""

    name: str
    title: str
    caption: str
    svg: str
    data: Grid


@dataclass(frozen=True)
class Section:
    """A part of the page with figures."""

    name: str
    title: str
    figures: list[Figure]


@dataclass(frozen=True)
class Board:
    """The leaderboard: its table and, row by row, what goes beside it.

    Attributes:
        grid: the table.
        best: the column of the objective.
        trials: the id of each row's best trial.
        ties: for each row, whether it is statistically tied with the first.
        whiskers: ``(low, mean, high)`` of each row on an axis of 100 pixels, the mean None where it is
            beyond; empty without intervals.
        hint: an example of what may stand in the filter.
    """

    grid: Grid
    best: str
    trials: list[str]
    ties: list[bool]
    whiskers: list[tuple[float, float | None, float]]
    hint: str


@dataclass(frozen=True)
class Part:
    """All that the page says of one run.

    Attributes:
        prefix: of every id, so that two runs do not share one.
        run: as read.
        winner: the best setting; None while there is none.
        answer: the best setting in words: a sentence, and what else there is to say of it.
        overview: what the reader wants to know first, by its name.
        board: the leaderboard.
        sections: with figures.
        bill: hours by outcome.
        source: whose clock the bill goes by.
        failures: grouped.
        failed: number of trials that have failed.
        provenance: what the run was made with, by dotted names.
        packages: versions by name.
        launches: each time that the run was started.
        diff: uncommitted changes.
        sweep: the text of the sweep file.
        left_out: why some figures are not there.
        notes: what workers had to say.
        skipped: lines of records that could not be read: file, why, how many.
    """

    prefix: str
    run: Run
    winner: Winner | None
    answer: tuple[str, str]
    overview: dict[str, str]
    board: Board
    sections: list[Section]
    bill: Grid
    source: str
    failures: list[Failure]
    failed: int
    provenance: dict[str, str]
    packages: dict[str, str]
    launches: Grid
    diff: str
    sweep: str
    left_out: list[str]
    notes: list[str]
    skipped: Grid | None
