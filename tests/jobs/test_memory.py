"""Sums through memory that ranks of one machine share; ranks are threads here."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc.jobs.collectives import shared_memory as memory_module
from hpc.jobs.collectives.shared_memory import LEFT, Memory

Ranks = list[Memory]


@pytest.fixture
def ranks(request: pytest.FixtureRequest) -> Any:
    size = getattr(request, "param", 2)
    pairs = {(low, high): socket.socketpair() for high in range(size) for low in range(high)}
    file, made = os.memfd_create("test"), []
    for rank in range(size):
        peers = [pair[rank == high] for (low, high), pair in pairs.items() if rank in (low, high)]
        made.append(Memory(rank, peers, os.dup(file)))
    yield made
    os.close(file)
    for memory in made:
        memory.close()


def at_once(ranks: Ranks, act: Callable[[int, Memory], Any]) -> list[Future[Any]]:
    with ThreadPoolExecutor(len(ranks)) as pool:
        return [pool.submit(act, rank, memory) for rank, memory in enumerate(ranks)]


@pytest.mark.parametrize("ranks", [2, 3, 4], indirect=True)
def test_sums_are_the_same_bits_on_all_ranks(ranks: Ranks) -> None:
    draw = np.random.default_rng(0)
    shapes: list[tuple[int, ...]] = [(7, 3), (), (1,), (0, 4), (1000,)]
    values = [[np.asarray(draw.normal(size=shape), np.float32) for shape in shapes] for _ in ranks]
    for totals in at_once(ranks, lambda rank, memory: memory.sum(values[rank])):
        for place, total in enumerate(totals.result()):
            expected = np.asarray(sum(value[place] for value in values))
            assert (total.dtype, total.shape) == (np.float32, shapes[place])
            np.testing.assert_array_equal(total, expected)


def test_sums_of_any_size_and_type_follow_each_other(ranks: Ranks) -> None:
    def act(rank: int, memory: Memory) -> list[Any]:
        kinds = [np.float64, np.int64, np.float16, np.float32]
        sizes = [3, 1, 500, 20, 70_000, 2] * 20
        return [memory.sum([np.full(n, rank + i, kinds[i % 4])])[0] for i, n in enumerate(sizes)]

    first, second = (future.result() for future in at_once(ranks, act))
    for number, (mine, other) in enumerate(zip(first, second, strict=True)):
        np.testing.assert_array_equal(mine, other)
        assert (mine == 2 * number + 1).all()


def test_who_waits_for_a_rank_that_leaves_is_told(ranks: Ranks) -> None:
    def act(rank: int, memory: Memory) -> Any:
        return memory.sum([np.ones(3)]) if rank == 0 else memory.close()

    waiting, _ = at_once(ranks, act)
    with pytest.raises(ConnectionError, match=LEFT):
        waiting.result()
    with pytest.raises(ConnectionError, match=LEFT):
        ranks[0].sum([np.ones(3)])
    ranks.pop()  # it is closed


class World:
    """Ranks that are threads, and speak by a list."""

    def __init__(self, rank: int, size: int, said: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.size = rank, size
        self._said, self._barrier = said, barrier

    def gather(self, value: Any) -> list[Any]:
        self._said[self.rank] = value
        self._barrier.wait(10)
        found = list(self._said)
        self._barrier.wait(10)
        return found

    def agree(self, value: Any) -> Any:
        return self.gather(value)[0]


def test_a_rank_that_is_slow_to_meet_the_others_finds_them_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 0 removes the folder in which they meet when it has met all."""
    real = memory_module._connected

    def slow(path: Path) -> socket.socket:
        time.sleep(0.3 if path.name == "1" else 0)
        return real(path)

    monkeypatch.setattr(memory_module, "_connected", slow)
    monkeypatch.setattr(memory_module, "CONNECT_SECONDS", 3)
    said, barrier = [None] * 3, threading.Barrier(3)
    worlds: list[Any] = [World(rank, 3, said, barrier) for rank in range(3)]
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(memory_module.share, world, 10.0) for world in worlds]
        made = [future.result() for future in futures]
    assert all(made)
    ranks = [one for one in made if one is not None]
    for future in at_once(ranks, lambda rank, memory: memory.sum([np.full(2, rank + 1.0)])):
        np.testing.assert_array_equal(future.result()[0], [6.0, 6.0])
    for memory in ranks:
        memory.close()
