"""Ranks that a person has started with ``mpirun hpc run``: rank 0 leads, the others follow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hpc.jobs.launchers import leftover
from hpc.jobs.node import RankInfo
from hpc.jobs.spec import WorkerSpec
from hpc.jobs.worker import Worker
from hpc.outcome import Outcome


class Followers:
    """The other ranks when ``hpc run`` itself was started by mpirun."""

    def __init__(self, place: RankInfo) -> None:
        is_led = place.launcher == "mpirun" and place.size > 1
        self._waiting: Any = communicator(place) if is_led else None

    def send(self, spec: WorkerSpec | None) -> None:
        """Tell them what to run, or that there is nothing."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.bcast(spec)


@contextmanager
def led(place: RankInfo) -> Iterator[Followers]:
    """Lead the other ranks for the length of the block; they end with it."""
    followers = Followers(place)
    try:
        yield followers
    finally:
        followers.send(None)


def follow(place: RankInfo) -> Outcome:
    """Be a rank above 0 under mpirun."""
    spec: WorkerSpec | None = communicator(place).bcast(None)
    if spec is None:
        raise SystemExit(0)
    Worker(spec)()
    raise SystemExit(0)


def communicator(place: RankInfo) -> Any:
    """What connects the ranks that mpirun has started.

    Raises:
        LauncherError: they are not there.
        RanksUnavailableError: MPI can't be loaded.
    """
    from hpc.jobs.collectives import horovod

    horovod.load_mpi()
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    rank, size = world.Get_rank(), world.Get_size()
    if (rank, size) != (place.rank, place.size):
        other = "a world of this process alone" if size == 1 else f"rank {rank} of {size}"
        raise leftover(place, os.environ, other)
    return world
