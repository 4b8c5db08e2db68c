"""A rank that trains alone: it needs neither MPI nor Gloo, and everything returns at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpc.jobs.collectives.base import Collective, Compression

if TYPE_CHECKING:
    import tensorflow as tf


class NoCollective(Collective):
    """A world of one."""

    name = "none"
    rank = 0
    size = 1

    def gather_bytes(self, data: bytes) -> list[bytes]:
        """What this rank says."""
        return [data]

    def gather(self, value: Any) -> list[Any]:
        """What this rank says."""
        return [None] if value is None else super().gather(value)

    def add(self, numbers: list[int]) -> list[int]:
        """The same numbers."""
        return [int(one) for one in numbers]

    def sum(self, tensors: list[tf.Tensor], name: str, compression: Compression = "none") -> list[tf.Tensor]:
        """The same tensors."""
        return tensors

    def broadcast(self, variables: list[tf.Variable]) -> None:
        """Do nothing: they have the values of rank 0."""

    def rejoin(self) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Do nothing."""
