"""The settings of a worker: the one object that carries them from the command to every rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpc.jobs.node import Identity
from hpc.sweeps import Trial

if TYPE_CHECKING:
    from hpc.jobs.user_files import Stamps
    from hpc.results import TrialState


@dataclass(frozen=True)
class Task:
    """A trial that a worker is to train.

    Attributes:
        trial: whole, so that no rank has to enumerate the sweep to find it.
        attempt: number of the try, from 1.
        unpacked: whether it must be trained by itself, as after a pack has failed.
    """

    trial: Trial
    attempt: int
    unpacked: bool = False

    @staticmethod
    def next_of(state: TrialState) -> Task:
        """The next attempt at a trial of a run."""
        trial = Trial(
            state.index, state.trial_id, state.params, state.seed, state.model, state.fold, state.stage,
            state.case,
        )  # fmt: skip
        return Task(trial, max(state.attempts, default=0) + 1, state.goes_alone)

    @staticmethod
    def of_json(entries: Mapping[str, Any]) -> Task:
        """Read one back from what ``dataclasses.asdict`` makes of it."""
        return Task(**{**entries, "trial": Trial(**entries["trial"])})


@dataclass(frozen=True)
class Snapshot:
    """A copy of a project of the user's, made when jobs were submitted.

    Attributes:
        root: folder of the project.
        copy: folder of the copy; what was not copied is a symbolic link in it.
    """

    root: str
    copy: str


@dataclass(frozen=True)
class WorkerSpec:
    """The settings of a worker, the same for each of its ranks.

    Attributes:
        folder: of the run.
        job_id: names the file of records.
        tasks: the trials, in this order; none of a sweep whose workers ask for each.
        label: of this start of the job, so that no two meet; ``job_id`` unless given.
        number: of the worker among those that run at once on this machine, from 0.
        ranks: that the job must have, all groups together; 0 if that is not known.
        threads: that each rank may use; 0 for as many as the scheduler gives it.
        gpus: whether each rank must see a GPU.
        checkpoint_min: minutes between two checkpoints of a trial.
        inject_fault: ``stop`` or ``kill`` to be interrupted in the middle of every first attempt.
        measure: whether to take the time of what steps wait for; trials are then trained one by one.
        tensorflow_profile: a folder to write a profile of TensorFlow's to, of each trial's second epoch,
            or of the only one; empty for none.
        files: of the user's as they were when the job was launched, as ``Sources.stamps``; empty if that
            is not known.
        snapshot: the copy of the user's code to train with; None for their code as it is.
        parent: the command that watches the worker, which stops if that is gone; None where nothing
            watches.
        zero: of the moments of the command that watches, as ``moments.zero``; empty without one.
    """

    folder: str = ""
    job_id: str = ""
    tasks: tuple[Task, ...] = ()
    label: str = ""
    number: int = 0
    ranks: int = 0
    threads: int = 1
    gpus: bool = False
    checkpoint_min: float = 5.0
    inject_fault: str = ""
    measure: bool = False
    tensorflow_profile: str = ""
    files: Stamps = field(default_factory=dict)
    snapshot: Snapshot | None = None
    parent: Identity | None = None
    zero: str = ""

    def but(self, **settings: Any) -> WorkerSpec:
        """The same with other settings."""
        return replace(self, **settings)

    def as_json(self) -> dict[str, Any]:
        """As plain values, which :meth:`of_json` reads back."""
        return asdict(self)

    @staticmethod
    def of_json(entries: Mapping[str, Any]) -> WorkerSpec:
        """Read one back.

        Raises:
            TypeError, KeyError: these are not the entries of one.
        """
        tasks = tuple(Task.of_json(task) for task in entries.get("tasks", ()))
        parent, snapshot = entries.get("parent"), entries.get("snapshot")
        mine = {
            "tasks": tasks,
            "parent": Identity(*parent) if parent else None,
            "snapshot": Snapshot(**snapshot) if snapshot else None,
        }
        return WorkerSpec(**{**entries, **mine})
