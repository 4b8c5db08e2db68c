"""The batch script of an array, and how trials become arrays."""

from __future__ import annotations

import math
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.jobs.launch import Launch
from hpc.jobs.node import for_jobs
from hpc.jobs.spec import Snapshot, WorkerSpec
from hpc.schedulers.base import JobArray

if TYPE_CHECKING:
    from hpc.jobs.user_files import Stamps
    from hpc.profile import Profile

LAUNCHER = "slurm"
"""What starts the ranks of these jobs."""
DEFAULT_MAX_ARRAY_SIZE = 1001
"""SLURM's own, where the cluster's can't be asked."""


def deal(trials: Sequence[str], profile: Profile, workers: int) -> list[tuple[str, ...]]:
    """Divide trials among jobs.

    Without ``trials_per_job`` there is a job for every worker (fewer if groups of ranks share a
    job), and job *w* of *W* takes trials *w*, *w* + *W*, *w* + 2 *W*, ….

    Args:
        trials: their ids.
        profile: of the jobs.
        workers: jobs that run at once.
    """
    if profile.trials_per_job:
        jobs = math.ceil(len(trials) / profile.trials_per_job)
    else:
        jobs = min(workers, math.ceil(len(trials) / profile.groups))
    return [tuple(trials[job::jobs]) for job in range(jobs)]


def arrays(name: str, sizes: Mapping[float, int], workers: int, max_array_size: int) -> list[JobArray]:
    """Split jobs into arrays that the cluster takes.

    Args:
        name: of the launch.
        sizes: number of jobs for each factor of memory, in the order of the launch.
        workers: jobs that run at once.
        max_array_size: of the cluster; it bounds the index, which begins at 0.
    """
    max_array_size = max(1, max_array_size)  # where arrays are turned off, sbatch says so
    found: list[JobArray] = []
    first = 0
    for memory, size in sizes.items():
        for start in range(0, size, max_array_size):
            part = min(max_array_size, size - start)
            found.append(JobArray(f"{name}.{len(found)}", first + start, part, min(workers, part), memory))
        first += size
    return found


def max_array_size(config: Mapping[str, str]) -> int:
    """How many jobs an array may have; 0 where arrays are turned off.

    Args:
        config: as ``scontrol show config`` has it.
    """
    text = config.get("MaxArraySize", "")
    size = int(text) if text.isdigit() else DEFAULT_MAX_ARRAY_SIZE
    tasks = re.search(r"max_array_tasks=(\d+)", config.get("SchedulerParameters", ""))
    return min(size, int(tasks.group(1))) if tasks else size


def script(profile: Profile, array: JobArray, folder: Path, verb: str = "job") -> str:
    """The batch script of an array, as submitit renders it.

    It holds no path in an option: sbatch is called in the folder of the launch, and logs are
    named relative to it, since options in a script can't hold every path (a line break, say).

    Args:
        profile: of its jobs.
        array: to render.
        folder: of the launch.
        verb: what ``python -m hpc.jobs`` is to do.
    """
    from submitit.slurm.slurm import _convert_mem, _make_sbatch_string

    extra: dict[str, Any] = {
        "output": "%A_%a_log.out",
        "requeue" if profile.requeues else "no-requeue": True,
        **{name.replace("_", "-"): value for name, value in profile.sbatch.items() if value is not False},
    }
    command = [
        *shlex.split(python(profile)),
        "-u",
        "-m",
        "hpc.jobs",
        *verb.split(),
        str(folder.resolve()),
        str(array.first),
    ]
    return str(
        _make_sbatch_string(
            # exec: signals reach Python, not a shell that would die of them.
            command="exec " + " ".join(map(shlex.quote, command)),
            folder="unused",
            job_name=array.name,
            partition=profile.partition,
            time=profile.time_min,
            nodes=profile.nodes,
            ntasks_per_node=profile.ranks_of_node,
            cpus_per_task=profile.cpus_per_rank,
            gpus_per_node=profile.gpus_per_node or None,
            qos=profile.qos,
            account=profile.account,
            constraint=profile.constraint,
            mem=_convert_mem(profile.mem_gb * array.memory) if profile.mem_gb else None,
            # A folder `hpc` of the user's is not ours, nor their json.py Python's.
            setup=["export PYTHONSAFEPATH=1", *profile.setup],
            signal_delay_s=profile.signal_seconds,
            map_count=array.size,
            array_parallelism=array.workers,
            stderr_to_stdout=True,
            wckey=None,  # type: ignore[arg-type]  # else it asks for one of its own
            use_srun=False,  # the supervisor calls it
            additional_parameters=extra,
        )
    )


def launch(
    profile: Profile,
    number: int,
    jobs: Sequence[tuple[str, ...]],
    *,
    inject_fault: str = "",
    backend: str = "",
    asks: bool = False,
    files: Stamps | None = None,
    snapshot: Snapshot | None = None,
) -> Launch:
    """What the jobs of a launch are to know.

    Args:
        profile: of the jobs.
        number: of the launch.
        jobs: the trials of each.
        inject_fault: as ``WorkerSpec.inject_fault``.
        backend: what `hpc doctor` has found to work, where the profile leaves it open.
        asks: as ``Launch.asks``.
        files: as ``WorkerSpec.files``.
        snapshot: as ``WorkerSpec.snapshot``.
    """
    return Launch(
        number,
        tuple(jobs),
        WorkerSpec(
            ranks=profile.nodes * profile.ranks_of_node,
            threads=profile.cpus_per_rank or 0,
            gpus=profile.gpus_per_node > 0 and not profile.allow_cpu,
            checkpoint_min=profile.checkpoint_min,
            inject_fault=inject_fault,
            measure=profile.measure,
            files=files or {},
            snapshot=snapshot,
        ),
        python(profile),
        str(Path.cwd()),
        groups=profile.groups,
        backend=backend if backend and profile.backend == "auto" else profile.backend,
        mpi=profile.mpi,
        srun=tuple(profile.srun),
        requeues=profile.requeues,
        retry={str(reason): times for reason, times in profile.retry.items()},
        asks=asks,
        environment=for_jobs(os.environ),
        launcher=LAUNCHER,
    )


def python(profile: Profile) -> str:
    """The command that starts Python on a node."""
    return profile.python or shlex.quote(sys.executable)


def name_of(sweep: str, token: str) -> str:
    """The name of a launch's jobs, which squeue is asked by: no comma, no blank."""
    return f"hpc-{re.sub(r'[^A-Za-z0-9._-]', '-', sweep)[:60]}-{token}"
