"""How long `hpc submit`, `status`, `table` and `cancel` take with many trials, whole process.

    uv run python -m benchmarks.submitting --trials 10000 --repeats 3
    uv run python -m benchmarks.submitting --trials 10000 --repeats 3 --stand-in

The first boots a SLURM of its own (Debian's packages, as root), as the tests do, and submits held
jobs; the second takes commands that answer at once in its place. The trials are submitted on 100
jobs and in as many jobs as there are trials. What jobs would write is written by this program:
records of half of the trials, then of all.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpc import sweeps
from hpc.jobs.launch import Launch
from hpc.results import Records, Run
from hpc.sweeps.document import write
from tests.slurm.cluster import Cluster

PROFILES = """
hundred: {cluster: slurm, workers: 100, sbatch: {hold: true}}
each: {cluster: slurm, workers: 100, trials_per_job: 1, sbatch: {hold: true}}
"""
EPOCHS = 10
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
STAND_IN = {
    "sbatch": """
for script; do :; done
number=$(($(wc -c < "$STAND_IN/submitted") + 1000)); printf x >> "$STAND_IN/submitted"
awk -v n="$number" '/--array=/ {sub(/.*--array=0-/, ""); sub(/%.*/, ""); last = $0 + 0}
/--job-name=/ {sub(/.*--job-name=/, ""); name = $0}
END {for (i = 0; i <= last; i++) print n "|" i "|" name "|PENDING|JobHeldUser||1:00:00|N/A"}
' "$script" > "$STAND_IN/queue"
echo "$number"
""",
    "squeue": 'cat "$STAND_IN/queue"\n',
    "sacct": 'echo "Slurm accounting storage is disabled" >&2\nexit 1\n',
    "scancel": """sed -i 's/|PENDING|/|CANCELLED|/' "$STAND_IN/queue"\n""",
    "scontrol": 'printf "ClusterName = stand-in\\nMaxArraySize = 1000001\\n"\n',
}


@contextmanager
def stand_in(folder: Path) -> Iterator[dict[str, str]]:
    """Environment variables for commands of SLURM that answer at once."""
    folder.mkdir()
    for name in ("submitted", "queue"):
        (folder / name).touch()
    for name, lines in STAND_IN.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{lines}")
        path.chmod(0o755)
    yield {"STAND_IN": str(folder), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@contextmanager
def real(trials: int, nodes: int) -> Iterator[dict[str, str]]:
    """Environment variables for a SLURM that takes arrays of so many jobs."""
    with Cluster(nodes=nodes, max_array_size=max(1001, 2 * trials), min_job_age_s=300) as cluster:
        yield cluster.environment


def fill(folder: Path, share: float) -> None:
    """Write what jobs write that have finished a share of all trials, 100 of them being at the next."""
    run, sweep = Run(folder), sweeps.load_stored(folder / "sweep.yaml")
    launch = Launch.read(run.jobs_folder / "1")
    by_name = {trial.trial_id: trial for trial in sweep.trials}
    draw = random.Random(0)
    confusion = [[draw.randrange(40) for _ in range(10)] for _ in range(10)]
    for number, (job, entries) in enumerate(run.jobs.items()):
        trials = launch.jobs[entries["number"]]
        alone = len(trials) == 1
        done = int(number < share * len(run.jobs)) if alone else round(share * len(trials))
        if alone and number > share * len(run.jobs) + 100:
            break
        (run.records / f"{job}.jsonl").unlink(missing_ok=True)
        records = Records(run.records / f"{job}.jsonl")
        records.append("began", job=job, launch=1, number=number, name="", restart=0, node="n1")
        records.append("ready", job=job, backend="none", gpu=None)
        for place, trial in enumerate(by_name[str(name)] for name in trials[: done + 1]):
            who: dict[str, Any] = {"trial": trial.trial_id, "attempt": 1}
            records.append("started", **{**trial.to_record(), **who}, ranks=1, job=job, node="n1", code="")
            for epoch in range(1, EPOCHS + 1 if place < done else EPOCHS // 2):
                metrics = {name: draw.random() for name in METRICS}
                records.append("epoch", **who, epoch=epoch, metrics=metrics, seconds=epoch * 0.125)
            if place < done:
                records.append(
                    "finished", **who, epochs=EPOCHS, metrics=metrics, best=metrics["val_accuracy"],
                    seconds=EPOCHS * 0.125, weights="0" * 64, training_seconds=1.0, drawing_seconds=0.0,
                    confusion={"validation": confusion, "test": confusion},
                )  # fmt: skip
        if done == len(trials):
            records.append("left", job=job, label=f"{job}.0.1", how="done")
        records.close()


class Stopwatch:
    """Runs commands and keeps what they took.

    Args:
        folder: to run them in.
        env: their environment.
    """

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, env
        self.taken: dict[str, list[tuple[float, float, float]]] = {}

    def __call__(self, what: str, *command: str) -> None:
        """Run one."""
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=self._env, cwd=self._folder)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        cpu = usage.ru_utime + usage.ru_stime
        self.taken.setdefault(what, []).append((seconds, cpu, usage.ru_maxrss / 1024))

    def __str__(self) -> str:
        lines = []
        for what, taken in self.taken.items():
            seconds, cpu, memory = zip(*taken, strict=True)
            lines.append(
                f"{what:42} {statistics.median(seconds):6.2f} s (from {min(seconds):.2f} to "
                f"{max(seconds):.2f}), {statistics.median(cpu):.2f} s of CPU, {max(memory):.0f} MB"
            )
        return "\n".join(lines)


def sizes(folder: Path) -> str:
    """How many files a run has, and how large they are."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--stand-in", action="store_true")
    options = parser.parse_args()
    hpc = str(Path(sys.executable).with_name("hpc"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "profiles.yaml").write_text(PROFILES)
        entries = {
            "name": "many",
            "model": "mlp",
            "data": "digits",
            "space": {
                "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
                "dropout": {"low": 0.0, "high": 0.5},
                "hidden_size": [32, 64, 128, 256],
            },
            "fixed": {"epochs": EPOCHS},
            "search": {"method": "random", "trials": options.trials},
            "objective": "val_accuracy",
        }
        (folder / "many.yaml").write_text(write(entries))
        slurm = stand_in(folder / "slurm") if options.stand_in else real(options.trials, options.nodes)
        with slurm as environment:
            env = {**os.environ, **environment}
            print(f"{options.trials} trials, {options.repeats} runs of each:")
            for profile, jobs in (("hundred", "100 jobs"), ("each", "as many jobs")):
                take, left = Stopwatch(folder, env), ""
                for number in range(options.repeats):
                    run = f"{profile}{number}"
                    take("squeue, all jobs of the cluster", "squeue", "--array", "--noheader")
                    take("hpc submit", hpc, "submit", "many.yaml", "--on", profile, "--dir", run)
                    left = sizes(folder / run)
                    take("hpc status", hpc, "status", run)
                    fill(folder / run, 0.5)
                    take("hpc status, half finished", hpc, "status", run)
                    fill(folder / run, 1.0)
                    take("hpc status, all finished", hpc, "status", run)
                    take("hpc table --format csv, all finished", hpc, "table", run, "--format", "csv")
                    take("hpc cancel", hpc, "cancel", run)
                    take("hpc status after that", hpc, "status", run)
                print(f"on {jobs}; the run has {left} when submitted, {sizes(folder / run)} in the end:")
                print(take, flush=True)


if __name__ == "__main__":
    main()
