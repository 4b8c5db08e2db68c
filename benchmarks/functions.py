"""Functions that return at once: how many a second two workers call, beside a bare pool of two processes.

    uv run python -m benchmarks.functions --trials 10000

The pool (``concurrent.futures.ProcessPoolExecutor``) calls the same function and appends a line to a file for
each. A sweep's are counted from the beginning of its first trial to the end of its last worker; the seconds
of the whole command, with its start, are told beside it. Then one trial reports as many times, and says what
a report has cost it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path

from benchmarks.called import sweep

CODE = """
import time

def at_once(x):
    return x

def reporting(trial, reports):
    began = time.perf_counter()
    for step in range(1, reports + 1):
        trial.report(step, val_loss=1.0 / step, loss=2.0 / step)
    return {"val_loss": 0.0, "ms": 1000 * (time.perf_counter() - began) / reports}
"""


def append(x: float) -> None:
    """What the pool does for each: call, and append a line."""
    at_once = import_module("mine").at_once
    with open("lines.jsonl", "a") as file:
        file.write(json.dumps({"x": x, "val_loss": at_once(x)}) + "\n")


def bare(trials: int) -> float:
    """The seconds of the pool, its processes being there."""
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(append, range(10)))
        began = time.monotonic()
        list(pool.map(append, range(trials)))
        return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "mine.py").write_text(CODE)
        sys.path.insert(0, scratch)
        os.chdir(scratch)
        pool = bare(trials)
        ours = sweep(folder, {"train": "mine.py:at_once"}, trials)
        again = bare(trials)
        (folder / "reports").mkdir()
        (folder / "reports" / "mine.py").write_text(CODE)
        reporting = {"train": "mine.py:reporting", "fixed": {"reports": trials}}
        told = sweep(folder / "reports", reporting | {"space": {}, "search": "grid"}, 1, workers=1)
    (trial,) = told.run.trials.values()
    share = min(pool, again) / ours.seconds
    rates = [f"{trials / seconds:,.0f}" for seconds in (pool, again, ours.seconds)]
    print(
        f"{trials:,} functions that return at once: a bare pool {rates[0]} and {rates[1]} a second, two "
        f"workers {rates[2]} ({share:.0%} of the faster pool; the whole command {ours.whole_seconds:.1f} s); "
        f"a report {trial.attempt.metrics['ms']:.3f} ms"
    )


if __name__ == "__main__":
    main()
