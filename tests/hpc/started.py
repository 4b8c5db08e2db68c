"""Commands that are started over sweeps of faults, and what has become of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpc.results import Run
from hpc.sweeps.document import write
from tests.conftest import environment

FAULTS = Path(__file__).with_name("faults.py")


def sweep(folder: Path, faults: list[str], name: str = "faults", **fixed: Any) -> Path:
    """A sweep file over faults; what each trial does is logged in ``built``."""
    path = folder / f"{name}.yaml"
    entries = {
        "name": name,
        "model": f"{FAULTS}:build",
        "data": {"name": "digits", "train": 256, "validation": 64},
        "space": {"fault": faults},
        "fixed": {"log": str(folder / "built"), "epochs": 2, "batch_size": 64, **fixed},
        "objective": "val_accuracy",
    }
    path.write_text(write(entries))
    return path


def states(folder: Path) -> dict[str, str]:
    """How the trial of each fault stands: its state, and the reason if it failed."""
    trials = Run(folder).trials.values()
    return {t.params["fault"]: t.attempt.reason or t.state for t in trials}


def epochs_of(folder: Path, fault: str) -> int:
    """How many epochs of a trial are done."""
    return next(t.attempt.epochs for t in Run(folder).trials.values() if t.params["fault"] == fault)


def built(folder: Path) -> list[str]:
    return (folder / "built").read_text().splitlines()


def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def start(folder: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """The command in a process group of its own, as in a terminal."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("hpc")), *map(str, arguments)],
        cwd=folder, env=environment(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
