"""One training step beside its matrix products alone, on one thread, in one process.

    uv run python -m benchmarks.stepping

trains perceptrons with one hidden layer on made-up digits by Adam, as a worker does: batches gathered by
the epoch's order, loss and accuracy accumulated. The matrix products are those of the layers, forward and
backward, of the same shapes in a graph of their own. Both are timed in turn; medians and ranges.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.node import RankInfo, device
from hpc.jobs.options import compile_model, options
from hpc.jobs.training import Graphs, order
from hpc.models import Dataset, Split, mlp

FEATURES, CLASSES = 784, 10


def stepper(hidden: int, batch: int, steps: int) -> Callable[[], None]:
    """Trains so many steps, as a worker does."""
    import keras
    import tensorflow as tf

    keras.utils.clear_session()
    draw = np.random.default_rng(0)
    x = draw.random((batch * steps, FEATURES), np.float32)
    data = Dataset(Split(x, draw.integers(0, CLASSES, len(x)).astype(np.int32)), None, CLASSES)
    model = mlp((FEATURES,), CLASSES, CLASSES, hidden_size=hidden)
    compile_model(model, options({"batch_size": batch}), num_classes=CLASSES, samples=len(x))
    model.optimizer.build(model.trainable_variables)
    loop = Graphs().of(model, data, World(RankInfo(), Path(), ""))
    samples, classes = tf.constant(data.train.x), tf.constant(data.train.y)
    rows = tf.constant(order(len(x), 0, 1))

    def train() -> None:
        loop.steps(samples, classes, rows, 0, len(x), batch)

    return train


def products(hidden: int, batch: int, steps: int) -> Callable[[], None]:
    """The matrix products of so many steps."""
    import tensorflow as tf

    def random(*shape: int) -> Any:
        return tf.Variable(tf.random.normal(shape))

    x, first, values = random(batch, FEATURES), random(FEATURES, hidden), random(batch, hidden)
    second, errors, value_errors = random(hidden, CLASSES), random(batch, CLASSES), random(batch, hidden)

    def step(number: Any, total: Any) -> Any:
        outputs = [  # variables are read anew in every step, so nothing is taken out of the loop
            tf.matmul(x, first),
            tf.matmul(values, second),
            tf.matmul(values, errors, transpose_a=True),
            tf.matmul(errors, second, transpose_b=True),
            tf.matmul(x, value_errors, transpose_a=True),
        ]
        return number + 1, total + tf.add_n([output[0, 0] for output in outputs])

    def multiply() -> Any:
        return tf.while_loop(lambda number, total: number < steps, step, [0, 0.0], parallel_iterations=1)

    graph = tf.function(multiply, autograph=False)
    return lambda: graph()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--hidden", default="64,512", help="units, by commas")
    given = parser.parse_args()
    device.prepare(os.environ, 1)
    device.start(1, 0, 0, 1)
    print(f"{given.repeats} runs of {given.steps} steps at batch {given.batch}, milliseconds per step:")
    for hidden in map(int, given.hidden.split(",")):
        parts = [make(hidden, given.batch, given.steps) for make in (stepper, products)]
        times: list[list[float]] = [[], []]
        for number in range(given.repeats + 2):
            for part, taken in zip(parts, times, strict=True):
                start = time.perf_counter()
                part()
                if number >= 2:  # the first ones instantiate the graphs
                    taken.append((time.perf_counter() - start) / given.steps * 1000)
        step, product = map(statistics.median, times)
        print(
            f"784-{hidden}-10: step {step:.3f} (from {min(times[0]):.3f} to {max(times[0]):.3f}), products "
            f"{product:.3f} (from {min(times[1]):.3f} to {max(times[1]):.3f}): {step / product:.2f} x"
        )


if __name__ == "__main__":
    main()
