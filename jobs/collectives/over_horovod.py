"""Ranks that reduce through Horovod, and meet by MPI or by Gloo."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hpc.jobs.collectives import horovod
from hpc.jobs.collectives.base import Collective, Compression
from hpc.jobs.collectives.file_rendezvous import FileRendezvous, interface
from hpc.jobs.collectives.rendezvous import rendezvous
from hpc.jobs.node import RankInfo, WorldError

if TYPE_CHECKING:
    from types import ModuleType

    import tensorflow as tf

LOAD_SECONDS = 240
"""Seconds that ranks wait for each other to load TensorFlow and to join: disks of clusters are slow."""
STALL = "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"


class HorovodCollective(Collective):
    """Reduces by ``hvd.grouped_allreduce``, over whatever Horovod was started with.

    Args:
        info: of this process.
        node: its name, for messages.
        meet: makes a new place to meet at, the same on all ranks each time that it is called.
    """

    def __init__(self, info: RankInfo, node: str, meet: Callable[[], FileRendezvous]) -> None:
        self.rank, self.size = info.rank, info.size
        self.name = "mpi" if info.mpi else "gloo"
        self._info = info
        self._node = node
        self._meet = meet
        self._group: Any = None
        self._hvd: ModuleType | None = None
        self._join()

    def _join(self) -> None:
        with _deadline(LOAD_SECONDS, f"rank {self.rank} on {self._node} could not join the others"):
            hvd = horovod.load()
            # A rank that has died shows as a stall; the default is to wait for it for ever.
            os.environ.setdefault(STALL, "600")
            if self._info.mpi:
                self._join_by_mpi(hvd)
            else:
                self._join_by_gloo(hvd)
            self._hvd = hvd
            if hvd.size() != self.size:
                raise WorldError(
                    f"{self.size} ranks were started, but this one sees a world of {hvd.size()}: the MPI "
                    "that Horovod was built with is not the one that started the ranks. See docs/ranks.md."
                )

    def _join_by_mpi(self, hvd: ModuleType) -> None:
        from mpi4py import MPI

        os.environ.update(HOROVOD_CONTROLLER="mpi", HOROVOD_CPU_OPERATIONS="mpi")
        info, started = self._info, self._info.size * self._info.groups
        if MPI.COMM_WORLD.Get_size() != started:
            raise WorldError(
                f"{started} ranks were started, but MPI sees {MPI.COMM_WORLD.Get_size()}: it is another MPI "
                "than the one that starts the ranks. Under SLURM, write `backend: gloo` into the profile, or "
                "`mpi:` with one of the names that `srun --mpi=list` prints; see docs/ranks.md."
            )
        if self._group is None:  # once: when a group meets again, the others are at work
            self._group = MPI.COMM_WORLD.Split(info.group, info.rank)
        hvd.init(comm=self._group)

    def _join_by_gloo(self, hvd: ModuleType) -> None:
        meeting = self._meet()
        everyone = meeting.gather(LOAD_SECONDS)
        nodes = [one.node for one in everyone]
        name, address = interface(self.rank, everyone)
        mine = [rank for rank, node in enumerate(nodes) if node == nodes[self.rank]]
        different = list(dict.fromkeys(nodes))
        os.environ.update(
            HOROVOD_CONTROLLER="gloo",
            HOROVOD_CPU_OPERATIONS="gloo",
            HOROVOD_RANK=str(self.rank),
            HOROVOD_SIZE=str(self.size),
            HOROVOD_LOCAL_RANK=str(mine.index(self.rank)),
            HOROVOD_LOCAL_SIZE=str(len(mine)),
            HOROVOD_CROSS_RANK=str(different.index(nodes[self.rank])),
            HOROVOD_CROSS_SIZE=str(len(different)),
            HOROVOD_HOSTNAME=nodes[self.rank],
            HOROVOD_GLOO_IFACE=name,
        )
        os.environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", "300")
        if self.rank:
            self._init_at(hvd, *meeting.address(LOAD_SECONDS))
            return
        clients = [interface(rank, everyone)[1] for rank in range(self.size)]
        with rendezvous(nodes, address, clients) as port:
            meeting.publish(address, port)
            self._init_at(hvd, address, port)
        meeting.close()

    def _init_at(self, hvd: ModuleType, address: str, port: int) -> None:
        os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"] = address
        os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"] = str(port)
        hvd.init()

    def rejoin(self) -> None:
        """Shut Horovod down and start it again."""
        self._part()
        self._join()

    def leave(self) -> None:
        """Shut Horovod down."""
        self._part()

    def _part(self) -> None:
        if self._hvd is not None:
            self._hvd.shutdown()
            self._hvd = None

    def gather_bytes(self, data: bytes) -> list[bytes]:
        """By two reductions: of the lengths, and of what they are of."""
        if self._hvd is None:
            raise ConnectionError("this rank has left the world")
        import numpy as np
        import tensorflow as tf

        values = np.frombuffer(data, np.uint8)
        sizes = self._hvd.allgather(tf.constant([len(values)], tf.int64), name="gather.sizes").numpy()
        everything = self._hvd.allgather(tf.constant(values), name="gather.data").numpy().tobytes()
        ends = np.cumsum(sizes)
        return [everything[end - size : end] for end, size in zip(ends, sizes, strict=True)]

    def add(self, numbers: list[int]) -> list[int]:
        """Each number's sum over all ranks."""
        if self._hvd is None:
            raise ConnectionError("this rank has left the world")
        import tensorflow as tf

        total = self._hvd.allreduce(tf.constant(numbers, tf.int64), op=self._hvd.Sum, name="add")
        return [int(number) for number in total.numpy()]

    def sum(self, tensors: list[tf.Tensor], name: str, compression: Compression = "none") -> list[tf.Tensor]:
        """By one reduction for each type of number."""
        if not tensors:
            return tensors
        if self._hvd is None:
            raise ConnectionError("this rank has left the world")
        import tensorflow as tf

        sent = [tf.cast(tensor, tf.float16) for tensor in tensors] if compression == "fp16" else tensors
        totals: dict[int, tf.Tensor] = {}
        for kind in dict.fromkeys(tensor.dtype for tensor in sent):  # a group is of one type
            places = [place for place, tensor in enumerate(sent) if tensor.dtype == kind]
            group = [sent[place] for place in places]
            reduced = self._hvd.grouped_allreduce(group, op=self._hvd.Sum, name=f"{name}.{kind.name}")
            totals |= dict(zip(places, reduced, strict=True))
        return [tf.cast(totals[place], tensor.dtype) for place, tensor in enumerate(tensors)]

    def broadcast(self, variables: list[tf.Variable]) -> None:
        """Give every rank the values that rank 0 has."""
        if self._hvd is not None and variables:
            self._hvd.broadcast_variables(variables, root_rank=0)


@contextmanager
def _deadline(seconds: float, problem: str) -> Iterator[None]:
    """End the process with a sentence if the block hangs, as MPI does when a rank is missing."""

    def end() -> None:
        sys.stderr.write(f"WorldError: {problem} within {seconds:.0f} seconds; see docs/ranks.md.\n")
        sys.stderr.flush()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
