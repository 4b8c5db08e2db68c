"""How the ranks of a job are started, and what a job and its ranks know of themselves."""

from typing import TYPE_CHECKING

from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
    from hpc.jobs.launchers.mpi import choose_backend, mpi_vendor
    from hpc.jobs.launchers.mpirun import leftover
    from hpc.jobs.launchers.registry import find_rank_info, launcher_of

__all__ = [
    "choose_backend",
    "find_rank_info",
    "launcher_of",
    "leftover",
    "mpi_vendor",
]

__getattr__ = lazily(
    __name__,
    {
        "mpi": ["choose_backend", "mpi_vendor"],
        "mpirun": ["leftover"],
        "registry": ["find_rank_info", "launcher_of"],
    },
)
