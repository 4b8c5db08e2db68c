"""Runs whose jobs are in a queue that is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpc.results import Plan, Records, Run, create
from hpc.schedulers.slurm import Slurm
from tests.hpc.fake_slurm import FakeSlurm


def new_run(folder: Path, trials: int = 4) -> Run:
    """A run of trials t0, t1, …, with one job of no array yet."""
    planned = [{"trial": f"t{i}", "index": i, "params": {"x": i}, "seed": 0} for i in range(trials)]
    create(folder, Plan("small", "val_accuracy", "max", ["x"], planned, "name: small\n", "{}\n"))
    (folder / "jobs" / "1").mkdir()
    return Run(folder)


def write(run: Run, writer: str, *records: tuple[str, dict[str, Any]]) -> None:
    file = Records(run.records / f"{writer}.jsonl")
    for record, entries in records:
        file.append(record, **entries)
    file.close()
    run.refresh()


def submitting(run: Run, name: str = "hpc-small-a.0", size: int = 2) -> None:
    write(run, "run", ("submitting", {"name": name, "launch": 1, "first": 0, "size": size, "ranks": 1}))


def queue(slurm: FakeSlurm, folder: Path, name: str = "hpc-small-a.0", size: int = 2) -> str:
    """Hand an array to the queue."""
    script = folder / "jobs" / "1" / f"{name}.sh"
    script.write_text(f"#!/bin/bash\n#SBATCH --job-name={name}\n#SBATCH --array=0-{size - 1}%{size}\n")
    return Slurm().sbatch(script)


def start(run: Run, job: str, index: int, attempt: int = 1, **further: Any) -> None:
    who = {"trial": f"t{index}", "attempt": attempt}
    write(run, job, ("started", {**who, "index": index, "params": {}, "seed": 0, "ranks": 1, "job": job,
                                 "node": "n1", **further}))  # fmt: skip
