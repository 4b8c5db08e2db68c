"""Progress: the best result so far against hours spent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hpc.results.plots.axes import MUTED, WIDTH, add_note, kind_of_hours, limits
from hpc.results.plots.base import COLOURS, INK, blank
from hpc.results.plots.data import ChartData, ChartParts, DoesNotGoError
from hpc.results.plots.text import (
    format_hours,
    format_share,
    name_of_hours,
    plain,
    unit_of_hours,
)
from hpc.results.stats import by_trial
from hpc.results.text import cell

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def progress_chart(chart: ChartData) -> ChartParts:
    """The best result so far against the hours spent.

    Raises:
        DoesNotGoError: it can\'t be drawn of this run.
    """
    import numpy as np
    import pandas as pd

    frame = by_trial(chart.run).set_index("trial_id")
    kind = kind_of_hours(frame)
    ended = {
        trial.trial_id: max(attempt.ended for attempt in trial.attempts.values())
        for trial in chart.run.trials.values()
        if trial.model == chart.model and trial.state in ("finished", "pruned", "failed")
    }
    order = sorted(ended, key=ended.__getitem__)
    results = {trial.trial_id: trial.attempt.best for trial in chart.run.ranked()}
    values = pd.Series([results.get(name, np.nan) for name in order], dtype="float64")
    if values.isna().all():
        raise DoesNotGoError(f"no trial has ended with a value of {chart.metric}")
    best = values.cummax() if chart.mode == "max" else values.cummin()
    data = pd.DataFrame(
        {
            "trial_id": order,
            "outcome": frame["outcome"].loc[order].tolist(),
            kind: frame[kind].loc[order].fillna(0).cumsum().tolist(),
            chart.value: values,
            f"{chart.value}_so_far": best.ffill(),
        }
    )
    whole = float(data[kind].iloc[-1])
    end = float(data[f"{chart.value}_so_far"].iloc[-1])
    first = data[data[f"{chart.value}_so_far"] == end].iloc[0]
    share = float(first[kind]) / whole if whole else 1.0
    caption = (
        f"The best {chart.metric} so far against {name_of_hours(kind)} spent, in the order in which trials "
        f"ended; dots are single trials. The best, {cell(end)}, was reached after "
        f"{format_hours(float(first[kind]), kind)}, {format_share(share)} of the "
        f"{format_hours(whole, kind)} of all {len(data)} trials that have ended."
    )
    return ChartParts("Progress against cost", caption, data, partial(_draw, chart, data, kind))


def _draw(chart: ChartData, data: pd.DataFrame, kind: str, title: str) -> Figure:
    """Single results and the best so far over the hours spent, a column ``kind``."""
    so_far = data[f"{chart.value}_so_far"]
    unit, factor = unit_of_hours(float(data[kind].iloc[-1]))
    figure = blank(WIDTH, 3.2, title)
    axes = figure.add_subplot()
    spent = data[kind] * factor
    axes.step(spent, so_far, where="post", color=COLOURS[0], linewidth=1.8, label="best so far", zorder=3)
    is_better = so_far != so_far.shift()
    known = data[chart.value]
    axes.plot(
        spent[~is_better], known[~is_better], "o", color=MUTED, markersize=3.2, alpha=0.6, markeredgewidth=0,
        label="a trial",
    )  # fmt: skip
    axes.plot(spent[is_better], known[is_better], "o", color=COLOURS[0], markersize=5, label="a better one",
              zorder=4)  # fmt: skip
    low, high, cut = limits(known.dropna().to_numpy(), chart.mode)
    margin = 0.05 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    if cut:
        beyond = int(((known < low) | (known > high)).sum())
        trials = "1 trial" if beyond == 1 else f"{beyond} trials"
        add_note(figure, f"{trials} came to {'less' if chart.mode == 'max' else 'more'} than the axis shows")
    axes.set_xlim(0, float(spent.iloc[-1]) * 1.02 or 1)
    axes.grid(axis="y")
    axes.set_xlabel(f"{name_of_hours(kind, unit)} spent")
    axes.set_ylabel(plain(chart.value))
    axes.legend(loc="lower right" if chart.mode == "max" else "upper right", labelcolor=INK)
    return figure
