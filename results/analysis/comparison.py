"""Two runs side by side: what differed between them, and what that did to the result."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from hpc.results.store.run import Run, RunError
from hpc.results.store.trial import TrialState
from hpc.results.tables.gathering import cell

if TYPE_CHECKING:
    import pandas as pd

    from hpc.results.stats.verdicts import Estimate

UNKNOWN = "unknown"
"""Said of what a run has not written down."""
LONGEST_DIFF = 400
"""Lines of differing uncommitted changes that are kept."""
AREAS = ("sweep", "space", "code", "versions", "where and when")


@dataclass(frozen=True)
class Difference:
    """Something that is one way in the first run and another in the second.

    Attributes:
        area: one of ``AREAS``.
        what: a dotted entry of the sweep, a package, a file, …
        a: how it is in the first run; None if it is not there.
        b: in the second.
    """

    area: str
    what: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Side:
    """What one of the two runs came to.

    Attributes:
        run: its folder.
        counts: trials in each state, and ``total``.
        best: the mean of the best point over its seeds and folds, with its interval; None if there is
            no point.
        params: of that point, as far as they vary.
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
                 "point": "points in common"}[self.paired_by]  # fmt: skip
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

    def words(self) -> str:
        """All of it as text for a person: what differed, then what that did."""
        lines = [f"a: {self.a.run}", f"b: {self.b.run}", ""]
        if not self.differences:
            lines.append("Nothing differs in sweep, code, versions or machine, as far as it is written down.")
        for area in AREAS:
            rows = [[one.what, _shown(one.a), _shown(one.b)] for one in self.of(area)]
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
                params = " ".join(f"{key}={_shown(value)}" for key, value in side.params.items())
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

    def facts(self) -> dict[str, Any]:
        """All of it as plain values, for JSON: NaN is None."""
        pairs = json.loads(self.pairs.to_json(orient="records"))
        return {
            "a": _plain(asdict(self.a)), "b": _plain(asdict(self.b)), "metric": self.metric,
            "mode": self.mode, "differences": [_plain(asdict(one)) for one in self.differences],
            "diff": self.diff, "paired_by": self.paired_by, "pairs": pairs,
            "effect": None if self.effect is None else _plain(asdict(self.effect)),
            "why_not": self.why_not, "seconds_ratio": self.seconds_ratio, "verdict": self.verdict(),
        }  # fmt: skip


def compare(a: str | Path | Run, b: str | Path | Run) -> Comparison:
    """Put two runs side by side.

    Trials are compared in pairs, since points differ far more from each other than runs do: those of the
    same id; where something has changed that makes other trials of all, those of the same hyperparameters,
    as far as both runs have them. Only trials that ended well count, by the best value of the objective over
    their epochs.

    Args:
        a: the first run, or its folder.
        b: the second.

    Raises:
        RunError: one of them is no run.
    """
    from hpc.results.stats.verdicts import estimate

    first, second = (run if isinstance(run, Run) else Run(run) for run in (a, b))
    facts = [_written(run) for run in (first, second)]
    diff_facts = [fact.get("git") or {} for fact in facts]
    differences = [*_of_sweeps(first, second), *_of_code(first, second, *facts), *_of_places(*facts)]
    paired_by, pairs, why_not = _pairs(first, second)
    folds = len({trial.fold for trial in first.trials.values()})
    values = [float(value) for value in pairs["difference"]]
    effect = estimate(values, folds=folds if first.has_folds and paired_by != "point" else None) if values \
        else None  # fmt: skip
    shown = [*dict.fromkeys([*first.varying, *second.varying])]
    diff = _diff_of_diffs(*(str(one.get("diff") or "") for one in diff_facts))
    return Comparison(
        _side(first, shown), _side(second, shown), first.metric, first.mode, tuple(differences), diff,
        paired_by, pairs, effect, why_not,
    )  # fmt: skip


def _written(run: Run) -> dict[str, Any]:
    """What ``provenance.json`` says; nothing if it can't be read."""
    try:
        facts = json.loads((run.folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _of_sweeps(a: Run, b: Run) -> list[Difference]:
    entries = [_flat(_effective(_sweep_of(run))) for run in (a, b)]
    found = []
    for name in dict.fromkeys([*entries[0], *entries[1]]):
        values = [one.get(name) for one in entries]
        if not _same(*values) or (name in entries[0]) != (name in entries[1]):
            found.append(Difference("space" if name.startswith("space.") else "sweep", name, *values))
    return found


def _sweep_of(run: Run) -> dict[str, Any]:
    from hpc.sweeps import SweepError, read

    try:
        return read(run.sweep_file).entries
    except SweepError as error:
        raise RunError(str(error)) from None


def _effective(sweep: dict[str, Any]) -> dict[str, Any]:
    """The sweep with its defaults among what is fixed: a default that is written down is none other."""
    parts = {name: sweep.get(name) for name in ("defaults", "fixed")}
    fixed = {name: value for part in parts.values() if isinstance(part, dict) for name, value in part.items()}
    return {**{name: value for name, value in sweep.items() if name not in parts}, "fixed": fixed}


def _flat(entries: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Entries by their dotted paths; lists are values."""
    found: dict[str, Any] = {}
    for name, value in entries.items():
        path = f"{prefix}{name}"
        found |= _flat(value, f"{path}.") if isinstance(value, dict) and value else {path: value}
    return found


def _of_code(a: Run, b: Run, *facts: Mapping[str, Any]) -> list[Difference]:
    git = [fact.get("git") or {} for fact in facts]
    commits = [one.get("commit") for one in git]
    found = [] if commits[0] == commits[1] else [Difference("code", "commit", *commits)]
    changes = [_by_file(str(one.get("diff") or "")) for one in git]
    for name in sorted({*changes[0], *changes[1]}):
        texts = [change.get(name) for change in changes]
        if texts[0] != texts[1]:
            said = [None if text is None else f"{_changed_lines(text)} changed lines, not committed"
                    for text in texts]  # fmt: skip
            found.append(Difference("code", name, *said))
    codes = [
        sorted({attempt.code for trial in run.trials.values() for attempt in trial.attempts.values()})
        or [str(fact.get("code") or "")]
        for run, fact in zip((a, b), facts, strict=True)
    ]
    if codes[0] != codes[1]:
        words = [", ".join(filter(None, code)) or "none of the user's" for code in codes]
        found.append(Difference("code", "digest of model and data files", *words))
    return found


def _of_places(*facts: Mapping[str, Any]) -> list[Difference]:
    packages = [fact.get("packages") or {} for fact in facts]
    versions = [{"python": fact.get("python"), **its} for fact, its in zip(facts, packages, strict=True)]
    found = [
        Difference("versions", name, *(one.get(name) for one in versions))
        for name in dict.fromkeys([*versions[0], *versions[1]])
        if versions[0].get(name) != versions[1].get(name)
    ]
    places = []
    for fact in facts:
        place = {name: fact.get(name) for name in ("time", "host", "user", "platform", "folder")}
        command = fact.get("command")
        place["command"] = " ".join(map(str, command)) if isinstance(command, list) else command
        scheduler = fact.get("scheduler")
        place |= _flat(scheduler, "scheduler.") if isinstance(scheduler, dict) else {"scheduler": scheduler}
        places.append(place)
    for name in dict.fromkeys([*places[0], *places[1]]):
        values = [place.get(name) for place in places]
        if values[0] != values[1]:
            found.append(Difference("where and when", name, *values))
    return found


def _by_file(diff: str) -> dict[str, str]:
    """A diff of git's, file by file."""
    found = {}
    for part in re.split(r"^(?=diff --git )", diff, flags=re.MULTILINE):
        name = re.match(r"diff --git a/.*? b/(.*)", part)
        if name:
            found[name[1]] = part
    return found


def _changed_lines(diff: str) -> int:
    return sum(bool(re.match(r"[+-](?![+-]{2} )", line)) for line in diff.splitlines())


def _diff_of_diffs(a: str, b: str) -> str:
    """How uncommitted changes differ, of the files in which they do."""
    changes = [_by_file(one) for one in (a, b)]
    lines: list[str] = []
    for name in sorted({*changes[0], *changes[1]}):
        texts = [change.get(name, "") for change in changes]
        if texts[0] != texts[1]:
            before, after = (text.splitlines() for text in texts)
            heads = f"a: changes of {name}", f"b: changes of {name}"
            lines += difflib.unified_diff(before, after, *heads, lineterm="")
    more = len(lines) - LONGEST_DIFF
    return "\n".join([*lines[:LONGEST_DIFF], *([f"… and {more} more lines"] if more > 0 else [])])


def _pairs(a: Run, b: Run) -> tuple[str, pd.DataFrame, str]:
    """What made the pairs, the table of them, and why there are none."""
    import pandas as pd

    columns = ["pair", "a", "b", "difference", "seconds_ratio"]
    if (a.metric, a.mode) != (b.metric, b.mode):
        why = f"the objectives differ ({a.mode} {a.metric}, {b.mode} {b.metric})"
        return "", pd.DataFrame(columns=columns), why
    ended = [[trial for trial in run.ranked() if trial.state in ("finished", "pruned")] for run in (a, b)]
    names = _compared(a, b)
    alike = {t.model for t in ended[0]} & {t.model for t in ended[1]}

    def point(trial: TrialState) -> list[Any]:
        model = [trial.model] if alike else []  # two models are compared where all else is the same
        return [*model, {name: trial.params[name] for name in names if name in trial.params}]

    def as_text(trial: TrialState, *further: Any) -> str:
        return json.dumps([*point(trial), *further], sort_keys=True)

    ways: dict[str, Callable[[TrialState], str]] = {
        "trial": lambda trial: trial.trial_id,
        "seed": lambda trial: as_text(trial, trial.seed, trial.fold),
        "point": as_text,
    }
    for way, key in ways.items():
        rows: list[list[Any]] = []
        for both in _matched(ended, key).values():
            values = [_mean(trial.attempt.best for trial in trials) for trials in both]
            seconds = [_mean(map(_seconds, trials)) for trials in both]
            name = _pair_name(both[0][0], way, names)
            rows.append([name, *values, values[1] - values[0], _ratio(*seconds)])
        if rows:
            return way, pd.DataFrame(rows, columns=columns), ""
    why = "no trial of one of them has ended well" if not all(ended) else "they have no point in common"
    return "", pd.DataFrame(columns=columns), why


def _compared(a: Run, b: Run) -> list[str]:
    """Hyperparameters that both runs have, and that differ between trials of one of them.

    One that is the same in all trials of a run, and another in all of the other's, is what has been changed.
    """
    others = set(b.parameters())
    found = []
    for name in a.parameters():
        values = [{repr(t.params[name]) for t in run.trials.values() if name in t.params} for run in (a, b)]
        if name in others and max(map(len, values)) > 1:
            found.append(name)
    return found


def _matched(
    ended: Sequence[Iterable[TrialState]], key: Callable[[TrialState], str]
) -> dict[str, tuple[list[TrialState], list[TrialState]]]:
    """The trials of both runs for each key that is in both, in the order of the first sweep."""
    groups: list[dict[str, list[TrialState]]] = [{}, {}]
    for group, trials in zip(groups, ended, strict=True):
        for trial in sorted(trials, key=lambda trial: trial.index):
            group.setdefault(key(trial), []).append(trial)
    return {name: (trials, groups[1][name]) for name, trials in groups[0].items() if name in groups[1]}


def _pair_name(trial: TrialState, way: str, names: Sequence[str]) -> str:
    if way == "trial":
        return trial.trial_id
    params = [f"{name}={_shown(trial.params[name])}" for name in names if name in trial.params]
    fold = [f"fold={trial.fold}"] if trial.fold is not None else []
    return " ".join([*params, *([f"seed={trial.seed}", *fold] if way == "seed" else [])])


def _seconds(trial: TrialState) -> float | None:
    """How long a trial took; its part, of a pack."""
    attempt = trial.attempt
    return attempt.seconds / attempt.lanes if attempt.seconds else None


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def _ratio(a: float, b: float) -> float:
    return b / a if a > 0 and b > 0 else math.nan


def _side(run: Run, shown: Sequence[str]) -> Side:
    from statistics import median

    from hpc.results.stats.verdicts import estimate

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
    taken = [taken for trials in groups.values() for t in trials if (taken := _seconds(t)) is not None]
    seconds = float(median(taken)) if taken else None
    if not points:
        return Side(str(run.folder), run.counts(), None, {}, "", seconds)
    best, trial = max(points, key=lambda one: sign * one[0].mean)
    params = {name: trial.params[name] for name in shown if name in trial.params}
    return Side(str(run.folder), run.counts(), best, params, trial.trial_id, seconds)


def _same(a: Any, b: Any) -> bool:
    """Whether two entries mean the same: 1 and 1.0 do, True and 1 don't."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
