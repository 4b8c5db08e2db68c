"""One start of a job's ranks."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hpc.jobs.node.stop import StopRequest
from hpc.jobs.spec import WorkerSpec
from hpc.results import write_text


@dataclass(frozen=True)
class RankSpec:
    """The settings of the ranks of one start.

    Attributes:
        workers: the settings of each group of ranks.
        cwd: to work in, where the user typed the command.
        environment: variables for a rank that does not have them; see ``JobLauncher.variables``.
    """

    workers: tuple[WorkerSpec, ...]
    cwd: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it where all ranks can read it."""
        write_text(path, json.dumps(asdict(self)) + "\n")

    @staticmethod
    def read(path: Path) -> RankSpec:
        """Read it."""
        entries: dict[str, Any] = json.loads(path.read_text())
        workers = tuple(WorkerSpec.of_json(one) for one in entries["workers"])
        return RankSpec(**{**entries, "workers": workers})


def run_rank(path: Path) -> int:
    """Run one of the ranks that a launcher has started.

    Args:
        path: of the file of their :class:`RankSpec`.

    Returns:
        0 if the trials have been dealt with, or if all ranks have agreed to stop.
    """
    request = StopRequest()
    request.listen(signal.SIGUSR2, signal.SIGTERM)
    spec = RankSpec.read(path)
    complete(os.environ, spec.environment)
    from hpc.jobs.worker import Worker

    if os.path.isdir(spec.cwd):
        os.chdir(spec.cwd)
    worker = Worker(spec.workers[_group(len(spec.workers))])
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
    from hpc.jobs.launchers import find_rank_info

    return find_rank_info(os.environ).group if groups > 1 else 0
