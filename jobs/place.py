"""Where a process stands among the processes of its job, as its launcher tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from jobs.meeting import WorldError

FOR_RANKS = ("HPC_BACKEND", "HPC_GROUPS")
"""What the launcher of a job tells its ranks, of this start only."""
READ_BY_RANKS = ("HPC_", "HOROVOD_", "KERAS_", "OMP_", "TF_")
"""How variables begin that ranks, and what they load, read."""
OF_SRUN = (
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_STEP_TASKS_PER_NODE",
)
"""By what srun numbers a rank."""


@dataclass(frozen=True)
class Place:
    """Where a process stands among the processes of its job, as its launcher says.

    Attributes:
        rank: from 0, over all nodes.
        size: how many there are.
        local_rank: from 0, on this node.
        local_size: how many there are on this node.
        node: number of the node, from 0.
        launcher: ``submitit``, ``srun`` (in a job of ours), ``mpirun`` (or srun with PMI, typed by
            a person) or empty for a process on its own.
        mpi: whether an MPI launcher or SLURM's PMI has started the process.
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

    def require(self, ranks: int) -> None:
        """Make sure that the job has the ranks that it was started for.

        Args:
            ranks: of the whole job; 0 if that is not known.

        Raises:
            WorldError: it has others, as where one of several takes itself for alone.
        """
        found = self.size * self.groups
        if ranks and found != ranks:
            raise WorldError(
                f"the job was started for {ranks} ranks, but this one finds itself among {found}, so it does "
                "not train: each would do all trials by itself, or wait for others in vain. Look for what "
                "changes the number of tasks, or empties the environment, between srun and Python: `srun:`, "
                "`setup:` and `python:` of the profile."
            )

    def split(self, groups: int) -> Place:
        """The place within one of so many groups of neighbouring ranks."""
        if groups == 1:
            return self
        size = self.size // groups
        return replace(self, rank=self.rank % size, size=size, group=self.rank // size, groups=groups)


def for_ranks(env: Mapping[str, str], backend: str, groups: int) -> dict[str, str]:
    """What ranks are to find in their environment, whatever srun leaves of their job's.

    Under ``--export=NONE``, which sbatch's manual recommends, that is SLURM's own variables only.

    Args:
        env: of the job.
        backend: ``none``, ``gloo`` or ``mpi``.
        groups: into which the ranks are split.
    """
    given = {name: value for name, value in env.items() if name.startswith(READ_BY_RANKS)}
    return {**given, "HPC_BACKEND": backend, "HPC_GROUPS": str(groups)}


def for_jobs(env: Mapping[str, str]) -> dict[str, str]:
    """Our own options that jobs are to find in their environment, whatever sbatch leaves of the user's."""
    return {name: value for name, value in env.items() if name.startswith("HPC_") and name not in FOR_RANKS}


def find_place(env: Mapping[str, str]) -> Place:
    """Read the place of a process from its environment; one that is alone has no launcher.

    Args:
        env: ``os.environ``.

    Raises:
        WorldError: it is a rank of a job, and SLURM's variables that number it are missing.
    """
    place = _launched(env)
    if place.size == 1:
        return Place()
    return place.split(int(env.get("HPC_GROUPS", 1)))


def _launched(env: Mapping[str, str]) -> Place:
    if env.get("SUBMITIT_EXECUTOR") == "local":
        rank, size = int(env["SUBMITIT_LOCAL_GLOBALID"]), int(env["SUBMITIT_LOCAL_NTASKS"])
        local_rank = int(env["SUBMITIT_LOCAL_LOCALID"])
        return Place(rank, size, local_rank, size, 0, "submitit", mpi=False)
    if "HPC_BACKEND" in env:  # a rank of a job of ours: jobs/supervisor.py has called srun
        return _of_srun(env, "srun", mpi=env["HPC_BACKEND"] == "mpi")
    if "SUBMITIT_EXECUTOR" not in env and "OMPI_COMM_WORLD_SIZE" in env:
        return Place(
            int(env["OMPI_COMM_WORLD_RANK"]),
            int(env["OMPI_COMM_WORLD_SIZE"]),
            int(env["OMPI_COMM_WORLD_LOCAL_RANK"]),
            int(env["OMPI_COMM_WORLD_LOCAL_SIZE"]),
            int(env.get("OMPI_COMM_WORLD_NODE_RANK", 0)),
            "mpirun",
            mpi=True,
        )
    if "SUBMITIT_EXECUTOR" not in env and "PMI_SIZE" in env:  # MPICH's and Intel's mpirun
        local_rank = int(env.get("MPI_LOCALRANKID", env["PMI_RANK"]))
        local_size = int(env.get("MPI_LOCALNRANKS", env["PMI_SIZE"]))
        return Place(
            int(env["PMI_RANK"]), int(env["PMI_SIZE"]), local_rank, local_size, 0, "mpirun", mpi=True
        )
    if "SUBMITIT_EXECUTOR" not in env and "PMIX_RANK" in env and "SLURM_STEP_NUM_TASKS" in env:
        return _of_srun(env, "mpirun", mpi=True)
    return Place()


def _of_srun(env: Mapping[str, str], launcher: str, *, mpi: bool) -> Place:
    # Local ranks come from SLURM: under PMIx on virtual nodes, Horovod's are 0 on every rank.
    missing = [name for name in OF_SRUN if name not in env]
    if missing:
        raise WorldError(
            f"this rank was started by srun, but does not find {', '.join(missing)}, so it can't know which "
            "one it is. Look for what empties the environment between srun and Python: `srun:`, `setup:` "
            "and `python:` of the profile."
        )
    node = int(env["SLURM_NODEID"])
    return Place(
        int(env["SLURM_PROCID"]),
        int(env["SLURM_STEP_NUM_TASKS"]),
        int(env["SLURM_LOCALID"]),
        _tasks_of_node(env["SLURM_STEP_TASKS_PER_NODE"], node),
        node,
        launcher,
        mpi=mpi,
    )


def _tasks_of_node(text: str, node: int) -> int:
    """Tasks of one node by SLURM's words: ``2(x3),1`` is 2, 2, 2, 1."""
    counts: list[int] = []
    for part in text.split(","):
        count, _, times = part.partition("(x")
        counts += [int(count)] * int(times.rstrip(")") or 1)
    return counts[node]
