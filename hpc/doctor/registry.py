"""The checks of ``hpc doctor``: in which order they come, when each applies, and where its data come from.

To add a check, write a function from data to findings in the file of its noun, and enter it in ``CHECKS``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hpc.doctor.accounts import check_accounting
from hpc.doctor.base import Finding, note, ok, problem
from hpc.doctor.cache import write_doctor_cache
from hpc.doctor.canary import CanaryJob
from hpc.doctor.cluster import check_arrays, check_commands, check_partition, check_submission
from hpc.doctor.examination import Examination
from hpc.doctor.files import check_space
from hpc.doctor.gpus import check_gpus_offered
from hpc.doctor.meeting import meet_here
from hpc.doctor.packages import check_packages
from hpc.doctor.ranks import check_mpi
from hpc.doctor.requeue import check_preemption, check_requeueing
from hpc.doctor.storage import check_storage
from hpc.doctor.time_limit import check_time_limit
from hpc.schedulers import batch
from hpc.schedulers.base import JobArray, SchedulerError, UnreachableError
from hpc.sweeps.text import format_count


@dataclass(frozen=True)
class Check:
    """One thing to look at.

    Attributes:
        name: what is looked at, in a word or two.
        applies: says whether it is to be looked at in a check-up.
        run: gives the findings.
        needs_folder: whether it writes into the folder where runs would be made.
    """

    name: str
    applies: Callable[[Examination], bool]
    run: Callable[[Examination], Iterable[Finding]]
    needs_folder: bool = False


# --- when a check applies


def _is_slurm(one: Examination) -> bool:
    return one.profile.cluster == "slurm"


def _is_here(one: Examination) -> bool:
    return not _is_slurm(one)


def _has_commands(one: Examination) -> bool:
    return _is_slurm(one) and {"sbatch", "scontrol"} <= one.commands


def _answers(one: Examination) -> bool:
    return _has_commands(one) and not one.controller_problem


def _is_known(one: Examination) -> bool:
    return _is_here(one) or _answers(one)


def _has_partition(one: Examination) -> bool:
    return _answers(one) and bool(one.chosen)


def _can_meet_here(one: Examination) -> bool:
    there = one.machine["packages"] if _is_here(one) and one.wants_canary else {}
    return bool(there and there["horovod"] and there["mpi4py"])


# --- this machine


def _packages(one: Examination) -> Iterable[Finding]:
    return check_packages("this machine", one.machine["python"], one.machine["packages"], ranks=None)


def _processors(one: Examination) -> Iterator[Finding]:
    cpus, devices = one.machine["cpus"], ", ".join(one.machine["devices"])
    yield ok("processors", f"{format_count(cpus, 'CPU')}; {devices or 'no NVIDIA device'} in /dev")


def _ranks(one: Examination) -> Iterable[Finding]:
    return meet_here(one.scratch, one.machine["devices"])


# --- the cluster


def _commands(one: Examination) -> Iterator[Finding]:
    yield check_commands(one.commands)


def _controller(one: Examination) -> Iterator[Finding]:
    if one.controller_problem:
        remedy = "Try again later; ask the administrators if it stays so."
        yield problem("controller", one.controller_problem, remedy)
    else:
        yield ok("controller", f"SLURM {one.version} of cluster {one.cluster} answers")


def _partition(one: Examination) -> Iterable[Finding]:
    return check_partition(one.profile, one.partitions)


def _gpus(one: Examination) -> Iterator[Finding]:
    names = ",".join(entries["PartitionName"] for entries in one.chosen)
    nodes = one.slurm.output("sinfo", "-h", "-p", names, "-o", "%D|%T|%G")
    yield check_gpus_offered(one.profile, nodes)


def _account(one: Examination) -> Iterable[Finding]:
    return one.accounts.findings


def _time_limit(one: Examination) -> Iterable[Finding]:
    limits = {f"MaxTime of {p['PartitionName']}": p.get("MaxTime", "UNLIMITED") for p in one.chosen}
    limits |= one.accounts.limits.walls
    is_refused = one.config.get("EnforcePartLimits", "NO") not in ("NO", "(null)")
    return check_time_limit(one.profile, limits, refused=is_refused)


def _arrays(one: Examination) -> Iterator[Finding]:
    yield check_arrays(one.config)


def _accounting(one: Examination) -> Iterator[Finding]:
    yield check_accounting(one.config, one.accounts.problem)


def _preemption(one: Examination) -> Iterator[Finding]:
    yield check_preemption(one.profile, one.config, one.chosen[0])


def _requeue(one: Examination) -> Iterator[Finding]:
    yield check_requeueing(one.profile, one.config)


def _mpi(one: Examination) -> Iterator[Finding]:
    from hpc.jobs.launchers import mpi_vendor
    from hpc.jobs.launchers.registry import JOB_LAUNCHERS

    offered = JOB_LAUNCHERS[one.slurm.launcher].offered()
    yield check_mpi(one.profile, offered, None if one.profile.python else mpi_vendor())


def _submission(one: Examination) -> Iterator[Finding]:
    script = one.scratch / "test.sh"
    jobs = max(1, min(one.profile.workers or 4, batch.max_array_size(one.config)))
    text = batch.script(one.profile, JobArray("hpc-doctor", 0, jobs, jobs), one.scratch)
    script.write_bytes(os.fsencode(text))
    try:
        one.slurm.output("sbatch", "--test-only", str(script))
    except UnreachableError as error:
        yield note("submission", f"SLURM could not be asked: {error}", "Try again.")
    except SchedulerError as error:
        yield check_submission(str(error))
    else:
        yield check_submission("")


def _canary(one: Examination) -> Iterator[Finding]:
    job = CanaryJob(one.named, one.scratch, one.slurm, one.note)
    yield from job.run(one.wait_min)
    one.way = job.way


def _cache(one: Examination) -> Iterator[Finding]:
    """Keep what was found for ``hpc submit``; nothing is found unless that fails."""
    limits = one.accounts.limits
    found = {
        "slurm": one.version,
        "max_array": batch.max_array_size(one.config),
        "max_submit": limits.submit,
        "max_jobs": limits.jobs,
        **one.way,
    }
    try:
        write_doctor_cache(one.cluster, one.named, found)
    except OSError as error:
        yield note("memory", f"what was found can't be kept for hpc submit: {error}", "Mend that file.")


# --- both


def _storage(one: Examination) -> Iterator[Finding]:
    from hpc.jobs.canary import reach

    if one.profile.storage:
        yield check_storage(one.profile.storage, reach(one.profile.storage))


def _space(one: Examination) -> Iterator[Finding]:
    from hpc.jobs.canary import space

    yield check_space(str(one.folder), space(one.scratch))


CHECKS = (
    Check("packages", _is_here, _packages),
    Check("processors", _is_here, _processors),
    Check("commands", _is_slurm, _commands),
    Check("controller", _has_commands, _controller),
    Check("partition", _answers, _partition),
    Check("GPUs", lambda one: _has_partition(one) and "sinfo" in one.commands, _gpus),
    Check("account", _answers, _account),
    Check("time limit", _answers, _time_limit),
    Check("arrays", _answers, _arrays),
    Check("accounting", _answers, _accounting),
    Check("preemption", _has_partition, _preemption),
    Check("requeue", _answers, _requeue),
    Check("MPI", _answers, _mpi),
    Check("storage", _is_known, _storage),
    Check("space", _is_known, _space, needs_folder=True),
    Check("ranks", _can_meet_here, _ranks, needs_folder=True),
    Check("submission", _answers, _submission, needs_folder=True),
    Check("canary", lambda one: _answers(one) and one.wants_canary, _canary, needs_folder=True),
    Check("cache", _answers, _cache),
)
"""All checks, in their order."""
