"""Figures of charts of a run: how they are drawn."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hpc.results.analysis.importance import is_log
from hpc.results.pictures.images import COLOURS, GRID, INK, PAPER, any_glyph, blank, ink_on
from hpc.results.plots.data import VALUES, Subject
from hpc.results.plots.text import brief, decimals, hours_of, percent, plain, short, unit_of
from hpc.results.stats.verdicts import grouped, is_number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.text import Text

BEST = 5
"""Learning curves in colour: more can't be told apart."""
OTHERS = 80
"""Grey ones, above which quantiles are drawn."""
_WIDTH = 7.2  # inches; a page's column
_MUTED = "#909090"  # of what stands behind, in light and dark
_PANELS = 12
_BARS, _PAIRS = 15, 8  # main effects and interactions


@contextmanager
def style() -> Iterator[None]:
    """What all charts look like. Texts of users hold no formulas."""
    import matplotlib

    settings = {
        "text.parse_math": False, "font.size": 9, "axes.titlesize": 9.5, "axes.labelsize": 9,
        "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "legend.fontsize": 8.5, "legend.frameon": False,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "axes.titlecolor": INK,
        "xtick.color": INK, "ytick.color": INK, "axes.facecolor": "none", "axes.linewidth": 0.8,
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
        "grid.color": GRID, "grid.linewidth": 0.8, "xtick.major.width": 0.8, "ytick.major.width": 0.8,
        "hatch.color": GRID, "hatch.linewidth": 0.8,
    }  # fmt: skip
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        yield


def heatmap(
    subject: Subject,
    data: pd.DataFrame,
    groups: pd.DataFrame,
    across: str,
    down: str,
    panels: list[str],
    title: str,
) -> Figure:
    """Cells of two hyperparameters, in a panel for each combination of some others.

    Args:
        subject: whose chart it is.
        data: a row per cell, with the hyperparameters and the result.
        groups: all points, with their hyperparameters as ordered categories.
        across: hyperparameter.
        down: hyperparameter; its first value is the lowest row.
        panels: hyperparameters.
        title: above it.
    """
    import numpy as np
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    value = subject.value
    columns, rows = ([str(one) for one in groups[name].cat.categories] for name in (across, down))
    kinds = [list(groups[name].cat.categories) for name in panels]
    parts = list(itertools.product(*kinds))
    is_matrix = len(panels) == 2 and 1 < len(kinds[1]) <= 4  # a row of panels for each value of the first
    wide = len(kinds[1]) if is_matrix else _panels_across(len(parts))
    tall = math.ceil(len(parts) / wide)
    low, high, cut = _limits(data[value].to_numpy(), subject.mode)
    shades, norm = _shades("viridis", subject.mode), Normalize(low, high)
    side = (_WIDTH - 1.4) / wide
    height = min(max(0.62 * side, 0.27 * len(rows)), 2.6 + 0.1 * len(rows))
    is_long = max(map(len, columns)) > 11 * side / len(columns) and not subject.is_scale(across)
    figure = blank(_WIDTH, tall * (height + 0.3) + (1.0 if is_long else 0.6), title)
    grid = figure.subplots(tall, wide, sharex=True, sharey=True, squeeze=False)
    best = data[value].max() if subject.mode == "max" else data[value].min()
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
            cmap=shades,
            norm=norm,
            edgecolors=PAPER,
            linewidth=1.2,
        )
        for row, column in np.argwhere(np.isfinite(values)):
            is_dark = ink_on(*shades(norm(values[row, column]))[:3]) == "white"
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
            if subject.is_scale(name):
                ends = [brief(end) for end in subject.ends(groups[name])]
                every = 2 if name == across and max(map(len, ends)) > 13 * side / len(columns) else 1
                axis.set_ticks(range(len(ends))[::every], ends[::every])
            else:
                axis.set_ticks(np.arange(len(texts)) + 0.5, [plain(text, 22) for text in texts])
        axes.tick_params(length=0, pad=5)
        if is_long:
            _slant(axes)
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
        image, ax=list(grid.flat), extend=("min" if subject.mode == "max" else "max") if cut else "neither",
        aspect=28, pad=0.015, fraction=0.06,
    )  # fmt: skip
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)
    bar.set_label(plain(subject.value))
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


def points(subject: Subject, each: pd.DataFrame, number: int, title: str) -> Figure:
    """Learning curves: ``each`` has a row per ``point`` (0 is the best) and epoch; ``number`` stay grey."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    ranked = subject.best_first
    shown, digits = min(BEST, len(ranked)), decimals(ranked[subject.value].to_numpy())
    rows = [
        f"{place + 1}   {ranked[subject.value][place]:.{digits}f}   {subject.label(ranked.iloc[place])}"
        for place in range(shown)
    ]
    labels = [
        "\n".join(textwrap.wrap(row, 105, subsequent_indent="      ", max_lines=2, placeholder=" …"))
        for row in rows
    ]
    figure = blank(_WIDTH, 4.0 + sum(0.05 + 0.15 * (1 + label.count("\n")) for label in labels), title)
    axes = figure.add_subplot()
    others = each[each["point"] >= BEST]
    if number > OTHERS:
        spread = quantiles(others)
        for low_end, high_end, alpha in (("p5", "p95", 0.16), ("p25", "p75", 0.24)):
            low, high = spread[low_end], spread[high_end]
            axes.fill_between(spread.index, low, high, color=_MUTED, alpha=alpha, linewidth=0)
        axes.plot(spread.index, spread["mean"], color=_MUTED, linewidth=1)
    else:
        for _, part in others.groupby("point"):
            axes.plot(part["epoch"], part["mean"], color=_MUTED, linewidth=0.8, alpha=0.55)
    handles: list[Artist] = []
    tips: list[tuple[int, float, float]] = []
    for place in reversed(range(shown)):
        part = each[each["point"] == place]
        colour = COLOURS[place]
        if part["low"].notna().any():
            axes.fill_between(part["epoch"], part["low"], part["high"], color=colour, alpha=0.13, linewidth=0)
        marker = "o" if len(part) == 1 else None
        (line,) = axes.plot(
            part["epoch"], part["mean"], color=colour, linewidth=1.8, marker=marker, markersize=4
        )
        handles.insert(0, line)
        if len(part):
            tips.append((place, float(part["epoch"].iloc[-1]), float(part["mean"].iloc[-1])))
    bottom, top = _where_it_settles(each, subject.sign)
    axes.set_ylim(bottom, top)
    axes.set_xlim(each["epoch"].min(), each["epoch"].max())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    axes.set(xlabel="epoch")
    axes.set_ylabel(plain(subject.metric))
    gap = 0.05 * (top - bottom)
    tips.sort(key=lambda tip: tip[2])
    heights = _apart([tip[2] for tip in tips], gap, bottom, top)
    for (place, epoch, _), height in zip(tips, heights, strict=True):
        axes.annotate(
            str(place + 1), (epoch, height), xytext=(5, 0), textcoords="offset points", va="center",
            color=COLOURS[place], fontsize=8.5, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
    if each["low"].notna().any():
        handles.append(Patch(color=_MUTED, alpha=0.35, linewidth=0))
        labels.append("95% interval of the mean over a point's trials")
    if number:
        handles.append(Line2D([], [], color=_MUTED, linewidth=1))
        what = ": median, middle 50% and 90%" if number > OTHERS else ""
        labels.append(f"the other {number} points{what}" if number > 1 else "the other point")
    figure.legend(handles, labels, loc="outside lower left", labelcolor=INK, handlelength=1.6,
                  borderaxespad=0)  # fmt: skip
    return figure


def quantiles(curves: pd.DataFrame) -> pd.DataFrame:
    """Of many curves, by epoch: ``p5``, ``p25``, ``mean`` (here the median), ``p75`` and ``p95``."""
    import pandas as pd

    by_epoch = curves.groupby("epoch")["mean"]
    parts = {"p5": 0.05, "p25": 0.25, "mean": 0.5, "p75": 0.75, "p95": 0.95}
    return pd.DataFrame({name: by_epoch.quantile(part) for name, part in parts.items()})


def _where_it_settles(each: pd.DataFrame, sign: int) -> tuple[float, float]:
    """Ends of an axis for curves: what comes before they settle, or failed, must not press the rest flat."""
    settled = each[each["epoch"] > each["epoch"].max() * 0.3]["mean"] * sign
    last, quarter, best = settled.quantile([0.05, 0.25, 1.0])
    worst = max(last, quarter - 1.5 * (best - quarter))
    margin = 0.06 * (best - worst) or 0.02 * abs(best) or 0.01
    low, high = sorted((sign * (worst - margin), sign * (best + margin)))
    return low, high


def _apart(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights near rising values that are a gap apart, within the ends as far as there is room."""
    found: list[float] = []
    for value in values:
        value = min(max(value, low), high)
        found.append(max(value, found[-1] + gap) if found else value)
    top = high
    for place in range(len(found) - 1, -1, -1):
        found[place] = min(found[place], top)
        top = found[place] - gap
    return found


def parallel(subject: Subject, data: pd.DataFrame, title: str) -> Figure:
    """A line per row of ``data``, the best of which comes first."""
    import numpy as np
    from matplotlib.colors import Normalize
    from matplotlib.lines import Line2D

    names = [*subject.names, subject.value]
    width = max(_WIDTH, min(1.0 * len(names), 10))
    figure = blank(width, 3.9, title)
    axes = figure.add_subplot()
    axes.set_axis_off()
    low, high, _ = _limits(data[subject.value].to_numpy(), subject.mode)
    shades, norm = _shades("plasma", subject.mode, 0.08, 0.72), Normalize(low, high, clip=True)
    heights, scales = [], []
    for name in names:
        height, ticks = _scale(data[name], (low, high) if name == subject.value else None)
        heights.append(height)
        scales.append(ticks)
    across = np.array(heights).T
    places = np.arange(len(names))
    behind, front = min(max(8 / math.sqrt(len(data)), 0.2), 0.9), max(10, len(data) // 10)
    results = data[subject.value].to_numpy()
    for row in reversed(range(len(data))):
        first = row == 0
        line = Line2D(
            places, across[row], color=shades(norm(results[row])),
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
    ticks = [(short(tick), float(height(tick))) for tick in _ticks(low, high, log) if low <= tick <= high]
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


def importance(subject: Subject, found: pd.DataFrame, pairs: pd.DataFrame, title: str) -> Figure:
    """Bars of importance as ``found``, beside those of main effects and of interactions, ``pairs``."""
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    shares = subject.shares
    alone = (
        shares[shares["second"] == ""].set_index("first")["share"].reindex(found["hyperparameter"]).fillna(0)
    )
    pairs = pairs[pairs["share"] >= 0.001].head(_PAIRS)
    found = found.head(_BARS)
    figure = blank(_WIDTH, max(0.42 * len(found), 0.26 * len(pairs), 0.8) + 1.15, title)
    left, right = figure.subplots(1, 2)
    kinds = (
        ("fANOVA", found["importance"], found["std"]),
        ("analysis of variance", alone[: len(found)], None),
    )
    for place, (kind, widths, spread) in enumerate(kinds):
        left.barh(
            [bar + 0.38 * (place - 0.5) for bar in range(len(found))], widths, 0.36, xerr=spread,
            color=COLOURS[5 * place], label=kind, error_kw={"ecolor": _MUTED, "elinewidth": 1.2},
        )  # fmt: skip
    names = [plain(name, 24) for name in found["hyperparameter"]]
    left.set_yticks(range(len(found)), names)
    left.set_title("by itself", loc="left")
    right.barh(range(len(pairs)), pairs["share"], 0.6, color=COLOURS[5])
    names = [f"{plain(a, 16)} × {plain(b, 16)}" for a, b in zip(pairs["first"], pairs["second"], strict=True)]
    right.set_yticks(range(len(pairs)), names)
    right.set_title("interactions of two", loc="left")
    if not len(pairs):
        right.text(0, 0.5, "none can be told from chance", transform=right.transAxes, va="center")
    most = max([*(found["importance"] + found["std"]), *alone, *pairs["share"], 0.02])
    for axes, ends in (
        (left, [*(found["importance"] + found["std"]), *alone[: len(found)]]),
        (right, pairs["share"]),
    ):
        axes.set_ylim(max(len(found), len(axes.get_yticks())) - 0.5, -0.5)  # bars as thick on both sides
        axes.tick_params("y", length=0)
        axes.spines["left"].set_visible(False)
        ticks = [tick for tick in MaxNLocator(4).tick_values(0, min(most, 1)) if 0 <= tick <= 1]
        axes.set_xticks(ticks, [f"{100 * tick:.3g}%" for tick in ticks])
        axes.grid(axis="x")
        axes.set_xlabel("share of the variance")
        axes.set_xlim(0, 1.2 * most)
        bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
        for bar, end in zip(bars, ends, strict=True):
            axes.annotate(
                percent(bar.get_width()), (end, bar.get_y() + bar.get_height() / 2), xytext=(4, 0),
                textcoords="offset points", va="center", fontsize=8,
            )  # fmt: skip
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower left", ncols=2, labelcolor=INK, borderaxespad=0
    )
    return figure


def effects(subject: Subject, data: pd.DataFrame, title: str) -> Figure:
    """A panel per hyperparameter: ``mean`` by ``value``, with its ends ``low`` and ``high``."""
    from matplotlib.ticker import NullLocator

    names = subject.ranked[:_PANELS]
    wide = _panels_across(len(names))
    tall = math.ceil(len(names) / wide)
    parts = [data[data["hyperparameter"] == name] for name in names]
    room = (_WIDTH - 0.9) / wide / 0.072  # letters below a panel
    is_long = [
        sum(len(plain(text, 16)) + 1 for text in part["value"]) > room and not subject.is_scale(name)
        for name, part in zip(names, parts, strict=True)
    ]
    figure = blank(_WIDTH, tall * (2.2 + (0.5 if any(is_long) else 0)), title)
    grid = figure.subplots(tall, wide, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(names):
            axes.set_axis_off()
            continue
        name, part = names[place], parts[place]
        axes.axhline(subject.points[subject.value].mean(), color=_MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        across: Any = range(len(part))
        if subject.is_scale(name):
            values = subject.points[name].astype("float64")
            across = values.groupby(subject.groups[name], observed=True).median().to_numpy()
            if is_log(values):
                axes.set_xscale("log")
                axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(lambda value, _: short(value))
        if is_number(subject.points[name]) and subject.points[name].notna().all():
            axes.plot(across, part["mean"], color=COLOURS[0], linewidth=1, alpha=0.6)
        axes.errorbar(
            across, part["mean"], yerr=(part["high"] - part["mean"]).fillna(0), fmt="o", color=COLOURS[0],
            markersize=5, elinewidth=1.3, capsize=2.5,
        )  # fmt: skip
        if not subject.is_scale(name):
            axes.set_xticks(across, [plain(text, 16) for text in part["value"]])
            axes.set_xlim(-0.5, len(part) - 0.5)
            if is_long[place]:
                _slant(axes)
        axes.set_title(plain(name, int(0.9 * room)))
        axes.grid(axis="y")
        if place % wide == 0:
            axes.set_ylabel(plain(subject.value, 30))
    _note(figure, "means of all points with a value, 95% intervals of these means; dashed: the mean of all")
    return figure


def progress(subject: Subject, data: pd.DataFrame, kind: str, title: str) -> Figure:
    """Single results and the best so far over the hours spent, a column ``kind``."""
    so_far = data[f"{subject.value}_so_far"]
    unit, factor = unit_of(float(data[kind].iloc[-1]))
    figure = blank(_WIDTH, 3.2, title)
    axes = figure.add_subplot()
    spent = data[kind] * factor
    axes.step(spent, so_far, where="post", color=COLOURS[0], linewidth=1.8, label="best so far", zorder=3)
    is_better = so_far != so_far.shift()
    known = data[subject.value]
    axes.plot(
        spent[~is_better], known[~is_better], "o", color=_MUTED, markersize=3.2, alpha=0.6, markeredgewidth=0,
        label="a trial",
    )  # fmt: skip
    axes.plot(spent[is_better], known[is_better], "o", color=COLOURS[0], markersize=5, label="a better one",
              zorder=4)  # fmt: skip
    low, high, cut = _limits(known.dropna().to_numpy(), subject.mode)
    margin = 0.05 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    if cut:
        beyond = int(((known < low) | (known > high)).sum())
        trials = "1 trial" if beyond == 1 else f"{beyond} trials"
        _note(figure, f"{trials} came to {'less' if subject.mode == 'max' else 'more'} than the axis shows")
    axes.set_xlim(0, float(spent.iloc[-1]) * 1.02 or 1)
    axes.grid(axis="y")
    axes.set_xlabel(f"{hours_of(kind, unit)} spent")
    axes.set_ylabel(plain(subject.value))
    axes.legend(loc="lower right" if subject.mode == "max" else "upper right", labelcolor=INK)
    return figure


def cost(frame: pd.DataFrame, kind: str, title: str) -> Figure:
    """A bar per row: the hours of its ``outcome``, a column ``kind``."""
    whole = float(frame[kind].sum())
    unit, factor = unit_of(float(frame[kind].max()))
    figure = blank(_WIDTH, 0.36 * len(frame) + 0.8, title)
    axes = figure.add_subplot()
    colours = {"finished": COLOURS[0], "pruned": COLOURS[5], "start-up and idle": _MUTED}
    for place, row in enumerate(frame.to_dict("records")):
        spent = row[kind] * factor
        axes.barh(place, spent, 0.62, color=colours.get(row["outcome"], COLOURS[1]))
        trials = f", {row['trials']:.0f} trials" if row["trials"] > 0 else ""
        axes.annotate(
            f"{spent:.3g} {unit} ({percent(row[kind] / whole)}){trials}", (spent, place), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=8.5,
        )  # fmt: skip
    axes.set_yticks(range(len(frame)), [plain(outcome, 28) for outcome in frame["outcome"]])
    axes.invert_yaxis()
    axes.tick_params("y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0, 1.5 * float(frame[kind].max()) * factor)
    axes.grid(axis="x")
    axes.set_xlabel(hours_of(kind, unit))
    return figure


def _note(figure: Figure, text: str) -> None:
    """Say below a figure what its marks are."""
    figure.supxlabel(text, fontsize=8)


def _slant(axes: Axes) -> None:
    axes.tick_params("x", rotation=35, rotation_mode="anchor")
    for text in axes.get_xticklabels():
        text.set_horizontalalignment("right")


def _limits(values: Any, mode: str) -> tuple[float, float, bool]:
    """Ends of a scale of colours, and whether worse values lie beyond.

    A few that failed must not hide the rest: those further from the middle half than three times its range.
    """
    import numpy as np

    low, quarter, rest, high = np.quantile(values, [0, 0.25, 0.75, 1])
    far = 3 * (rest - quarter)
    if mode == "max" and far and low < quarter - far:
        return float(values[values >= quarter - far].min()), float(high), True
    if mode != "max" and far and high > rest + far:
        return float(low), float(values[values <= rest + far].max()), True
    return (float(low), float(high), False) if high > low else (float(low) - 0.5, float(low) + 0.5, False)


def _shades(name: str, mode: str, first: float = 0.0, last: float = 1.0) -> Colormap:
    """A map of 48 colours, the better the brighter; of 50 or more a colour bar would be a bitmap."""
    import matplotlib
    import numpy as np
    from matplotlib.colors import ListedColormap

    colours = matplotlib.colormaps[name](np.linspace(first, last, 48))
    return ListedColormap(colours if mode == "max" else colours[::-1])


def _panels_across(number: int) -> int:
    """How many panels stand side by side."""
    return number if number <= 3 else 3 if number in (5, 6, 9) else 4
