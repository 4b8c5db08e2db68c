"""The contract of collectives: how the ranks of a worker exchange numbers.

To add one, write a file beside ``none.py`` and choose it in ``registry.py``. One suite of tests runs over all
of them: tests/contracts/test_collectives.py.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import tensorflow as tf

Compression = Literal["none", "fp16"]


class Collective(ABC):
    """Communication of the ranks. All of them call every method, in the same order.

    Attributes:
        name: as records call it.
        rank: of this process, from 0.
        size: how many ranks there are.
        remark: what a person should know of how the ranks work together; mostly empty.
    """

    name: str
    rank: int
    size: int
    remark: str = ""

    @property
    def reduces_by(self) -> str:
        """The way gradients are summed, as records name it."""
        return self.name

    @abstractmethod
    def gather_bytes(self, data: bytes) -> list[bytes]:
        """Everyone's bytes on every rank, in the order of the ranks. Lengths may differ.

        Raises:
            Exception: another rank has left.
        """

    @abstractmethod
    def sum(self, tensors: list[tf.Tensor], name: str, compression: Compression = "none") -> list[tf.Tensor]:
        """Each tensor's sum over all ranks, the same bits on all of them. Usable inside a tf.function.

        Args:
            tensors: of the same shapes and types on all ranks; of any number type.
            name: of the reduction.
            compression: ``fp16`` rounds them to half precision where they go over a network.

        Raises:
            Exception: another rank has left, when the sum is computed.
        """

    @abstractmethod
    def broadcast(self, variables: list[tf.Variable]) -> None:
        """Give every rank the values that rank 0 has."""

    @abstractmethod
    def rejoin(self) -> None:
        """Leave and meet again, after which everything works on all ranks.

        A rank that fails in the middle of a trial leaves its peers waiting in a sum. When it leaves, they
        are told so by an error, and leave, too.
        """

    @abstractmethod
    def leave(self) -> None:
        """End it; the process goes on alone. To leave twice does nothing."""

    def gather(self, value: Any) -> list[Any]:
        """Everyone's value on every rank, in the order of the ranks. Values are JSON."""
        return [json.loads(data) for data in self.gather_bytes(json.dumps(value).encode())]

    def agree(self, value: Any) -> Any:
        """Rank 0's value on every rank."""
        return self.gather(value if self.rank == 0 else None)[0]

    def add(self, numbers: list[int]) -> list[int]:
        """Each number's sum over all ranks, exactly, up to 64 bits."""
        return [sum(column) for column in zip(*self.gather([int(one) for one in numbers]), strict=True)]
