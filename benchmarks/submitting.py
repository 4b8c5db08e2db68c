"""How long `hpc submit` and `hpc status` take on a real SLURM, whole process, Python's start included.

    uv run python -m benchmarks.submitting --trials 2500 --repeats 3

It boots a SLURM of its own (Debian's packages, as root), as the tests do, and submits held jobs. Each
command's time is given beside that of `sbatch --wrap true` and of `squeue`, taken in turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sweeps.document import write
from tests.slurm.cluster import Cluster

PROFILES = """
four: {cluster: slurm, workers: 4, ranks_per_node: 2, sbatch: {hold: true}}
each: {cluster: slurm, workers: 8, trials_per_job: 1, sbatch: {hold: true}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=2500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    hpc = str(Path(sys.executable).with_name("hpc"))
    with tempfile.TemporaryDirectory() as scratch, Cluster() as cluster:
        folder = Path(scratch)
        (folder / "profiles.yaml").write_text(PROFILES)
        for name, trials in (("few", 27), ("many", options.trials)):
            entries = {
                "name": name,
                "model": "mlp",
                "data": "digits",
                "space": {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}},
                "search": {"method": "random", "trials": trials},
                "objective": "val_accuracy",
            }
            (folder / f"{name}.yaml").write_text(write(entries))
        env = {**os.environ, **cluster.environment}
        times: dict[str, list[float]] = {}

        def take(what: str, *command: str) -> None:
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env, cwd=folder)
            times.setdefault(what, []).append(time.perf_counter() - start)

        for number in range(options.repeats):
            run = f"many{number}"
            take("sbatch --wrap true", "sbatch", "--hold", "--output=/dev/null", "--wrap", "true")
            take("hpc submit, 27 trials on 4 jobs of 2 ranks", hpc, "submit", "few.yaml", "--on", "four",
                 "--dir", f"few{number}")  # fmt: skip
            take(f"hpc submit, {options.trials} trials in as many jobs", hpc, "submit", "many.yaml", "--on",
                 "each", "--dir", run)  # fmt: skip
            take("squeue, all jobs", "squeue", "--array", "--noheader")
            take(f"hpc status, {options.trials} jobs", hpc, "status", run)
            take(f"hpc status --json, {options.trials} jobs", hpc, "status", run, "--json")
            take(f"hpc cancel, {options.trials} jobs", hpc, "cancel", run)
            take("hpc status after that", hpc, "status", run)
            cluster.run("scancel", "--state=PENDING", "--user=root")
    base = statistics.median(times["sbatch --wrap true"])
    print(f"{options.repeats} runs of each:")
    for what, seconds in times.items():
        middle = statistics.median(seconds)
        print(
            f"{what:48} {middle:6.2f} s (from {min(seconds):.2f} to {max(seconds):.2f}), "
            f"{middle / base:.1f} x sbatch"
        )


if __name__ == "__main__":
    main()
