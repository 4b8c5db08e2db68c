"""One rank of a worker of functions or programs, which loads no more than a job does. Started by tests.

``python -m tests.jobs.plain_rank RUN JOB [RANKS]``; SIGUSR2 asks it to stop.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from hpc.jobs.node import StopRequest
from hpc.jobs.spec import Task, WorkerSpec
from hpc.jobs.worker import Worker
from hpc.results import Run


def main(run: Path, job_id: str, ranks: int = 1) -> None:
    """Make the next attempt at each trial of a run that is not over, as one of so many ranks."""
    request = StopRequest()
    request.listen(signal.SIGUSR2)
    left = [trial for trial in Run(run).trials.values() if trial.state == "waiting"]
    trials = sorted(left, key=lambda trial: trial.index)
    Worker(WorkerSpec(str(run), job_id, tuple(map(Task.next_of, trials)), ranks=ranks))(request)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
