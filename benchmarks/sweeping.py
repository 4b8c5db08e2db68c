"""How long a grid of 36 small networks takes, whole process, beside what people use for that today.

    HPC_DATA=… uv run python -m benchmarks.sweeping

runs them in turn: `hpc run`, a bare loop in two processes, and the tools named by --tools, each in an
environment of its own with the same TensorFlow, which uv sets up first. `--trials 2 --epochs 1` is a
miniature.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from hpc import results

FOLDER = Path(__file__).parent / "grid"
TOOLS = {
    "bare": ("a bare loop, two processes", "bare.py", ()),
    "ray": ("Ray Tune, actors reused", "ray_tune.py", ("ray[tune]==2.51.1", "pandas<3")),
    "hydra": (
        "Hydra with its submitit launcher", "hydra_submitit.py",
        ("hydra-core==1.3.2", "hydra-submitit-launcher==1.2.0"),
    ),
    "keras-tuner": ("Keras Tuner", "keras_tuner_grid.py", ("keras-tuner==1.4.8",)),
    "optuna": ("Optuna, two processes on a journal", "optuna_journal.py", ("optuna==4.6.0",)),
}  # fmt: skip


@dataclass
class Timed:
    """What the runs of one tool took, and the best and the mean validation accuracy they found."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    best: float = 0.0
    mean: float = 0.0

    def add(self, command: list[str], env: dict[str, str]) -> str:
        """Time a command, its children included; what it has printed."""
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, env=env, cwd=FOLDER, capture_output=True, text=True, timeout=900)
        self.seconds.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout


def ours(timed: Timed, env: dict[str, str], trials: int, epochs: int) -> None:
    """One `hpc run` of the grid, in a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        options = [f"--set=fixed.epochs={epochs}", "--workers=2"]
        if trials < 36:
            options.append(f"--set=search={{method: random, trials: {trials}}}")
        hpc = str(Path(sys.executable).with_name("hpc"))
        timed.add([hpc, "run", "grid.yaml", "--dir", str(run), *options], env)
        found = results.table(run)["best_val_accuracy"]
        timed.best, timed.mean = float(found.max()), float(found.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=36)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tools", default=",".join(TOOLS), help=", ".join(TOOLS))
    options = parser.parse_args()
    tools = [name for name in options.tools.split(",") if name]
    env = {**os.environ, "GRID_EPOCHS": str(options.epochs), "COLUMNS": "120"}
    env["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # or Ray would set up uv's environment once more, and fail
    uv = shutil.which("uv") or "uv"
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in ("tensorflow", "keras", "numpy")]

    def command(name: str, trials: int) -> list[str]:
        _, script, packages = TOOLS[name]
        if not packages:
            return [sys.executable, script, str(trials)]
        withs = [f"--with={package}" for package in (*versions, "setuptools<81", *packages)]
        start = [uv, "run", "--no-project", f"--python={sys.version_info.major}.{sys.version_info.minor}"]
        return [*start, *withs, script, str(trials)]

    for name in tools:  # sets up its environment
        if TOOLS[name][2]:
            Timed().add(command(name, 2), {**env, "GRID_EPOCHS": "1"})
    timed = {name: Timed() for name in ("hpc", *tools)}
    for _ in range(options.repeats):
        ours(timed["hpc"], env, options.trials, options.epochs)
        for name in tools:
            last = timed[name].add(command(name, options.trials), env).split()[-2:]
            timed[name].best, timed[name].mean = map(float, last)
    print(f"{options.trials} trials of {options.epochs} epochs, {options.repeats} runs of each, medians:")
    mine = statistics.median(timed["hpc"].seconds)
    for name, one in timed.items():
        seconds = statistics.median(one.seconds)
        words = "hpc run" if name == "hpc" else TOOLS[name][0]
        ratio = "" if name == "hpc" else f"  hpc run is {mine / seconds:.2f} x of it"
        print(
            f"{words:36} {seconds:6.1f} s (from {min(one.seconds):.1f} to {max(one.seconds):.1f}), "
            f"{statistics.median(one.cpu_seconds):5.0f} s of CPU, val_accuracy best {one.best:.4f} "
            f"mean {one.mean:.4f}{ratio}"
        )


if __name__ == "__main__":
    main()
