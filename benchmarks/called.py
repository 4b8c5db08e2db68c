"""What the two benchmarks of called trainings share: a sweep by two workers, and how fast that was."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.results import Run
from hpc.sweeps.document import write


@dataclass(frozen=True)
class Swept:
    """How long a sweep took.

    Attributes:
        seconds: from the beginning of the first trial to the end of the last.
        whole_seconds: of the command, from its start to its end.
        run: what it has left.
    """

    seconds: float
    whole_seconds: float
    run: Run


def sweep(folder: Path, training: dict[str, Any], trials: int, workers: int = 2) -> Swept:
    """Carry out a sweep whose trials have one hyperparameter each.

    Args:
        folder: to work in.
        training: the entries that name it.
        trials: how many.
        workers: how many.
    """
    entries = {
        "name": "called", "objective": "val_loss", "space": {"x": {"low": 0.0, "high": 1.0}},
        "search": {"method": "random", "trials": trials}, **training,
    }  # fmt: skip
    (folder / "sweep.yaml").write_text(write(entries))
    command = [str(Path(sys.executable).with_name("hpc")), "run", "sweep.yaml", "--dir", "run"]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--workers", str(workers)], cwd=folder, env={**os.environ}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    whole = time.monotonic() - began
    run = Run(folder / "run")
    attempts = [trial.attempt for trial in run.trials.values()]
    ended = max(job["left_time"] for job in run.jobs.values())
    return Swept(ended - min(attempt.started for attempt in attempts), whole, run)
