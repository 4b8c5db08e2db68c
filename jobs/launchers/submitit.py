"""Ranks that submitit has started on this machine."""

from __future__ import annotations

from collections.abc import Mapping

from hpc.jobs.launchers.base import Launcher
from hpc.jobs.launchers.variables import RankVariables
from hpc.jobs.node import RankInfo

EXECUTOR = "SUBMITIT_EXECUTOR"
OF_SUBMITIT = RankVariables(
    ("SUBMITIT_LOCAL_GLOBALID", "SUBMITIT_LOCAL_NTASKS", "SUBMITIT_LOCAL_LOCALID", "SUBMITIT_LOCAL_NTASKS"),
    (EXECUTOR,),
)


class Submitit(Launcher):
    """Its local executor."""

    name = "submitit"

    def rank_info(self, env: Mapping[str, str]) -> RankInfo | None:
        """As its variables say; a job that another executor of it has started is alone."""
        if env.get(EXECUTOR) == "local":
            return OF_SUBMITIT.read(env, self.name, mpi=False)
        return RankInfo() if EXECUTOR in env and "HPC_BACKEND" not in env else None
