"""The TensorFlow graphs in which models are trained and measured, kept from trial to trial.

Drawing the graphs of a small network takes longer than to train it for some epochs. Models that are
proved to be alike but for numbers share them: learning rates, dropout rates, penalties on weights, and
what the seed decides are inputs of a graph, not constants in it. A model with code of the user's never
shares one: what such code computes can't be told from outside.
"""

from __future__ import annotations

import gc
import math
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.collectives.base import Compression
from hpc.jobs.options import OWN_FUNCTIONS
from hpc.jobs.training import keras_private
from hpc.jobs.training.fingerprint import UnprovedError, fingerprint_of
from hpc.jobs.training.loop import Loop
from hpc.jobs.training.model_numbers import Number, numbers_of
from hpc.jobs.training.pack import Pack, Plan, Shape
from hpc.jobs.training.samples import specs
from hpc.jobs.training.single import Single
from hpc.models import Array, Dataset

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

MAX_KEPT, MAX_KEPT_BYTES = 32, 2**28
"""Graphs that a worker keeps, and what their models' variables may take; the last is always kept."""
MAX_LITTER_BYTES = 2**26
"""Variables that are of no more use, but not yet freed: Keras' models are cycles of references."""


class Graphs:
    """The graphs of a worker's trials; the same on all ranks.

    Args:
        note: told once of each kind of model that can't be traced.

    Attributes:
        traced: how many loops were made, because there was none that fitted.
    """

    def __init__(self, note: Callable[[str], None] = lambda text: None) -> None:
        self._note = note
        self._noted: set[str] = set()
        self._kept: dict[str, Loop] = {}
        self._tensors: dict[Any, tuple[Array, tf.Tensor]] = {}
        self._last_tensors: dict[Any, tuple[Array, tf.Tensor]] = {}
        self._litter_bytes: float = 0
        self.traced = 0

    def begin(self, seed: int, *, only_keras: bool = False) -> None:
        """Set Python, Keras and TensorFlow as they are at the start of a process with a seed.

        Args:
            seed: of all random numbers.
            only_keras: whether the model draws them by Keras only, whose generators are variables.
                TensorFlow's own are in its kernels, so that its seed throws away all of these, and
                every graph has to be instantiated anew.
        """
        import keras

        self._last_tensors, self._tensors = self._tensors, {}
        if self._litter_bytes > MAX_LITTER_BYTES:
            gc.collect()
            self._litter_bytes = 0
        if not (self._kept and only_keras):
            keras.utils.clear_session(free_memory=False)
            keras.utils.set_random_seed(seed)
            return
        keras_private.forget_names_and_seed()
        random.seed(seed)
        np.random.seed(seed)

    def of(
        self,
        model: keras.Model,
        data: Dataset,
        world: World,
        parts: int = 1,
        compression: Compression = "none",
    ) -> Single:
        """The loop that trains a model.

        Args:
            model: compiled, its optimizer built.
            data: whose classes, and shapes and types of samples count.
            world: the ranks that train together.
            parts: in which each batch is taken, one after the other.
            compression: of gradients on their way between ranks.

        Returns:
            A loop with this model, or one of an earlier model that was alike but for numbers. That
            one has now the weights, the optimizer's state, the random states and the numbers of
            this one, and is trained in its place.
        """
        numbers = numbers_of(model)
        key = _key(model, numbers, data, parts, compression)
        if key is None:
            numbers = []  # the user's code may look at them, and would find tensors
        loop = self._kept.get(key) if key is not None else None
        if isinstance(loop, Single):
            loop.take(model, numbers)
        else:
            loop = Single(model, world, data, numbers, parts, compression, note=self._say)
        self._keep(key, loop)
        return loop

    def pack(self, plans: Sequence[Plan], seeds: Sequence[int], data: Dataset, world: World) -> Pack:
        """The loop that trains several models as one.

        Args:
            plans: of the models.
            seeds: of the orders in which they see the samples; empty if all see the same.
            data: as for :meth:`of`, like ``world``.
            world: of one rank.

        Raises:
            PackError: they can't be trained together.
        """
        shape = Shape.of(plans, seeds)
        key = f"{shape} {plans[0].shapes} {_data_signature(data)}"
        loop = self._kept.get(key)
        if isinstance(loop, Pack):
            loop.take(plans)
        else:
            loop = Pack(plans, shape, world, data)
        self._keep(key, loop)
        return loop

    def _keep(self, key: str | None, loop: Loop) -> None:
        """Keep a loop as the one used last, and let go of the oldest where they are too many."""
        if key is not None and self._kept.pop(key, None) is loop:
            self._litter_bytes += loop.nbytes
        else:
            self.traced += 1
        if key is None:
            self._litter_bytes = math.inf
        else:
            self._kept[key] = loop
            while len(self._kept) > 1 and (
                len(self._kept) > MAX_KEPT
                or sum(loop.nbytes for loop in self._kept.values()) > MAX_KEPT_BYTES
            ):
                self._kept.pop(next(iter(self._kept)))
                self._litter_bytes = math.inf

    def tensor(self, array: Array) -> tf.Tensor:
        """An array as a tensor: a copy, which the next trial has again if it is of the same data."""
        import tensorflow as tf

        # A slice is another object each time, but lies where it lay: the array itself is kept, too.
        key = (array.__array_interface__["data"], array.shape, array.strides, array.dtype.str)
        found = self._tensors.get(key) or self._last_tensors.get(key)
        if found is None:
            self._last_tensors.clear()  # the data are others: make room
            found = array, tf.constant(array)
        self._tensors[key] = found
        return found[1]

    def _say(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)

    def clear_next(self) -> None:
        """Free what an earlier training has left, before the next one begins."""
        self._litter_bytes = math.inf

    def forget(self) -> None:
        """Keep none, as after a failure that has cut the ranks' connections."""
        self._kept.clear()
        self._litter_bytes = math.inf


def _key(
    model: keras.Model, numbers: Sequence[Number], data: Dataset, parts: int, compression: Compression
) -> str | None:
    """A key of everything that a model's graphs depend on, but its numbers; None if that can't be proved."""
    masks = {
        (id(number.owner), number.name): f"number {place} {number.dtype}"
        for place, number in enumerate(numbers)
    }
    try:
        variables = [*model.variables, *model.optimizer.variables]
        found = fingerprint_of([model], variables, masks, OWN_FUNCTIONS)
    except UnprovedError:
        return None
    return f"{found} {_data_signature(data)} {parts} {compression}"


def _data_signature(data: Dataset) -> list[Any]:
    """The parts of the data that graphs depend on: classes, shapes and types."""
    return [data.num_classes, *(str(specs(values)) for values in (data.train.x, data.train.y))]
