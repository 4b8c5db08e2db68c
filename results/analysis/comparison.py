"""Two runs side by side: what differs between them, and what that does to the result."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from hpc.results.store import Run, TrialState
from hpc.results.text import cell

if TYPE_CHECKING:
    import pandas as pd

    from hpc.results.stats import Estimate

from hpc.results.analysis.differences import (
    AREAS,
    Difference,
    code_differences,
    diff_of_changes,
    place_differences,
    read_provenance,
    sweep_differences,
)
from hpc.results.analysis.pairs import format_entry, pair_trials, seconds_of


@dataclass(frozen=True)
class Side:
    """What one of the two runs came to.

    Attributes:
        run: its folder.
        counts: trials in each state, and ``total``.
        best: the mean of the best setting over its seeds and folds, with its interval; None if there is
            no setting.
        params: of that setting, as far as they vary.
        trial_id: its best trial; empty if there is none.
        seconds: of a trial that ended well, the median; of a pack its part. None if there is none.
    """

    run: str
    counts: dict[str, int]
    best: Estimate | None
    params: dict[str, Any]
    trial_id: str
    seconds: float | None


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        a: the first run.
        b: the second.
        metric: of the objective; of the first run, if they have different ones.
        mode: ``max`` or ``min``.
        differences: of the two, by area.
        diff: how the uncommitted changes of the one differ from those of the other, as a unified diff.
        paired_by: what made pairs of trials: ``trial`` (the same id), ``seed`` (the same hyperparameters,
            seed and fold, as far as both runs have them), ``point`` (the same hyperparameters, the mean
            over seeds and folds), or empty where there are none.
        pairs: one row for each, ``pair`` (id or hyperparameters), ``a``, ``b`` (the best values of the
            objective), ``difference`` (b - a) and ``seconds_ratio`` (b / a).
        effect: the mean of the differences and its interval by Student's t; None without pairs.
        why_not: why there are no pairs; else empty.
    """

    a: Side
    b: Side
    metric: str
    mode: str
    differences: tuple[Difference, ...]
    diff: str
    paired_by: str
    pairs: pd.DataFrame
    effect: Estimate | None
    why_not: str

    def of(self, area: str) -> list[Difference]:
        """The differences of an area."""
        return [difference for difference in self.differences if difference.area == area]

    @property
    def seconds_ratio(self) -> float | None:
        """How many times as long trials of the second run take: over pairs, else of the medians."""
        ratios = self.pairs["seconds_ratio"].dropna()
        if len(ratios):
            return float(math.exp(ratios.map(math.log).mean()))
        return self.b.seconds / self.a.seconds if self.a.seconds and self.b.seconds else None

    def verdict(self) -> str:
        """What the differences did to the result, in a sentence."""
        effect = self.effect
        if effect is None:
            return f"What that did to {self.metric} can't be told: {self.why_not}."
        pairs = {"trial": "trials in common", "seed": "trials of equal hyperparameters and seed",
                 "point": "settings in common"}[self.paired_by]  # fmt: skip
        over = f"over {effect.number} {pairs}"
        if effect.number == 1:
            return (
                f"{self.metric} differs by {_signed(effect.mean)} in a single pair, of which nothing follows."
            )
        if effect.low == effect.high == 0:
            return f"{self.metric} is the same to the last digit {over}."
        interval = f"{_signed(effect.mean)} on average (95% interval {_signed(effect.low)} to "
        interval += f"{_signed(effect.high)}) {over}"
        if effect.low <= 0 <= effect.high:
            return f"No difference in {self.metric} can be told from chance: {interval}."
        better = (effect.mean > 0) == (self.mode == "max")
        return f"The second run is {'better' if better else 'worse'}: {self.metric} {interval}."

    def format(self) -> str:
        """All of it as text for a person: what differed, then what that did."""
        lines = [f"a: {self.a.run}", f"b: {self.b.run}", ""]
        if not self.differences:
            lines.append("Nothing differs in sweep, code, versions or machine, as far as it is written down.")
        for area in AREAS:
            rows = [[one.what, format_entry(one.a), format_entry(one.b)] for one in self.of(area)]
            if rows:
                lines += [area, *_aligned(rows, indent="  ", arrow=True), ""]
        lines += [line for line in self.diff.splitlines() if self.diff] + ([""] if self.diff else [])
        lines += [self.verdict(), *self._sides(), *self._greatest()]
        return "\n".join(lines).rstrip() + "\n"

    def _sides(self) -> list[str]:
        lines = []
        for name, side in (("a", self.a), ("b", self.b)):
            states = ", ".join(f"{n} {state}" for state, n in side.counts.items() if n and state != "total")
            lines.append(f"{name}: {side.counts['total']} trials: {states}")
            if side.best is not None:
                params = " ".join(f"{key}={format_entry(value)}" for key, value in side.params.items())
                lines.append(
                    f"   best {self.metric}: {_interval(side.best)}  {side.trial_id}  {params}".rstrip()
                )
        ratio = self.seconds_ratio
        if ratio is not None:
            lines.append(f"A trial of b takes {ratio:.3g} times as long as one of a.")
        return lines

    def _greatest(self, most: int = 10) -> list[str]:
        """The pairs that differ most, as a table."""
        order = self.pairs["difference"].astype("float64").abs().sort_values(ascending=False, kind="stable")
        rows = [
            [pair, cell(a), cell(b), _signed(difference)]
            for pair, a, b, difference, _ in self.pairs.loc[order.index[:most]].to_numpy().tolist()
            if difference
        ]
        if not rows:
            return []
        text = tabulate(rows, ["the greatest differences", "a", "b", "b - a"], disable_numparse=True)
        return ["", *text.splitlines()]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON: NaN is None."""
        pairs = json.loads(self.pairs.to_json(orient="records"))
        return {
            "a": _finite(asdict(self.a)), "b": _finite(asdict(self.b)), "metric": self.metric,
            "mode": self.mode, "differences": [_finite(asdict(one)) for one in self.differences],
            "diff": self.diff, "paired_by": self.paired_by, "pairs": pairs,
            "effect": None if self.effect is None else _finite(asdict(self.effect)),
            "why_not": self.why_not, "seconds_ratio": self.seconds_ratio, "verdict": self.verdict(),
        }  # fmt: skip


def compare(a: str | Path | Run, b: str | Path | Run) -> Comparison:
    """Put two runs side by side.

    Trials are compared in pairs, since settings differ far more from each other than runs do: those of the
    same id; where something has changed that makes other trials of all, those of the same hyperparameters,
    as far as both runs have them. Only trials that ended well count, by the best value of the objective over
    their epochs.

    Args:
        a: the first run, or its folder.
        b: the second.

    Raises:
        RunError: one of them is no run.
    """
    from hpc.results.stats import estimate

    first, second = (run if isinstance(run, Run) else Run(run) for run in (a, b))
    provenances = [read_provenance(run) for run in (first, second)]
    git = [provenance.get("git") or {} for provenance in provenances]
    differences = [
        *sweep_differences(first, second),
        *code_differences(first, second, *provenances),
        *place_differences(*provenances),
    ]
    paired_by, pairs, why_not = pair_trials(first, second)
    folds = len({trial.fold for trial in first.trials.values()})
    values = [float(value) for value in pairs["difference"]]
    effect = estimate(values, folds=folds if first.has_folds and paired_by != "point" else None) if values \
        else None  # fmt: skip
    shown = [*dict.fromkeys([*first.varying, *second.varying])]
    diff = diff_of_changes(*(str(one.get("diff") or "") for one in git))
    return Comparison(
        _side(first, shown), _side(second, shown), first.metric, first.mode, tuple(differences), diff,
        paired_by, pairs, effect, why_not,
    )  # fmt: skip


def _side(run: Run, shown: Sequence[str]) -> Side:
    from statistics import median

    from hpc.results.stats import estimate

    groups: dict[str, list[TrialState]] = {}
    for trial in run.ranked():
        if trial.state in ("finished", "pruned"):
            groups.setdefault(json.dumps([trial.model, trial.params], sort_keys=True), []).append(trial)
    folds = len({trial.fold for trial in run.trials.values()}) if run.has_folds else None
    points = [
        (estimate([t.attempt.best for t in trials if t.attempt.best is not None], folds=folds), trials[0])
        for trials in groups.values()
    ]
    sign = 1 if run.mode == "max" else -1
    taken = [taken for trials in groups.values() for t in trials if (taken := seconds_of(t)) is not None]
    seconds = float(median(taken)) if taken else None
    if not points:
        return Side(str(run.folder), run.counts(), None, {}, "", seconds)
    best, trial = max(points, key=lambda one: sign * one[0].mean)
    params = {name: trial.params[name] for name in shown if name in trial.params}
    return Side(str(run.folder), run.counts(), best, params, trial.trial_id, seconds)


def _signed(value: float) -> str:
    return f"{value:+.4g}"


def _interval(one: Estimate) -> str:
    if math.isnan(one.low):
        return f"{cell(one.mean)} (one trial)"
    return f"{cell(one.mean)} (95% interval {cell(one.low)} to {cell(one.high)}, {one.number} trials)"


def _aligned(rows: Sequence[Sequence[str]], indent: str, *, arrow: bool = False) -> list[str]:
    width = max(len(row[0]) for row in rows)
    between = " → " if arrow else "  "
    return [f"{indent}{row[0]:<{width}}  {between.join(row[1:])}" for row in rows]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
