"""The course's convolutional network to its test accuracy: `hpc run` beside the course's own code.

    HPC_DATA=… uv run python -m benchmarks.race

trains the 1,199,882 parameters of row 16 on all 60,000 digits, in turn by `hpc run` with the recipe of
benchmarks/cnn/race.yaml and by Keras' `fit` as the course has it (benchmarks/cnn/fit.py), for each seed.
What counts is the CPU time of whole processes, their children included, on one core. `--miniature` trains
both for one epoch on 512 images, to no accuracy.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hpc import results

FOLDER = Path(__file__).parent / "cnn"
TARGET, EPOCHS = 0.9906, 12
"""Of the course, which trains so many epochs for it."""
IMAGES = 512


@dataclass(frozen=True)
class Finish:
    """How one training came in: CPU seconds, and at what test accuracy after how many epochs."""

    cpu_seconds: float
    accuracy: float
    epochs: int


def timed(command: list[str]) -> tuple[float, str]:
    """Run a command: its CPU seconds, its children's included, and what it has printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def ours(seed: int, *, miniature: bool) -> Finish:
    """The recipe by `hpc run`, to its end: start, training, test and table."""
    short = [f"data.train={IMAGES}", f"data.test={IMAGES}", "fixed.epochs=1"] if miniature else []
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        hpc = str(Path(sys.executable).with_name("hpc"))
        sets = [f"--set={one}" for one in (f"seeds=[{seed}]", *short)]
        seconds, _ = timed([hpc, "run", "race.yaml", "--dir", str(run), *sets])
        trial = results.table(run).iloc[0]
    return Finish(seconds, float(trial["test_accuracy"]), int(trial["epochs"]))


def course(seed: int, *, miniature: bool) -> Finish:
    """The course's code until the target is reached, less what its evaluations took."""
    given = [0, seed, 1, IMAGES] if miniature else [TARGET, seed, EPOCHS]
    seconds, printed = timed([sys.executable, "fit.py", *map(str, given)])
    epochs, accuracy, evaluating = printed.split()[-3:]
    return Finish(seconds - float(evaluating), float(accuracy), int(epochs))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--miniature", action="store_true")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # both train on one thread
    racers = {"hpc run": ours, "the course's code": course}
    finishes: dict[str, list[Finish]] = {name: [] for name in racers}
    for seed in range(1 if options.miniature else options.seeds):
        for name, racer in racers.items():
            finish = racer(seed, miniature=options.miniature)
            finishes[name].append(finish)
            print(
                f"seed {seed}: {name:18} {finish.cpu_seconds:5.0f} s of CPU, "
                f"test accuracy {finish.accuracy:.4f}, epochs {finish.epochs}",
                flush=True,
            )
    mine, its = (statistics.fmean(one.cpu_seconds for one in some) for some in finishes.values())
    print(f"mean: hpc run {mine:.0f} s, the course's code {its:.0f} s: {mine / its:.2f} x")
    if not options.miniature:
        lowest = min(finish.accuracy for finish in finishes["hpc run"])
        if round(lowest, 4) < TARGET:
            raise SystemExit(f"hpc run ends at {lowest:.4f} once, below {TARGET}")


if __name__ == "__main__":
    main()
