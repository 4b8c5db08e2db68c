"""One rank of a worker of functions or programs, which loads no more than a job does. Started by tests.

``python -m tests.jobs.plain_rank RUN JOB``; SIGUSR2 asks it to stop.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from hpc.jobs.node import StopRequest
from hpc.jobs.spec import Task, WorkerSpec
from hpc.jobs.worker import Worker
from hpc.results import Run


def main(run: Path, job_id: str) -> None:
    """Make the next attempt at each trial of a run, with as many ranks as the environment says."""
    import os

    request = StopRequest()
    request.listen(signal.SIGUSR2)
    trials = sorted(Run(run).trials.values(), key=lambda trial: trial.index)
    ranks = int(os.environ.get("HPC_RANKS", "1"))
    Worker(WorkerSpec(str(run), job_id, tuple(map(Task.next_of, trials)), ranks=ranks))(request)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
