"""How long `hpc status` and `hpc table` take for a large run, whole process.

    uv run python benchmarks/reading.py --trials 1000 --epochs 20 --repeats 5

The run is made up: its records are written as workers write them. Each command's time is given
beside that of `python -c "import pandas"`, as medians of several runs, taken in turn.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hpc import sweeps
from hpc.results import Plan, Records, create


def make_run(folder: Path, trials: int, epochs: int, jobs: int = 8) -> Path:
    """A finished run of so many trials, by so many jobs."""
    sweep = sweeps.parse(
        {
            "name": "made-up",
            "model": "mlp",
            "data": "digits",
            "space": {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}, "dropout": [0.0, 0.5]},
            "fixed": {"epochs": epochs},
            "search": {"method": "random", "trials": trials},
            "objective": "val_accuracy",
        }
    )
    planned: list[dict[str, Any]] = [
        {"trial": t.trial_id, "index": t.index, "params": t.params, "seed": t.seed} for t in sweep.trials
    ]
    space = list(sweep.space)
    create(
        folder,
        Plan(sweep.name, "val_accuracy", "max", space, planned, sweep.as_yaml(), "{}\n"),
    )
    writers = [Records(folder / "records" / f"local-1-{job}.jsonl") for job in range(jobs)]
    for plan in planned:
        job = plan["index"] % jobs
        who = {"trial": plan["trial"], "attempt": 1}
        writers[job].append("started", **plan, attempt=1, ranks=1, job=f"local-1-{job}", node="n", code="")
        for epoch in range(1, epochs + 1):
            metrics = {
                "loss": 1 / epoch,
                "accuracy": 1 - 0.5 / epoch,
                "val_loss": 1.1 / epoch,
                "val_accuracy": 1 - 0.6 / epoch - plan["index"] * 1e-6,
            }
            writers[job].append("epoch", **who, epoch=epoch, metrics=metrics, seconds=epoch * 0.1)
        writers[job].append(
            "finished", **who, epochs=epochs, metrics=metrics, best=metrics["val_accuracy"],
            seconds=epochs * 0.1,
        )  # fmt: skip
    for writer in writers:
        writer.close()
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run = str(make_run(Path(scratch) / "run", options.trials, options.epochs))
        hpc = str(Path(sys.executable).with_name("hpc"))
        commands = {
            "python -c 'import pandas'": [sys.executable, "-c", "import pandas"],
            "hpc status": [hpc, "status", run],
            "hpc table --format csv": [hpc, "table", run, "--format", "csv"],
            "hpc table --epochs --format csv": [hpc, "table", run, "--epochs", "--format", "csv"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                times[name].append(time.perf_counter() - start)
    base = statistics.median(times["python -c 'import pandas'"])
    print(f"{options.trials} trials of {options.epochs} epochs, {options.repeats} runs of each:")
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        print(
            f"{name:32} {middle:6.2f} s (from {min(seconds):.2f} to {max(seconds):.2f}), "
            f"{middle / base:.2f} x importing pandas"
        )


if __name__ == "__main__":
    main()
