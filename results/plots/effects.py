"""Main effects: the mean result for each value of a hyperparameter."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from hpc.results.analysis import is_log
from hpc.results.plots.axes import MUTED, WIDTH, add_note, panels_across, slant_labels
from hpc.results.plots.base import COLOURS, blank
from hpc.results.plots.data import ChartData, ChartParts
from hpc.results.plots.text import (
    format_number,
    join_texts,
    plain,
)
from hpc.results.stats import effects, half_width, is_number
from hpc.results.text import cell

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def effects_chart(chart: ChartData) -> ChartParts:
    """The mean result for each value of each hyperparameter.

    Raises:
        DoesNotGoError: it can\'t be drawn of this run.
    """
    data = effects(chart.groups, chart.ranked, chart.value)
    half = half_width(data["std"], data["points"])
    data["low"], data["high"] = data["mean"] - half, data["mean"] + half
    parts = []
    for name in chart.ranked[:3]:
        part = data[data["hyperparameter"] == name]
        rising = part.sort_values("mean", ascending=chart.sign > 0, kind="stable")
        ends = (f"{cell(float(rising['mean'].iloc[i]))} at {plain(rising['value'].iloc[i])}" for i in (0, -1))
        parts.append(f"{plain(name)} from {' to '.join(ends)}")
    caption = (
        f"Mean {chart.value} of all settings with each value, whatever their other hyperparameters: "
        f"{join_texts(parts)}. Bars are 95% intervals of these means over settings; "
        "the line is the mean of all."
    )
    return ChartParts("Main effects", caption, data, partial(_draw, chart, data))


_MAX_PANELS = 12


def _draw(chart: ChartData, data: pd.DataFrame, title: str) -> Figure:
    """A panel per hyperparameter: ``mean`` by ``value``, with its ends ``low`` and ``high``."""
    from matplotlib.ticker import NullLocator

    names = chart.ranked[:_MAX_PANELS]
    wide = panels_across(len(names))
    tall = math.ceil(len(names) / wide)
    parts = [data[data["hyperparameter"] == name] for name in names]
    room = (WIDTH - 0.9) / wide / 0.072  # letters below a panel
    is_long = [
        sum(len(plain(text, 16)) + 1 for text in part["value"]) > room and not chart.is_scale(name)
        for name, part in zip(names, parts, strict=True)
    ]
    figure = blank(WIDTH, tall * (2.2 + (0.5 if any(is_long) else 0)), title)
    grid = figure.subplots(tall, wide, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(names):
            axes.set_axis_off()
            continue
        name, part = names[place], parts[place]
        axes.axhline(chart.points[chart.value].mean(), color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        across: Any = range(len(part))
        if chart.is_scale(name):
            values = chart.points[name].astype("float64")
            across = values.groupby(chart.groups[name], observed=True).median().to_numpy()
            if is_log(values):
                axes.set_xscale("log")
                axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(lambda value, _: format_number(value))
        if is_number(chart.points[name]) and chart.points[name].notna().all():
            axes.plot(across, part["mean"], color=COLOURS[0], linewidth=1, alpha=0.6)
        axes.errorbar(
            across, part["mean"], yerr=(part["high"] - part["mean"]).fillna(0), fmt="o", color=COLOURS[0],
            markersize=5, elinewidth=1.3, capsize=2.5,
        )  # fmt: skip
        if not chart.is_scale(name):
            axes.set_xticks(across, [plain(text, 16) for text in part["value"]])
            axes.set_xlim(-0.5, len(part) - 0.5)
            if is_long[place]:
                slant_labels(axes)
        axes.set_title(plain(name, int(0.9 * room)))
        axes.grid(axis="y")
        if place % wide == 0:
            axes.set_ylabel(plain(chart.value, 30))
    add_note(
        figure, "means of all settings with a value, 95% intervals of these means; dashed: the mean of all"
    )
    return figure
