"""The heat map: results by two hyperparameters, in a panel for each combination of some others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from hpc.results.plots.axes import WIDTH, limits, panels_across, shades, slant_labels
from hpc.results.plots.base import PAPER, any_glyph, blank, ink_on
from hpc.results.plots.data import ChartData, ChartParts, DoesNotGoError
from hpc.results.plots.text import (
    decimals,
    format_end,
    format_range,
    join_names,
    plain,
)
from hpc.results.stats import is_number
from hpc.results.text import cell

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text


_MAX_PANELS = 12  # of a heat map


def heatmap_chart(chart: ChartData) -> ChartParts:
    """Results by two hyperparameters, and by some others in panels.

    Raises:
        DoesNotGoError: it can\'t be drawn of this run.
    """
    import pandas as pd

    names = chart.names
    if len(names) < 2:
        raise DoesNotGoError("only one hyperparameter varies")
    groups, value = chart.groups, chart.value
    across, down = _axes_of(chart)
    panels: list[str] = []
    number = 1
    cost = _points_for_a_panel(chart, across, down)
    for name in chart.ranked:
        values = groups[name].nunique()
        is_panel = name not in (across, down) and not chart.is_ranged(name)
        if is_panel and number * values <= _MAX_PANELS and number * values * cost <= len(chart.points):
            panels.append(name)
            number *= values
    panels = sorted((name for name in names if name in panels), key=lambda name: groups[name].nunique())
    rest = [name for name in names if name not in (across, down, *panels)]
    groups = chart.grouped(number)
    cells = groups.groupby([*panels, down, across], observed=True)[value]
    data = pd.DataFrame({"points": cells.size(), value: cells.mean()}).reset_index()
    best = data.iloc[int((chart.sign * data[value]).argmax())]
    where = ", ".join(f"{plain(name)} {plain(best[name])}" for name in (across, down, *panels))
    caption = (
        f"Mean of the {chart.of_points}, by {plain(across)} (across) and {plain(down)} (up)"
        f"{_for_each(panels)}. Brighter is better; the best cell, framed, is {where}, "
        f"with {cell(float(best[value]))}."
    )
    if data["points"].max() > 1:
        caption += f" A cell is the mean of {format_range(data['points'])} settings"
        caption += f", whatever their {join_names(rest)}." if rest else "."
    elif rest:
        caption += f" {join_names(rest).capitalize()} differ between cells."
    if len(data) < math.prod(groups[name].nunique() for name in (across, down, *panels)):
        caption += " Hatched cells were not tried."
    draw = partial(_draw, chart, data, groups, across, down, panels)
    return ChartParts(f"{plain(chart.value)} by {plain(across)} and {plain(down)}", caption, data, draw)


def _points_for_a_panel(chart: ChartData, across: str, down: str) -> float:
    """Points that one more panel takes: half of its cells, or four for each of four ranges."""
    if any(map(chart.is_ranged, chart.names)):
        return 16.0
    return chart.groups[across].nunique() * chart.groups[down].nunique() / 2


def _axes_of(chart: ChartData) -> tuple[str, str]:
    """The hyperparameters of a heat map: learning rate and hidden size, else the two that matter most."""
    names = chart.names
    if "learning_rate" in names and "hidden_size" in names:
        return "learning_rate", "hidden_size"
    frame = chart.points
    ordered = [name for name in chart.ranked if is_number(frame[name])]
    chosen = [*ordered, *(name for name in chart.ranked if name not in ordered)][:2]
    first, second = (name for name in names if name in chosen)
    return (first, second) if second != "learning_rate" else (second, first)


def _for_each(panels: Sequence[str]) -> str:
    return f", for each {' and '.join(map(plain, panels))}" if panels else ""


def _draw(
    chart: ChartData,
    data: pd.DataFrame,
    groups: pd.DataFrame,
    across: str,
    down: str,
    panels: list[str],
    title: str,
) -> Figure:
    """Cells of two hyperparameters, in a panel for each combination of some others.

    Args:
        chart: whose chart it is.
        data: a row per cell, with the hyperparameters and the result.
        groups: all settings, with their hyperparameters as ordered categories.
        across: hyperparameter.
        down: hyperparameter; its first value is the lowest row.
        panels: hyperparameters.
        title: above it.
    """
    import numpy as np
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    value = chart.value
    columns, rows = ([str(one) for one in groups[name].cat.categories] for name in (across, down))
    kinds = [list(groups[name].cat.categories) for name in panels]
    parts = list(itertools.product(*kinds))
    is_matrix = len(panels) == 2 and 1 < len(kinds[1]) <= 4  # a row of panels for each value of the first
    wide = len(kinds[1]) if is_matrix else panels_across(len(parts))
    tall = math.ceil(len(parts) / wide)
    low, high, cut = limits(data[value].to_numpy(), chart.mode)
    colours, norm = shades("viridis", chart.mode), Normalize(low, high)
    side = (WIDTH - 1.4) / wide
    height = min(max(0.62 * side, 0.27 * len(rows)), 2.6 + 0.1 * len(rows))
    is_long = max(map(len, columns)) > 11 * side / len(columns) and not chart.is_scale(across)
    figure = blank(WIDTH, tall * (height + 0.3) + (1.0 if is_long else 0.6), title)
    grid = figure.subplots(tall, wide, sharex=True, sharey=True, squeeze=False)
    best = data[value].max() if chart.mode == "max" else data[value].min()
    digits = decimals(data[value].to_numpy())
    written = []
    for part, axes in itertools.zip_longest(parts, grid.flat):
        if part is None:
            axes.set_axis_off()
            continue
        chosen = data
        for name, one in zip(panels, part, strict=True):
            chosen = chosen[chosen[name] == one]
        values = np.full((len(rows), len(columns)), np.nan)
        values[chosen[down].cat.codes, chosen[across].cat.codes] = chosen[value]
        axes.add_patch(Rectangle((0, 0), len(columns), len(rows), fill=False, hatch="////", linewidth=0))
        image = axes.pcolormesh(
            values,
            cmap=colours,
            norm=norm,
            edgecolors=PAPER,
            linewidth=1.2,
        )
        for row, column in np.argwhere(np.isfinite(values)):
            is_dark = ink_on(*colours(norm(values[row, column]))[:3]) == "white"
            text = axes.text(
                column + 0.5, row + 0.5, f"{values[row, column]:.{digits}f}", ha="center", va="center",
                color="#FFFFFF" if is_dark else "#111111",
            )  # fmt: skip
            written.append(text)
            if values[row, column] == best:
                axes.add_patch(
                    Rectangle((column + 0.06, row + 0.06), 0.88, 0.88, fill=False, edgecolor="#111111",
                              linewidth=1.6)
                )  # fmt: skip
        for axis, name, texts in ((axes.xaxis, across, columns), (axes.yaxis, down, rows)):
            if chart.is_scale(name):
                ends = [format_end(end) for end in chart.ends(groups[name])]
                every = 2 if name == across and max(map(len, ends)) > 13 * side / len(columns) else 1
                axis.set_ticks(range(len(ends))[::every], ends[::every])
            else:
                axis.set_ticks(np.arange(len(texts)) + 0.5, [plain(text, 22) for text in texts])
        axes.tick_params(length=0, pad=5)
        if is_long:
            slant_labels(axes)
        axes.spines[:].set_visible(False)
        place = parts.index(part)
        letters = [int(13 * (height if is_matrix and not n else side / (1 if is_matrix else len(panels))))
                   for n in range(len(panels))]  # fmt: skip
        texts = list(map(_named, panels, part, letters))
        if is_matrix and place < wide:
            axes.set_title(texts[1])
        elif panels and not is_matrix:
            axes.set_title(", ".join(texts))
        if is_matrix and place % wide == wide - 1:
            axes.annotate(texts[0], (1, 0.5), xycoords="axes fraction", xytext=(5, 0), rotation=270,
                          textcoords="offset points", va="center", fontsize=9.5)  # fmt: skip
        if place + wide >= len(parts):
            axes.set_xlabel(plain(across))
            axes.tick_params(labelbottom=True)
        if place % wide == 0:
            axes.set_ylabel(plain(down))
    bar = figure.colorbar(
        image, ax=list(grid.flat), extend=("min" if chart.mode == "max" else "max") if cut else "neither",
        aspect=28, pad=0.015, fraction=0.06,
    )  # fmt: skip
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)
    bar.set_label(plain(chart.value))
    _fit(figure, grid.flat[0], written, len(columns), len(rows))
    return figure


def _named(name: str, value: object, letters: int) -> str:
    """A hyperparameter and its value in so many letters, of which the value takes what it needs first."""
    text = plain(value, max(letters - 5, 4))
    return f"{plain(name, max(letters - len(text) - 1, 3))} {text}"


def _fit(figure: Figure, axes: Axes, texts: Sequence[Text], across: int, down: int) -> None:
    """Write as large as the cells of a heat map have room for, if they have any."""
    with any_glyph():
        figure.draw_without_rendering()  # now it is known how wide they are
    box, longest = axes.get_window_extent(), max(len(text.get_text()) for text in texts)
    width, height = (72 / figure.dpi * part for part in (box.width / across, box.height / down))
    size = min(8.5, width / longest / 0.7, height / 1.3)
    for text in texts:
        text.set(fontsize=size, visible=size >= 5)
