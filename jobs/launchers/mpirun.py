"""Ranks that a person has started as one MPI world: by mpirun, or by srun with PMIx."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hpc.jobs.launchers.base import Launcher
from hpc.jobs.launchers.slurm import OF_SRUN, numbered_by_srun
from hpc.jobs.launchers.variables import RankVariables
from hpc.jobs.node import LauncherError, RankInfo

OF_OPEN_MPI = RankVariables(
    tuple(f"OMPI_COMM_WORLD_{name}" for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"))
)
OF_PMI = RankVariables(("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"))
"""As MPICH's and Intel's mpirun say them."""
OF_PMI_ALONE = RankVariables((*OF_PMI.names[:2], *OF_PMI.names[:2]))
"""As others do, which tell of no nodes."""
NODE = "OMPI_COMM_WORLD_NODE_RANK"


class Mpirun(Launcher):
    """An ``mpirun hpc run`` that a person has typed."""

    name = "mpirun"

    def rank_info(self, env: Mapping[str, str]) -> RankInfo | None:
        """As the variables of the MPI say; a rank of a job of ours is not meant."""
        if "HPC_BACKEND" in env:
            return None
        if OF_OPEN_MPI.tell_of_several(env):
            info = OF_OPEN_MPI.read(env, self.name, mpi=True)
            return replace(info, node=OF_OPEN_MPI.number(env, NODE) if NODE in env else 0)
        if OF_PMI.tell_of_several(env):
            known = OF_PMI if all(name in env for name in OF_PMI.names) else OF_PMI_ALONE
            return known.read(env, self.name, mpi=True)
        if "PMIX_RANK" in env and env.get("SLURM_STEP_NUM_TASKS", "1") != "1":
            return numbered_by_srun(env, self.name, mpi=True)
        return None


def leftover(info: RankInfo, env: Mapping[str, str], found: str) -> LauncherError:
    """The error of a rank that can't find its world.

    Args:
        info: as its variables say.
        env: ``os.environ``.
        found: what there is instead, in words.
    """
    known = next((some for some in (OF_OPEN_MPI, OF_PMI) if some.names[0] in env), OF_SRUN)
    what = f"{known.names[0]} says that this is rank {info.rank} of {info.size}, but MPI finds {found}"
    return known.wrong(env, what)
