"""Charts of a run: what its trials came to, as matplotlib figures that no window and no global state holds.

Their colours are those of results.pictures, for categories, and for numbers matplotlib's viridis and plasma
(S. van der Walt, N. Smith, 2015), which are even to the eye and to those who are colour-blind. matplotlib,
pandas and Optuna are imported where they are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from hpc.results.analysis.importance import importance
from hpc.results.pictures.images import GRID, INK, PAPER, arranged
from hpc.results.plots import axes as figures
from hpc.results.plots.axes import BEST, OTHERS
from hpc.results.plots.data import DoesNotGoError, Subject
from hpc.results.plots.svg import svg
from hpc.results.plots.text import amount, hours_of, listed, percent, plain, span, together
from hpc.results.stats.cost import by_outcome, by_trial
from hpc.results.stats.verdicts import effects, half_width, is_number
from hpc.results.store.run import Run, RunError
from hpc.results.tables.gathering import cell, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["CHARTS", "Chart", "DoesNotGoError", "charts", "svg"]

_PANELS = 12  # of a heat map
_LINES = 1000  # of parallel coordinates


@dataclass(frozen=True)
class Chart:
    """A chart of a run, to be drawn.

    Attributes:
        name: of its kind, one of ``CHARTS``; also its id, and the stem of its file.
        title: what it shows, as a heading.
        words: the same in a sentence or two, with the figures that matter: its text alternative.
        data: what is drawn, as a tidy table.
        draw: makes the figure, another one each time; with the title that it is given above it.
    """

    name: str
    title: str
    words: str
    data: pd.DataFrame
    draw: Callable[..., Figure]

    def _repr_html_(self) -> str:
        """The chart and its words, for a notebook."""
        ground = f"--ink:{INK};--grid:{GRID};--paper:{PAPER};background:{PAPER};color:{INK}"
        return (
            f'<figure style="{ground};margin:0;padding:1em;max-width:7.2in"><b>{escape(self.title)}</b>'
            f"{svg(self.draw())}<figcaption>{escape(self.words)}</figcaption></figure>"
        )


def charts(
    run: Run, names: Sequence[str] | None = None, note: Callable[[str], None] = lambda text: None
) -> list[Chart]:
    """The charts of a run, in the order of ``CHARTS``.

    Args:
        run: as read.
        names: of the charts wanted; all that go with the run unless given.
        note: hears why a chart was left out.

    Raises:
        RunError: there is no such chart, or (a ``DoesNotGoError``) one that is named does not go with the
            run.
    """
    for name in names or []:
        if name not in CHARTS:
            raise RunError(f"{name!r} is no chart; there are {', '.join(CHARTS)}.")
    subject, made = Subject(run), []
    for name, make in CHARTS.items():
        if names is not None and name not in names:
            continue
        try:
            title, words, data, draw = make(subject)
        except DoesNotGoError as error:
            if names is not None:
                raise DoesNotGoError(f"no chart {name}: {error}.") from None
            note(f"no {name}: {error}")
        else:
            made.append(Chart(name, title, words, data, partial(_drawn, draw)))
    return made


def _drawn(draw: Callable[[str], Figure], title: str = "") -> Figure:
    with figures.style():
        return arranged(draw(title))


_Parts = tuple[str, str, "pd.DataFrame", Callable[[str], "Figure"]]
"""Of a chart: its title, words, data, and what draws it."""


def _heatmap(subject: Subject) -> _Parts:
    import pandas as pd

    names = subject.names
    if len(names) < 2:
        raise DoesNotGoError("only one hyperparameter varies")
    groups, value = subject.groups, subject.value
    across, down = _axes_of(subject)
    panels: list[str] = []
    number = 1
    cost = _points_for_a_panel(subject, across, down)
    for name in subject.ranked:
        values = groups[name].nunique()
        is_panel = name not in (across, down) and not subject.is_ranged(name)
        if is_panel and number * values <= _PANELS and number * values * cost <= len(subject.points):
            panels.append(name)
            number *= values
    panels = sorted((name for name in names if name in panels), key=lambda name: groups[name].nunique())
    rest = [name for name in names if name not in (across, down, *panels)]
    groups = subject.grouped(number)
    cells = groups.groupby([*panels, down, across], observed=True)[value]
    data = pd.DataFrame({"points": cells.size(), value: cells.mean()}).reset_index()
    best = data.iloc[int((subject.sign * data[value]).argmax())]
    where = ", ".join(f"{plain(name)} {plain(best[name])}" for name in (across, down, *panels))
    words = (
        f"Mean of the {subject.of_points}, by {plain(across)} (across) and {plain(down)} (up)"
        f"{_for_each(panels)}. Brighter is better; the best cell, framed, is {where}, "
        f"with {cell(float(best[value]))}."
    )
    if data["points"].max() > 1:
        words += f" A cell is the mean of {span(data['points'])} points"
        words += f", whatever their {listed(rest)}." if rest else "."
    elif rest:
        words += f" {listed(rest).capitalize()} differ between cells."
    if len(data) < math.prod(groups[name].nunique() for name in (across, down, *panels)):
        words += " Hatched cells were not tried."
    draw = partial(figures.heatmap, subject, data, groups, across, down, panels)
    return f"{plain(subject.value)} by {plain(across)} and {plain(down)}", words, data, draw


def _points_for_a_panel(subject: Subject, across: str, down: str) -> float:
    """Points that one more panel takes: half of its cells, or four for each of four ranges."""
    if any(map(subject.is_ranged, subject.names)):
        return 16.0
    return subject.groups[across].nunique() * subject.groups[down].nunique() / 2


def _axes_of(subject: Subject) -> tuple[str, str]:
    """The hyperparameters of a heat map: learning rate and hidden size, else the two that matter most."""
    names = subject.names
    if "learning_rate" in names and "hidden_size" in names:
        return "learning_rate", "hidden_size"
    frame = subject.points
    ordered = [name for name in subject.ranked if is_number(frame[name])]
    chosen = [*ordered, *(name for name in subject.ranked if name not in ordered)][:2]
    first, second = (name for name in names if name in chosen)
    return (first, second) if second != "learning_rate" else (second, first)


def _for_each(panels: Sequence[str]) -> str:
    return f", for each {' and '.join(map(plain, panels))}" if panels else ""


def _points(subject: Subject) -> _Parts:
    import pandas as pd

    run, metric = subject.run, subject.metric
    ranked = subject.best_first
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
        rows.append(figures.quantiles(others).reset_index().assign(kind="quantiles of the others"))
    else:
        rows.append(others.assign(kind="other point"))
    data = pd.concat([part for part in rows if len(part)], ignore_index=True)
    data.insert(0, "rank", data.pop("point") + 1)
    data["rank"] = data["rank"].astype("Int64")
    for name in subject.search[0]:
        values = ranked[name].astype(object)
        data[name] = [values[rank - 1] if rank is not pd.NA else None for rank in data["rank"]]
    data = data[["kind", "rank", *subject.search[0], "epoch", "trials", "mean", "low", "high",
                 *(["p5", "p25", "p75", "p95"] if number > OTHERS else [])]]  # fmt: skip
    data = data.rename(columns={"mean": metric})
    first = ranked.iloc[0]
    end = coloured[coloured["point"] == 0].iloc[-1] if (coloured["point"] == 0).any() else None
    words = f"{metric} by epoch of "
    if len(ranked) > 1:
        words += f"the best {min(BEST, len(ranked))} of {len(ranked)} points"
    if number:
        words += (
            f", before the other {number} in grey"
            if number <= OTHERS
            else f", before the middle 50% and 90% of the other {number} in grey"
        )
    words += f"{'. The best is ' if len(ranked) > 1 else ''}{subject.label(first)}"
    if end is not None:
        words += f", at {cell(float(end['mean']))} in epoch {int(end['epoch'])}"
    words += "."
    if ranked["trials"].map(len).max() > 1:
        words += (
            " Lines are means over the trials of a point, up to the last epoch that all of them reached; "
            "bands are 95% intervals of the mean."
        )
    return f"{plain(metric)} by epoch", words, data, partial(figures.points, subject, each, number)


def _parallel(subject: Subject) -> _Parts:
    names, ranked = subject.names, subject.best_first
    drawn = ranked.head(_LINES)
    data = drawn[[*names, subject.value]].copy()
    data.insert(0, "trial_id", [ids[0] for ids in drawn["trials"]])
    tenth = ranked.head(max(3, len(ranked) // 10))
    ranges = [f"{plain(name)} {span(tenth[name], subject.none(name))}" for name in names]
    words = (
        f"One line per point through its {len(names)} hyperparameters to its {subject.of_points}; the "
        f"better, the brighter and the further in front. The best {len(tenth)} of {len(ranked)} have "
        f"{together(ranges)}."
    )
    if len(drawn) < len(ranked):
        words += f" The best {len(drawn)} points are drawn."
    return "Parallel coordinates", words, data, partial(figures.parallel, subject, data)


def _importance(subject: Subject) -> _Parts:
    import pandas as pd

    try:
        found = importance(subject.run)
    except RunError as error:
        raise DoesNotGoError(str(error)) from None
    shares = subject.shares
    found["hyperparameter"] = found["hyperparameter"].map(subject.column)
    forest = found.rename(columns={"hyperparameter": "first", "importance": "share"})
    data = pd.concat(
        [
            forest.assign(method="fANOVA", second=""),
            shares.assign(method="analysis of variance"),
        ],
        ignore_index=True,
    )[["method", "first", "second", "share", "std"]]
    top = found.iloc[0]
    pairs = _told_from_chance(subject, shares[shares["second"] != ""])
    words = (
        f"{plain(top['hyperparameter'])} matters most: by itself it accounts for "
        f"{top['importance']:.0%} of the variance between points (fANOVA of {found.attrs['points']} points"
        f"{_sampled(found)})"
    )
    if len(found) > 1:
        next_ = found.iloc[1]
        words += f", {plain(next_['hyperparameter'])} for {next_['importance']:.0%}"
    words += "."
    if len(pairs):
        pair = pairs.iloc[0]
        words += (
            f" By analysis of variance the strongest interaction, {plain(pair['first'])} × "
            f"{plain(pair['second'])}, accounts for {pair['share']:.0%} beyond its two main effects"
        )
        words += "." if _is_grid(subject) else "; points are no full grid, so shares overlap."
    return "What matters", words, data, partial(figures.importance, subject, found, pairs)


def _told_from_chance(subject: Subject, pairs: pd.DataFrame) -> pd.DataFrame:
    """The interactions that are no accident of which points were tried.

    In a full grid all are taken as they are; elsewhere those that an F test tells from none at 95%, its p
    multiplied by the number of pairs (Bonferroni).
    """
    from scipy.special import fdtrc

    if _is_grid(subject):
        return pairs
    shares, number = subject.shares, len(subject.points)
    alone = shares[shares["second"] == ""].set_index("first")["share"]
    kept = []
    for first, second, share in pairs[["first", "second", "share"]].itertuples(index=False):
        sizes = [subject.groups[name].nunique() for name in (first, second)]
        freedom, rest = (sizes[0] - 1) * (sizes[1] - 1), number - sizes[0] * sizes[1]
        left = max(1 - share - alone[first] - alone[second], 1e-12)
        p = fdtrc(freedom, rest, share / freedom / (left / rest)) if rest > 0 else 1.0
        kept.append(p * len(pairs) < 0.05)
    return pairs[kept]


def _is_grid(subject: Subject) -> bool:
    """Whether every combination of values was tried, once each."""
    names, frame = subject.names, subject.points
    whole = math.prod(frame[name].nunique(dropna=False) for name in names)
    return whole == len(frame) == len(frame[names].drop_duplicates())


def _sampled(found: pd.DataFrame) -> str:
    taken, of = found.attrs["points"], found.attrs["of"]
    return "" if taken == of else f", drawn from {of}"


def _effects(subject: Subject) -> _Parts:
    data = effects(subject.groups, subject.ranked, subject.value)
    half = half_width(data["std"], data["points"])
    data["low"], data["high"] = data["mean"] - half, data["mean"] + half
    parts = []
    for name in subject.ranked[:3]:
        part = data[data["hyperparameter"] == name]
        rising = part.sort_values("mean", ascending=subject.sign > 0, kind="stable")
        ends = (f"{cell(float(rising['mean'].iloc[i]))} at {plain(rising['value'].iloc[i])}" for i in (0, -1))
        parts.append(f"{plain(name)} from {' to '.join(ends)}")
    words = (
        f"Mean {subject.value} of all points with each value, whatever their other hyperparameters: "
        f"{together(parts)}. Bars are 95% intervals of these means over points; the line is the mean of all."
    )
    return "Main effects", words, data, partial(figures.effects, subject, data)


def _progress(subject: Subject) -> _Parts:
    import numpy as np
    import pandas as pd

    frame = by_trial(subject.run).set_index("trial_id")
    kind = _kind_of_hours(frame)
    ended = {
        trial.trial_id: max(attempt.ended for attempt in trial.attempts.values())
        for trial in subject.run.trials.values()
        if trial.model == subject.model and trial.state in ("finished", "pruned", "failed")
    }
    order = sorted(ended, key=ended.__getitem__)
    results = {trial.trial_id: trial.attempt.best for trial in subject.run.ranked()}
    values = pd.Series([results.get(name, np.nan) for name in order], dtype="float64")
    if values.isna().all():
        raise DoesNotGoError(f"no trial has ended with a value of {subject.metric}")
    best = values.cummax() if subject.mode == "max" else values.cummin()
    data = pd.DataFrame(
        {
            "trial_id": order,
            "outcome": frame["outcome"].loc[order].tolist(),
            kind: frame[kind].loc[order].fillna(0).cumsum().tolist(),
            subject.value: values,
            f"{subject.value}_so_far": best.ffill(),
        }
    )
    whole = float(data[kind].iloc[-1])
    end = float(data[f"{subject.value}_so_far"].iloc[-1])
    first = data[data[f"{subject.value}_so_far"] == end].iloc[0]
    share = float(first[kind]) / whole if whole else 1.0
    words = (
        f"The best {subject.metric} so far against {hours_of(kind)} spent, in the order in which trials "
        f"ended; dots are single trials. The best, {cell(end)}, was reached after "
        f"{amount(float(first[kind]), kind)}, {percent(share)} of the {amount(whole, kind)} of all "
        f"{len(data)} trials that have ended."
    )
    return "Progress against cost", words, data, partial(figures.progress, subject, data, kind)


def _cost(subject: Subject) -> _Parts:
    frame = by_outcome(subject.run)
    kind = _kind_of_hours(frame)
    frame = frame[frame[kind] > 1e-6 * frame[kind].sum()]  # no rounding errors
    if frame.empty:
        raise DoesNotGoError("nothing is known of what trials have cost")
    source = frame.attrs.get("source", "")
    whole = float(frame[kind].sum())
    frame = frame.sort_values(kind, ascending=False, kind="stable", ignore_index=True)
    parts = [
        f"{row['outcome']} {amount(float(row[kind]), kind)} ({percent(float(row[kind]) / whole)})"
        for _, row in frame.head(4).iterrows()
    ]
    words = f"{hours_of(kind).capitalize()} by what came of them, {amount(whole, kind)} in all"
    words += f" (from {source}): {together(parts)}." if source else f": {together(parts)}."
    return "Cost", words, frame, partial(figures.cost, frame, kind)


def _kind_of_hours(frame: pd.DataFrame) -> str:
    """The column of a bill that counts: of GPUs if there are any."""
    return next((kind for kind in ("gpu_hours", "core_hours") if (frame[kind] > 0).any()), "node_hours")


CHARTS: dict[str, Callable[[Subject], _Parts]] = {
    "heatmap": _heatmap,
    "points": _points,
    "parallel": _parallel,
    "importance": _importance,
    "effects": _effects,
    "progress": _progress,
    "cost": _cost,
}
"""By name: what makes it, in the order of the page. To add a chart, enter it here, its drawing in
results/figures.py."""
