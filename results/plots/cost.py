"""Cost: hours by what came of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hpc.results.plots.axes import MUTED, WIDTH, kind_of_hours
from hpc.results.plots.base import COLOURS, blank
from hpc.results.plots.data import ChartData, ChartParts, DoesNotGoError
from hpc.results.plots.text import (
    format_hours,
    format_share,
    join_texts,
    name_of_hours,
    plain,
    unit_of_hours,
)
from hpc.results.stats import by_outcome

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def cost_chart(chart: ChartData) -> ChartParts:
    """Hours by what came of them.

    Raises:
        DoesNotGoError: it can\'t be drawn of this run.
    """
    frame = by_outcome(chart.run)
    kind = kind_of_hours(frame)
    frame = frame[frame[kind] > 1e-6 * frame[kind].sum()]  # no rounding errors
    if frame.empty:
        raise DoesNotGoError("nothing is known of what trials have cost")
    source = frame.attrs.get("source", "")
    whole = float(frame[kind].sum())
    frame = frame.sort_values(kind, ascending=False, kind="stable", ignore_index=True)
    parts = [
        f"{row['outcome']} {format_hours(float(row[kind]), kind)} ({format_share(float(row[kind]) / whole)})"
        for _, row in frame.head(4).iterrows()
    ]
    caption = f"{name_of_hours(kind).capitalize()} by what came of them, {format_hours(whole, kind)} in all"
    caption += f" (from {source}): {join_texts(parts)}." if source else f": {join_texts(parts)}."
    return ChartParts("Cost", caption, frame, partial(_draw, frame, kind))


def _draw(frame: pd.DataFrame, kind: str, title: str) -> Figure:
    """A bar per row: the hours of its ``outcome``, a column ``kind``."""
    whole = float(frame[kind].sum())
    unit, factor = unit_of_hours(float(frame[kind].max()))
    figure = blank(WIDTH, 0.36 * len(frame) + 0.8, title)
    axes = figure.add_subplot()
    colours = {"finished": COLOURS[0], "pruned": COLOURS[5], "start-up and idle": MUTED}
    for place, row in enumerate(frame.to_dict("records")):
        spent = row[kind] * factor
        axes.barh(place, spent, 0.62, color=colours.get(row["outcome"], COLOURS[1]))
        trials = f", {row['trials']:.0f} trials" if row["trials"] > 0 else ""
        axes.annotate(
            f"{spent:.3g} {unit} ({format_share(row[kind] / whole)}){trials}", (spent, place), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=8.5,
        )  # fmt: skip
    axes.set_yticks(range(len(frame)), [plain(outcome, 28) for outcome in frame["outcome"]])
    axes.invert_yaxis()
    axes.tick_params("y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0, 1.5 * float(frame[kind].max()) * factor)
    axes.grid(axis="x")
    axes.set_xlabel(name_of_hours(kind, unit))
    return figure
