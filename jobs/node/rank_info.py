"""Where a process stands among the processes of its job, as its launcher tells it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

FOR_RANKS = ("HPC_BACKEND", "HPC_GROUPS")
"""Variables that the launcher of a job sets for its ranks, for this start only."""
READ_BY_RANKS = ("HPC_", "HOROVOD_", "KERAS_", "OMP_", "TF_")
"""Prefixes of the variables that ranks read, and the libraries that they load."""
OF_SRUN = (
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_STEP_TASKS_PER_NODE",
)
"""By what srun numbers a rank."""
_STARTED = ("PMIX_RANK", "HPC_BACKEND")
"""Variables by which a rank knows that srun has started it."""
_OF_SUBMITIT = (
    "SUBMITIT_LOCAL_GLOBALID", "SUBMITIT_LOCAL_NTASKS", "SUBMITIT_LOCAL_LOCALID", "SUBMITIT_LOCAL_NTASKS",
)  # fmt: skip
_OF_OPEN_MPI = tuple(f"OMPI_COMM_WORLD_{name}" for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"))
_OF_PMI = ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS")
"""Rank, size, local rank and local size as MPICH's and Intel's mpirun say them."""


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

    def split(self, groups: int) -> RankInfo:
        """The same process within one of so many groups of neighbouring ranks."""
        if groups == 1:
            return self
        size = self.size // groups
        return replace(self, rank=self.rank % size, size=size, group=self.rank // size, groups=groups)


def for_ranks(env: Mapping[str, str], backend: str, groups: int) -> dict[str, str]:
    """The environment that ranks are to find, whatever srun leaves of their job's.

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


def find_rank_info(env: Mapping[str, str]) -> RankInfo:
    """Read the rank of a process from its environment; one that is alone has no launcher.

    Args:
        env: ``os.environ``.

    Raises:
        LauncherError: a launcher's variables are missing, are no numbers or don't go together.
    """
    info = _launched(env)
    if info.size == 1:
        return RankInfo()
    groups = _number(env, "HPC_GROUPS", FOR_RANKS) if "HPC_GROUPS" in env else 1
    if not groups or info.size % groups:
        what = f"HPC_GROUPS is {groups}, and {info.size} ranks can't be split into so many equal groups"
        raise _wrong(env, FOR_RANKS, what)
    return info.split(groups)


def leftover(info: RankInfo, env: Mapping[str, str], found: str) -> LauncherError:
    """The error of a rank that can't find its world.

    Args:
        info: as its variables say.
        env: ``os.environ``.
        found: what there is instead, in words.
    """
    names = next((some for some in (_OF_OPEN_MPI, _OF_PMI) if some[0] in env), OF_SRUN)
    what = f"{names[0]} says that this is rank {info.rank} of {info.size}, but MPI finds {found}"
    return _wrong(env, names, what)


def _launched(env: Mapping[str, str]) -> RankInfo:
    if env.get("SUBMITIT_EXECUTOR") == "local":
        return _info_from(env, _OF_SUBMITIT, "submitit", mpi=False)
    if "HPC_BACKEND" in env:  # a rank of a job of ours: jobs/supervisor.py has called srun
        return _of_srun(env, "srun", mpi=env["HPC_BACKEND"] == "mpi")
    if "SUBMITIT_EXECUTOR" in env:
        return RankInfo()
    if _says_several(env, _OF_OPEN_MPI):
        info = _info_from(env, _OF_OPEN_MPI, "mpirun", mpi=True)
        name = "OMPI_COMM_WORLD_NODE_RANK"
        return replace(info, node=_number(env, name, _OF_OPEN_MPI) if name in env else 0)
    if _says_several(env, _OF_PMI):  # MPICH's and Intel's mpirun
        is_whole = all(name in env for name in _OF_PMI)
        return _info_from(env, _OF_PMI if is_whole else (*_OF_PMI[:2], *_OF_PMI[:2]), "mpirun", mpi=True)
    if "PMIX_RANK" in env and env.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return _of_srun(env, "mpirun", mpi=True)
    return RankInfo()


def _says_several(env: Mapping[str, str], names: Sequence[str]) -> bool:
    """Whether variables tell of more than the one process that any other command is, too."""
    rank, size = (env.get(name) for name in names[:2])
    return (rank, size) != (None, None) and not (size == "1" and rank in (None, "0"))


def _of_srun(env: Mapping[str, str], launcher: str, *, mpi: bool) -> RankInfo:
    # Local ranks come from SLURM: under PMIx on virtual nodes, Horovod's are 0 on every rank.
    missing = [name for name in OF_SRUN if name not in env]
    if missing:
        raise LauncherError(
            f"this rank was started by srun, but does not find {', '.join(missing)}, so it can't know which "
            "one it is. Look for what empties the environment between srun and Python: `srun:`, `setup:` "
            "and `python:` of the profile; or, if you have typed this command, "
            f"`unset {' '.join(name for name in (*_STARTED, *OF_SRUN) if name in env)}`."
        )
    node, counts = _number(env, "SLURM_NODEID", OF_SRUN), env["SLURM_STEP_TASKS_PER_NODE"]
    try:
        of_node = _tasks_of_node(counts, node)
    except (ValueError, IndexError):
        what = f"SLURM_STEP_TASKS_PER_NODE is {counts!r}, which has no number of tasks for node {node}"
        raise _wrong(env, OF_SRUN, what) from None
    names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE")
    known = {**env, "SLURM_STEP_TASKS_PER_NODE": str(of_node)}
    return replace(_info_from(known, names, launcher, mpi=mpi), node=node)


def _info_from(env: Mapping[str, str], names: Sequence[str], launcher: str, *, mpi: bool) -> RankInfo:
    """The rank by variables whose names are those of rank, size, local rank and local size."""
    rank, size, local_rank, local_size = (_number(env, name, names) for name in names)
    for (low, of), (high, limit) in (
        ((rank, names[0]), (size, names[1])),
        ((local_rank, names[2]), (local_size, names[3])),
        ((local_size - 1, names[3]), (size, names[1])),
    ):
        if low >= high:
            raise _wrong(env, names, f"{of} is {env[of]} and {limit} is {env[limit]}, which can't be")
    return RankInfo(rank, size, local_rank, local_size, 0, launcher, mpi=mpi)


def _number(env: Mapping[str, str], name: str, names: Sequence[str]) -> int:
    if name not in env:
        there = ", ".join(other for other in dict.fromkeys(names) if other in env)
        raise _wrong(env, names, f"{name} is missing beside {there or 'what says that there is a launcher'}")
    if not re.fullmatch(r"[0-9]{1,9}", env[name]):
        raise _wrong(env, names, f"{name} is {env[name]!r}, which is no number of a rank or of ranks")
    return int(env[name])


def _wrong(env: Mapping[str, str], names: Sequence[str], what: str) -> LauncherError:
    also = {_OF_SUBMITIT[0]: ("SUBMITIT_EXECUTOR",), OF_SRUN[0]: _STARTED}.get(names[0], ())
    there = [name for name in dict.fromkeys([*also, *names]) if name in env]
    return LauncherError(
        f"{what}: so it can't be told which rank this is. If no launcher has started this command, that is "
        f"left over from one: `unset {' '.join(there)}`; else start it anew, as `mpirun -np 2 hpc run …`."
    )


def _tasks_of_node(text: str, node: int) -> int:
    """Tasks of one node by SLURM's words: ``2(x3),1`` is 2, 2, 2, 1."""
    counts: list[int] = []
    for part in text.split(","):
        count, _, times = part.partition("(x")
        counts += [int(count)] * int(times.rstrip(")") or 1)
    return counts[node]
