"""How many epochs searches need to come as far as a whole grid: MNIST, 36 points, up to 15 epochs each.

    HPC_DATA=FOLDER uv run python -m benchmarks.searching --seeds 5

The grid trains all 36 points to the end, once per seed of initialisation and shuffling. Each search has the
same space, the same seed, and one of its own; it counts what it has trained, pruned trials included, and
compares the best validation accuracy that it has seen with the best of the grid.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from hpc import running, sweeps
from hpc.results import Run

SPACE: dict[str, Any] = {
    "learning_rate": [0.001, 0.003, 0.01, 0.03],
    "hidden_size": [32, 64, 128],
    "dropout": [0.0, 0.25, 0.5],
}
LESS = 0.002
"""How much below the grid's best accuracy still counts as reaching it."""


SEARCHES: dict[str, dict[str, Any]] = {
    "ASHA": {"method": "random", "trials": 32, "pruner": {"name": "asha", "reduction_factor": 3}},
    "TPE+ASHA": {"method": "tpe", "trials": 36, "pruner": {"name": "asha", "reduction_factor": 4}},
    "TPE": {"method": "tpe", "trials": 9},
    "random": {"method": "random", "trials": 9},
}
"""What is compared with the grid, by name, as ``search`` of a sweep file has it."""


def carry_out(
    folder: Path, search: dict[str, Any], seed: int, args: argparse.Namespace
) -> tuple[int, float, float]:
    """Epochs that were trained, the best validation accuracy of any, and seconds of the command."""
    sweep = sweeps.parse(
        {
            "name": "mnist",
            "model": "mlp",
            "data": {"name": "mnist", "train": args.train, "validation": 2000},
            "space": SPACE,
            "fixed": {"epochs": args.epochs, "batch_size": 128},
            "search": {**search, "seed": seed},
            "seeds": [seed],
            "objective": "val_accuracy",
            "keep": "none",
        }
    )
    start = time.perf_counter()
    outcome = running.run(sweep, folder=folder, workers=args.workers)
    seconds = time.perf_counter() - start
    if outcome.error:
        raise SystemExit(outcome.error)
    attempts = [trial.attempt for trial in Run(folder).trials.values()]
    best = max(attempt.best for attempt in attempts if attempt.best is not None)
    return sum(attempt.epochs for attempt in attempts), best, seconds


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--train", type=int, default=12_000)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    found: dict[str, list[tuple[int, float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(args.seeds):
            for name, search in {"grid": {"method": "grid"}, **SEARCHES}.items():
                result = carry_out(Path(scratch) / f"{name}-{seed}", search, seed, args)
                found.setdefault(name, []).append(result)
                print(
                    f"seed {seed}, {name}: {result[0]} epochs, {result[1]:.4f}, {result[2]:.0f} s", flush=True
                )
    print(
        f"\n{args.seeds} seeds, medians (from least to most); below the grid: its best accuracy less the "
        "search's"
    )
    print(
        f"{'search':10} {'epochs':>18} {'of the grid':>12} {'below the grid':>26} {'within ' + str(LESS):>14}"
    )
    for name, results in found.items():
        epochs = [one[0] for one in results]
        share = statistics.median(e / g[0] for e, g in zip(epochs, found["grid"], strict=True))
        below = [g[1] - one[1] for one, g in zip(results, found["grid"], strict=True)]
        spread = f"{statistics.median(epochs):.0f} ({min(epochs)} to {max(epochs)})"
        lost = f"{statistics.median(below):.4f} ({min(below):.4f} to {max(below):.4f})"
        reached = sum(one <= LESS + 1e-6 for one in below)  # accuracies are 32-bit numbers
        print(f"{name:10} {spread:>18} {share:>12.3f} {lost:>26} {f'{reached} of {len(below)}':>14}")


if __name__ == "__main__":
    main()
