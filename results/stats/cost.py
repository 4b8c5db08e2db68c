"""The bill: what every trial, and every way to end, took of the machines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpc.results.store import REASONS, Attempt, Run, TrialState

if TYPE_CHECKING:
    import pandas as pd

HOURS = ("node_hours", "core_hours", "gpu_hours")
IDLE = "start-up and idle"
"""Time that was allocated, and in which no trial was being trained."""
LOST = "lost"
"""Attempts of which nothing is left: killed, failed or stopped, and made anew."""
SLURM, CLOCKS = "SLURM's accounting", "the workers' own clocks"
"""How a bill is known."""


def by_trial(run: Run) -> pd.DataFrame:
    """What each trial took, over all its attempts, in the order of the sweep.

    An attempt takes all that its job holds for as long as it lasts: as one of L lanes of a pack 1/L of that,
    and with G groups of ranks in the job 1/G. Attempts that were lost are counted, too; what a job held
    while nothing was trained is not, see :func:`by_outcome`.

    Args:
        run: as read.

    Returns:
        ``trial_id``, ``outcome`` (its state; of a failed one ``failed (REASON)``), ``node_hours``,
        ``core_hours``, ``gpu_hours`` and ``energy_joules`` (NaN where nobody could say). ``attrs["source"]``
        says how it is known.
    """
    import pandas as pd

    jobs = _jobs(run)
    rows = []
    for trial in sorted(run.trials.values(), key=lambda trial: trial.index):
        cost = sum((jobs.cost(attempt) for attempt in trial.attempts.values()), _Cost())
        rows.append({"trial_id": trial.trial_id, "outcome": _outcome(trial), **cost.entries()})
    frame = pd.DataFrame(rows, columns=["trial_id", "outcome", *HOURS, "energy_joules"])
    frame.attrs["source"] = jobs.source
    return frame


def by_outcome(run: Run) -> pd.DataFrame:
    """Where all that was allocated went: the bill.

    Args:
        run: as read.

    Returns:
        A row for each outcome that there is: ``finished``, ``pruned``, ``failed (REASON)``, ``running``,
        ``waiting`` (stopped, to go on later), ``lost`` and ``start-up and idle``. Columns are ``outcome``,
        ``trials`` (how many), ``node_hours``, ``core_hours``, ``gpu_hours``, ``energy_joules`` (of what
        could say it, NaN if nothing could) and ``share``: of all GPU-hours, or core-hours without GPUs; NaN
        of nothing. ``attrs["source"]`` says how it is known.
    """
    import pandas as pd

    jobs = _jobs(run)
    costs: dict[str, _Cost] = {}
    trials: dict[str, int] = {}
    for trial in run.trials.values():
        parts = {_outcome(trial): _Cost()}
        for attempt, kept in _kept(trial):
            whole = jobs.cost(attempt)
            parts[_outcome(trial)] += whole.times(kept)
            if kept < 1:
                parts[LOST] = parts.get(LOST, _Cost()) + whole.times(1 - kept)
        for name, cost in parts.items():
            costs[name] = costs.get(name, _Cost()) + cost
            trials[name] = trials.get(name, 0) + 1
    total, trained = jobs.total(), sum(costs.values(), _Cost())
    costs[IDLE] = total.less(trained)
    order = ["finished", "pruned", *(f"failed ({reason})" for reason in REASONS)]
    order += ["failed", "running", "waiting", LOST, IDLE]
    measure = "gpu_hours" if total.gpu_hours or trained.gpu_hours else "core_hours"
    whole = sum(getattr(cost, measure) for cost in costs.values())
    rows = [
        {"outcome": name, "trials": trials.get(name, 0), **costs[name].entries(),
         "share": getattr(costs[name], measure) / whole if whole else math.nan}
        for name in sorted(costs, key=lambda name: order.index(name) if name in order else len(order))
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["outcome", "trials", *HOURS, "energy_joules", "share"])
    frame.attrs["source"] = jobs.source
    return frame


def by_job(run: Run) -> pd.DataFrame:
    """What each job held, and for how long.

    Args:
        run: as read.

    Returns:
        ``job_id``, ``elapsed_seconds`` (over all its runs, if it was requeued), ``queue_seconds`` (NaN unless
        SLURM's accounting says it), ``nodes``, ``cores``, ``gpus``, ``energy_joules`` (of its nodes, if SLURM
        measures it) and ``source``, how that is known.
    """
    import pandas as pd

    columns = ["job_id", "elapsed_seconds", "queue_seconds", "nodes", "cores", "gpus", "energy_joules",
               "source"]  # fmt: skip
    jobs = _jobs(run).jobs
    rows = [
        [name, job.seconds, job.queue_seconds, job.nodes, job.cores, job.gpus, job.energy_joules, job.source]
        for name, job in jobs.items()
    ]
    frame = pd.DataFrame(rows, columns=columns)
    numbers = columns[1:-1]
    frame[numbers] = frame[numbers].astype("float64")
    return frame


def allocated(run: Run, now: float) -> dict[str, float]:
    """Hours of nodes, cores and GPUs that all jobs have had, those that still run up to now.

    Args:
        run: as read.
        now: in seconds since 1970.
    """
    jobs = _jobs(run)
    total = jobs.total()
    for name, known in run.jobs.items():
        if "ready" in known and "left_time" not in known and "ended" not in known:
            job = jobs.jobs[name]
            since = max([known["ready"], *known.get("heard", [])])
            # Of its trials under way, what was heard last of them counts already.
            last = [one.ended for trial in run.trials.values() for one in trial.attempts.values()
                    if one.job_id == name]  # fmt: skip
            total += job.for_seconds(max(0.0, now - max([since, *last])))
    return {name: getattr(total, name) for name in HOURS}


@dataclass(frozen=True)
class _Cost:
    """Hours of nodes, cores and GPUs; the energy is None where nobody could say."""

    node_hours: float = 0.0
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    energy_joules: float | None = None

    def __add__(self, other: _Cost) -> _Cost:
        energy = [cost.energy_joules for cost in (self, other) if cost.energy_joules is not None]
        return _Cost(
            self.node_hours + other.node_hours, self.core_hours + other.core_hours,
            self.gpu_hours + other.gpu_hours, sum(energy) if energy else None,
        )  # fmt: skip

    def times(self, factor: float) -> _Cost:
        """A part of it."""
        energy = None if self.energy_joules is None else factor * self.energy_joules
        return _Cost(
            factor * self.node_hours, factor * self.core_hours, factor * self.gpu_hours, energy
        )  # fmt: skip

    def less(self, other: _Cost) -> _Cost:
        """What is left of it; nothing where clocks differ so that there is less than nothing."""
        left = self + other.times(-1)
        energy = None
        if self.energy_joules is not None and other.energy_joules is not None:
            energy = max(0.0, self.energy_joules - other.energy_joules)
        return _Cost(max(0.0, left.node_hours), max(0.0, left.core_hours), max(0.0, left.gpu_hours), energy)

    def entries(self) -> dict[str, float]:
        """As columns."""
        energy = math.nan if self.energy_joules is None else self.energy_joules
        return {**{name: getattr(self, name) for name in HOURS}, "energy_joules": energy}


@dataclass(frozen=True)
class _Job:
    """What a job held, and for how long.

    Attributes:
        seconds: in all.
        nodes: a part of one, where other workers of the run are on the machine.
        cores: of all nodes.
        gpus: likewise.
        groups: of ranks, which trained different trials at the same time.
        energy_joules: if SLURM says so.
        queue_seconds: likewise.
        source: how it is known.
    """

    seconds: float = 0.0
    nodes: float = 1.0
    cores: float = 1.0
    gpus: float = 0.0
    groups: int = 1
    energy_joules: float | None = None
    queue_seconds: float | None = None
    source: str = CLOCKS

    def for_seconds(self, seconds: float) -> _Cost:
        """What it costs to have it for so long."""
        energy = self.energy_joules
        part = None if energy is None or not self.seconds else energy * min(1.0, seconds / self.seconds)
        hours = seconds / 3600
        return _Cost(self.nodes * hours, self.cores * hours, self.gpus * hours, part)


@dataclass(frozen=True)
class _Jobs:
    """All jobs of a run, by their names."""

    jobs: Mapping[str, _Job]

    @property
    def source(self) -> str:
        """How what they cost is known."""
        sources = {job.source for job in self.jobs.values() if job.seconds}
        return " and ".join(sorted(sources)) or CLOCKS

    def total(self) -> _Cost:
        """Of all together."""
        return sum((job.for_seconds(job.seconds) for job in self.jobs.values()), _Cost())

    def cost(self, attempt: Attempt) -> _Cost:
        """What an attempt took of its job; its energy as it was measured, else by its share of the time."""
        job = self.jobs.get(attempt.job_id)
        seconds = max(0.0, attempt.ended - attempt.started) if attempt.started else 0.0
        if job is None:
            return _Cost()
        cost = job.for_seconds(seconds / max(1, attempt.lanes) / job.groups)
        if attempt.energy_joules is None:
            return cost
        return replace(cost, energy_joules=attempt.energy_joules)


def _outcome(trial: TrialState) -> str:
    reason = trial.attempt.reason
    return f"failed ({reason})" if trial.state == "failed" and reason else trial.state


def _kept(trial: TrialState) -> Iterator[tuple[Attempt, float]]:
    """Each attempt, and what part of its time is in what came of the trial: 0 if it was for nothing."""
    ends = dict(trial.spans())
    for number, attempt in trial.attempts.items():
        begin, end = attempt.after[1] if attempt.after else 0, ends.get(number, -1)
        if number not in ends:
            yield attempt, 0.0
        elif end < attempt.epochs:  # killed some epochs after the checkpoint that another went on from
            yield attempt, max(0.0, end - begin) / (attempt.epochs - begin)
        else:
            yield attempt, 1.0


def _jobs(run: Run) -> _Jobs:
    attempts: dict[str, list[Attempt]] = {}
    for trial in run.trials.values():
        for attempt in trial.attempts.values():
            if attempt.started:
                attempts.setdefault(attempt.job_id, []).append(attempt)
    names = dict.fromkeys([*run.jobs, *attempts])
    return _Jobs({name: _job(run, run.jobs.get(name, {}), attempts.get(name, [])) for name in names})


def _job(run: Run, known: Mapping[str, Any], attempts: list[Attempt]) -> _Job:
    groups = known.get("groups", 1)
    ranks = groups * max((attempt.ranks or 1 for attempt in attempts), default=1)
    nodes = known.get("nodes", 1) if "array" in known else _node_share(run, known)
    account = known.get("account") or {}
    # Of a job that was cancelled in the queue SLURM says that it had nothing.
    held = account if account.get("cores") else {**known, "nodes": nodes}
    elapsed = account.get("elapsed_seconds")
    return _Job(
        seconds=_seconds(known, attempts) if elapsed is None else elapsed,
        nodes=held.get("nodes") or 1,
        cores=held.get("cores") or ranks,
        gpus=held.get("gpus") or 0,
        groups=groups,
        energy_joules=account.get("energy_joules"),
        queue_seconds=account.get("queue_seconds"),
        source=CLOCKS if elapsed is None else SLURM,
    )


def _node_share(run: Run, known: Mapping[str, Any]) -> float:
    """The part of its nodes that a job on this machine has, where others of the run are beside it."""
    nodes, began = float(known.get("nodes", 1)), float(known.get("time", math.inf))
    launch = run.launch_of(str(known.get("job", "")), began)
    if "pid" not in known or not launch:
        return nodes
    return nodes / max(1, int(min(launch.get("workers", 1), launch.get("trials", 1))))


def _seconds(known: Mapping[str, Any], attempts: list[Attempt]) -> float:
    """How long a job ran by the signs of life that its workers gave, over all its runs."""
    signs = [*known.get("heard", []), *(attempt.started for attempt in attempts)]
    signs += [attempt.ended for attempt in attempts]
    if known.get("ended") in ("done", "died", "stopped"):  # of a job here that was watched to its end
        signs.append(known["ended_time"])
    begins = sorted(known.get("begins", []))
    if not begins:
        if "pid" not in known and not signs:
            return 0.0
        begins = [known["time"] if "pid" in known else min(signs)]
    total = 0.0
    for begin, end in zip(begins, [*begins[1:], math.inf], strict=True):
        total += max((sign for sign in signs if begin <= sign < end), default=begin) - begin
    return total
