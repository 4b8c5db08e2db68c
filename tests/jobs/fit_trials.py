"""Trials of tests/trainings, by workers in a process of its own with one thread, as plain_fit.py has one.

python -m tests.jobs.fit_trials FOLDER NAME…

What becomes of each is in FOLDER/NAME/whole/r, and in FOLDER/NAME/stopped/r of one that was stopped and
went on.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from hpc import sweeps
from hpc.jobs.node import device
from tests.jobs.working import planned, worker_of

TRAININGS = Path(__file__).resolve().parent.parent / "trainings"


def with_code(folder: Path, name: str) -> dict[str, Any]:
    """The entries of one of the trainings, whose code is copied there."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(TRAININGS / f"{name}.py", folder)
    return {**sweeps.read(TRAININGS / f"{name}.yaml").entries, "keep": "none"}


def planned_training(folder: Path, name: str, **entries: Any) -> Path:
    """A run, not begun, of one of the trainings."""
    return planned(folder, {**with_code(folder, name), **entries})


def records_of(run: Path) -> list[dict[str, Any]]:
    texts = [path.read_text() for path in sorted((run / "records").glob("*.jsonl"))]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def history_of(run: Path) -> dict[str, list[float]]:
    """What was measured after each epoch; of one that was trained twice the second."""
    epochs = {one["epoch"]: one["metrics"] for one in records_of(run) if one["record"] == "epoch"}
    found: dict[str, list[float]] = {}
    for number in sorted(epochs):
        for key, value in epochs[number].items():
            found.setdefault(key, []).append(value)
    return found


def notes_of(run: Path) -> str:
    return "\n".join(one["text"] for one in records_of(run) if one["record"] == "note")


def end_of(run: Path) -> dict[str, Any]:
    (end,) = [one for one in records_of(run) if one["record"] in ("finished", "failed", "pruned")]
    assert end["record"] == "finished", end
    return end


def numbered(history: dict[str, list[Any]]) -> dict[str, list[float]]:
    """With one name for each number of a vector."""
    found: dict[str, list[float]] = {}
    for name, values in history.items():
        if isinstance(values[0], list):
            for place in range(len(values[0])):
                found[f"{name}_{place}"] = [value[place] for value in values]
        else:
            found[name] = values
    return found


def main(folder: Path, names: list[str]) -> None:
    """Carry out each of them twice."""
    device.prepare(os.environ, 1)
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    for name in names:
        worker_of(planned_training(folder / name / "whole", name), "1-0", threads=1)()
        run = planned_training(folder / name / "stopped", name)
        worker_of(run, "1-0", threads=1, inject_fault="stop")()
        worker_of(run, "1-1", threads=1)()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
