"""The world of a worker: all ranks that train one trial together."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import horovod
from jobs.place import Place
from jobs.rendezvous import rendezvous

if TYPE_CHECKING:
    from types import ModuleType

    import tensorflow as tf


class WorldError(RuntimeError):
    """The ranks of a job don't form the world that was asked for."""


class World:
    """The ranks that train together, and the few things they say to each other.

    A world of one needs neither MPI nor Gloo, and every method below returns at once.

    Args:
        place: of this process.
        folder: that all ranks see, for meeting without MPI.
        label: of the job, so that two jobs never meet.
    """

    def __init__(self, place: Place, folder: Path, label: str) -> None:
        self.place = place
        self._folder = folder
        self._label = label
        self._meetings = 0
        self._hvd: ModuleType | None = None
        if place.size > 1:
            self._join()

    @property
    def rank(self) -> int:
        """This process's number, from 0."""
        return self.place.rank

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return self.place.size

    @property
    def backend(self) -> str:
        """``none``, ``gloo`` or ``mpi``."""
        return "none" if self._hvd is None else "mpi" if self.place.mpi else "gloo"

    def _join(self) -> None:
        hvd = horovod.load()
        # A rank that has died shows as a stall; the default is to wait for it for ever.
        os.environ.setdefault("HOROVOD_STALL_SHUTDOWN_TIME_SECONDS", "600")
        if self.place.mpi:
            self._join_by_mpi(hvd)
        else:
            self._join_by_gloo(hvd)
        self._hvd = hvd
        if hvd.size() != self.size:
            raise WorldError(
                f"{self.size} ranks were started, but this one sees a world of {hvd.size()}: the MPI that "
                "Horovod was built with is not the one that started the ranks. See docs/ranks.md."
            )

    def _join_by_mpi(self, hvd: ModuleType) -> None:
        from mpi4py import MPI

        os.environ.update(HOROVOD_CONTROLLER="mpi", HOROVOD_CPU_OPERATIONS="mpi")
        if MPI.COMM_WORLD.Get_size() != self.size:
            raise WorldError(
                f"{self.size} ranks were started, but MPI sees {MPI.COMM_WORLD.Get_size()}: mpi4py was "
                "built with another MPI than the one that started the ranks. See docs/ranks.md."
            )
        hvd.init()

    def _join_by_gloo(self, hvd: ModuleType) -> None:
        place = self.place
        if place.local_size != place.size:
            raise WorldError("ranks on several nodes need MPI in this version; see docs/ranks.md.")
        host = "node0"
        os.environ.update(
            HOROVOD_CONTROLLER="gloo",
            HOROVOD_CPU_OPERATIONS="gloo",
            HOROVOD_RANK=str(place.rank),
            HOROVOD_SIZE=str(place.size),
            HOROVOD_LOCAL_RANK=str(place.local_rank),
            HOROVOD_LOCAL_SIZE=str(place.local_size),
            HOROVOD_CROSS_RANK=str(place.node),
            HOROVOD_CROSS_SIZE=str(place.size // place.local_size),
            HOROVOD_HOSTNAME=host,
            HOROVOD_GLOO_IFACE=_loopback(),
        )
        os.environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", "300")
        file = self._folder / f"{self._label}.meeting-{self._meetings}"
        self._meetings += 1
        with rendezvous(file, place.rank, [host] * place.size, "127.0.0.1") as (address, port):
            os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"] = address
            os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"] = str(port)
            hvd.init()

    def rejoin(self) -> None:
        """Leave and meet again, after which all collectives are usable on all ranks.

        A rank that fails in the middle of a trial leaves its peers waiting in a reduction. When
        it leaves, they are told so by an error, and leave, too.
        """
        if self._hvd is not None:
            self._hvd.shutdown()
            self._join()

    def leave(self) -> None:
        """End the world; the process goes on alone."""
        if self._hvd is not None:
            self._hvd.shutdown()
            self._hvd = None

    def gather(self, value: Any) -> list[Any]:
        """Everyone's value on every rank, in the order of the ranks. Values are JSON."""
        if self._hvd is None:
            return [value]
        import numpy as np
        import tensorflow as tf

        data = np.frombuffer(json.dumps(value).encode(), np.uint8)
        sizes = self._hvd.allgather(tf.constant([len(data)], tf.int64), name="gather.sizes").numpy()
        everything = self._hvd.allgather(tf.constant(data), name="gather.data").numpy().tobytes()
        ends = np.cumsum(sizes)
        return [json.loads(everything[end - size : end]) for end, size in zip(ends, sizes, strict=True)]

    def agree(self, value: Any) -> Any:
        """Rank 0's value on every rank."""
        return self.gather(value if self.rank == 0 else None)[0]

    def sum(self, tensors: list[tf.Tensor], name: str) -> list[tf.Tensor]:
        """Each tensor's sum over all ranks, in one reduction. Usable inside a tf.function."""
        if self._hvd is None or not tensors:
            return tensors
        return list(self._hvd.grouped_allreduce(tensors, op=self._hvd.Sum, name=name))

    def broadcast(self, variables: list[tf.Variable]) -> None:
        """Give every rank the values that rank 0 has."""
        if self._hvd is not None and variables:
            self._hvd.broadcast_variables(variables, root_rank=0)

    def verify(self, facts: Mapping[str, Any]) -> None:
        """Make sure, before the first step, that the ranks belong together.

        Args:
            facts: of this rank: ``sweep`` and ``code`` (digests), ``gpu`` (None or a name that
                no other rank of the world may have).

        Raises:
            WorldError: on every rank, with what is wrong and what to do.
        """
        everyone = self.gather({**facts, "rank": self.rank, "node": socket.gethostname()})
        ranks = [fact["rank"] for fact in everyone]
        if ranks != list(range(self.size)):
            raise WorldError(
                f"the launcher numbered the ranks {ranks}, Horovod otherwise; see docs/ranks.md."
            )
        remedies = {
            "sweep": "Did sweep.yaml change while the job started? Resume the run.",
            "code": "All nodes must see the same files: put the project on a shared file system.",
        }
        for fact, remedy in remedies.items():
            for other in everyone:
                if other[fact] != everyone[0][fact]:
                    raise WorldError(
                        f"rank {other['rank']} on {other['node']} has another {fact} than rank 0 on "
                        f"{everyone[0]['node']}. {remedy}"
                    )
        taken: dict[str, int] = {}
        for other in everyone:
            if other["gpu"] is None:
                continue
            if other["gpu"] in taken:
                raise WorldError(
                    f"ranks {taken[other['gpu']]} and {other['rank']} share the GPU {other['gpu']} on "
                    f"{other['node']}. Ask for as many GPUs per node as ranks per node."
                )
            taken[other["gpu"]] = other["rank"]
        with_gpu = [other["rank"] for other in everyone if other["gpu"] is not None]
        if with_gpu and len(with_gpu) < self.size:
            without = [rank for rank in ranks if rank not in with_gpu]
            raise WorldError(f"ranks {with_gpu} have a GPU, ranks {without} have none.")


def _loopback() -> str:
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in ("lo", "lo0") if name in names), names[0])
