"""Where a process stands among the processes of its job, as its launcher tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

FOR_RANKS = ("HPC_BACKEND", "HPC_GROUPS", "HPC_LAUNCHER")
"""Variables that the launcher of a job sets for its ranks, for this start only."""
READ_BY_RANKS = ("HPC_", "HOROVOD_", "KERAS_", "OMP_", "TF_")
"""Prefixes of the variables that ranks read, and the libraries that they load."""


class WorldError(RuntimeError):
    """The ranks of a job don't form the world that was asked for."""


class LauncherError(WorldError):
    """Variables of a launcher that don't say which rank this process is."""


@dataclass(frozen=True)
class RankInfo:
    """Where a process stands among the processes of its job, as its launcher says.

    Attributes:
        rank: from 0, over all nodes.
        size: how many there are.
        local_rank: from 0, on this node.
        local_size: how many there are on this node.
        node: number of the node, from 0.
        launcher: ``submitit``, ``srun`` or another that starts ranks of our jobs, ``mpirun`` (or what else
            a person has typed to start an MPI world) or empty for a process on its own.
        mpi: whether the process was started as one of an MPI world.
        group: number of the group that the process belongs to, from 0.
        groups: how many the job's processes are split into; ``rank`` and ``size`` are those
            within the group, ``local_rank`` and ``local_size`` of the whole job.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    node: int = 0
    launcher: str = ""
    mpi: bool = False
    group: int = 0
    groups: int = 1

    def require(self, ranks: int, between: str = "between Python and what starts it") -> None:
        """Make sure that the job has the ranks that it was started for.

        Args:
            ranks: of the whole job; 0 if that is not known.
            between: where to look for what is wrong, as ``JobLauncher.between``.

        Raises:
            WorldError: it has others, as where one of several takes itself for alone.
        """
        found = self.size * self.groups
        if ranks and found != ranks:
            raise WorldError(
                f"the job was started for {ranks} ranks, but this one finds itself among {found}, so it does "
                "not train: each would do all trials by itself, or wait for others in vain. Look for what "
                f"changes the number of tasks, or empties the environment, {between}."
            )

    def split(self, groups: int) -> RankInfo:
        """The same process within one of so many groups of neighbouring ranks."""
        if groups == 1:
            return self
        size = self.size // groups
        return replace(self, rank=self.rank % size, size=size, group=self.rank // size, groups=groups)


def for_ranks(env: Mapping[str, str], backend: str, groups: int) -> dict[str, str]:
    """The environment that ranks are to find, whatever their launcher leaves of their job's.

    Under ``--export=NONE``, which sbatch's manual recommends, SLURM leaves its own variables only.

    Args:
        env: of the job.
        backend: ``none``, ``gloo`` or ``mpi``.
        groups: into which the ranks are split.
    """
    given = {name: value for name, value in env.items() if name.startswith(READ_BY_RANKS)}
    return {**given, "HPC_BACKEND": backend, "HPC_GROUPS": str(groups)}


def for_jobs(env: Mapping[str, str]) -> dict[str, str]:
    """Our own options that jobs are to find in their environment, whatever is left of the user's."""
    return {name: value for name, value in env.items() if name.startswith("HPC_") and name not in FOR_RANKS}
