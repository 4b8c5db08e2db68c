"""Learning curves of one trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

from hpc.results.plots.base import COLOURS, GRID, arranged, blank


def learning_curves(frame: pd.DataFrame, metrics: Sequence[str], title: str = "") -> Figure:
    """How the metrics of one trial went, epoch by epoch: a panel for each, with its validation.

    Args:
        frame: a row per epoch, with a column ``epoch`` (from 1) and one per metric; where a value
            is missing, its line has a gap. Other columns are not drawn.
        metrics: names of the training metrics to draw. Where ``val_`` and the name is a column,
            it is drawn beside it.
        title: above the panels.

    Raises:
        ValueError: no metric is named, a column is missing, or an epoch has more than one row.
    """
    from matplotlib.ticker import MaxNLocator

    missing = [name for name in ("epoch", *metrics) if name not in frame.columns]
    if missing:
        columns = ", ".join(map(str, frame.columns)) or "none"
        raise ValueError(f"there is no column {missing[0]!r}; there are: {columns}")
    if not metrics:
        raise ValueError("no metric is named; name some of the columns, as loss")
    if frame["epoch"].duplicated().any():
        epoch = frame["epoch"][frame["epoch"].duplicated()].iloc[0]
        raise ValueError(f"epoch {epoch} has more than one row; give the rows of one trial")
    frame = frame.sort_values("epoch")
    across = min(len(metrics), 3 if len(metrics) != 4 else 2)
    down = math.ceil(len(metrics) / across)
    figure = blank(max(4.8 * across, 6.0), 3.4 * down + 0.4, title)
    lines = {}
    for place, name in enumerate(metrics, 1):
        axes = figure.add_subplot(down, across, place)
        for column, label, colour in (
            (name, "training", COLOURS[0]),
            (f"val_{name}", "validation", COLOURS[1]),
        ):
            if column in frame.columns:
                values = frame[column].to_numpy(dtype="float64", na_value=math.nan)
                (lines[label],) = axes.plot(
                    frame["epoch"].to_numpy(), values, color=colour, label=label, marker=".", markersize=5
                )
        axes.set_ylabel(name, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if place > len(metrics) - across:  # nothing stands below
            axes.set_xlabel("epoch")
    figure.legend(handles=list(lines.values()), loc="outside lower center", ncols=2, frameon=False)
    return arranged(figure)
