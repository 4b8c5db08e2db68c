"""The epochs of one model, whose numbers (dropout rates, penalties, decay) are inputs of its graphs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.collectives.base import Compression
from hpc.jobs.training import keras_private
from hpc.jobs.training.adam import adam_step, is_adam
from hpc.jobs.training.base import Metrics
from hpc.jobs.training.checkpoint import Position, State, from_bytes, to_bytes
from hpc.jobs.training.loop import Loop
from hpc.jobs.training.measures import confused, counted_classes, make_metrics, unchanged
from hpc.jobs.training.model_numbers import Number, drop_by_tensor, in_place
from hpc.jobs.training.optimizer import reduced
from hpc.jobs.training.parts import (
    check_layers,
    check_loss,
    check_parts,
    names_of,
    normalizes,
    whole_batch_metrics,
)
from hpc.jobs.training.samples import Slice, digest
from hpc.models import Dataset, Split

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Single(Loop):
    """The epochs of one model.

    Attributes:
        model: that is trained.
    """

    def __init__(
        self,
        model: keras.Model,
        world: World,
        data: Dataset,
        numbers: Sequence[Number],
        parts: int = 1,
        compression: Compression = "none",
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        import keras
        import tensorflow as tf

        super().__init__(world, data, parts=parts, note=note)
        if model.run_eagerly:
            self.take_steps_singly(f"{model.name} is compiled with run_eagerly")
        self.model = model
        self._compression = compression
        self._numbers = numbers
        self._inputs = [tf.Variable(number.value, False, dtype=number.dtype) for number in numbers]
        self._takes_training = _takes(model.compute_loss, "training")
        self._gathers = False  # unless check_parts finds that it must
        self._confusion = tf.Variable(tf.zeros([counted_classes(data)] * 2, tf.int32), trainable=False)
        self._loss = keras.metrics.Mean(name="loss")
        self._sums_losses = _is_sum(model.loss)
        make_metrics(model, data)
        self.reset()

    def take(self, model: keras.Model, numbers: Sequence[Number]) -> None:
        """Become the loop of another model that differs in numbers only."""
        self.restart()
        for mine, its in zip(_state_of(self.model), _state_of(model), strict=True):
            mine.assign(its)
        for mine, variable, its in zip(self._numbers, self._inputs, numbers, strict=True):
            variable.assign(its.value)
            mine.put(its.value)

    @property
    def nbytes(self) -> int:
        """The size of the weights and the optimizer's state."""
        return sum(math.prod(v.shape) * v.value.dtype.size for v in _state_of(self.model))

    def confusion(self) -> list[list[list[int]]]:
        """The confusion matrix, as the last evaluation counted it over all ranks; empty if it did not."""
        size = self._confusion.shape[0]
        counts = self._world.add([int(count) for count in np.ravel(self._confusion)]) if size else []
        rows = [counts[size * row : size * (row + 1)] for row in range(size)]
        return [rows if any(counts) else []]

    def finalize(self) -> None:
        """Give the weights their averages, where the optimizer keeps some (``use_ema``), as ``fit`` does."""
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def finish(self) -> list[Callable[[], keras.Model]]:
        """A function that returns the model."""
        return [lambda: self.model]

    def digests(self) -> list[str]:
        """SHA-256 of the model's weights and its optimizer's variables, to the last bit."""
        return [digest([np.asarray(variable) for variable in _weights(self.model)])]

    def weights(self) -> list[Any]:
        """Copies of the model's weights."""
        return [np.array(variable) for variable in self.model.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Go on with those weights; the optimizer's variables stay as they are."""
        for variable, value in zip(self.model.weights, weights, strict=True):
            variable.assign(value)

    def states(self, at: Position) -> list[State]:
        """The state by which the training can go on from here."""
        own = self._world.gather_bytes(to_bytes([np.array(variable) for variable in self._own()]))
        shared = [np.array(v) for v in _weights(self.model)] if self._world.rank == 0 else []
        return [State(at, shared, [from_bytes(data) for data in own])]

    def restore(self, states: Sequence[State]) -> None:
        """Go on from there."""
        (state,) = states
        for variable, value in zip(_weights(self.model), state.shared, strict=True):
            variable.assign(value)
        own, measured = self._own(), self._measures()
        if len(state.own) == self._world.size:
            for variable, value in zip(own, state.own[self._world.rank], strict=True):
                variable.assign(value)
            return
        # Other ranks than then: what they have measured counts once, and all draw anew.
        for position, variable in enumerate(_moving(self.model)):
            variable.assign(sum(values[position] for values in state.own) / len(state.own))
        summed = len(self._loss.variables) if whole_batch_metrics(self.model) else len(measured)
        for position, variable in enumerate(measured, start=len(own) - len(measured)):
            if position - (len(own) - len(measured)) >= summed:  # has seen whole batches
                variable.assign(state.own[0][position])
                continue
            total = sum(values[position] for values in state.own)
            variable.assign(total if self._world.rank == 0 else np.zeros_like(total))

    def _own(self) -> list[Any]:
        """The variables that differ between ranks: statistics, random numbers, sums of metrics."""
        model = self.model
        known = {id(v) for v in [*model.weights, *model.metrics_variables]}
        return [*_moving(model), *(v for v in model.variables if id(v) not in known), *self._measures()]

    def average_statistics(self) -> None:
        """Let all ranks have the same moving statistics."""
        if self._world.size == 1:
            return
        moving = _moving(self.model)
        totals = self._world.sum([v.value for v in moving], "statistics")
        for variable, total in zip(moving, totals, strict=True):
            variable.assign(total / self._world.size)

    def _gradients(self, x: Any, y: Any, mine: Slice) -> list[Any]:
        import tensorflow as tf

        model = self.model
        with tf.GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = self._loss_of(x, y, y_pred, training=True)
            part = model.optimizer.scale_loss(self._part_of(loss, mine.share, mine.samples))
        self._measure(x, y, y_pred, loss, mine)
        return list(tape.gradient(part, model.trainable_variables))

    def _loss_of(self, x: Any, y: Any, y_pred: Any, *, training: bool) -> Any:
        """The loss of a batch. Until Keras 3.5 compute_loss took no ``training``; a user's may still not."""
        given = {"training": training} if self._takes_training else {}
        return self.model.compute_loss(x=x, y=y, y_pred=y_pred, **given)

    def _part_of(self, loss: Any, share: Any, samples: Any) -> Any:
        """The share of the loss of a part of a batch in that of the whole."""
        import tensorflow as tf

        parts = self._world.size * self._parts
        if parts == 1:
            return loss
        # Penalties on weights are the same in every part: 1/N of them belongs to each.
        share = tf.cast(samples > 0 if self._sums_losses else share, loss.dtype)
        penalty = self._penalty_like(loss)
        return loss * share if penalty is None else loss * share + penalty * (1 / parts - share)

    def _penalty_like(self, loss: Any) -> Any:
        """The penalties on weights, in the precision of the loss; None if there are none."""
        import tensorflow as tf

        penalties = [v.regularizer(v) for v in self.model.trainable_variables if v.regularizer]
        return tf.cast(tf.add_n(penalties), loss.dtype) if penalties else None

    def check_parts(self, split: Split, batch_size: int) -> None:
        """Make sure that the parts of a batch add up to what the whole of it is.

        Args:
            split: of the training samples.
            batch_size: samples per step.

        Raises:
            ValueError: they don't, for the loss or a metric.
        """
        parts = self._world.size * self._parts
        if parts == 1:
            return
        self._gathers = bool(check_parts(self.model, parts, self._world.size))

        check_layers(self.model, self._world.size, self._parts)
        for training in (False, True):

            def whole(x: Any, y: Any, training: bool = training) -> Any:
                y_pred = self.model(x, training=training)
                return self._loss_of(x, y, y_pred, training=training)

            def part(x: Any, y: Any, share: float, whole: Callable[..., Any] = whole) -> Any:
                return self._part_of(whole(x, y), share, share)

            if not training or not normalizes(self.model):  # which sees the samples of a part, as is told
                with unchanged(self.model):
                    check_loss(self.model, split, batch_size, parts, whole, part)

    def _apply(self, gradients: Sequence[Any]) -> None:
        sums = reduced(gradients, self._world, self._compression)
        self.model.optimizer.apply(sums, self.model.trainable_variables)

    def _evaluate_batch(self, x: Any, y: Any, mine: Slice) -> None:
        import tensorflow as tf

        y_pred = self.model(x, training=False)
        loss = self._loss_of(x, y, y_pred, training=False)
        self._measure(x, y, y_pred, loss, mine)
        some = slice(None, mine.count)  # without the one that counts for nothing
        self._confuse(*(tf.nest.map_structure(lambda value: value[some], given) for given in (y, y_pred)))

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        """While a graph is traced, the model's numbers are what the variables will hold when it runs.

        Dropout then takes its rate as a tensor, and Adam takes its step in one kernel.
        """
        import tensorflow as tf

        drops = [number.owner for number in self._numbers if number.name == "rate"]
        instead: list[tuple[Any, str, Any]] = [
            (layer, "call", partial(drop_by_tensor, layer)) for layer in drops
        ]
        optimizer = self.model.optimizer
        if is_adam(optimizer):
            instead.append((optimizer, "update_step", partial(adam_step, optimizer, optimizer.update_step)))
        with in_place(self._numbers, [tf.identity(variable) for variable in self._inputs]):
            for owner, name, method in instead:
                object.__setattr__(owner, name, method)
            try:
                yield
            finally:
                for owner, name, _ in instead:
                    object.__delattr__(owner, name)

    def _measure(self, x: Any, y: Any, y_pred: Any, loss: Any, mine: Slice) -> None:
        import tensorflow as tf

        def update() -> tf.Tensor:
            value = loss
            if self._sums_losses and self._world.size * self._parts > 1:  # each part's adds to the batch's
                share, penalty = tf.cast(mine.share, loss.dtype), self._penalty_like(loss)
                value = loss / share if penalty is None else (loss - penalty) / share + penalty
            self._loss.update_state(value, sample_weight=mine.samples)
            if not self._gathers:
                self.model.compute_metrics(x, y, y_pred)
            return tf.constant(0)

        if self._gathers:
            self.model.compute_metrics(x, *self._gathered([y, y_pred], mine))
        if self._world.size * self._parts == 1:
            update()
        else:
            tf.cond(mine.count > 0, update, lambda: tf.constant(0))

    def _gathered(self, values: Any, mine: Slice) -> Any:
        """The rows of all ranks, in the order of the batch; for metrics that have to see all of it."""
        import tensorflow as tf

        def placed(value: tf.Tensor) -> tf.Tensor:
            rest = [mine.first, mine.batch - mine.first - mine.count]
            padded = tf.pad(value[: mine.count], [rest, *([[0, 0]] * (len(value.shape) - 1))])
            return tf.ensure_shape(padded, (None, *value.shape[1:]))

        given = tf.nest.flatten(values)
        tensors = [tf.convert_to_tensor(value) for value in given]
        masks = {place: keras_private.mask_of(value) for place, value in enumerate(given)}
        masks = {place: mask for place, mask in masks.items() if mask is not None}
        marks = [tf.cast(mask, tf.int32) for mask in masks.values()]
        # All others have zeros at the places of a rank, so that their sum is what it has.
        totals = self._world.sum([placed(tensor) for tensor in [*tensors, *marks]], "predictions")
        for place, total in zip(masks, totals[len(tensors) :], strict=True):
            keras_private.put_mask(totals[place], total > 0)
        return tf.nest.pack_sequence_as(values, totals[: len(tensors)])

    def _confuse(self, y: Any, y_pred: Any) -> None:
        """Count which classes were taken for which, where a model has one output for each class."""
        import tensorflow as tf

        size = self._confusion.shape[0]
        cells = confused(y, y_pred, size)
        if cells is not None:
            counts = tf.math.unsorted_segment_sum(tf.ones_like(cells), cells, size * size)
            self._confusion.assign_add(tf.reshape(counts, (size, size)))

    def _measures(self) -> list[Any]:
        """The variables in which metrics sum up."""
        return [*self._loss.variables, *self.model.metrics_variables]

    def reset(self) -> None:
        """Begin to measure anew."""
        self._loss.reset_state()
        self.model.reset_metrics()

    def _measured(self) -> dict[str, Any]:
        """The measured values as tensors; a metric of the user's may be called loss, ours counts."""
        loss = {"loss": self._loss.result()}
        found: dict[str, Any] = {}
        for name, value in self.model.get_metrics_result().items():
            found |= value if isinstance(value, dict) else {name: value}
        return {**loss, **found, **loss}

    def _values(self) -> tf.Tensor:
        import tensorflow as tf

        measured = {name: tf.cast(value, tf.float64) for name, value in self._measured().items()}
        self._names = [one for name, value in measured.items() for one in names_of(name, value.shape)]
        return tf.concat([tf.reshape(value, (-1, 1)) for value in measured.values()], axis=0)

    def _results(self, values: Any) -> list[Metrics]:
        """The metrics over all ranks: what adds up is added up, what has seen whole batches is whole."""
        import tensorflow as tf

        if self._world.size == 1:
            return super()._results(values)
        variables = self._loss.variables if self._gathers else self._measures()
        totals = self._world.sum([tf.convert_to_tensor(v.value) for v in variables], "metrics")
        for variable, total in zip(variables, totals, strict=True):
            variable.assign(total)
        return super()._results(self._values().numpy())


def _takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of that name."""
    parameters = inspect.signature(function).parameters.values()
    return any(one.name == name or one.kind is one.VAR_KEYWORD for one in parameters)


def _is_sum(loss: Any) -> bool:
    """Whether a batch's loss is the sum of its samples'."""
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        (loss,) = loss
    return getattr(loss, "reduction", None) == "sum"


def _weights(model: keras.Model) -> list[Any]:
    """Everything that one rank could have otherwise than another: weights, slots, counters."""
    return [*model.weights, *model.optimizer.variables]


def _moving(model: keras.Model) -> list[Any]:
    """Batch normalisation's moving statistics: of each rank's samples until the end of an epoch."""
    return [v for v in model.non_trainable_variables if v.dtype.startswith(("float", "bfloat"))]


def _state_of(model: keras.Model) -> list[Any]:
    """The variables that a training begins with: weights, random states, the optimizer's."""
    measured = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in measured]
    return [*own, *model.optimizer.variables]
