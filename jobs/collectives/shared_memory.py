"""Sums over the ranks of one machine, through memory that they share.

Horovod's thread asks all ranks every millisecond what they have to reduce, and takes that time from
their arithmetic; asked more rarely, the ranks wait for it. Ranks on one machine need not ask: each
puts its numbers into the memory, says so by a byte to each of the others, and adds up what is there.
"""

from __future__ import annotations

import mmap
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.collectives.base import Collective, Compression
from hpc.jobs.collectives.file_rendezvous import FileRendezvous
from hpc.jobs.collectives.over_horovod import STALL, HorovodCollective
from hpc.jobs.node import RankInfo
from hpc.models import Array

if TYPE_CHECKING:
    import tensorflow as tf

MAX_RANKS = 4
"""Each reads what all have written; more of them had better share the work out, as Horovod does."""
CONNECT_SECONDS = 30
LEFT = "another rank has left the world"
LINE = 64
"""Bytes of a line of a CPU's cache; every array begins with one."""


class Memory:
    """Memory that the ranks of one machine share, and a connection to each of the others.

    Args:
        rank: of this process.
        peers: connections to the other ranks.
        file: descriptor of the memory, which begins empty.
    """

    def __init__(self, rank: int, peers: Sequence[socket.socket], file: int) -> None:
        self._rank = rank
        self._peers = peers
        self._file = file
        self._lock = 0
        self._memory: Array = np.empty((2, len(peers) + 1, 0), np.uint8)

    def sum(self, arrays: Sequence[Array]) -> list[Array]:
        """Each array's sum over all ranks, in the order of the ranks: the same bits on all of them.

        Raises:
            ConnectionError: another rank has left.
            TimeoutError: another rank does not come.
        """
        sizes = [-(-array.nbytes // LINE) * LINE for array in arrays]
        if sum(sizes) > self._memory.shape[-1]:
            self._grow(sum(sizes))
        # By turns in two places: what is written now does not disturb those that still read.
        self._lock = 1 - self._lock
        starts = np.cumsum([0, *sizes])
        everyone = [list(_views(part, starts, arrays)) for part in self._memory[self._lock]]
        for place, array in zip(everyone[self._rank], arrays, strict=True):
            np.copyto(place, array)
        self._meet()
        totals = []
        for first, second, *others in zip(*everyone, strict=True):
            total = np.asarray(first + second)
            for other in others:
                np.add(total, other, out=total)
            totals.append(total)
        return totals

    def _grow(self, size: int) -> None:
        self._meet()  # nobody reads any more
        shape = (2, len(self._peers) + 1, size)
        os.ftruncate(self._file, int(np.prod(shape)))  # by each of them to the same
        self._memory = np.frombuffer(mmap.mmap(self._file, 0), np.uint8).reshape(shape)

    def _meet(self) -> None:
        """Wait until all have come here."""
        try:
            for peer in self._peers:
                peer.send(b".")
            for peer in self._peers:
                if not peer.recv(1):
                    raise ConnectionResetError
        except ConnectionError as error:
            raise ConnectionError(LEFT) from error

    def close(self) -> None:
        """Leave; the others are told so by an error in their sums."""
        for peer in self._peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)  # wakes a thread of this process that waits, too
            except OSError:
                pass  # the other one has left first
            peer.close()
        os.close(self._file)


def _views(part: Array, starts: Array, arrays: Sequence[Array]) -> Iterator[Array]:
    """Places for arrays in a rank's part of the memory."""
    for start, array in zip(starts, arrays, strict=False):
        yield part[start : start + array.nbytes].view(array.dtype).reshape(array.shape)


def share(world: Collective, wait_seconds: float | None) -> Memory | None:
    """Memory that all ranks share, or None on all of them if they are not on one machine after all.

    Args:
        world: whose other ways to speak work already.
        wait_seconds: how long a sum waits for a rank; None for ever.
    """
    folder = Path(world.agree(tempfile.mkdtemp(prefix="hpc-") if world.rank == 0 else None))
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            if not all(world.gather(_listens(listener, folder / str(world.rank)))):
                return None
            # Rank 0, which removes the folder, comes last: then all have met who meet before it.
            peers = [_connected(folder / str(rank)) for rank in reversed(range(world.rank))][::-1]
            peers += [listener.accept()[0] for _ in range(world.rank + 1, world.size)]
        if world.rank == 0:
            file = os.memfd_create("hpc")
            for peer in peers:
                socket.send_fds(peer, [b"."], [file])
        else:
            file = socket.recv_fds(peers[0], 1, 1)[1][0]
        for peer in peers:
            peer.settimeout(wait_seconds)
        return Memory(world.rank, peers, file)
    finally:
        if world.rank == 0:
            shutil.rmtree(folder, ignore_errors=True)  # those that are connected stay so


def _listens(listener: socket.socket, path: Path) -> bool:
    try:
        listener.bind(str(path))
        listener.listen()
    except OSError:  # the folder is another machine's, or its name is too long for a socket
        return False
    listener.settimeout(CONNECT_SECONDS)
    return True


def _connected(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(str(path))
    return peer


class SharedMemoryCollective(HorovodCollective):
    """Sums up in memory that the ranks of one machine share; all else goes through Horovod.

    Args:
        info, node, meet: as of ``HorovodCollective``.
    """

    def __init__(self, info: RankInfo, node: str, meet: Callable[[], FileRendezvous]) -> None:
        self._memory: Memory | None = None
        # Horovod's thread is needed at the beginning and the end of a trial only.
        os.environ.setdefault("HOROVOD_CYCLE_TIME", "20")
        super().__init__(info, node, meet)

    @property
    def reduces_by(self) -> str:
        """``memory``, unless the ranks turned out to share none."""
        return self.name if self._memory is None else "memory"

    def _join(self) -> None:
        super()._join()
        self._memory = share(self, float(os.environ[STALL]) or None)
        if self._memory is None:
            self.remark = (
                "the ranks are on one machine, but can't share memory: each has a /tmp of its own, "
                "or TMPDIR is too long; HPC_SHARED_MEMORY=0 makes sums through Horovod faster"
            )

    def _part(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        super()._part()

    def add(self, numbers: list[int]) -> list[int]:
        """Each number's sum over all ranks."""
        if self._memory is None:
            return super().add(numbers)
        return [int(number) for number in self._memory.sum([np.array(numbers, np.int64)])[0]]

    def sum(self, tensors: list[tf.Tensor], name: str, compression: Compression = "none") -> list[tf.Tensor]:
        """Through the memory, in full precision."""
        if self._memory is None or not tensors:
            return super().sum(tensors, name, compression)
        import tensorflow as tf

        def total(*arrays: Any) -> list[Any]:
            if self._memory is None:
                raise ConnectionError(LEFT)
            return self._memory.sum(arrays)

        found = tf.numpy_function(total, tensors, [tensor.dtype for tensor in tensors])
        totals = tf.nest.flatten(found)  # outside a graph, of one tensor it is no list
        return [tf.ensure_shape(total, tensor.shape) for total, tensor in zip(totals, tensors, strict=True)]
