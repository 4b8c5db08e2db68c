"""An attempt at a trial as records tell it, and what became of it.

Records of one attempt stand in several files: its worker records its progress; a command that watches records
the end of a worker that is gone. The state does not depend on the order in which they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

REASONS = ("error", "diverged", "out-of-memory", "timeout", "node-failure", "cancelled")


_ENDED_WELL = ("finished", "pruned")


class Workload(TypedDict, total=False):
    """Sizes and timings of what was trained, as far as they are known.

    Attributes:
        samples: of the training part.
        batch_size: global.
        parameters: trainable weights.
        gradient_bytes: that are summed up over ranks at each step.
        nodes: that the ranks were on.
        steps: that were timed.
        steps_seconds: of these together, like the further seconds.
        input_seconds: of these, waiting for samples.
        collective_seconds: in collectives.
        waiting_seconds: waiting for other ranks.
        reduces_by: how gradients were summed up.
        reduced: ``bytes`` and ``seconds`` of sums that were measured by themselves.
    """

    samples: int
    batch_size: int
    parameters: int
    gradient_bytes: int
    nodes: int
    steps: int
    steps_seconds: float
    input_seconds: float
    collective_seconds: float
    waiting_seconds: float
    reduces_by: str
    reduced: list[dict[str, Any]]


def _workload_of(record: Mapping[str, Any]) -> Workload:
    found: Any = {name: record[name] for name in Workload.__annotations__ if name in record}
    return cast(Workload, found)


@dataclass
class Attempt:
    """One try at a trial.

    Attributes:
        state: running, finished, pruned, failed; waiting if it was stopped, to go on later.
        reason: of a failure, one of ``REASONS``; else empty.
        error: what went wrong, its traceback included; else empty.
        epochs: how many were completed.
        metrics: the values at the end of the last epoch, by name.
        best: the best value of the objective, if any epoch was completed.
        seconds: how long it took, so far or in all.
        ranks: that trained it together.
        job_id: of the job that trained it.
        node: the host of rank 0.
        code: digest of the user's model and dataset files.
        weights: SHA-256 of the weights and the optimizer's variables at the end; else empty.
        lost: whether the whole job ended in it without a word, to go on later.
        lanes: trials that were trained at once, of which this is one.
        alone: whether the trial is to be trained by itself next.
        after: the attempt and the epoch that this one went on from; None if it began anew.
        history: the metrics of every epoch of this attempt, if they are kept.
        confusion: for the validation and the test part how many samples of each class (row) were
            taken for which (column); empty where numbers are predicted.
        training_seconds: of ``seconds``, those in which its graphs ran.
        tracing_seconds: of ``seconds``, those in which its graphs were traced.
        searching_seconds: that asking for it, reporting of it and telling how it ended have taken.
        energy_joules: that its devices took meanwhile; None where nobody can say.
        started: when it began, in seconds since 1970; of a pack, when its lanes did.
        ended: when it ended, or when the last was heard of it.
        workload: sizes and timings of what was trained; empty in records of earlier versions.
        reports: the records that its state is decided by, by their kind; empty once it has ended well.
    """

    state: str = "running"
    reason: str = ""
    error: str = ""
    epochs: int = 0
    metrics: dict[str, float | None] = field(default_factory=dict)
    best: float | None = None
    seconds: float | None = None
    ranks: int | None = None
    job_id: str = ""
    node: str = ""
    code: str = ""
    started: float = 0.0
    weights: str = ""
    lost: bool = False
    lanes: int = 1
    alone: bool = False
    after: tuple[int, int] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    confusion: dict[str, list[list[int]]] = field(default_factory=dict)
    training_seconds: float = 0.0
    tracing_seconds: float = 0.0
    searching_seconds: float = 0.0
    energy_joules: float | None = None
    ended: float = 0.0
    workload: Workload = field(default_factory=Workload)
    reports: dict[str, Any] = field(default_factory=dict)

    def begin(self, record: Mapping[str, Any]) -> None:
        """Take in that it was started; the latest record counts.

        Raises:
            KeyError, TypeError, ValueError: the record does not say what it goes on from, as this version
                knows it.
        """
        if self.job_id and (record["time"], record["job"]) < (self.started, self.job_id):
            return
        after, from_ = record.get("after"), None
        if after:
            from_ = int(after["attempt"]), int(after["epoch"])
            its = {"epoch": from_[1], "best": after["best"], "metrics": after["metrics"]}
            checked({**its["metrics"], "best": its["best"]})
            self.reports["after"] = its
        self.after = from_
        self.ranks, self.node = record["ranks"], record["node"]
        self.job_id, self.code = record["job"], record.get("code", "")
        self.started, self.lanes = record["time"], record.get("lanes", 1)

    def pass_epoch(
        self, record: Mapping[str, Any], value: float | None, better: Callable[[float, float | None], bool]
    ) -> None:
        """Take in the end of an epoch.

        Args:
            record: of it, whose metrics were checked.
            value: of the objective.
            better: whether a value of it is better than another.
        """
        if self.state in _ENDED_WELL:
            return
        last = self.reports.get("epoch")
        if last is None or (record["epoch"], record["seconds"]) > (last["epoch"], last["seconds"]):
            self.reports["epoch"] = {n: record.get(n) for n in ("epoch", "metrics", "seconds", "time")}
        if value is not None and better(value, self.reports.get("best")):
            self.reports["best"] = value

    def end_well(self, state: str, record: Mapping[str, Any]) -> None:
        """Take in that it was finished, or pruned; this overrules what a command that watches has recorded.

        Args:
            state: finished or pruned; one that was finished is not pruned.
            record: that says so, whose metrics were checked; of several the first counts.
        """
        mine, its = (
            (how != "finished", time) for how, time in ((self.state, self.ended), (state, record["time"]))
        )
        if self.state in _ENDED_WELL and mine <= its:
            return
        self.state, self.seconds, self.ended = state, record["seconds"], record["time"]
        self.reason, self.error, self.lost, self.alone = "", "", False, False
        self.epochs, self.best, self.metrics = record["epochs"], record["best"], record["metrics"]
        self.training_seconds = record.get("training_seconds", 0.0)
        self.tracing_seconds = record.get("drawing_seconds", 0.0)
        self.searching_seconds = record.get("searching_seconds", 0.0)
        self.energy_joules = record.get("energy_joules")
        self.weights, self.confusion = record.get("weights", ""), record.get("confusion", {})
        self.workload = _workload_of(record)
        self.reports = {}

    def end_badly(self, how: str, record: Mapping[str, Any], *, is_its_own: bool) -> None:
        """Take in that it was stopped, or has failed.

        Args:
            how: stopped or failed.
            record: that says so.
            is_its_own: whether its job says it, which knows better than a command that watches. Of several
                that know as well the first counts.
        """
        if self.state in _ENDED_WELL:
            return
        rank = [not is_its_own, record["time"], str(record.get("error", ""))]
        if how not in self.reports or rank < self.reports[how]["rank"]:
            self.reports[how] = {"rank": rank, **record}

    def settle(self, begins: Iterable[float], better: Callable[[float, float | None], bool]) -> None:
        """Decide its state by all records so far.

        Args:
            begins: when its job was begun, each time that it was.
            better: as in :meth:`pass_epoch`.
        """
        if len(self.history) > 1:
            by_epoch = {one["epoch"]: one for one in sorted(self.history, key=_place)}
            self.history = list(by_epoch.values())
        if self.state in _ENDED_WELL:
            return
        epoch, after = self.reports.get("epoch"), self.reports.get("after")
        stopped, failed = self.reports.get("stopped"), self.reports.get("failed")
        verdicts = [one for one in (stopped, failed) if one is not None]
        self.state = "failed" if failed else "waiting" if stopped else "running"
        self.reason, self.error = (failed["reason"], failed["error"]) if failed else ("", "")
        self.lost = bool(stopped and stopped.get("lost", False))
        self.alone = bool(stopped and stopped.get("alone", False))
        ways = [one for one in (epoch, after) if one is not None]
        # A command that records the end has read the epochs, which may not be read any more.
        self.epochs = max(
            [one["epoch"] for one in ways] + [one.get("epochs", 0) for one in verdicts], default=0
        )
        self.metrics = ways[0]["metrics"] if ways else {}
        self.best = self.reports.get("best")
        if after and after["best"] is not None and better(after["best"], self.best):
            self.best = after["best"]
        seconds = [one.get("seconds") for one in (failed, stopped, epoch) if one is not None]
        self.seconds = next((one for one in seconds if one is not None), None)
        heard = max(self.started, (epoch and epoch["time"]) or 0.0)
        self.ended = _end(verdicts[0], heard, begins) if verdicts else heard


def _end(verdict: Mapping[str, Any], heard: float, begins: Iterable[float]) -> float:
    """When an attempt ended; a record from after the job was requeued is too late to say."""
    is_late = any(heard < begin <= verdict["time"] for begin in begins)
    return float(verdict.get("ended") or (heard if is_late else max(heard, verdict["time"])))


def _place(record: Mapping[str, Any]) -> tuple[int, float]:
    return record["epoch"], record["seconds"]


def checked(metrics: dict[str, Any]) -> dict[str, float | None]:
    """Metrics, which are numbers or unknown.

    Raises:
        TypeError: one is something else.
    """
    for name, value in metrics.items():
        if value is not None and type(value) not in (float, int):
            raise TypeError(f"{name} is {value!r}")
    return metrics
