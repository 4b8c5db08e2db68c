"""What every collective must do, as each rank finds it; and a collective of threads, one class."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hpc.jobs.collectives.base import Collective, Compression

if TYPE_CHECKING:
    import tensorflow as tf

Check = Callable[[Collective], None]


def tells_bytes_in_the_order_of_the_ranks(mine: Collective) -> None:
    said = b"x" * mine.rank  # rank 0 says nothing
    assert mine.gather_bytes(said) == [b"x" * rank for rank in range(mine.size)]


def tells_values_in_the_order_of_the_ranks(mine: Collective) -> None:
    found = mine.gather({"rank": mine.rank, "text": "é\n", "none": None})
    assert found == [{"rank": rank, "text": "é\n", "none": None} for rank in range(mine.size)]


def agrees_on_the_value_of_rank_0(mine: Collective) -> None:
    assert mine.agree(["from", mine.rank]) == ["from", 0]


def adds_whole_numbers_exactly(mine: Collective) -> None:
    large = 2**52 + 1
    assert mine.add([1, large, mine.rank, True]) == [
        mine.size, mine.size * large, sum(range(mine.size)), mine.size,
    ]  # fmt: skip


def sums_tensors_of_every_type(mine: Collective) -> None:
    import tensorflow as tf

    tensors = [
        tf.constant([1.5, 2.0], tf.float32), tf.fill([2, 3], tf.cast(mine.rank, tf.float64)),
        tf.constant(7, tf.int32), tf.constant([2**40], tf.int64), tf.zeros([0], tf.float32),
    ]  # fmt: skip
    totals = mine.sum(tensors, "types")
    ranks = sum(range(mine.size))
    wanted: list[Any] = [[1.5 * mine.size, 2.0 * mine.size], np.full((2, 3), ranks), 7 * mine.size]
    for total, tensor, value in zip(totals, tensors, [*wanted, [2**40 * mine.size], []], strict=True):
        assert (total.dtype, total.shape) == (tensor.dtype, tensor.shape)
        np.testing.assert_array_equal(total.numpy(), value)
    assert mine.sum([], "nothing") == []


def sums_inside_a_graph_again_and_again(mine: Collective) -> None:
    import tensorflow as tf

    def steps(value: tf.Tensor) -> tf.Tensor:
        def step(done: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            (total,) = mine.sum([value], "loop")
            return done + 1, total / mine.size + 1.0

        return tf.while_loop(lambda done, _: done < 5, step, [0, value], parallel_iterations=1)[1]

    graph = tf.function(steps, autograph=False)
    for _ in range(2):
        found = graph(tf.constant([float(mine.rank)]))
        assert abs(float(found[0]) - (sum(range(mine.size)) / mine.size + 5)) < 1e-5


def gives_all_ranks_the_same_bits(mine: Collective) -> None:
    import tensorflow as tf

    draw = np.random.default_rng(mine.rank).normal(size=1000).astype(np.float32)
    (total,) = mine.sum([tf.constant(draw)], "bits")
    assert len(set(mine.gather(hashlib.sha256(total.numpy().tobytes()).hexdigest()))) == 1
    everyone = [np.random.default_rng(rank).normal(size=1000) for rank in range(mine.size)]
    np.testing.assert_allclose(total.numpy(), np.sum(everyone, axis=0), rtol=1e-4, atol=1e-5)


def rounds_no_more_than_compression_allows(mine: Collective) -> None:
    import tensorflow as tf

    (exact,) = mine.sum([tf.constant([1 + 2**-20], tf.float32)], "exact", "none")
    assert float(exact[0]) == mine.size * (1 + 2**-20)
    (rounded,) = mine.sum([tf.constant([1 + 2**-20], tf.float32)], "rounded", "fp16")
    assert rounded.dtype == tf.float32
    assert abs(float(rounded[0]) - mine.size) < 1e-3 * mine.size


def spreads_the_values_of_rank_0(mine: Collective) -> None:
    import tensorflow as tf

    variables = [tf.Variable([float(mine.rank + 1)] * 3), tf.Variable(mine.rank, dtype=tf.int64)]
    mine.broadcast(variables)
    np.testing.assert_array_equal(variables[0].numpy(), [1.0, 1.0, 1.0])
    assert int(variables[1].numpy()) == 0


def works_after_all_have_met_again(mine: Collective) -> None:
    mine.rejoin()
    adds_whole_numbers_exactly(mine)
    sums_inside_a_graph_again_and_again(mine)


def tells_those_who_wait_that_a_rank_has_left(mine: Collective) -> None:
    """As where one fails in the middle of a trial: the others' sums end, and all meet again."""
    import tensorflow as tf

    if mine.size > 1 and mine.rank < mine.size - 1:
        graph = tf.function(lambda value: mine.sum([value], "alone"), autograph=False)
        with pytest.raises(Exception, match=r"."):
            graph(tf.constant([1.0]))
    mine.rejoin()
    assert mine.gather(mine.rank) == list(range(mine.size))


def may_leave_twice(mine: Collective) -> None:
    mine.leave()
    mine.leave()


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        tells_bytes_in_the_order_of_the_ranks, tells_values_in_the_order_of_the_ranks,
        agrees_on_the_value_of_rank_0, adds_whole_numbers_exactly, sums_tensors_of_every_type,
        sums_inside_a_graph_again_and_again, gives_all_ranks_the_same_bits,
        rounds_no_more_than_compression_allows, spreads_the_values_of_rank_0, works_after_all_have_met_again,
        tells_those_who_wait_that_a_rank_has_left, may_leave_twice,
    )
}  # fmt: skip
"""In this order; the last leaves."""


def results_of(mine: Collective) -> dict[str, str]:
    """What every check has found, by its name; empty where all is well."""
    found = {}
    for name, check in CHECKS.items():
        try:
            check(mine)
            found[name] = ""
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


# A new collective is one class


class Room:
    """Where threads of one process meet."""

    def __init__(self, size: int, limit_s: float = 30) -> None:
        self.said: list[Any] = [None] * size
        self.exchange = threading.Barrier(size, timeout=limit_s)
        self.door = threading.Barrier(size, action=self.exchange.reset, timeout=limit_s)


class ThreadCollective(Collective):
    """Ranks that are threads of one process."""

    name = "threads"

    def __init__(self, rank: int, size: int, room: Room) -> None:
        self.rank, self.size = rank, size
        self._room = room

    def _everyone(self, mine: Any) -> list[Any]:
        try:
            self._room.said[self.rank] = mine
            self._room.exchange.wait()
        except threading.BrokenBarrierError:
            raise ConnectionError("another rank has left the world") from None
        found = list(self._room.said)
        with suppress(threading.BrokenBarrierError):  # all have spoken, though one may have left since
            self._room.exchange.wait()
        return found

    def gather_bytes(self, data: bytes) -> list[bytes]:
        return self._everyone(data)

    def sum(self, tensors: list[tf.Tensor], name: str, compression: Compression = "none") -> list[tf.Tensor]:
        import tensorflow as tf

        def total(*mine: Any) -> list[Any]:
            return [
                np.asarray(sum(column[1:], column[0])) for column in zip(*self._everyone(mine), strict=True)
            ]

        if not tensors:
            return tensors
        found = tf.numpy_function(total, tensors, [tensor.dtype for tensor in tensors])
        totals = tf.nest.flatten(found)  # outside a graph, of one tensor it is no list
        return [tf.ensure_shape(total, tensor.shape) for total, tensor in zip(totals, tensors, strict=True)]

    def broadcast(self, variables: list[tf.Variable]) -> None:
        values = self._everyone([variable.numpy() for variable in variables])[0]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def rejoin(self) -> None:
        self._room.exchange.abort()
        self._room.door.wait()

    def leave(self) -> None:
        self._room.exchange.abort()


def main(folder: Path) -> None:
    """Be one of several ranks, and write what the checks have found."""
    import json
    import os

    from hpc.jobs.collectives.registry import join
    from hpc.jobs.launchers import find_rank_info
    from hpc.jobs.node import device

    device.prepare(os.environ, 1)
    info = find_rank_info(os.environ)
    mine = join(info, folder, "conformance")
    device.start(1, info.local_rank, 0, info.local_size)
    names = [mine.name, mine.reduces_by]
    text = json.dumps({"names": names, "results": results_of(mine)})
    (folder / f"{info.rank}.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
