"""The launchers, and which of them has started a process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hpc.jobs.launchers.base import DEFAULT, JobLauncher, Launcher
from hpc.jobs.launchers.mpirun import Mpirun
from hpc.jobs.launchers.slurm import Slurm
from hpc.jobs.launchers.submitit import Submitit
from hpc.jobs.launchers.variables import RankVariables
from hpc.jobs.node import FOR_RANKS, RankInfo

JOB_LAUNCHERS: Mapping[str, JobLauncher] = {one.name: one for one in (Slurm(),)}
"""Those of schedulers' jobs, by what ``Scheduler.launcher`` and the launch file call them."""
LAUNCHERS: tuple[Launcher, ...] = (Submitit(), Mpirun(), *JOB_LAUNCHERS.values())
"""All, in the order in which a process asks them. A worker of this machine may be started within a job."""
OF_JOBS = RankVariables(FOR_RANKS)


def find_rank_info(env: Mapping[str, str], launchers: Iterable[Launcher] = LAUNCHERS) -> RankInfo:
    """Read the rank of a process from its environment; one that is alone has no launcher.

    Args:
        env: ``os.environ``.
        launchers: to ask.

    Raises:
        LauncherError: a launcher's variables are missing, are no numbers or don't go together.
    """
    found = (one.rank_info(env) for one in launchers)
    info = next((one for one in found if one is not None), RankInfo())
    if info.size == 1:
        return RankInfo()
    groups = OF_JOBS.number(env, "HPC_GROUPS") if "HPC_GROUPS" in env else 1
    if not groups or info.size % groups:
        what = f"HPC_GROUPS is {groups}, and {info.size} ranks can't be split into so many equal groups"
        raise OF_JOBS.wrong(env, what)
    return info.split(groups)


def launcher_of(env: Mapping[str, str]) -> JobLauncher:
    """What starts the ranks of the job that a process belongs to; ``DEFAULT`` where nothing says so.

    Args:
        env: ``os.environ``.
    """
    return JOB_LAUNCHERS.get(env.get("HPC_LAUNCHER", DEFAULT), JOB_LAUNCHERS[DEFAULT])
