"""Importance: how much each hyperparameter matters, by fANOVA and by analysis of variance."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from hpc.results.analysis import importance
from hpc.results.plots.axes import MUTED, WIDTH
from hpc.results.plots.base import COLOURS, INK, blank
from hpc.results.plots.data import ChartData, ChartParts, DoesNotGoError
from hpc.results.plots.text import (
    format_share,
    plain,
)
from hpc.results.store import RunError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def importance_chart(chart: ChartData) -> ChartParts:
    """How much each hyperparameter and each pair of them matters.

    Raises:
        DoesNotGoError: it can\'t be drawn of this run.
    """
    import pandas as pd

    try:
        found = importance(chart.run)
    except RunError as error:
        raise DoesNotGoError(str(error)) from None
    shares = chart.shares
    found["hyperparameter"] = found["hyperparameter"].map(chart.column)
    forest = found.rename(columns={"hyperparameter": "first", "importance": "share"})
    data = pd.concat(
        [
            forest.assign(method="fANOVA", second=""),
            shares.assign(method="analysis of variance"),
        ],
        ignore_index=True,
    )[["method", "first", "second", "share", "std"]]
    top = found.iloc[0]
    pairs = _significant(chart, shares[shares["second"] != ""])
    caption = (
        f"{plain(top['hyperparameter'])} matters most: by itself it accounts for "
        f"{top['importance']:.0%} of the variance between settings "
        f"(fANOVA of {found.attrs['points']} settings{_sampled(found)})"
    )
    if len(found) > 1:
        next_ = found.iloc[1]
        caption += f", {plain(next_['hyperparameter'])} for {next_['importance']:.0%}"
    caption += "."
    if len(pairs):
        pair = pairs.iloc[0]
        caption += (
            f" By analysis of variance the strongest interaction, {plain(pair['first'])} × "
            f"{plain(pair['second'])}, accounts for {pair['share']:.0%} beyond its two main effects"
        )
        caption += "." if _is_grid(chart) else "; settings are no full grid, so shares overlap."
    return ChartParts("What matters", caption, data, partial(_draw, chart, found, pairs))


def _significant(chart: ChartData, pairs: pd.DataFrame) -> pd.DataFrame:
    """The interactions that are no accident of which settings were tried.

    In a full grid all are taken as they are; elsewhere those that an F test tells from none at 95%, its p
    multiplied by the number of pairs (Bonferroni).
    """
    from scipy.special import fdtrc

    if _is_grid(chart):
        return pairs
    shares, number = chart.shares, len(chart.points)
    alone = shares[shares["second"] == ""].set_index("first")["share"]
    kept = []
    for first, second, share in pairs[["first", "second", "share"]].itertuples(index=False):
        sizes = [chart.groups[name].nunique() for name in (first, second)]
        freedom, rest = (sizes[0] - 1) * (sizes[1] - 1), number - sizes[0] * sizes[1]
        left = max(1 - share - alone[first] - alone[second], 1e-12)
        p = fdtrc(freedom, rest, share / freedom / (left / rest)) if rest > 0 else 1.0
        kept.append(p * len(pairs) < 0.05)
    return pairs[kept]


def _is_grid(chart: ChartData) -> bool:
    """Whether every combination of values was tried, once each."""
    names, frame = chart.names, chart.points
    whole = math.prod(frame[name].nunique(dropna=False) for name in names)
    return whole == len(frame) == len(frame[names].drop_duplicates())


def _sampled(found: pd.DataFrame) -> str:
    taken, of = found.attrs["points"], found.attrs["of"]
    return "" if taken == of else f", drawn from {of}"


_MAX_BARS, _MAX_PAIRS = 15, 8  # main effects and interactions


def _draw(chart: ChartData, found: pd.DataFrame, pairs: pd.DataFrame, title: str) -> Figure:
    """Bars of importance as ``found``, beside those of main effects and of interactions, ``pairs``."""
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    shares = chart.shares
    alone = (
        shares[shares["second"] == ""].set_index("first")["share"].reindex(found["hyperparameter"]).fillna(0)
    )
    pairs = pairs[pairs["share"] >= 0.001].head(_MAX_PAIRS)
    found = found.head(_MAX_BARS)
    figure = blank(WIDTH, max(0.42 * len(found), 0.26 * len(pairs), 0.8) + 1.15, title)
    left, right = figure.subplots(1, 2)
    kinds = (
        ("fANOVA", found["importance"], found["std"]),
        ("analysis of variance", alone[: len(found)], None),
    )
    for place, (kind, widths, spread) in enumerate(kinds):
        left.barh(
            [bar + 0.38 * (place - 0.5) for bar in range(len(found))], widths, 0.36, xerr=spread,
            color=COLOURS[5 * place], label=kind, error_kw={"ecolor": MUTED, "elinewidth": 1.2},
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
                format_share(bar.get_width()), (end, bar.get_y() + bar.get_height() / 2), xytext=(4, 0),
                textcoords="offset points", va="center", fontsize=8,
            )  # fmt: skip
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower left", ncols=2, labelcolor=INK, borderaxespad=0
    )
    return figure
