"""The world of a worker: all ranks that train one trial together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.jobs.collectives.base import Collective, Compression
from hpc.jobs.collectives.file_rendezvous import presence
from hpc.jobs.collectives.registry import join
from hpc.jobs.node import RankInfo, WorldError

if TYPE_CHECKING:
    import tensorflow as tf

    from hpc.jobs.collectives.clock import Clock


class World:
    """The ranks that train together: what they say to each other, and whether they belong together.

    Args:
        info: of this process.
        folder: that all ranks see, in which they meet.
        label: of the job, so that two jobs never meet.
        collective: by which they speak; they meet, unless it is given.

    Attributes:
        clock: takes the time of what steps wait for, if that is asked for.
    """

    def __init__(
        self, info: RankInfo, folder: Path, label: str, collective: Collective | None = None
    ) -> None:
        self.info = info
        self.node = presence(info.rank, os.environ).node
        self.clock: Clock | None = None
        self._collective = collective or join(info, folder, label)

    @property
    def rank(self) -> int:
        """This process's number, from 0."""
        return self.info.rank

    @property
    def size(self) -> int:
        """The number of ranks."""
        return self.info.size

    @property
    def backend(self) -> str:
        """The transport of the ranks: ``none``, ``gloo`` or ``mpi``."""
        return self._collective.name

    @property
    def reduces_by(self) -> str:
        """The way gradients are summed: ``memory`` that ranks share, or as ``backend``."""
        return self._collective.reduces_by

    @property
    def remark(self) -> str:
        """A remark on how the ranks work together; mostly empty."""
        return self._collective.remark

    def gather(self, value: Any) -> list[Any]:
        """As :meth:`Collective.gather`, like those that follow."""
        return self._collective.gather(value)

    def gather_bytes(self, data: bytes) -> list[bytes]:
        """Everyone's bytes, in the order of the ranks."""
        return self._collective.gather_bytes(data)

    def add(self, numbers: list[int]) -> list[int]:
        """Each number's sum over all ranks."""
        return self._collective.add(numbers)

    def agree(self, value: Any) -> Any:
        """Rank 0's value on every rank."""
        return self._collective.agree(value)

    def sum(self, tensors: list[tf.Tensor], name: str, compression: Compression = "none") -> list[tf.Tensor]:
        """Each tensor's sum over all ranks, also inside a graph."""
        return self._collective.sum(tensors, name, compression)

    def broadcast(self, variables: list[tf.Variable]) -> None:
        """Give every rank the values that rank 0 has."""
        self._collective.broadcast(variables)

    def rejoin(self) -> None:
        """Leave and meet again."""
        self._collective.rejoin()

    def leave(self) -> None:
        """End the world; the process goes on alone."""
        self._collective.leave()

    def verify(self, identity: Mapping[str, Any], *, gpus: bool = False) -> None:
        """Make sure, before the first step, that the ranks belong together.

        Args:
            identity: of this rank: ``sweep`` and ``code`` (digests), ``gpu`` (None or a name that
                no other rank of the world may have).
            gpus: whether each rank must have one.

        Raises:
            WorldError: on every rank, with what is wrong and what to do.
        """
        everyone = self.gather({**identity, "rank": self.rank, "node": self.node})
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
        """The resources that the whole job holds, gathered from its ranks.

        Args:
            threads: of this rank.
            gpu: the name of its GPU, if it has one.

        Returns:
            ``nodes``, ``cores`` and ``gpus``; with several groups of ranks, which are of one size, also
            ``groups``, how many share that.
        """
        groups = self.info.groups
        ranks = self.gather([1 / self.info.local_size, threads, gpu is not None])
        nodes, cores, gpus = (groups * sum(column) for column in zip(*ranks, strict=True))
        further = {"groups": groups} if groups > 1 else {}
        return {"nodes": round(nodes, 3), "cores": cores, "gpus": gpus, **further}
