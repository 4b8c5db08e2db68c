"""How long the epochs of a large run take to gather, beside what nobody can do without.

    uv run python -m benchmarks.gathering

makes up a run of 10,000 trials of 100 epochs, its records as workers write them, and measures in one
process, in turn: reading a Parquet file of the same rows by ``pandas.read_parquet`` and parsing the
records of epochs once by ``pyarrow.json``, together the base; ``results.table`` with ``epochs=True`` for
the first time; and a second time. Medians and ranges of several runs. The peak of memory is that of a
process of its own that gathers the run for the first time.
"""

from __future__ import annotations

import argparse
import gc
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.reading import make_run
from hpc.results.store import EPOCH


def base(parquet: Path, lines: bytes) -> None:
    """Read the rows, and parse the records that they come from."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import json

    pd.read_parquet(parquet)
    json.read_json(pa.BufferReader(lines), read_options=json.ReadOptions(block_size=1 << 22))


def gather(run: Path) -> int:
    """The table of all epochs; how many rows it has."""
    from hpc import results

    return len(results.table(run, epochs=True))


def seconds(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        gather(given.peak)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    with tempfile.TemporaryDirectory() as scratch:
        run = make_run(Path(scratch) / "run", given.trials, given.epochs)
        own = [sys.executable, "-m", "benchmarks.gathering", "--peak", str(run)]
        peak = int(subprocess.run(own, check=True, capture_output=True, text=True).stdout) / 1e6
        rows = gather(run)  # and everything is imported
        from hpc import results

        parquet = Path(scratch) / "rows.parquet"
        results.table(run, epochs=True).to_parquet(parquet)
        files = sorted((run / "records").glob("*.jsonl"))
        records = [
            line for file in files for line in file.read_bytes().splitlines() if line.startswith(EPOCH)
        ]
        lines = b"\n".join(records)
        del records
        work: dict[str, Callable[[], object]] = {
            "base": lambda: base(parquet, lines),
            "first": lambda: gather(run),
            "second": lambda: gather(run),
        }
        times: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(given.repeats):
            for name, one in work.items():
                if name == "first":
                    shutil.rmtree(run / "gathered")
                times[name].append(seconds(one))
    print(f"{rows} epochs of {given.trials} trials, {given.repeats} runs of each:")
    middle = {name: statistics.median(found) for name, found in times.items()}
    for name, found in times.items():
        print(
            f"{name:8} {middle[name]:6.2f} s (from {min(found):.2f} to {max(found):.2f}), "
            f"{middle[name] / middle['base']:.2f} x base"
        )
    print(f"peak of memory, gathering for the first time: {peak:.2f} GB")


if __name__ == "__main__":
    main()
