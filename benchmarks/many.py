"""Many short trials by two workers: what share of their time is training, and whether they grow.

    uv run python -m benchmarks.many --trials 1000

trains small networks on the scanned digits, learning rates and dropout rates drawn at random, and prints from
the run's records what share of the workers' time went into training after their start-up, and their memory at
the tenth trial and at the last. Start-up is over when a worker's first epoch is: TensorFlow is imported, the
data are loaded, and the graphs of the first trials are drawn. Whatever is drawn later counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from hpc.results import Run
from hpc.sweeps.document import write


def training_share(run: Run) -> float:
    """Of the workers' time from the end of their first epoch to their end, that in which graphs ran."""
    attempts = [trial.attempt for trial in run.trials.values()]
    training = seconds = 0.0
    for name, job in run.jobs.items():
        mine = [attempt for attempt in attempts if attempt.job_id == name]
        begun = min(mine, key=lambda attempt: attempt.history[0]["time"])
        first = [attempt for attempt in mine if attempt.started <= begun.history[0]["time"]]
        training += sum(attempt.training_seconds for attempt in mine)
        training -= sum(attempt.training_seconds / attempt.epochs for attempt in first)
        seconds += job["left_time"] - begun.history[0]["time"]
    return training / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    entries = {
        "name": "many",
        "model": "mlp",
        "data": "digits",
        "space": {
            "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
            "dropout": {"low": 0.1, "high": 0.5},
        },
        "fixed": {"epochs": options.epochs, "hidden_size": 32, "batch_size": 64},
        "search": {"method": "random", "trials": options.trials},
        "objective": "val_accuracy",
    }
    with tempfile.TemporaryDirectory() as scratch:
        sweep, run = Path(scratch) / "many.yaml", Path(scratch) / "run"
        sweep.write_text(write(entries))
        hpc = str(Path(sys.executable).with_name("hpc"))
        process = psutil.Popen(
            [hpc, "run", str(sweep), "--dir", str(run), "--workers", "2"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ},
        )  # fmt: skip
        seen: list[tuple[int, float]] = []
        finished = 0
        while process.poll() is None:
            time.sleep(0.5)  # to look takes time itself
            try:
                workers = [p for p in process.children(recursive=True) if "_submit" in " ".join(p.cmdline())]
                sizes = [worker.memory_info().rss / 2**20 for worker in workers]
            except psutil.Error:
                continue
            if (run / "sweep.yaml").is_file():
                finished = sum(file.read_bytes().count(b'"finished"') for file in run.glob("records/local*"))
            if sizes and finished:
                seen.append((finished, max(sizes)))
        if process.returncode:
            raise SystemExit(process.stderr.read().decode())
        done = Run(run, keep_epochs=True)
        bill = done.bill()
    assert bill is not None
    after = [size for number, size in seen if number >= 20]  # the tenth of each of two workers
    grown = (
        f"memory {after[0]:.0f} MB at the tenth trial, {after[-1]:.0f} MB at the last "
        f"({after[-1] / after[0]:.2f} x)"
        if after
        else "too short to see the memory"
    )
    print(
        f"{options.trials} trials of {options.epochs} epochs, {bill.seconds / options.trials:.3f} s each: "
        f"{training_share(done):.1%} of the workers' time after their first epochs in training "
        f"(of all since they were ready {bill.training_seconds / bill.seconds:.1%}, and "
        f"{bill.tracing_seconds / bill.seconds:.1%} in drawing {bill.graphs} graphs); {grown}"
    )


if __name__ == "__main__":
    main()
