"""Training one trial: an epoch runs inside one TensorFlow graph, on one rank or on many.

The batch size is that of the whole world. Every epoch has one order of the training samples,
the same on all ranks; each global batch is a slice of it, and each rank takes its slice of that.
A rank's loss counts for its share of the global batch, and gradients are summed, so N ranks
take the steps that one rank would take, up to rounding, whatever sizes divide or not.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.optimizer import distribute
from jobs.world import World
from models import Dataset, Split

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Metrics = dict[str, float]


class DivergedError(ArithmeticError):
    """The loss is no longer a number."""


class UnequalWeightsError(RuntimeError):
    """Ranks that should hold the same weights don't."""


@dataclass(frozen=True)
class Epoch:
    """What came of one pass over the training data.

    Attributes:
        number: from 1.
        metrics: the training metrics over the epoch and the validation metrics after it
            (``val_``), exact over all ranks.
        seconds: since the training began.
    """

    number: int
    metrics: Metrics
    seconds: float


def train(
    model: keras.Model,
    data: Dataset,
    world: World,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    shuffle: bool = True,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Metrics:
    """Train a compiled Keras model.

    Args:
        model: compiled; the same on all ranks up to its weights, which become those of rank 0.
            Its optimizer is replaced by one that reduces over the world.
        data: whole on every rank.
        world: the ranks that train together.
        epochs: passes over the training data, at least 1.
        batch_size: samples per step over all ranks together, at least the number of ranks.
        seed: of the order of samples and of dropout.
        shuffle: whether each epoch has an order of its own; else that of the data.
        on_epoch: called on every rank after each epoch.

    Returns:
        The metrics of the last epoch.

    Raises:
        ValueError: the batch size is below the number of ranks, or the model has a
            ``train_step`` of its own.
        DivergedError: a loss is NaN or infinite, on all ranks at the same epoch.
        UnequalWeightsError: the ranks end with different weights, on all ranks.
    """
    import keras

    if batch_size < world.size:
        raise ValueError(
            f"batch_size={batch_size} is the batch of all {world.size} ranks together and can't be less "
            "than one sample for each; raise it, or ask for fewer ranks"
        )
    if type(model).train_step is not keras.Model.train_step:
        raise ValueError(
            f"{type(model).__name__} has a train_step of its own, which hpc-sweeps would not call; "
            "give it an ordinary call(), a loss and metrics instead"
        )
    model.optimizer = distribute(model.optimizer, world)
    draw_apart(model, world.rank)
    _start_equal(model, world)
    loop = _Loop(model, world, batch_size)
    x, y = _tensors(data.train)
    part = _part(data.validation, world)
    start, metrics = time.perf_counter(), {}
    for number in range(1, epochs + 1):
        metrics = loop.train(x, y, order(len(data.train), seed, number, shuffle))
        _average_statistics(model, world)
        metrics |= {f"val_{name}": value for name, value in loop.evaluate(*part).items()}
        on_epoch(Epoch(number, metrics, time.perf_counter() - start))
        for name in ("loss", "val_loss"):  # reduced values: all ranks decide alike
            if not math.isfinite(metrics[name]):
                raise DivergedError(f"{name} is {metrics[name]} after epoch {number}")
    _end_equal(model, world)
    return metrics


def order(samples: int, seed: int, epoch: int, shuffle: bool = True) -> np.ndarray[Any, np.dtype[np.int32]]:
    """The order of the training samples in one epoch, shape (samples,), the same on every rank."""
    if not shuffle:
        return np.arange(samples, dtype=np.int32)
    return np.random.default_rng([seed, epoch]).permutation(samples).astype(np.int32)


class _Loop:
    """A model's epochs as TensorFlow graphs, traced once each."""

    def __init__(self, model: keras.Model, world: World, batch_size: int) -> None:
        import keras
        import tensorflow as tf

        self._model = model
        self._world = world
        self._batch_size = batch_size
        self._loss = keras.metrics.Mean(name="loss")
        self._sums_losses = getattr(model.loss, "reduction", None) == "sum"
        # autograph would rewrite Keras' own code line by line; tf.while_loop needs none of it.
        self._train = tf.function(self._train_epoch, autograph=False, reduce_retracing=True)
        self._evaluate = tf.function(self._evaluate_all, autograph=False, reduce_retracing=True)

    def train(self, x: Any, y: Any, rows: np.ndarray[Any, np.dtype[np.int32]]) -> Metrics:
        self._reset()
        self._train(x, y, rows)
        return self._results()

    def evaluate(self, x: Any, y: Any) -> Metrics:
        self._reset()
        self._evaluate(x, y)
        return self._results()

    def _train_epoch(self, x: Any, y: Any, rows: tf.Tensor) -> None:
        import tensorflow as tf

        count, size, rank = tf.shape(rows)[0], self._world.size, self._world.rank

        def step(start: tf.Tensor) -> tuple[tf.Tensor]:
            batch = tf.minimum(self._batch_size, count - start)
            low, high = start + batch * rank // size, start + batch * (rank + 1) // size
            # The last batch may have fewer samples than there are ranks. Those left without take
            # one that counts for nothing: their layers still see a batch, and they still reduce.
            mine = tf.cond(high > low, lambda: rows[low:high], lambda: rows[start : start + 1])
            share = tf.cast(high - low, tf.float32) / tf.cast(batch, tf.float32)
            self._train_batch(_take(x, mine), _take(y, mine), share, tf.cast(high - low, tf.float32))
            return (start + self._batch_size,)

        # One iteration at a time: Horovod tells reductions apart by name.
        tf.while_loop(lambda start: start < count, step, [0], parallel_iterations=1)

    def _train_batch(self, x: Any, y: Any, share: tf.Tensor, samples: tf.Tensor) -> None:
        import tensorflow as tf

        model = self._model
        with tf.GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = model.compute_loss(x=x, y=y, y_pred=y_pred, training=True)
            part = loss
            if self._world.size > 1:
                # Penalties on weights are the same on every rank: 1/N of them belongs to each.
                if self._sums_losses:
                    share = tf.ones_like(share)
                penalties = [v.regularizer(v) for v in model.trainable_variables if v.regularizer]
                part = loss * share
                if penalties:
                    part += tf.add_n(penalties) * (1 / self._world.size - share)
            part = model.optimizer.scale_loss(part)
        variables = model.trainable_variables
        model.optimizer.apply(tape.gradient(part, variables), variables)
        self._measure(x, y, y_pred, loss, samples)

    def _evaluate_all(self, x: Any, y: Any) -> None:
        import tensorflow as tf

        count = tf.shape(tf.nest.flatten(x)[0])[0]
        batch_size = max(self._batch_size, 1024)

        def step(start: tf.Tensor) -> tuple[tf.Tensor]:
            rows = tf.range(start, tf.minimum(start + batch_size, count))
            part, target = _take(x, rows), _take(y, rows)
            y_pred = self._model(part, training=False)
            loss = self._model.compute_loss(x=part, y=target, y_pred=y_pred, training=False)
            self._measure(part, target, y_pred, loss, tf.cast(tf.size(rows), tf.float32))
            return (start + batch_size,)

        tf.while_loop(lambda start: start < count, step, [0], parallel_iterations=1)

    def _measure(self, x: Any, y: Any, y_pred: Any, loss: Any, samples: tf.Tensor) -> None:
        import tensorflow as tf

        def update() -> tf.Tensor:
            self._loss.update_state(loss, sample_weight=samples)
            self._model.compute_metrics(x, y, y_pred)
            return tf.constant(0)

        tf.cond(samples > 0, update, lambda: tf.constant(0))

    def _variables(self) -> list[Any]:
        return [*self._loss.variables, *self._model.metrics_variables]

    def _reset(self) -> None:
        self._loss.reset_state()
        self._model.reset_metrics()

    def _results(self) -> Metrics:
        """The metrics over all ranks: Keras' metrics are made of sums, which add up."""
        import tensorflow as tf

        variables = self._variables()
        totals = self._world.sum([tf.convert_to_tensor(v.value) for v in variables], "metrics")
        if self._world.size > 1:
            for variable, total in zip(variables, totals, strict=True):
                variable.assign(total)
        results = {name: float(value) for name, value in self._model.get_metrics_result().items()}
        return {"loss": float(self._loss.result()), **{k: v for k, v in results.items() if k != "loss"}}


def _take(values: Any, rows: tf.Tensor) -> Any:
    import tensorflow as tf

    return tf.nest.map_structure(lambda value: tf.gather(value, rows), values)


def _tensors(split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    import tensorflow as tf

    return tf.constant(split.x), tf.constant(split.y)


def _part(split: Split, world: World) -> tuple[tf.Tensor, tf.Tensor]:
    """This rank's part of a split; the parts of all ranks are the whole."""
    low = len(split) * world.rank // world.size
    high = len(split) * (world.rank + 1) // world.size
    return _tensors(Split(split.x[low:high], split.y[low:high]))


def _weights(model: keras.Model) -> list[Any]:
    """Everything that one rank could have otherwise than another: weights, slots, counters."""
    return [*model.weights, *model.optimizer.variables]


def _start_equal(model: keras.Model, world: World) -> None:
    """No step is taken from different weights."""
    model.optimizer.build(model.trainable_variables)
    world.broadcast([variable.value for variable in _weights(model)])


def draw_apart(model: keras.Model, rank: int) -> None:
    """Give each rank random numbers of its own, or all would drop the same units."""
    known = {id(v) for v in [*model.weights, *model.metrics_variables]}
    for variable in model.variables:
        if id(variable) not in known and variable.path.endswith("seed_generator_state"):
            state = np.array(variable)
            state[0] ^= np.asarray(rank * 0x9E3779B1 & 0xFFFFFFFF).astype(state.dtype)
            variable.assign(state)


def _average_statistics(model: keras.Model, world: World) -> None:
    """Batch normalisation's moving statistics are seen by each rank on its own samples."""
    if world.size == 1:
        return
    moving = [v for v in model.non_trainable_variables if v.dtype.startswith(("float", "bfloat"))]
    for variable, total in zip(moving, world.sum([v.value for v in moving], "statistics"), strict=True):
        variable.assign(total / world.size)


def _end_equal(model: keras.Model, world: World) -> None:
    if world.size == 1:
        return
    digest = hashlib.sha256()
    for variable in _weights(model):
        digest.update(np.ascontiguousarray(variable).tobytes())
    digests = world.gather(digest.hexdigest())
    if len(set(digests)) > 1:
        others = [rank for rank, other in enumerate(digests) if other != digests[0]]
        raise UnequalWeightsError(
            f"ranks {others} ended with other weights than rank 0; its training can't be trusted"
        )
