"""The contract of schedulers: where jobs run.

To add one, write a file beside ``local.py``, enter it in ``registry.py``, and give it a model of its profile
in ``hpc/profile.py``. What its jobs know of themselves, and how they start ranks, is the other half of it, a
file in ``jobs/launchers``. One suite of tests runs over all of them: tests/contracts/test_schedulers.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from hpc.jobs.spec import WorkerSpec

ALIVE = {
    "PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "SIGNALING",
    "STAGE_OUT", "STOPPED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT",
}  # fmt: skip
"""States in which a job may yet do something. https://slurm.schedmd.com/job_state_codes.html"""


class SchedulerError(RuntimeError):
    """The scheduler is missing, does not answer, or refuses."""


class UnreachableError(SchedulerError):
    """The scheduler does not answer now; what was asked of it may or may not have happened."""


@dataclass(frozen=True)
class Account:
    """What the scheduler's accounting says of a job that has ended, over all its runs if it was requeued.

    Attributes:
        elapsed_seconds: that it ran.
        nodes: that it had in its last run.
        cores: likewise, as SLURM counts CPUs.
        gpus: likewise.
        energy_joules: that its nodes took, where SLURM measures that; else None.
        queue_seconds: that it waited.
        end: when it ended, in seconds since 1970; None of one that never began.
    """

    elapsed_seconds: float
    nodes: int
    cores: int
    gpus: int
    energy_joules: float | None
    queue_seconds: float
    end: float | None = None

    def entries(self) -> dict[str, float | None]:
        """As a record has them."""
        return {name: value for name, value in asdict(self).items() if name != "end"}


@dataclass(frozen=True)
class JobState:
    """What the scheduler says of one job.

    Attributes:
        job_id: as the scheduler calls it; of SLURM ``<array>_<index>``.
        name: of it.
        state: in the words of SLURM, without what follows (``CANCELLED by 0`` is ``CANCELLED``).
        reason: why it waits, if it does.
        nodes: that it has or had.
        exit_code: ``code:signal``, if sacct says so.
        left: time to its limit, as SLURM writes it.
        start: when it began or is expected to, likewise.
        account: what it has cost, if it has ended and sacct says so.
    """

    job_id: str
    name: str
    state: str
    reason: str = ""
    nodes: str = ""
    exit_code: str = ""
    left: str = ""
    start: str = ""
    account: Account | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it may yet do something."""
        return self.state in ALIVE


@dataclass
class QueueSnapshot:
    """What one round of questions has brought.

    Attributes:
        jobs: by their ids, those that the scheduler knows.
        problem: why it could not be asked, in its words; empty if it could.
        knows_ended: whether jobs that have ended are remembered for good (by slurmdbd).
    """

    jobs: dict[str, JobState] = field(default_factory=dict)
    problem: str = ""
    knows_ended: bool = False


@dataclass(frozen=True)
class JobArray:
    """Jobs that are submitted together.

    Attributes:
        name: of its jobs, by which they are found again.
        first: number of its first job within the launch.
        size: how many jobs.
        workers: how many of them run at once.
        memory: the factor of the profile's ``mem_gb``.
        specs: what the workers are told, where the jobs do not read it from the file of their launch.
    """

    name: str
    first: int
    size: int
    workers: int
    memory: float = 1.0
    specs: tuple[WorkerSpec, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What a scheduler takes.

    Attributes:
        array_size: jobs that one array may have; 0 where there are none.
    """

    array_size: int


class Scheduler(ABC):
    """Runs jobs.

    Attributes:
        name: as ``cluster:`` of a profile has it.
        outlives: whether jobs go on when the command that has submitted them ends.
        launcher: what starts the ranks of its jobs, by its name in ``jobs/launchers/registry.py``.
    """

    name: ClassVar[str]
    outlives: ClassVar[bool]
    launcher: ClassVar[str]

    @abstractmethod
    def limits(self) -> Limits:
        """What it takes.

        Raises:
            SchedulerError: it can't be asked.
        """

    @abstractmethod
    def render(self, array: JobArray, folder: Path) -> str:
        """What each job of an array does, as text: the same for the same array.

        Args:
            array: to render.
            folder: of its launch, in which its files lie.
        """

    @abstractmethod
    def submit(self, array: JobArray, folder: Path, after: str = "") -> list[str]:
        """Submit an array; return as soon as it is taken.

        Args:
            array: to submit.
            folder: of its launch, in which its files lie.
            after: a job or array, so that this one begins when that has ended.

        Returns:
            The ids of its jobs, in their order.

        Raises:
            UnreachableError: it does not answer; the jobs may be there all the same.
            SchedulerError: it refuses, in its words.
        """

    @abstractmethod
    def queue(self, names: Iterable[str], user: int | None = None) -> QueueSnapshot:
        """How the jobs of some arrays stand, by one question for all; ended ones are known for a while.

        Args:
            names: of the arrays.
            user: who has submitted them all, if that is known.
        """

    @abstractmethod
    def cancel(self, jobs: Sequence[str]) -> None:
        """End jobs; those that have ended, and none at all, are no error.

        Raises:
            SchedulerError: it can't be asked, or refuses.
        """

    @abstractmethod
    def requeue(self, job: str) -> None:
        """Let a job begin anew.

        Raises:
            SchedulerError: it can't be asked, or jobs of its kind can't.
        """
