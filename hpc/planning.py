"""What submitting a sweep to SLURM would do: jobs, arrays, and an upper bound of what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc import profile as profiles
from hpc.jobs.check import check
from hpc.jobs.launch import Launch
from hpc.profile import Named, Profile
from hpc.results import TrialState
from hpc.schedulers import batch
from hpc.schedulers.base import JobArray, SchedulerError
from hpc.schedulers.slurm import Slurm
from hpc.sweeps import Sweep, SweepError
from hpc.sweeps.text import format_count


@dataclass(frozen=True)
class Planned:
    """What would be submitted.

    Attributes:
        profile: of the jobs, with what the command line says instead.
        name: of the profile.
        jobs: the trials of each job, by their ids.
        arrays: the calls of sbatch.
        max_array_size: of the cluster, which the arrays keep to.
    """

    profile: Profile
    name: str
    jobs: list[tuple[str, ...]]
    arrays: list[JobArray]
    max_array_size: int

    @property
    def node_hours(self) -> float:
        """An upper bound for one start of every job."""
        return len(self.jobs) * self.profile.nodes * self.profile.time_min / 60

    def script(self, array: JobArray, folder: Path) -> str:
        """The batch script of one of the arrays."""
        return batch.script(self.profile, array, folder)

    def launch(self, number: int) -> Launch:
        """What its jobs are to know."""
        return batch.launch(self.profile, number, self.jobs)

    def describe(self) -> list[str]:
        """In words, a line each."""
        profile, count = self.profile, format_count
        ranks = profile.nodes * profile.ranks_of_node
        gpus = profile.nodes * profile.gpus_per_node
        groups = f" in {profile.groups} groups" if profile.groups > 1 else ""
        sizes = " + ".join(str(array.size) for array in self.arrays)
        again = f", and anew for each time that a job is requeued ({profile.requeues} at most)"
        workers = max((array.workers for array in self.arrays), default=0)
        return [
            f"{count(len(self.arrays), 'array')} ({sizes} jobs; MaxArraySize is {self.max_array_size}), "
            f"at most {format_count(workers, 'job')} at once, with profile {self.name}",
            f"each job: {format_count(profile.nodes, 'node')}, {format_count(ranks, 'rank')}{groups}, "
            f"{format_count(gpus, 'GPU')}, {profile.time_min} min; at once: "
            f"{format_count(workers * ranks, 'rank')}, {format_count(workers * gpus, 'GPU')}",
            f"at most {self.node_hours:.1f} node-hours{again if profile.requeues else ''}",
        ]


def plan(
    sweep: Sweep,
    named: Named,
    *,
    workers: int | None = None,
    ranks: int | None = None,
    slurm: Slurm | None = None,
) -> tuple[Sweep, Planned]:
    """What submitting a sweep into a new folder would do; nothing is done.

    Raises:
        SweepError: with every problem found.
    """
    profile = slurm_profile(named, workers=workers, ranks=ranks)
    sweep = checked(sweep, profile)
    try:
        size = (slurm or Slurm()).limits().array_size
    except SchedulerError:  # a laptop may ask, too
        size = batch.DEFAULT_MAX_ARRAY_SIZE
    if sweep.uses_ask_tell:
        jobs = min(profile.workers or 4, math.ceil(sweep.size / profile.groups))
        name = batch.name_of(sweep.name, "000000")
        arrays = batch.arrays(name, {1.0: jobs}, jobs, size)
        return sweep, Planned(profile, named.name, [()] * jobs, arrays, size)
    names = [trial.trial_id for trial in sweep.trials]
    return sweep, planned_for(named, profile, names, {}, size, sweep.name, "000000")


def slurm_profile(named: Named, *, workers: int | None, ranks: int | None) -> Profile:
    """The profile with what the command line says instead.

    Raises:
        SweepError: it is none of SLURM.
    """
    if named.profile.cluster != "slurm":
        raise SweepError(
            f"--on {named.name}: is not of SLURM, so there is nothing to submit to; `hpc run` runs it here, "
            "or name a profile with `cluster: slurm`."
        )
    return profiles.with_options(named.profile, workers=workers, ranks=ranks)


def checked(sweep: Sweep, profile: Profile) -> Sweep:
    """The sweep with its defaults, checked for the ranks of a profile.

    Raises:
        SweepError: with every problem found.
    """
    if sweep.kind == "program" and sweep.grace_seconds >= profile.signal_seconds:
        message = (
            f"{sweep.grace_seconds:g} s is as long as jobs of this profile have from the signal to their "
            f"time limit, or longer (signal_seconds: {profile.signal_seconds}); lower it, or raise that."
        )
        raise SweepError(sweep.problem(("grace_seconds",), message))
    ranks = profile.nodes * profile.ranks_of_node // profile.groups
    return check(sweep, ranks, here=profile.python is None)


def planned_for(
    named: Named,
    profile: Profile,
    todo: Sequence[str],
    memory: Mapping[str, float],
    max_size: int,
    sweep: str,
    token: str,
) -> Planned:
    """Deal trials out to jobs, those of each need of memory apart, and jobs to arrays.

    Args:
        named: the profile, by its name.
        profile: with what the command line says instead.
        todo: ids of the trials.
        memory: the factor of memory of each, 1 unless given.
        max_size: jobs that an array may have.
        sweep: its name.
        token: that no other launch has.
    """
    workers = profile.workers or 4
    jobs: list[tuple[str, ...]] = []
    sizes: dict[float, int] = {}
    for factor in sorted({memory.get(name, 1.0) for name in todo}):
        part = batch.deal([name for name in todo if memory.get(name, 1.0) == factor], profile, workers)
        sizes[factor] = len(part)
        jobs += part
    arrays = batch.arrays(batch.name_of(sweep, token), sizes, workers, max_size)
    return Planned(profile, named.name, jobs, arrays, max_size)


def memory_factor(trial: TrialState, profile: Profile) -> float:
    """The factor of memory for a trial: more for each time it ran out of it."""
    if profile.mem_gb is None:
        return 1.0
    times = sum(a.reason == "out-of-memory" for a in trial.attempts.values())
    return float(profile.more_memory**times)


def keep_to(checkup: Mapping[str, Any], jobs: int, named: Named) -> None:
    """Make sure that not more jobs are submitted than may be in the queue at once.

    Args:
        checkup: what `hpc doctor` has found out about the profile.
        jobs: to submit.
        named: the profile, by its name.

    Raises:
        SweepError: they are more.
    """
    most = checkup.get("max_submit")
    if most is not None and jobs > most:
        raise SweepError(
            f"{jobs} jobs are more than the {most} that you may have in the queue at once (hpc doctor --on "
            f"{named.name}). Raise trials_per_job in the profile, or leave it out: then there are as many "
            "jobs as workers."
        )
