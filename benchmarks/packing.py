"""Trials trained at once as lanes of a pack, beside the same trials one after the other, in one process.

    uv run python -m benchmarks.packing

trains perceptrons that differ in learning rate and dropout on made-up samples, on one thread, as a worker
does: models are built, trained and measured, graphs are there from a first round. Both ways are timed in
turn; medians and ranges of the time per trial. The difference of the weights is the largest of all lanes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.node import RankInfo, device
from hpc.jobs.options import compile_model, options
from hpc.jobs.training import Graphs, train_lanes
from hpc.jobs.training.base import Lane, Trained
from hpc.models import Array, Dataset, Split, mlp

CASES = {
    "digits": (64, 32, 64, 1400, 20, 24),
    "mnist-32": (784, 32, 128, 12_000, 3, 12),
    "mnist-64": (784, 64, 128, 12_000, 3, 12),
    "mnist-128": (784, 128, 128, 12_000, 3, 12),
}
"""Features, units, batch size, samples, epochs, lanes."""


class Case:
    """Some trials, to be trained in one way or the other."""

    def __init__(self, features: int, hidden: int, batch: int, samples: int, epochs: int, lanes: int) -> None:
        draw = np.random.default_rng(0)
        parts = [
            Split(draw.random((n, features), np.float32), draw.integers(0, 10, n).astype(np.int32))
            for n in (samples, samples // 5)
        ]
        self.data = Dataset(parts[0], parts[1], 10)
        self.hidden, self.batch, self.epochs, self.lanes = hidden, batch, epochs, lanes
        self.graphs = Graphs()
        self.world = World(RankInfo(), Path(), "")

    def lane(self, number: int) -> Lane:
        """A trial, built anew."""
        self.graphs.begin(0, only_keras=True)
        shape = self.data.input_shape
        model = mlp(shape, 10, 10, hidden_size=self.hidden, dropout=0.1 + 0.5 * number / self.lanes)
        chosen = options({"learning_rate": 0.001 * (1 + number), "epochs": self.epochs})
        compile_model(model, chosen, num_classes=10, samples=len(self.data.train))
        return Lane(model, 0)

    def train(self, lanes: list[Lane]) -> list[Trained | None]:
        """Train them at once."""
        return train_lanes(
            lanes, self.data, self.world, epochs=self.epochs, batch_size=self.batch, graphs=self.graphs
        )

    def alone(self) -> list[list[Array]]:
        """The weights that all trials come to, one after the other."""
        return [weights(self.train([self.lane(number)])[0]) for number in range(self.lanes)]

    def together(self) -> list[list[Array]]:
        """Likewise, all at once."""
        return [weights(one) for one in self.train([self.lane(number) for number in range(self.lanes)])]


def weights(trained: Trained | None) -> list[Array]:
    """Of a trial that has not diverged."""
    assert trained is not None
    return [np.asarray(variable) for variable in trained.model.weights]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES), help=", ".join(CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lanes", type=int, help="instead of those of the case")
    given = parser.parse_args()
    device.prepare(os.environ, 1)
    device.start(1, 0, 0, 1)
    for name in given.cases.split(","):
        features, hidden, batch, samples, epochs, lanes = CASES[name]
        case = Case(features, hidden, batch, samples, epochs, given.lanes or lanes)
        difference = max(
            float(np.abs(one - other).max())
            for mine, its in zip(case.alone(), case.together(), strict=True)
            for one, other in zip(mine, its, strict=True)
        )
        times: list[list[float]] = [[], []]
        for _ in range(given.repeats):
            for way, taken in zip((case.alone, case.together), times, strict=True):
                start = time.perf_counter()
                way()
                taken.append((time.perf_counter() - start) / case.lanes * 1000)
        alone, together = map(statistics.median, times)
        print(
            f"{features}-{hidden}-10, batch {batch}, {epochs} epochs, {case.lanes} lanes: alone {alone:.0f} "
            f"ms a trial (from {min(times[0]):.0f} to {max(times[0]):.0f}), at once {together:.0f} ms (from "
            f"{min(times[1]):.0f} to {max(times[1]):.0f}): {alone / together:.2f} x the throughput; weights "
            f"differ by {difference:.0e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
