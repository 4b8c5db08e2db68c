"""Which trials of a worker are trained together, as lanes of one pack."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from hpc.jobs.training.checkpoint import Position
from hpc.jobs.training.graphs import Graphs
from hpc.jobs.training.loop import Loop
from hpc.jobs.training.pack import Plan
from hpc.models import Dataset
from hpc.sweeps import Trial

T = TypeVar("T")
MAX_LANES = 64
"""Lanes of a pack, unless the sweep says how many; with more of them a step hardly gets cheaper."""
MAX_BYTES = 2**28
"""Bytes that a pack may take for weights, optimizer and outputs, unless the sweep sets the lanes."""
LANES_OF_A_SEED = 6
"""Trials with the same seed that make it worth while to keep seeds apart: they see the same batches."""
SURE_PARAMETERS = 2**17
"""Up to so many in a network, a pack has always been the faster; beyond, it is tried out."""
PROBED_SECONDS = 20.0
"""What is left of a bucket must take so long, at a guess, for a trial of both ways to pay."""
GUESSED_FLOPS = 5e10


@dataclass(frozen=True)
class Choice:
    """A number of trials to train at once, and why.

    Attributes:
        lanes: 1 for each by itself.
        why: in words.
    """

    lanes: int
    why: str


def buckets(trials: Sequence[Trial]) -> list[list[int]]:
    """Places of the trials that might go together: all but numbers with a fraction is the same.

    Trials of one seed see the same batches, and are cheaper together; so seeds are kept apart where
    there are enough trials of each.
    """
    fractions = {name for one in trials for name, value in one.params.items() if isinstance(value, float)}

    def outline(trial: Trial) -> str:
        params = {name: value for name, value in trial.params.items() if name not in fractions}
        return repr((trial.model, trial.fold, sorted(params.items())))

    found: dict[str, list[int]] = {}
    for place, trial in enumerate(trials):
        found.setdefault(outline(trial), []).append(place)
    apart: list[list[int]] = []
    for places in found.values():
        by_seed: dict[int, list[int]] = {}
        for place in places:
            by_seed.setdefault(trials[place].seed, []).append(place)
        enough = len(places) >= LANES_OF_A_SEED * len(by_seed)
        apart.extend(by_seed.values() if enough else [places])
    return apart


def portions(tasks: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """As few parts as possible of at most so many, of nearly equal sizes.

    Rather a few more of the same size, for which the same graphs will do.
    """
    fewest = math.ceil(len(tasks) / most)
    equal = [number for number in range(fewest, fewest * 5 // 4 + 1) if number and len(tasks) % number == 0]
    number = equal[0] if equal else fewest
    for index in range(number):
        yield tasks[len(tasks) * index // number : len(tasks) * (index + 1) // number]


def most_lanes(plan: Plan, batch_size: int, orders: int = 1) -> int:
    """The number of lanes that fit into ``MAX_BYTES``."""
    weights = sum(math.prod(v.shape) for v in plan.model.trainable_variables)
    outputs = sum(layer.units for layer in plan.dense) * max(batch_size, 1024)
    # Lanes that see other samples, or drop others of their values, have inputs of their own.
    copies = (2 if orders > 1 else 0) + (3 if 0 in plan.dropout else 0)
    inputs = copies * math.prod(plan.model.input_shape[1:]) * batch_size if copies else 0
    lane = (5 * weights + 4 * outputs + inputs) * np.dtype(plan.dense[0].compute_dtype).itemsize
    return max(1, min(MAX_LANES, MAX_BYTES // int(lane)))


def choose(
    plan: Plan,
    count: int,
    steps: int,
    batch_size: int,
    probe: Callable[[int], tuple[float, float]],
    *,
    orders: int = 1,
) -> Choice:
    """Choose how many of some trials to train at once.

    Args:
        plan: of the first.
        count: of the trials.
        steps: that each of them takes.
        batch_size: samples per step.
        probe: gives the seconds of a step of a trial by itself, and in a pack of so many lanes
            that of one lane.
        orders: in how many orders they see the samples.
    """
    lanes = min(count, most_lanes(plan, batch_size, orders))
    if lanes < 2:
        return Choice(1, f"more than one would take over {MAX_BYTES >> 20} MiB")
    parameters = sum(math.prod(v.shape) for v in plan.model.trainable_variables)
    if parameters <= SURE_PARAMETERS:
        return Choice(lanes, f"a step of a network with {parameters} parameters is mostly overhead")
    seconds = 6 * parameters * batch_size * steps * count / GUESSED_FLOPS
    if seconds < PROBED_SECONDS:
        return Choice(1, f"networks with {parameters} parameters gain nothing, as a rule")
    unpacked, packed = probe(lanes)
    why = f"a step takes {1000 * unpacked:.2f} ms alone, {1000 * packed:.2f} ms as one of {lanes}"
    return Choice(lanes if packed < unpacked else 1, why)


def step_seconds(loop: Loop, graphs: Graphs, data: Dataset, batch_size: int, least_seconds: float) -> float:
    """Measure the seconds of a step per lane. The loop's training is left as it was.

    Args:
        loop: that has not begun.
        graphs: it is of.
        data: to train on.
        batch_size: samples per step.
        least_seconds: that are spent on it.
    """
    before = loop.states(Position())
    x, y = graphs.tensor(data.train.x), graphs.tensor(data.train.y)
    size = len(data.train)
    rows: Any = np.arange(size, dtype=np.int32)
    if loop.orders > 1:
        rows = np.repeat(rows[:, None], loop.orders, axis=1)

    def run(steps: int) -> float:
        start = time.perf_counter()
        samples = min(steps * batch_size, size)
        loop.steps(x, y, rows, 0, samples, batch_size)
        return (time.perf_counter() - start) / math.ceil(samples / batch_size)

    run(1)
    run(2)
    found, deadline = [run(4)], time.perf_counter() + least_seconds
    while time.perf_counter() < deadline or len(found) < 3:
        found.append(run(4))
    loop.restore(before)
    loop.restart()
    return float(np.median(found)) / loop.lanes
