"""Tables of the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hpc.results.text import cell

if TYPE_CHECKING:
    import pandas as pd


from hpc.results.reports.page import Cell, Grid

MAX_DATA_ROWS = 2000
"""Rows of the data of a figure."""


def grid_of(frame: pd.DataFrame, most: int = MAX_DATA_ROWS, digits: int | None = None) -> Grid:
    """A table of the page from a DataFrame.

    Args:
        frame: any.
        most: rows.
        digits: of real numbers, where they are to be copied; else they are as a person reads them.
    """
    shown = frame.head(most)
    columns = [[_cell(value, digits) for value in shown.iloc[:, place]] for place in range(frame.shape[1])]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Grid([str(name) for name in frame], rows, len(frame) - len(shown))


def _cell(value: Any, digits: int | None) -> Cell:
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()  # of numpy
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return Cell("", "", False)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return Cell(str(value), str(value), False)
    if isinstance(value, float) and math.isnan(value):
        return Cell("", "", True)
    if digits is not None and isinstance(value, float):
        return Cell(f"{value:.{digits}g}", f"{value:.{digits}g}", True)
    return Cell(cell(value), repr(value), True)
