"""One start of a job's ranks under srun."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.jobs.stop import StopRequest
from hpc.results import write_text

if TYPE_CHECKING:
    from hpc.jobs.sources import Stamps


@dataclass(frozen=True)
class Step:
    """What the ranks of one srun are to do.

    Attributes:
        folder: of the run.
        job_id: of the scheduler.
        label: of this start, so that no two meet.
        tasks: for each group the index and the attempt of its trials, whether one goes alone, and its id.
        cwd: to work in, where the user typed the command.
        threads: as in ``Launch``, like those that follow.
        ranks: of the job; one that finds itself among fewer or more does not train.
        files: as in ``Launch``.
        environment: variables for a rank that does not have them; see :func:`hpc.jobs.place.for_ranks`.
    """

    folder: str
    job_id: str
    label: str
    tasks: list[list[tuple[int, int, bool, str]]]
    cwd: str
    threads: int = 0
    gpus: bool = False
    checkpoint_min: float = 5.0
    rehearse: str = ""
    measure: bool = False
    ranks: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Stamps = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it where all ranks can read it."""
        write_text(path, json.dumps(asdict(self)) + "\n")

    @staticmethod
    def read(path: Path) -> Step:
        """Read it."""
        entries: dict[str, Any] = json.loads(path.read_text())
        return Step(**entries)


def rank(path: Path) -> int:
    """Be one of the ranks of a step.

    Args:
        path: of the step's file.

    Returns:
        0 if the trials have been dealt with, or if all ranks have agreed to stop.
    """
    request = StopRequest()
    request.listen(signal.SIGUSR2, signal.SIGTERM)
    step = Step.read(path)
    complete(os.environ, step.environment)
    from hpc.jobs.worker import Task, Worker

    if os.path.isdir(step.cwd):
        os.chdir(step.cwd)
    group = _group(len(step.tasks))
    tasks = tuple(Task(*task) for task in step.tasks[group])
    worker = Worker(
        step.folder,
        tasks,
        step.job_id,
        threads=step.threads,
        checkpoint_min=step.checkpoint_min,
        label=step.label,
        rehearse=step.rehearse,
        measure=step.measure,
        gpus=step.gpus,
        ranks=step.ranks,
        files=step.files,
    )
    try:
        worker(request)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # MPI and Horovod would wait for the other ranks
    return 0


def complete(env: MutableMapping[str, str], variables: Mapping[str, str]) -> None:
    """Add the variables that are not there; what is there counts more."""
    for name, value in variables.items():
        env.setdefault(name, value)


def _group(groups: int) -> int:
    from hpc.jobs.place import find_place

    return find_place(os.environ).group if groups > 1 else 0
