"""The contract of launchers: how ranks are started, and what a job and its ranks know of themselves.

To add one, write a file beside ``slurm.py`` and enter it in ``registry.py``. One suite of tests runs over all
of them: tests/contracts/test_launchers.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hpc.jobs.job_logs import OUT_OF_MEMORY
from hpc.jobs.node import RankInfo, device, for_ranks

if TYPE_CHECKING:
    from hpc.jobs.launch import Launch

DEFAULT = "slurm"
"""What has started the ranks of jobs that do not say so: there was no other before."""


class Launcher(ABC):
    """Starts ranks.

    Attributes:
        name: as the registry has it.
    """

    name: ClassVar[str]

    @abstractmethod
    def rank_info(self, env: Mapping[str, str]) -> RankInfo | None:
        """Where a process stands among those that this launcher has started; None if it has not started it.

        Args:
            env: ``os.environ``.

        Raises:
            LauncherError: its variables are missing, are no numbers or don't go together.
        """


@dataclass(frozen=True)
class Job:
    """A job, as its environment says.

    Attributes:
        job_id: ``<array>_<index>``, as people type it.
        raw_id: the scheduler's own number of it.
        index: in its array.
        restart: how many times it was requeued.
        node: the one that it has begun on.
        name: of its array.
    """

    job_id: str
    raw_id: str
    index: int
    restart: int
    node: str
    name: str = ""

    @property
    def array(self) -> str:
        """The number of its array."""
        return self.job_id.partition("_")[0]


@dataclass(frozen=True)
class Standing:
    """What a scheduler says of a job that asks about itself; all False where it stays silent.

    Attributes:
        is_ending: whether it ends the job: by cancel, time limit, preemption, a node.
        is_preempted: whether the job has to make room for another.
    """

    is_ending: bool = False
    is_preempted: bool = False


class JobLauncher(Launcher):
    """Starts the ranks of a scheduler's jobs.

    Attributes:
        scheduler: what messages call it.
        submitter: the command that submits its jobs, likewise.
        starter: the command that starts ranks, likewise.
        between: where to look for what lies between that command and Python, likewise.
    """

    scheduler: ClassVar[str]
    submitter: ClassVar[str]
    starter: ClassVar[str]
    between: ClassVar[str]

    # What a job knows of itself

    @abstractmethod
    def job(self, env: Mapping[str, str]) -> Job:
        """The job that this process is.

        Args:
            env: ``os.environ``.
        """

    @abstractmethod
    def standing(self, job: Job) -> Standing:
        """How a job that runs stands with its scheduler."""

    @abstractmethod
    def requeue(self, job: Job) -> str:
        """Put a job that runs back into the queue; its processes are ended soon after.

        Returns:
            Why that is refused; empty if it is not.
        """

    # How it starts ranks, and what it says of them

    def offered(self) -> list[str]:
        """The interfaces by which an MPI can find its ranks, by their names for ``mpi:`` of a profile."""
        return []

    @abstractmethod
    def command(
        self, launch: Launch, job_id: str, mpi: str, arguments: Sequence[str], env: Mapping[str, str]
    ) -> list[str]:
        """The command that starts the ranks of a job, each of which is ``python -m hpc.jobs``.

        It ends when all ranks have, which it ends when one dies. What they print goes to the end of the file
        :func:`hpc.jobs.job_logs.log_of_ranks`, and each line of several begins with ``<rank>: ``.

        Args:
            launch: of the job.
            job_id: for the name of the log.
            mpi: one of :meth:`offered`, or ``none``.
            arguments: of each rank.
            env: of the job.
        """

    def variables(self, env: Mapping[str, str], backend: str, groups: int) -> dict[str, str]:
        """What ranks are to find in their environment, that they belong to this launcher included.

        Args:
            env: of the job.
            backend: ``none``, ``gloo`` or ``mpi``.
            groups: into which the ranks are split.
        """
        return {**for_ranks(env, backend, groups), "HPC_LAUNCHER": self.name}

    def has_started(self, env: Mapping[str, str]) -> bool:
        """Whether a process is a rank of a job of this launcher's, by :meth:`variables`."""
        return "HPC_BACKEND" in env and env.get("HPC_LAUNCHER", DEFAULT) == self.name

    def died_first(self, output: str) -> int | None:
        """The number of the rank that died before the others, if the command's output on stderr says so."""
        return None

    def tells_of_a_stop(self, output: str) -> bool:
        """Whether a rank has ended by the signal to stop, before it could listen, by the same output."""
        return False

    def reason_in(self, output: str) -> str:
        """Why ranks have ended, by that and their logs: one of the reasons of a failed trial."""
        return "out-of-memory" if OUT_OF_MEMORY.search(output) else "error"

    # What a rank knows of its node

    def node(self, env: Mapping[str, str]) -> str:
        """The scheduler's name of this node; empty if it does not say."""
        return ""

    def gpus(self, env: Mapping[str, str]) -> str | None:
        """The numbers of the GPUs that the job was given on this node; None if it does not say."""
        return None

    def granted_cpus(self, env: Mapping[str, str], local_size: int) -> int:
        """CPUs that a rank may use.

        Args:
            env: ``os.environ``.
            local_size: ranks on this node.
        """
        return device.share_of_cpus(local_size)
