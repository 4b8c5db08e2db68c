"""What one submission hands to its jobs: a file of JSON beside their logs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.results import write_text

if TYPE_CHECKING:
    from hpc.jobs.sources import Stamps

FILE = "launch.json"


@dataclass(frozen=True)
class Launch:
    """Jobs that were submitted by one command.

    Attributes:
        number: of the launch in its run; its folder is ``jobs/<number>``.
        jobs: for each job the indices of its trials, in the order to train them; none
            if workers ask for them.
        ranks: of each job.
        groups: into which a job's ranks are split, each training its own trials.
        backend: ``auto``, ``mpi`` or ``gloo``.
        mpi: the value of ``srun --mpi``, or ``auto``.
        srun: further arguments of srun.
        python: the command that starts Python.
        cwd: where the user typed the command.
        gpus: whether each rank must see a GPU.
        threads: of each rank; 0 for as many as SLURM gives it.
        checkpoint_min: minutes between two checkpoints of a trial.
        requeues: how many times a job may be requeued.
        retry: how many times a trial is tried again, by the reason for which it failed.
        rehearse: as ``Worker.rehearse``.
        measure: as ``Worker.measure``.
        asks: whether workers ask the run's search for their trials.
        files: of the user's, as ``jobs.sources.Sources.stamps``; empty where there are none.
        environment: variables for a job that does not have them; see :func:`hpc.jobs.place.for_jobs`.
    """

    number: int
    jobs: tuple[tuple[int, ...], ...]
    ranks: int
    python: str
    cwd: str
    groups: int = 1
    backend: str = "auto"
    mpi: str = "auto"
    srun: tuple[str, ...] = ()
    gpus: bool = False
    threads: int = 0
    checkpoint_min: float = 5.0
    requeues: int = 20
    retry: Mapping[str, int] = field(default_factory=dict)
    rehearse: str = ""
    measure: bool = False
    asks: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Stamps = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into the folder of the launch."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / FILE, json.dumps(asdict(self)) + "\n")

    @staticmethod
    def read(folder: Path) -> Launch:
        """Read it from the folder of the launch.

        Raises:
            OSError, ValueError, TypeError: there is none that can be read.
        """
        entries: dict[str, Any] = json.loads((folder / FILE).read_text())
        entries["jobs"] = tuple(tuple(job) for job in entries["jobs"])
        entries["srun"] = tuple(entries["srun"])
        return Launch(**entries)
