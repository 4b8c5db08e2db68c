"""The clock: whose waiting is whose, and what counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpc.jobs.collectives.clock import Clock


class World:
    """Two ranks, of which the other one has said already what it says."""

    rank, size = 0, 2

    def __init__(self, steps_seconds: float, inputs: float, single: list[float]) -> None:
        self._said = [steps_seconds, inputs, sum(single)]
        self._single = single

    def sum(self, tensors: list[Any], name: str) -> list[Any]:
        mine, single = (tensor.numpy() for tensor in tensors)
        mine[1], single[1] = self._said, self._single
        return [mine, single]


def summed(clock: Clock, seconds: list[float]) -> None:
    """As if the graph had timed sums that took so long."""
    for place, value in enumerate(seconds):
        clock._single.scatter_nd_update([[place]], [value])
    clock._sums.assign(len(seconds))
    clock._seconds["collective"].assign(sum(seconds))


def test_in_each_step_the_rank_that_comes_last_waits_for_none() -> None:
    clock = Clock()
    clock.count(2)
    clock._seconds["steps"].assign(10.0)
    summed(clock, [1.0, 3.0])
    clock._seconds["input"].assign(0.5)
    # by turns each has waited for the other: over all steps both have spent the same
    found = clock.take(World(12.0, 1.5, [3.0, 1.0]))  # type: ignore[arg-type]
    assert found == {
        "steps": 2, "steps_seconds": 11.0, "input_seconds": 1.0, "collective_seconds": 2.0,
        "waiting_seconds": 2.0,
    }  # fmt: skip
    assert clock.take(World(0, 0, [])) == {}  # type: ignore[arg-type]


def test_steps_in_whose_time_the_graph_was_drawn_do_not_count() -> None:
    clock = Clock()
    summed(clock, [5.0])
    clock._seconds["steps"].assign(100.0)
    clock.count(0)
    clock.count(3)
    clock._seconds["steps"].assign(6.0)
    summed(clock, [1.0, 1.0, 1.0])
    found = clock.take(World(6.0, 0.0, [1.0, 1.0, 1.0]))  # type: ignore[arg-type]
    assert (found["steps"], found["steps_seconds"], found["collective_seconds"]) == (3, 6.0, 3.0)


def test_a_part_is_timed_from_when_its_inputs_are_there_to_when_its_outputs_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tensorflow as tf

    happened: list[str] = []

    def now() -> Any:
        count = tf.numpy_function(lambda: np.float64(len(happened)), [], tf.float64)
        return tf.ensure_shape(tf.cast(count, tf.float64), ())

    def work(value: Any) -> Any:
        def happen(number: Any) -> Any:
            happened.append("work")
            return number + 1

        return tf.ensure_shape(tf.numpy_function(happen, [value], tf.float32), ())

    def step(value: Any) -> Any:
        return work(clock.timed("collective", lambda given: work(work(given)), work(value)))

    monkeypatch.setattr(tf, "timestamp", now)
    clock = Clock()
    for taken in (step, tf.function(step, autograph=False)):
        clock._restart()
        assert float(taken(tf.constant(1.0))) == 5
        assert float(clock._seconds["collective"].numpy()) == 2  # of the four that happened
        assert clock._single.numpy()[: int(clock._sums.numpy())].tolist() == [2]
