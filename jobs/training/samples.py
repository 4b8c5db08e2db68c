"""Samples of an epoch: their order, a rank's slice of a batch, and how many steps they make."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.models import Array

if TYPE_CHECKING:
    import tensorflow as tf

Rows = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True)
class Slice:
    """A rank's slice of a batch of all ranks, in a graph.

    Attributes:
        first: place of its first sample in the batch.
        count: of its samples; with 0, it computes with one that counts for nothing.
        batch: samples of the batch.
    """

    first: tf.Tensor
    count: tf.Tensor
    batch: tf.Tensor

    @property
    def samples(self) -> tf.Tensor:
        """The number of samples, as a weight."""
        import tensorflow as tf

        return tf.cast(self.count, tf.float32)

    @property
    def share(self) -> tf.Tensor:
        """The slice's share of the batch, from 0 to 1."""
        import tensorflow as tf

        return tf.cast(self.count, tf.float64) / tf.cast(self.batch, tf.float64)


class Orders:
    """The orders of some epochs, one after the other; those asked for last are kept."""

    def __init__(self, order: Callable[[int], Rows]) -> None:
        self._order = order
        self._range = (0, 0)
        self._rows: Rows = np.empty(0, np.int32)

    def between(self, first: int, last: int) -> Rows:
        """The orders of the epochs from ``first`` up to, but not including, ``last``."""
        if (first, last) != self._range:
            self._rows = np.concatenate([self._order(index) for index in range(first, last)])
            self._range = first, last
        return self._rows


def digest(arrays: Sequence[Array]) -> str:
    """SHA-256 of arrays, to the last bit."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def specs(values: Any) -> Any:
    """The specs of arrays for a graph: their type, and the shape of one sample."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), values)


def take_rows(values: Any, rows: tf.Tensor) -> Any:
    """Take these rows of every array, in a graph."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda value: tf.gather(value, rows), values)


def samples_after(done: int, steps: int, samples: int, batch_size: int) -> int:
    """The samples that are done after so many more steps; each epoch's last batch may be smaller."""
    per_epoch = math.ceil(samples / batch_size)
    epochs, rest = divmod(done, samples)
    epochs, steps = divmod(epochs * per_epoch + rest // batch_size + steps, per_epoch)
    return epochs * samples + steps * batch_size


def steps_to(done: int, samples: int, batch_size: int) -> int:
    """The steps that lead to so many samples; each epoch's last batch may be smaller."""
    epochs, rest = divmod(done, samples)
    return epochs * math.ceil(samples / batch_size) + math.ceil(rest / batch_size)


def count_of(values: Any) -> int:
    """The number of samples."""
    import tensorflow as tf

    return int(tf.nest.flatten(values)[0].shape[0])


def length(values: Any) -> tf.Tensor:
    """The number of samples, in a graph."""
    import tensorflow as tf

    return tf.shape(tf.nest.flatten(values)[0])[0]
