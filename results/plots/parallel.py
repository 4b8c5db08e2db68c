"""Parallel coordinates: a line for each setting through its hyperparameters to its result."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from hpc.results.analysis import is_log
from hpc.results.plots.axes import WIDTH, limits, shades
from hpc.results.plots.base import INK, PAPER, blank
from hpc.results.plots.data import VALUES, ChartData, ChartParts
from hpc.results.plots.text import (
    format_number,
    format_range,
    join_texts,
    plain,
)
from hpc.results.stats import grouped, is_number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


_MAX_LINES = 1000  # of parallel coordinates


def parallel_chart(chart: ChartData) -> ChartParts:
    """A line for each setting through its hyperparameters to its result.

    Raises:
        DoesNotGoError: it can\'t be drawn of this run.
    """
    names, ranked = chart.names, chart.best_first
    drawn = ranked.head(_MAX_LINES)
    data = drawn[[*names, chart.value]].copy()
    data.insert(0, "trial_id", [ids[0] for ids in drawn["trials"]])
    tenth = ranked.head(max(3, len(ranked) // 10))
    ranges = [f"{plain(name)} {format_range(tenth[name], chart.none(name))}" for name in names]
    caption = (
        f"One line per setting through its {len(names)} hyperparameters to its {chart.of_points}; the "
        f"better, the brighter and the further in front. The best {len(tenth)} of {len(ranked)} have "
        f"{join_texts(ranges)}."
    )
    if len(drawn) < len(ranked):
        caption += f" The best {len(drawn)} settings are drawn."
    return ChartParts("Parallel coordinates", caption, data, partial(_draw, chart, data))


def _draw(chart: ChartData, data: pd.DataFrame, title: str) -> Figure:
    """A line per row of ``data``, the best of which comes first."""
    import numpy as np
    from matplotlib.colors import Normalize
    from matplotlib.lines import Line2D

    names = [*chart.names, chart.value]
    width = max(WIDTH, min(1.0 * len(names), 10))
    figure = blank(width, 3.9, title)
    axes = figure.add_subplot()
    axes.set_axis_off()
    low, high, _ = limits(data[chart.value].to_numpy(), chart.mode)
    colours, norm = shades("plasma", chart.mode, 0.08, 0.72), Normalize(low, high, clip=True)
    heights, scales = [], []
    for name in names:
        height, ticks = _scale(data[name], (low, high) if name == chart.value else None)
        heights.append(height)
        scales.append(ticks)
    across = np.array(heights).T
    places = np.arange(len(names))
    behind, front = min(max(8 / math.sqrt(len(data)), 0.2), 0.9), max(10, len(data) // 10)
    results = data[chart.value].to_numpy()
    for row in reversed(range(len(data))):
        first = row == 0
        line = Line2D(
            places, across[row], color=colours(norm(results[row])),
            alpha=1 if first else 0.85 if row < front else behind,
            linewidth=2.6 if first else 0.9 if len(data) > 200 else 1.3, solid_joinstyle="round",
            gid=f"trial-{data['trial_id'].iloc[row]}",
        )  # fmt: skip
        axes.add_line(line)
    staggered = max(len(plain(name, 22)) for name in names) * 0.082 > width / len(names)
    for place, (name, ticks) in enumerate(zip(names, scales, strict=True)):
        axes.plot([place, place], [-0.03, 1.03], color=INK, linewidth=0.9, zorder=3)
        right = place == len(names) - 1
        for text, height in ticks:
            axes.plot([place, place + (0.02 if right else -0.02)], [height, height], color=INK, linewidth=0.9,
                      zorder=3)  # fmt: skip
            axes.annotate(
                text, (place, height), xytext=(6 if right else -6, 0), textcoords="offset points",
                ha="left" if right else "right", va="center", fontsize=8.5, zorder=4,
                bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
            )  # fmt: skip
        axes.annotate(
            plain(name, 22), (place, 1.03), xytext=(0, 19 if staggered and place % 2 else 6),
            textcoords="offset points", ha="center", va="bottom", fontweight="bold" if right else "normal",
        )  # fmt: skip
    axes.set_xlim(-0.45, len(names) - 0.45)
    axes.set_ylim(-0.06, 1.16 if staggered else 1.1)
    return figure


def _scale(values: pd.Series, ends: tuple[float, float] | None = None) -> tuple[Any, list[tuple[str, float]]]:
    """Heights from 0 to 1 along an axis, and its ticks.

    Args:
        values: numbers or categories, the best first; equal ones of few are fanned out in this order, so
            that bundles can be seen.
        ends: of numbers that are results; those beyond lie in one place at the worse end.
    """
    import numpy as np

    different = values.nunique(dropna=False)
    if ends is None and (not is_number(values) or different <= 6):
        groups = grouped(values if is_number(values) else values.astype(object), different)
        kinds = [plain(kind, 14) for kind in groups.cat.categories]
        codes = groups.cat.codes.to_numpy()
        gap = 1 / max(len(kinds) - 1, 1)
        heights = codes * gap
        room = min(0.3 * gap, 0.025 + 0.015 * math.sqrt(len(values)))
        for code in range(len(kinds)):
            (which,) = np.nonzero(codes == code)
            if len(which) > 1:
                heights[which] += room * np.linspace(1, -1, len(which))
        every = len(kinds) // (VALUES + 1) + 1
        ticks = [(kind, place * gap) for place, kind in enumerate(kinds) if place % every == 0]
        return (heights + room) / (1 + 2 * room), [(text, (y + room) / (1 + 2 * room)) for text, y in ticks]
    numbers = values.astype("float64")
    is_missing = numbers.isna().to_numpy()
    low, high = ends or (float(numbers.min()), float(numbers.max()))
    log = ends is None and is_log(numbers)
    scale = [math.log(end) if log else end for end in (low, high)]

    def height(value: Any) -> Any:
        value = np.log(value) if log else value
        return (value - scale[0]) / (scale[1] - scale[0]) if high > low else value * 0 + 0.5

    found = height(numbers.fillna(low).to_numpy())
    ticks = [
        (format_number(tick), float(height(tick))) for tick in _ticks(low, high, log) if low <= tick <= high
    ]
    above = (found > 1 + 1e-9).any()
    is_beyond = (found < -1e-9) | (found > 1 + 1e-9) | is_missing
    if is_beyond.any():  # a place of their own, a step away from the rest
        lift, shrink = (0.1, 0.9) if not above else (0.0, 0.9)
        found = np.where(is_beyond, 1.0 if above else 0.0, lift + shrink * np.clip(found, 0, 1))
        ticks = [(text, lift + shrink * y) for text, y in ticks]
        ticks.append(("none" if is_missing.any() else "worse", 1.0 if above else 0.0))
    return found, ticks


def _ticks(low: float, high: float, log: bool) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    if not log:
        return [float(tick) for tick in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    parts = (1,) if len(powers) > 4 else (1, 3)
    return [part * 10.0**power for power in powers for part in parts]
