"""The world of a worker: all ranks that train one trial together."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpc.jobs.collectives import horovod
from hpc.jobs.collectives.file_rendezvous import Meeting, WorldError, interface, join_seconds, presence
from hpc.jobs.collectives.rendezvous import rendezvous
from hpc.jobs.collectives.shared_memory import LEFT, MOST_RANKS, Memory, share
from hpc.jobs.node import device
from hpc.jobs.node.rank_info import Place

if TYPE_CHECKING:
    from types import ModuleType

    import tensorflow as tf

    from hpc.jobs.collectives.clock import Clock

Compression = Literal["none", "fp16"]

LOAD_SECONDS = 240
"""How long ranks wait for each other to load TensorFlow and to join: disks of clusters are slow."""


class World:
    """The ranks that train together, and the few things they say to each other.

    A world of one needs neither MPI nor Gloo, and every method below returns at once.

    Args:
        place: of this process.
        folder: that all ranks see, in which they meet.
        label: of the job, so that two jobs never meet.

    Attributes:
        remark: what a person should know of how the ranks work together; mostly empty.
        clock: takes the time of what steps wait for, if that is asked for.
    """

    def __init__(self, place: Place, folder: Path, label: str) -> None:
        self.place = place
        self._folder = folder
        self._label = f"{label}-g{place.group}" if place.groups > 1 else label
        self._meetings = 0
        self._hvd: ModuleType | None = None
        self._memory: Memory | None = None
        self._together = False
        self.remark = ""
        self.clock: Clock | None = None
        self._group: Any = None
        self._me = presence(place.rank, os.environ)
        if place.size > 1:
            # Before TensorFlow and MPI are loaded, where a missing rank would show as a hang.
            first = self._meet()
            everyone = first.gather(join_seconds(os.environ))
            on_one = len({one.host for one in everyone}) == 1 and not device.local_gpus(os.environ)
            allowed = os.environ.get("HPC_SHARED_MEMORY") != "0"
            self._together = on_one and allowed and place.size <= MOST_RANKS
            self._join()
            if self.rank == 0:
                first.close()

    @property
    def rank(self) -> int:
        """This process's number, from 0."""
        return self.place.rank

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return self.place.size

    @property
    def node(self) -> str:
        """The scheduler's name of this process's node, or its host."""
        return self._me.node

    @property
    def backend(self) -> str:
        """``none``, ``gloo`` or ``mpi``."""
        return "none" if self._hvd is None else "mpi" if self.place.mpi else "gloo"

    @property
    def reduces_by(self) -> str:
        """What sums up gradients: ``memory`` that ranks share, or as ``backend``."""
        return "memory" if self._memory is not None else self.backend

    def _meet(self) -> Meeting:
        self._meetings += 1
        folder = self._folder / f".meeting-{self._label}-{self._meetings}"
        return Meeting(folder, self._me, self.size)

    def _join(self) -> None:
        with _deadline(LOAD_SECONDS, f"rank {self.rank} on {self._me.node} could not join the others"):
            hvd = horovod.load()
            # A rank that has died shows as a stall; the default is to wait for it for ever.
            os.environ.setdefault("HOROVOD_STALL_SHUTDOWN_TIME_SECONDS", "600")
            if self._together:
                # Its thread is needed at the beginning and the end of a trial only; see shared_memory.py.
                os.environ.setdefault("HOROVOD_CYCLE_TIME", "20")
            if self.place.mpi:
                self._join_by_mpi(hvd)
            else:
                self._join_by_gloo(hvd)
            self._hvd = hvd
            if hvd.size() != self.size:
                raise WorldError(
                    f"{self.size} ranks were started, but this one sees a world of {hvd.size()}: the MPI "
                    "that Horovod was built with is not the one that started the ranks. See docs/ranks.md."
                )
            if self._together:
                self._memory = share(self, float(os.environ["HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"]) or None)
                if self._memory is None:
                    self.remark = (
                        "the ranks are on one machine, but can't share memory: each has a /tmp of its own, "
                        "or TMPDIR is too long; HPC_SHARED_MEMORY=0 makes sums through Horovod faster"
                    )

    def _join_by_mpi(self, hvd: ModuleType) -> None:
        from mpi4py import MPI

        os.environ.update(HOROVOD_CONTROLLER="mpi", HOROVOD_CPU_OPERATIONS="mpi")
        place, started = self.place, self.place.size * self.place.groups
        if MPI.COMM_WORLD.Get_size() != started:
            raise WorldError(
                f"{started} ranks were started, but MPI sees {MPI.COMM_WORLD.Get_size()}: it is another MPI "
                "than the one that starts the ranks. Under SLURM, write `backend: gloo` into the profile, or "
                "`mpi:` with one of the names that `srun --mpi=list` prints; see docs/ranks.md."
            )
        if self._group is None:  # once: when a group meets again, the others are at work
            self._group = MPI.COMM_WORLD.Split(place.group, place.rank)
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
        """Leave and meet again, after which all collectives are usable on all ranks.

        A rank that fails in the middle of a trial leaves its peers waiting in a reduction. When
        it leaves, they are told so by an error, and leave, too.
        """
        if self._hvd is not None:
            self._part()
            self._join()

    def leave(self) -> None:
        """End the world; the process goes on alone."""
        if self._hvd is not None:
            self._part()
            self._hvd = None

    def _part(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        assert self._hvd is not None
        self._hvd.shutdown()

    def gather(self, value: Any) -> list[Any]:
        """Everyone's value on every rank, in the order of the ranks. Values are JSON."""
        return [json.loads(data) for data in self.gather_bytes(json.dumps(value).encode())]

    def gather_bytes(self, data: bytes) -> list[bytes]:
        """Everyone's bytes on every rank, in the order of the ranks."""
        if self._hvd is None:
            return [data]
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
            return numbers
        import numpy as np
        import tensorflow as tf

        if self._memory is not None:
            return [int(number) for number in self._memory.sum([np.array(numbers, np.int64)])[0]]
        total = self._hvd.allreduce(tf.constant(numbers, tf.int64), op=self._hvd.Sum, name="add")
        return [int(number) for number in total.numpy()]

    def agree(self, value: Any) -> Any:
        """Rank 0's value on every rank."""
        return self.gather(value if self.rank == 0 else None)[0]

    def sum(self, tensors: list[tf.Tensor], name: str, compression: Compression = "none") -> list[tf.Tensor]:
        """Each tensor's sum over all ranks, in one reduction for each type. Usable inside a tf.function.

        Args:
            tensors: of the same shapes on all ranks.
            name: of the reduction.
            compression: ``fp16`` rounds them to half precision where they go through Horovod.
        """
        if self._hvd is None or not tensors:
            return tensors
        if self._memory is not None:
            return self._sum_in_memory(tensors)
        import tensorflow as tf

        sent = [tf.cast(tensor, tf.float16) for tensor in tensors] if compression == "fp16" else tensors
        totals: dict[int, tf.Tensor] = {}
        for kind in dict.fromkeys(tensor.dtype for tensor in sent):  # a group is of one type
            places = [place for place, tensor in enumerate(sent) if tensor.dtype == kind]
            group = [sent[place] for place in places]
            reduced = self._hvd.grouped_allreduce(group, op=self._hvd.Sum, name=f"{name}.{kind.name}")
            totals |= dict(zip(places, reduced, strict=True))
        return [tf.cast(totals[place], tensor.dtype) for place, tensor in enumerate(tensors)]

    def _sum_in_memory(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        import tensorflow as tf

        def total(*arrays: Any) -> list[Any]:
            if self._memory is None:
                raise ConnectionError(LEFT)
            return self._memory.sum(arrays)

        totals = tf.numpy_function(total, tensors, [tensor.dtype for tensor in tensors])
        return [tf.ensure_shape(total, tensor.shape) for total, tensor in zip(totals, tensors, strict=True)]

    def broadcast(self, variables: list[tf.Variable]) -> None:
        """Give every rank the values that rank 0 has."""
        if self._hvd is not None and variables:
            self._hvd.broadcast_variables(variables, root_rank=0)

    def verify(self, facts: Mapping[str, Any], *, gpus: bool = False) -> None:
        """Make sure, before the first step, that the ranks belong together.

        Args:
            facts: of this rank: ``sweep`` and ``code`` (digests), ``gpu`` (None or a name that
                no other rank of the world may have).
            gpus: whether each rank must have one.

        Raises:
            WorldError: on every rank, with what is wrong and what to do.
        """
        everyone = self.gather({**facts, "rank": self.rank, "node": self._me.node})
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
        if gpus and not taken:
            raise WorldError(
                f"the job was given GPUs, but TensorFlow sees none on {everyone[0]['node']}: install "
                "`tensorflow[and-cuda]` (docs/install.md), or load the site's CUDA in the profile's setup; "
                "`allow_cpu: true` in the profile trains on CPUs all the same."
            )
        with_gpu = [other["rank"] for other in everyone if other["gpu"] is not None]
        if with_gpu and len(with_gpu) < self.size:
            without = [rank for rank in ranks if rank not in with_gpu]
            raise WorldError(f"ranks {with_gpu} have a GPU, ranks {without} have none.")

    def require_equal_data(self, digest: str) -> None:
        """Make sure that all ranks have loaded the same samples.

        Args:
            digest: of those of this rank.

        Raises:
            WorldError: on every rank.
        """
        everyone = self.gather(digest)
        others = [rank for rank, one in enumerate(everyone) if one != everyone[0]]
        if others:
            raise WorldError(
                f"ranks {others} have loaded other samples than rank 0: the data's function gives others at "
                "each call. Let it draw by a generator with a seed."
            )

    def held(self, threads: int, gpu: str | None) -> dict[str, float]:
        """What the whole job holds of its machines, as its ranks tell each other.

        Args:
            threads: of this rank.
            gpu: the name of its GPU, if it has one.

        Returns:
            ``nodes``, ``cores`` and ``gpus``; with several groups of ranks, which are of one size, also
            ``groups``, how many share that.
        """
        groups = self.place.groups
        ranks = self.gather([1 / self.place.local_size, threads, gpu is not None])
        nodes, cores, gpus = (groups * sum(column) for column in zip(*ranks, strict=True))
        further = {"groups": groups} if groups > 1 else {}
        return {"nodes": round(nodes, 3), "cores": cores, "gpus": gpus, **further}


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
