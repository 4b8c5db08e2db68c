"""The data of charts: a run, its settings, and the hyperparameters that vary."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from hpc.results.analysis import of_search
from hpc.results.plots.text import format_value, plain
from hpc.results.stats import grouped, interactions, is_number, word_for_missing
from hpc.results.store import Run, RunError
from hpc.results.tables import trials_by_point

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_TAKEN = {
    "epoch", "first", "high", "hyperparameter", "kind", "low", "mean", "method", "outcome", "p5", "p25",
    "p75", "p95", "points", "rank", "second", "share", "std", "trial_id", "trials", "value",
}  # fmt: skip
VALUES = 12
"""Different numbers up to which each is its own place on an axis."""


class DoesNotGoError(RunError):
    """A chart that can't be drawn of this run, with the reason."""


class ChartParts(NamedTuple):
    """A chart as its function makes it.

    Attributes:
        title: as a heading.
        caption: in a sentence or two.
        data: as a tidy table.
        draw: makes the figure, with the title that it is given above it.
    """

    title: str
    caption: str
    data: pd.DataFrame
    draw: Callable[[str], Figure]


class ChartData:
    """What the charts of a run are made of, each part computed when the first chart needs it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.metric, self.mode = run.metric, run.mode
        self.value = f"best_{run.metric}"
        self.model = min(run.trials.values(), key=lambda trial: trial.index).model if run.trials else ""

    @property
    def sign(self) -> int:
        """1 if more is better, else -1."""
        return 1 if self.mode == "max" else -1

    @cached_property
    def search(self) -> tuple[list[str], pd.DataFrame]:
        """The columns of the hyperparameters that vary, maybe none, and the settings, one at least."""
        names, frame = of_search(self.run)
        if frame.empty:
            raise DoesNotGoError(f"no trial has ended with a value of {self.metric}")
        return [self.column(name) for name in names], frame.rename(
            columns={name: self.column(name) for name in names}
        )

    @staticmethod
    def column(name: str) -> str:
        """What a column of ``results.points`` is called in the tables of charts, which have their own."""
        return f"param_{name}" if name in _TAKEN else name

    @property
    def names(self) -> list[str]:
        """Columns of the hyperparameters that vary between settings; there is one at least."""
        if not self.search[0]:
            raise DoesNotGoError("no hyperparameter varies between the settings that have ended")
        return self.search[0]

    @property
    def points(self) -> pd.DataFrame:
        """One row per setting of the sweep's model that has ended, in the order of the sweep."""
        return self.search[1]

    def is_ranged(self, name: str) -> bool:
        """Whether a hyperparameter has so many values that neighbouring ones are taken together."""
        values = self.points[name]
        return is_number(values) and values.nunique() > VALUES

    def none(self, name: str) -> str:
        """The word for settings at which a hyperparameter has no value."""
        return word_for_missing(self.points[name].dropna())

    def is_scale(self, name: str) -> bool:
        """Whether these ranges lie side by side on an axis; not where "none" is one more."""
        return self.is_ranged(name) and bool(self.points[name].notna().all())

    def ends(self, ranges: pd.Series) -> list[float]:
        """Of a scale: where each range begins, and where the last one ends."""
        values = self.points[ranges.name].astype("float64")
        return [*values.groupby(ranges, observed=True).min(), values.max()]

    @cached_property
    def groups(self) -> pd.DataFrame:
        """The varying hyperparameters of the settings as ordered categories: values, or ranges of them."""
        return self.grouped(1)

    def grouped(self, parts: int) -> pd.DataFrame:
        """As many ranges as give eight settings to each two of them, if settings are in so many parts."""
        import pandas as pd

        ranges = min(max(round(math.sqrt(len(self.points) / parts / 8)), 2), 6)
        made = {}
        for name in self.names:
            values = self.points[name]
            values = values if is_number(values) else values.astype(object)
            made[name] = grouped(values, ranges if self.is_ranged(name) else values.nunique())
        return pd.DataFrame(made).assign(**{self.value: self.points[self.value]})

    @cached_property
    def shares(self) -> pd.DataFrame:
        """What each hyperparameter and each pair explains, by :func:`hpc.results.stats.interactions`."""
        return interactions(self.groups, self.names, self.value)

    @cached_property
    def ranked(self) -> list[str]:
        """The hyperparameters, that with the greatest main effect first."""
        alone = self.shares[self.shares["second"] == ""]["first"].tolist()
        return [*alone, *(name for name in self.names if name not in alone)]

    @cached_property
    def best_first(self) -> pd.DataFrame:
        """The settings, best first, with the ``trials`` of each (a list of ids, that of the best first).

        As on the leaderboard: confirmed ones before all others, pruned ones last.
        """
        frame = self.points.drop(columns="trials")
        ranked = {trial.trial_id: place for place, trial in enumerate(self.run.ranked())}
        ids = [
            sorted((t.trial_id for t in trials if t.trial_id in ranked), key=ranked.__getitem__)
            for trials in trials_by_point(self.run, self.run.counted()) if trials[0].model == self.model
        ]  # fmt: skip
        frame["trials"] = [some for some in ids if some]
        values = [-self.sign * value for value in frame[self.value]]
        tiers = [self.run.trials[some[0]].tier for some in frame["trials"]]
        order = sorted(range(len(frame)), key=lambda row: (tiers[row], values[row]))
        return frame.iloc[order].reset_index(drop=True)

    def label(self, row: Any) -> str:
        """A setting by the hyperparameters that vary."""
        return (
            ", ".join(f"{plain(name)} {format_value(row[name], self.none(name))}" for name in self.search[0])
            or "the only setting"
        )

    @property
    def of_points(self) -> str:
        """What one value of a setting is."""
        trials = self.points["trials"].max()
        return (
            f"best {self.metric}" if trials == 1 else f"best {self.metric}, mean over each setting's trials"
        )
