"""Learning curves: the objective by epoch, for each setting."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from hpc.results.plots.axes import MUTED, WIDTH
from hpc.results.plots.base import COLOURS, INK, blank
from hpc.results.plots.data import ChartData, ChartParts, DoesNotGoError
from hpc.results.plots.text import (
    decimals,
    plain,
)
from hpc.results.stats import half_width
from hpc.results.tables import table
from hpc.results.text import cell

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure


def points_chart(chart: ChartData) -> ChartParts:
    """The objective by epoch, for the best settings and for the others behind them.

    Raises:
        DoesNotGoError: it can\'t be drawn of this run.
    """
    import pandas as pd

    run, metric = chart.run, chart.metric
    ranked = chart.best_first
    frame = table(run, epochs=True)
    if metric not in frame:
        raise DoesNotGoError(f"no epoch has a value of {metric}")
    place = {name: row for row, names in enumerate(ranked["trials"]) for name in names}
    frame = frame[["trial_id", "epoch", metric]].dropna()
    frame["point"] = frame["trial_id"].astype(object).map(place)
    frame = frame.dropna(subset="point").astype({"point": "int64"})
    if frame.empty or frame["epoch"].nunique() < 2:
        raise DoesNotGoError("fewer than two epochs are recorded")
    each = frame.groupby(["point", "epoch"])[metric].agg(mean="mean", std="std", trials="size").reset_index()
    each = each[each["trials"] == ranked["trials"].map(len).to_numpy()[each["point"]]]
    half = half_width(each["std"], each["trials"], folds=run.folds)
    each["low"], each["high"] = each["mean"] - half, each["mean"] + half
    coloured = each[each["point"] < BEST]
    others = each[each["point"] >= BEST]
    number = len(ranked) - min(BEST, len(ranked))
    rows = [coloured.assign(kind="point")]
    if number > OTHERS:
        rows.append(quantiles(others).reset_index().assign(kind="quantiles of the others"))
    else:
        rows.append(others.assign(kind="other point"))
    data = pd.concat([part for part in rows if len(part)], ignore_index=True)
    data.insert(0, "rank", data.pop("point") + 1)
    data["rank"] = data["rank"].astype("Int64")
    for name in chart.search[0]:
        values = ranked[name].astype(object)
        data[name] = [values[rank - 1] if rank is not pd.NA else None for rank in data["rank"]]
    data = data[["kind", "rank", *chart.search[0], "epoch", "trials", "mean", "low", "high",
                 *(["p5", "p25", "p75", "p95"] if number > OTHERS else [])]]  # fmt: skip
    data = data.rename(columns={"mean": metric})
    first = ranked.iloc[0]
    end = coloured[coloured["point"] == 0].iloc[-1] if (coloured["point"] == 0).any() else None
    caption = f"{metric} by epoch of "
    if len(ranked) > 1:
        caption += f"the best {min(BEST, len(ranked))} of {len(ranked)} settings"
    if number:
        caption += (
            f", before the other {number} in grey"
            if number <= OTHERS
            else f", before the middle 50% and 90% of the other {number} in grey"
        )
    caption += f"{'. The best is ' if len(ranked) > 1 else ''}{chart.label(first)}"
    if end is not None:
        caption += f", at {cell(float(end['mean']))} in epoch {int(end['epoch'])}"
    caption += "."
    if ranked["trials"].map(len).max() > 1:
        caption += (
            " Lines are means over the trials of a setting, up to the last epoch that all of them reached; "
            "bands are 95% intervals of the mean."
        )
    return ChartParts(f"{plain(metric)} by epoch", caption, data, partial(_draw, chart, each, number))


BEST = 5
"""Learning curves in colour: the eye does not tell more apart."""


OTHERS = 80
"""Grey ones, above which quantiles are drawn."""


def _draw(chart: ChartData, each: pd.DataFrame, number: int, title: str) -> Figure:
    """Learning curves: ``each`` has a row per ``point`` (0 is the best) and epoch; ``number`` stay grey."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    ranked = chart.best_first
    shown, digits = min(BEST, len(ranked)), decimals(ranked[chart.value].to_numpy())
    rows = [
        f"{place + 1}   {ranked[chart.value][place]:.{digits}f}   {chart.label(ranked.iloc[place])}"
        for place in range(shown)
    ]
    labels = [
        "\n".join(textwrap.wrap(row, 105, subsequent_indent="      ", max_lines=2, placeholder=" …"))
        for row in rows
    ]
    figure = blank(WIDTH, 4.0 + sum(0.05 + 0.15 * (1 + label.count("\n")) for label in labels), title)
    axes = figure.add_subplot()
    others = each[each["point"] >= BEST]
    if number > OTHERS:
        spread = quantiles(others)
        for low_end, high_end, alpha in (("p5", "p95", 0.16), ("p25", "p75", 0.24)):
            low, high = spread[low_end], spread[high_end]
            axes.fill_between(spread.index, low, high, color=MUTED, alpha=alpha, linewidth=0)
        axes.plot(spread.index, spread["mean"], color=MUTED, linewidth=1)
    else:
        for _, part in others.groupby("point"):
            axes.plot(part["epoch"], part["mean"], color=MUTED, linewidth=0.8, alpha=0.55)
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
    bottom, top = _where_it_settles(each, chart.sign)
    axes.set_ylim(bottom, top)
    axes.set_xlim(each["epoch"].min(), each["epoch"].max())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    axes.set(xlabel="epoch")
    axes.set_ylabel(plain(chart.metric))
    gap = 0.05 * (top - bottom)
    tips.sort(key=lambda tip: tip[2])
    heights = _apart([tip[2] for tip in tips], gap, bottom, top)
    for (place, epoch, _), height in zip(tips, heights, strict=True):
        axes.annotate(
            str(place + 1), (epoch, height), xytext=(5, 0), textcoords="offset points", va="center",
            color=COLOURS[place], fontsize=8.5, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
    if each["low"].notna().any():
        handles.append(Patch(color=MUTED, alpha=0.35, linewidth=0))
        labels.append("95% interval of the mean over a setting's trials")
    if number:
        handles.append(Line2D([], [], color=MUTED, linewidth=1))
        what = ": median, middle 50% and 90%" if number > OTHERS else ""
        labels.append(f"the other {number} settings{what}" if number > 1 else "the other setting")
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
