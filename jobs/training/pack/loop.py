"""Trials of equal shapes that one rank trains at once, as one stacked model; each is a lane of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.training import keras_private
from hpc.jobs.training.checkpoint import Position, State
from hpc.jobs.training.loop import Loop
from hpc.jobs.training.measures import confused, counted_classes, make_metrics
from hpc.jobs.training.pack.measures import loss_of, metrics_of
from hpc.jobs.training.pack.optimizer import LaneOptimizer, clipped, turned, turned_back
from hpc.jobs.training.pack.plans import PackError, Plan
from hpc.jobs.training.pack.shape import Shape
from hpc.jobs.training.samples import Slice, digest
from hpc.models import Array, Dataset

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Pack(Loop):
    """Several models as one, whose variables have an axis of lanes in front.

    A lane's weights are kept divided by its learning rate: steps of an optimizer are proportional to
    that, so all lanes take theirs by one optimizer with a learning rate of 1. Outputs of layers have
    the shape (lanes, units, samples), so that the kernels of all lanes over the same samples are one
    matrix, as they lie.

    Args:
        plans: of the models.
        shape: of the pack.
        world: of one rank.
        data: its shapes and types count.
    """

    def __init__(self, plans: Sequence[Plan], shape: Shape, world: World, data: Dataset) -> None:
        import keras
        import tensorflow as tf

        first = plans[0]
        super().__init__(world, data, lanes=shape.lanes, orders=shape.orders)
        self._shape = shape
        self._dtype = first.dense[0].compute_dtype
        self._outputs = [list(activations) for activations in first.outputs]
        self._has_bias = [layer.use_bias for layer in first.dense]

        def numbers() -> tf.Variable:
            return tf.Variable(np.zeros((self.lanes, 1, 1)), trainable=False, dtype=self._dtype)

        self._rates, self._decays, self._clip_norms, self._momentums = (numbers() for _ in range(4))
        self._penalties = [(numbers(), numbers()) for _ in first.dense]
        self._drop_rates = {place: numbers() for place, _ in shape.dropout}
        self._generators = {
            place: [keras.random.SeedGenerator(0) for _ in range(1 if same else self.lanes)]
            for place, same in shape.dropout
        }
        self._scaled = [
            keras.Variable(np.zeros((self.lanes, *turned(np.empty(v.shape)).shape)), dtype=self._dtype)
            for v in first.model.trainable_variables
        ]
        config = json.loads(first.shapes)["optimizer"]
        self._optimizer = LaneOptimizer(config, self._scaled, self._rates, self._momentums)
        make_metrics(first.model, data)
        self._model = first.model
        self._metrics = metrics_of(first.model)
        self._names = ["loss", *(metric.name for metric in self._metrics)]
        self._loss, self._sums_losses = loss_of(first.model)
        self._totals = [tf.Variable(tf.zeros(self.lanes), trainable=False) for _ in self._names]
        self._counts = [tf.Variable(0.0, trainable=False) for _ in self._names]
        classes = counted_classes(data)
        self._confusion = tf.Variable(tf.zeros((self.lanes, classes, classes), tf.int32), trainable=False)
        self.take(plans)

    def take(self, plans: Sequence[Plan]) -> None:
        """Become the pack of other models that make the same shape."""
        self.restart()
        self._plans = list(plans)
        self._put(self._rates, [one.rate for one in plans])
        self._put(self._decays, [one.weight_decay * one.rate for one in plans])
        self._put(self._clip_norms, [one.clip_norm for one in plans])
        self._put(self._momentums, [one.momentum for one in plans])
        for layer, (l1, l2) in enumerate(self._penalties):
            self._put(l1, [one.penalties[layer][0] for one in plans])
            self._put(l2, [one.penalties[layer][1] for one in plans])
        for place, rates in self._drop_rates.items():
            self._put(rates, [one.drop_rates.get(place, 0.0) for one in plans])
            for lane, one in enumerate(plans):
                if place in one.drop_states:
                    self._generator(place, lane).state.assign(one.drop_states[place])
        self._optimizer.reset()
        self._put_weights([one.weights for one in plans])
        self.reset()

    def _put(self, variable: tf.Variable, values: Sequence[float]) -> None:
        variable.assign(np.reshape(np.asarray(values, self._dtype), (-1, 1, 1)))

    def _put_weights(self, lanes: Sequence[Sequence[Array]]) -> None:
        for index, scaled in enumerate(self._scaled):
            scaled.assign(np.stack([turned(arrays[index]) for arrays in lanes]) / self._rates.numpy())

    def _generator(self, place: int, lane: int) -> Any:
        generators = self._generators[place]
        return generators[lane if len(generators) > 1 else 0]

    @property
    def nbytes(self) -> int:
        """The size of the weights and the optimizer's state."""
        variables = [*self._scaled, *self._optimizer.variables]
        return sum(math.prod(v.shape) * v.value.dtype.size for v in variables)

    def reset(self) -> None:
        """Begin to measure anew."""
        import tensorflow as tf

        for variable in (*self._totals, *self._counts):
            variable.assign(tf.zeros_like(variable))

    def finish(self) -> list[Callable[[], keras.Model]]:
        """For each lane a function that returns its model; lanes may have one in common."""
        kernels = [np.asarray(v.value * self._rates) for v in self._scaled]
        shapes = [v.shape for v in self._model.trainable_variables]
        return [
            partial(
                one.filled, [turned_back(k[lane], shape) for k, shape in zip(kernels, shapes, strict=True)]
            )
            for lane, one in enumerate(self._plans)
        ]

    def digests(self) -> list[str]:
        """For each lane SHA-256 of its weights and its optimizer's variables, to the last bit."""
        return [digest(arrays) for arrays in self._arrays()]

    def confusion(self) -> list[list[list[int]]]:
        """The confusion matrix of each lane, as the last evaluation counted it; empty if it did not."""
        return [counts.tolist() if counts.any() else [] for counts in self._confusion.numpy()]

    def finalize(self) -> None:
        """Do nothing: no optimizer of a pack averages weights."""

    def average_statistics(self) -> None:
        """Do nothing: one rank has seen all samples."""

    def states(self, at: Position) -> list[State]:
        """The state of each lane, by which it can go on, unpacked or in a pack."""
        totals, counts = [v.numpy() for v in self._totals], [v.numpy() for v in self._counts]
        places = self._measured_in()
        states = []
        for lane, (one, shared) in enumerate(zip(self._plans, self._arrays(), strict=True)):
            own = [np.array(self._generator(place, lane).state) for place in sorted(one.dropout)]
            own += [totals[0][lane], counts[0]]
            for found in places:
                name, is_total = found or (0, True)
                value = totals[name][lane] if is_total else counts[name]
                own.append(value if found else np.zeros_like(value))
            states.append(State(at, shared, [own]))
        return states

    def restore(self, states: Sequence[State]) -> None:
        """Go on from there.

        Raises:
            PackError: one was left by several ranks.
        """
        if any(len(state.own) != 1 for state in states):
            raise PackError("one was trained by several ranks before")
        size, owners = len(self._scaled), self._optimizer.owners()
        self._put_weights([state.shared[:size] for state in states])
        for place, variable in enumerate(self._optimizer.variables):
            values = [state.shared[size + place] for state in states]
            if id(variable) in owners:
                slots = np.stack([turned(value) for value in values])
                variable.assign(slots / self._optimizer.factor_in(variable))
            elif variable is not self._optimizer.learning_rate:
                variable.assign(values[0])
        measured = self._measured_in()
        totals = np.zeros((len(self._names), self.lanes), np.float32)
        for lane, (one, state) in enumerate(zip(self._plans, states, strict=True)):
            own = list(state.own[0])
            for place in sorted(one.dropout):
                self._generator(place, lane).state.assign(own.pop(0))
            totals[0, lane], count = own[:2]
            self._counts[0].assign(count)
            for place_of, value in zip(measured, own[2:], strict=True):
                if place_of and place_of[1]:
                    totals[place_of[0], lane] = value
                elif place_of:
                    self._counts[place_of[0]].assign(value)
        for variable, values in zip(self._totals, totals, strict=True):
            variable.assign(values)

    def _arrays(self) -> list[list[Array]]:
        """For each lane the weights and its optimizer's variables, as an unpacked model has them."""
        weights = [np.asarray(v.value * self._rates) for v in self._scaled]
        owners, shapes = self._optimizer.owners(), [v.shape for v in self._model.trainable_variables]
        optimizer = self._optimizer
        slots = [np.asarray(v.value) for v in optimizer.variables]
        lanes = []
        for lane, one in enumerate(self._plans):
            arrays = [turned_back(values[lane], shape) for values, shape in zip(weights, shapes, strict=True)]
            for variable, values in zip(optimizer.variables, slots, strict=True):
                owner = owners.get(id(variable))
                if owner is not None:
                    factor = self._optimizer.factor_in(variable)
                    value = values[lane] * (factor[lane] if isinstance(factor, np.ndarray) else factor)
                    arrays.append(turned_back(value.astype(values.dtype), shapes[owner]))
                elif variable is optimizer.learning_rate:
                    arrays.append(np.asarray(one.rate, values.dtype))
                else:
                    arrays.append(values)
            lanes.append(arrays)
        return lanes

    def _measured_in(self) -> list[tuple[int, bool] | None]:
        """For each variable of a model's metrics, the number of ours, and whether it is a total."""
        found: list[tuple[int, bool] | None] = []
        for variable in self._model.metrics_variables:
            of = [i for i, m in enumerate(self._metrics, 1) if variable is m.total or variable is m.count]
            found.append((of[0], variable is self._metrics[of[0] - 1].total) if of else None)
        return found

    def _take(self, values: Any, rows: tf.Tensor) -> Any:
        import tensorflow as tf

        return tf.gather(values, rows if self.orders == 1 else tf.transpose(rows))

    def _gradients(self, x: Any, y: Any, mine: Slice) -> list[Any]:
        import tensorflow as tf

        weights = [variable.value * self._rates for variable in self._scaled]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            y, y_pred = self._spread(y, self.orders > 1), self._predict(x, weights, training=True)
            losses = self._lane_losses(y, y_pred, weights)
            total = tf.reduce_sum(losses)
        self._measure(y, y_pred, losses, mine.samples)
        return list(tape.gradient(total, weights))

    def _apply(self, gradients: Sequence[Any]) -> None:
        import tensorflow as tf

        if self._shape.clips:
            gradients = clipped(gradients, self._clip_norms)
        if self._shape.decays:
            now = self._decays * tf.cast(self._optimizer.current_rate, self._dtype)
            for variable in self._scaled:
                variable.assign(variable - variable * now)
        self._optimizer.apply(gradients)

    def _evaluate_batch(self, x: Any, y: Any, mine: Slice) -> None:
        import tensorflow as tf

        weights = [variable.value * self._rates for variable in self._scaled]
        y, y_pred = self._spread(y, False), self._predict(x, weights, training=False)
        self._measure(y, y_pred, self._lane_losses(y, y_pred, weights), mine.samples)
        classes = self._confusion.shape[1]
        cells = confused(y, y_pred, classes)
        if cells is not None:
            cells += tf.repeat(tf.range(self.lanes) * classes**2, tf.shape(x)[0])
            counts = tf.math.unsorted_segment_sum(tf.ones_like(cells), cells, self.lanes * classes**2)
            self._confusion.assign_add(tf.reshape(counts, self._confusion.shape))

    def _predict(self, x: Any, weights: Sequence[Any], *, training: bool) -> tf.Tensor:
        """The outputs, shape (lanes x samples, units)."""
        import tensorflow as tf

        weights = list(weights)
        laned = training and self.orders > 1
        samples = tf.shape(x)[1 if laned else 0]
        h = tf.reshape(x, (self.lanes, samples, weights[0].shape[-1]) if laned else (samples, -1))
        h = tf.cast(h, self._dtype)
        if training and 0 in self._drop_rates:
            h = (h if laned else h[None]) * self._mask(0, samples, weights[0].shape[-1])
        for layer, activations in enumerate(self._outputs):
            kernel = weights.pop(0)
            if layer:
                if training and layer in self._drop_rates:
                    h *= tf.transpose(self._mask(layer, samples, kernel.shape[-1]), (0, 2, 1))
                h = tf.matmul(kernel, h)
            elif len(h.shape) == 2:
                whole = tf.matmul(tf.reshape(kernel, (-1, kernel.shape[-1])), h, transpose_b=True)
                h = tf.reshape(whole, (self.lanes, kernel.shape[1], samples))
            else:
                h = tf.matmul(kernel, h, transpose_b=True)
            if self._has_bias[layer]:
                h += weights.pop(0)
            if layer == len(self._outputs) - 1:
                h = tf.reshape(tf.transpose(h, (0, 2, 1)), (-1, kernel.shape[1]))
            for activation in activations:
                h = activation(h)
        return h

    def _mask(self, place: int, samples: Any, units: int) -> tf.Tensor:
        """The factors of outputs under dropout, shape (lanes, samples, units)."""
        import keras
        import tensorflow as tf

        draws = [
            keras.random.uniform((samples, units), dtype=self._dtype, seed=generator)
            for generator in self._generators[place]
        ]
        rates = self._drop_rates[place]
        return tf.where(tf.stack(draws) >= rates, 1 / (1 - rates), 0)

    def _spread(self, y: Any, laned: bool) -> tf.Tensor:
        """The targets of all lanes, shape (lanes x samples, ...)."""
        import tensorflow as tf

        if laned:
            return tf.reshape(y, (-1, *y.shape[2:]))
        return tf.tile(y, [self.lanes] + [1] * (len(y.shape) - 1))

    def _lane_losses(self, y: Any, y_pred: Any, weights: Sequence[Any]) -> tf.Tensor:
        """The loss of each lane, penalties included; shape (lanes,)."""
        import tensorflow as tf

        by_sample = tf.reshape(self._loss(y, y_pred), (self.lanes, -1))
        losses = (tf.reduce_sum if self._sums_losses else tf.reduce_mean)(by_sample, axis=1)
        kernels = [w for w, v in zip(weights, self._model.trainable_variables, strict=True) if v.ndim == 2]
        for penalized, kernel, (l1, l2) in zip(self._shape.penalized, kernels, self._penalties, strict=True):
            if penalized:
                each = l1 * tf.abs(kernel) + l2 * tf.square(kernel)
                losses += tf.cast(tf.reduce_sum(each, axis=(1, 2)), losses.dtype)
        return losses

    def _measure(self, y: Any, y_pred: Any, losses: Any, samples: tf.Tensor) -> None:
        import tensorflow as tf

        self._totals[0].assign_add(tf.cast(losses, tf.float32) * samples)
        self._counts[0].assign_add(samples)
        for metric, total, count in zip(self._metrics, self._totals[1:], self._counts[1:], strict=True):
            function, further = keras_private.metric_function(metric)
            values = tf.cast(function(y, y_pred, **further), tf.float32)
            values = tf.reduce_mean(tf.reshape(values, (self.lanes, tf.cast(samples, tf.int32), -1)), axis=2)
            total.assign_add(tf.reduce_sum(values, axis=1))
            count.assign_add(samples)

    def _values(self) -> tf.Tensor:
        import tensorflow as tf

        results = [tf.math.divide_no_nan(t, c) for t, c in zip(self._totals, self._counts, strict=True)]
        return tf.cast(tf.stack(results), tf.float64)
