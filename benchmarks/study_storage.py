"""What a search's storage costs: eight workers ask at once, on the journal and on a database.

    uv run python -m benchmarks.study_storage --trials 400 --seconds 10
    uv run python -m benchmarks.study_storage --storage postgresql+psycopg://me@host/optuna

Workers are processes that train nothing: a trial is three waits, with a report after each. What is counted is
the wall-clock time in asking, reporting and telling, the waiting for other workers' locks included, per
trial; and its share of the time that a trial lasts. Without --storage, PostgreSQL is one of this machine's
that is started for it, if it is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hpc import sweeps
from hpc.results import Plan, Records, Run, create
from hpc.search_coordinator import SearchCoordinator
from tests import postgresql

SPACE = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": -1.0, "high": 1.0}}


def measure(folder: Path, storage: str, args: argparse.Namespace) -> None:
    """Let workers ask until all trials are done, and print what that took."""
    sweep = sweeps.parse(
        {
            "name": "storage",
            "model": "none.py:build",
            "data": "digits",
            "space": SPACE,
            "fixed": {"epochs": 3},
            "search": {"method": args.method, "trials": args.trials, "pruner": "median"},
            "objective": {"metric": "val_accuracy", "mode": "max"},
        }
    )
    objective = sweep.objective
    create(
        folder, Plan("storage", objective.metric, objective.mode, [], [], sweep.as_yaml(), "{}", sweep.size)
    )
    records = Records(folder / "records" / "run.jsonl")
    SearchCoordinator(sweep, Run(folder), records, storage, print)
    records.close()
    command = [sys.executable, "-m", "tests.jobs.asking", str(folder)]
    start = time.perf_counter()
    workers = [
        subprocess.Popen([*command, f"worker-{n}", str(args.seconds)], stdout=subprocess.PIPE, text=True)
        for n in range(args.workers)
    ]
    lines = [json.loads(line) for worker in workers for line in worker.communicate()[0].splitlines()]
    seconds = time.perf_counter() - start
    names, took = [line["trial"] for line in lines], [line["seconds"] for line in lines]
    where = "postgresql" if storage else "journal"
    low, median, high = statistics.quantiles(took, n=4) if len(took) > 1 else (took[0],) * 3
    if not len(names) == len(set(names)) == args.trials:
        raise SystemExit(f"{where}: {len(names)} trials, {len(set(names))} different, of {args.trials}")
    mean = statistics.mean(took)
    print(
        f"{where}: {len(names)} trials, {len(set(names))} different, {args.workers} workers, {seconds:.0f} s"
    )
    print(f"  storage per trial: mean {mean:.4f} s, which is {mean / args.seconds:.2%} of {args.seconds:g} s")
    print(f"  median {median:.4f} s, quartiles {low:.4f} to {high:.4f} s, most {max(took):.3f} s", flush=True)


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0, help="that a trial lasts")
    parser.add_argument("--method", default="tpe")
    parser.add_argument("--storage", help="URL of a database")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(scratch) / "journal", "", args)
        with contextlib.ExitStack() as stack:
            url = args.storage
            if url is None and postgresql.programs() is not None:
                url = stack.enter_context(postgresql.server())
            if url is None:
                print("postgresql is not installed here, and no --storage is given")
            else:
                measure(Path(scratch) / "database", url, args)


if __name__ == "__main__":
    main()
