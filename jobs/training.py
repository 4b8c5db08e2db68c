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
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.checkpoint import Position, State, pack, unpack
from jobs.optimizer import distribute
from jobs.world import World
from models import Dataset, Split

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Metrics = dict[str, float]
Rows = np.ndarray[Any, np.dtype[np.int32]]
FIRST_STEPS = 4
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 4.0
"""Between two boundaries, at which a training may stop; SLURM gives notice 90 seconds before."""
MOST_CLASSES = 100
"""Above that, a matrix of confusions is no longer counted."""


class DivergedError(ArithmeticError):
    """The loss is no longer a number."""


class UnequalWeightsError(RuntimeError):
    """Ranks that should hold the same weights don't."""


class Stopped(Exception):  # noqa: N818  # not an error: the training goes on later
    """The training was asked to stop, and has left a checkpoint."""


@dataclass(frozen=True)
class Wish:
    """What a rank would like to happen at the next boundary.

    Attributes:
        stop: to write a checkpoint and stop.
        save: to write a checkpoint and go on.
    """

    stop: bool = False
    save: bool = False


@dataclass(frozen=True)
class Epoch:
    """What came of one pass over the training data.

    Attributes:
        number: from 1; 0 where nothing is trained.
        metrics: the training metrics over the epoch and the validation metrics after it
            (``val_``), exact over all ranks.
        seconds: since the training began.
    """

    number: int
    metrics: Metrics
    seconds: float


@dataclass(frozen=True)
class Trained:
    """What came of a whole training.

    Attributes:
        metrics: of the last epoch, and those of the test part after it (``test_``).
        confusion: for the validation and the test part how many samples of each class (row) were
            taken for which (column), shape (classes, classes); empty where numbers are predicted.
    """

    metrics: Metrics
    confusion: dict[str, list[list[int]]]


def train(
    model: keras.Model,
    data: Dataset,
    world: World,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    shuffle: bool = True,
    validation_freq: int = 1,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    begin: State | None = None,
    wish: Callable[[Position], Wish] = lambda position: Wish(),
    save: Callable[[State], None] = lambda state: None,
    stride: int | None = None,
) -> Trained:
    """Train a compiled Keras model, and measure it on the test part when all is done.

    Args:
        model: compiled; the same on all ranks up to its weights, which become those of rank 0.
            Its optimizer is replaced by one that reduces over the world.
        data: whole on every rank.
        world: the ranks that train together.
        epochs: passes over the training data; with 0 the model is only measured.
        batch_size: samples per step over all ranks together; with fewer samples than ranks, some
            ranks only wait.
        seed: of the order of samples and of dropout.
        shuffle: whether each epoch has an order of its own; else that of the data.
        validation_freq: epochs from one measurement to the next; the last epoch has one anyway.
        on_epoch: called on every rank after each epoch that is measured.
        begin: where an earlier training of this model stopped, with as many ranks; it then ends
            with the very weights that it would have had.
        wish: asked on every rank at every boundary, which comes every few seconds; what any of
            them wishes, all do.
        save: called on rank 0 with a state to keep.
        stride: steps between two boundaries; as many as take a few seconds unless given.

    Raises:
        Stopped: some rank has wished so, on all ranks at the same step.
        ValueError: the model has a ``train_step`` of its own.
        DivergedError: a loss is NaN or infinite, on all ranks at the same epoch.
        UnequalWeightsError: the ranks end with different weights, on all ranks.
    """
    import keras

    if type(model).train_step is not keras.Model.train_step:
        raise ValueError(
            f"{type(model).__name__} has a train_step of its own, which hpc-sweeps would not call; "
            "give it an ordinary call(), a loss and metrics instead"
        )
    model.optimizer = distribute(model.optimizer, world)
    draw_apart(model, world.rank)
    _start_equal(model, world)
    loop = _Loop(model, world, len(data.train), batch_size, stride, data.num_classes)
    x, y = _tensors(data.train)
    if begin is not None:
        loop.make_metrics(x, y)
        _restore(model, loop, world, begin)

    def boundary(position: Position) -> None:
        mine = wish(position)
        # One sum tells everyone what anyone wishes, and how many steps rank 0 would take next.
        strides = loop.stride if world.rank == 0 else 0
        stop, keep, loop.stride = world.add([mine.stop, mine.save, strides])
        if stop or keep:
            state = _state(model, loop, world, position)
            if world.rank == 0:
                save(state)
        if stop:
            raise Stopped

    validation = _part(data.validation, world) if data.validation else None
    start = time.perf_counter()

    def measured(number: int, metrics: Metrics) -> Metrics:
        if validation:
            metrics |= {f"val_{name}": value for name, value in loop.evaluate(*validation).items()}
        on_epoch(Epoch(number, metrics, time.perf_counter() - start))
        for name in ("loss", "val_loss"):  # reduced values: all ranks decide alike
            if not math.isfinite(metrics.get(name, 0.0)):
                raise DivergedError(f"{name} is {metrics[name]} after epoch {number}")
        return metrics

    if epochs == 0:
        metrics = measured(0, loop.evaluate(*_part(data.train, world)))
    at = begin.position if begin is not None else Position()
    while at.epochs < epochs:
        last = min(epochs, at.epochs + validation_freq)
        orders = partial(order, len(data.train), seed, shuffle=shuffle)
        metrics = loop.train(x, y, orders, at, last, boundary)
        at = Position(last)
        _average_statistics(model, world)
        metrics = measured(last, metrics)
        if last < epochs:
            boundary(at)
    _end_equal(model, world)
    confusion = {"validation": loop.confusion()} if validation else {}
    if data.test:
        test = loop.evaluate(*_part(data.test, world))
        metrics = {**metrics, **{f"test_{name}": value for name, value in test.items()}}
        confusion["test"] = loop.confusion()
    return Trained(metrics, {part: counts for part, counts in confusion.items() if counts})


def order(samples: int, seed: int, epoch: int, shuffle: bool = True) -> Rows:
    """The order of the training samples in one epoch, shape (samples,), the same on every rank."""
    if not shuffle:
        return np.arange(samples, dtype=np.int32)
    return np.random.default_rng([seed, epoch]).permutation(samples).astype(np.int32)


class _Orders:
    """The orders of some epochs, one after the other; those asked for last are kept."""

    def __init__(self, order: Callable[[int], Rows]) -> None:
        self._order = order
        self._range = (0, 0)
        self._rows: Rows = np.empty(0, np.int32)

    def between(self, first: int, last: int) -> Rows:
        """Of the epochs from ``first`` up to, but not including, ``last``."""
        if (first, last) != self._range:
            self._rows = np.concatenate([self._order(index) for index in range(first, last)])
            self._range = first, last
        return self._rows


class _Loop:
    """A model's epochs as TensorFlow graphs, traced once each."""

    def __init__(
        self,
        model: keras.Model,
        world: World,
        samples: int,
        batch_size: int,
        stride: int | None,
        num_classes: int | None,
    ) -> None:
        import keras
        import tensorflow as tf

        self._model = model
        self._world = world
        self._samples = samples
        self._batch_size = min(batch_size, samples)
        classes = num_classes if num_classes and num_classes <= MOST_CLASSES else 0
        self._confusion = tf.Variable(tf.zeros((classes, classes), tf.int32), trainable=False)
        self._loss = keras.metrics.Mean(name="loss")
        self._sums_losses = getattr(model.loss, "reduction", None) == "sum"
        # autograph would rewrite Keras' own code line by line; tf.while_loop needs none of it.
        self._train = tf.function(self._train_steps, autograph=False, reduce_retracing=True)
        self._evaluate = tf.function(self._evaluate_all, autograph=False, reduce_retracing=True)
        self.stride = stride or FIRST_STEPS
        self._adjusts = stride is None

    def train(
        self,
        x: Any,
        y: Any,
        orders: Callable[[int], Rows],
        at: Position,
        epochs: int,
        boundary: Callable[[Position], None],
    ) -> Metrics:
        """Train one epoch or several, or the rest of them.

        Args:
            x: inputs.
            y: targets.
            orders: the order of the samples in an epoch of that number.
            at: where to begin.
            epochs: that are completed at the end.
            boundary: called every few seconds, but not at the end.

        Returns:
            The metrics over the last of these epochs.
        """
        size = self._samples
        done, end = at.samples, (epochs - at.epochs) * size
        rows = _Orders(lambda index: orders(at.epochs + 1 + index))
        while done < end:
            if done == end - size:
                self.reset()
            stop = min(self._after(done, self.stride), end if done >= end - size else end - size)
            first = done // size
            start = time.perf_counter()
            some = rows.between(first, math.ceil(stop / size))
            self._train(x, y, some, np.int32(done - first * size), np.int32(stop - first * size))
            whole = stop == self._after(done, self.stride)
            self._adjust(time.perf_counter() - start, whole=whole)
            done = stop
            if done < end:
                boundary(Position(at.epochs, done))
        return self._results()

    def _after(self, done: int, steps: int) -> int:
        """How many samples are done so many steps later; each epoch's last batch may be smaller."""
        per_epoch = math.ceil(self._samples / self._batch_size)
        epochs, rest = divmod(done, self._samples)
        epochs, steps = divmod(epochs * per_epoch + rest // self._batch_size + steps, per_epoch)
        return epochs * self._samples + steps * self._batch_size

    def _adjust(self, seconds: float, *, whole: bool) -> None:
        """Take more or fewer steps next time, so that a boundary comes every few seconds."""
        if not self._adjusts:
            return
        if whole and seconds < SHORTEST_SECONDS:
            self.stride *= 2
        elif seconds > LONGEST_SECONDS and self.stride > 1:
            self.stride //= 2

    def make_metrics(self, x: Any, y: Any) -> None:
        """Make the variables of the metrics, which Keras does when it sees the first sample."""
        import tensorflow as tf

        one, target = _take(x, tf.range(1)), _take(y, tf.range(1))
        self._model.compute_metrics(one, target, self._model(one, training=False))

    def evaluate(self, x: Any, y: Any) -> Metrics:
        """The metrics of a part of the data, of which this rank has its own part."""
        import tensorflow as tf

        self.reset()
        self._confusion.assign(tf.zeros_like(self._confusion))
        self._evaluate(x, y)
        return self._results()

    def confusion(self) -> list[list[int]]:
        """What was counted in the last evaluation, over all ranks; empty if nothing was."""
        size = self._confusion.shape[0]
        counts = self._world.add([int(count) for count in np.ravel(self._confusion)]) if size else []
        rows = [counts[size * row : size * (row + 1)] for row in range(size)]
        return rows if any(counts) else []

    def _train_steps(self, x: Any, y: Any, rows: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> None:
        import tensorflow as tf

        size, rank = self._world.size, self._world.rank

        def step(start: tf.Tensor) -> tuple[tf.Tensor]:
            batch = tf.minimum(self._batch_size, self._samples - start % self._samples)
            low, high = start + batch * rank // size, start + batch * (rank + 1) // size
            # The last batch may have fewer samples than there are ranks. Those left without take
            # one that counts for nothing: their layers still see a batch, and they still reduce.
            mine = tf.cond(high > low, lambda: rows[low:high], lambda: rows[start : start + 1])
            share = tf.cast(high - low, tf.float64) / tf.cast(batch, tf.float64)
            self._train_batch(_take(x, mine), _take(y, mine), share, tf.cast(high - low, tf.float32))
            return (start + batch,)

        # One iteration at a time: Horovod tells reductions apart by name.
        tf.while_loop(lambda start: start < last, step, [first], parallel_iterations=1)

    def _train_batch(self, x: Any, y: Any, share: tf.Tensor, samples: tf.Tensor) -> None:
        import tensorflow as tf

        model = self._model
        with tf.GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = model.compute_loss(x=x, y=y, y_pred=y_pred, training=True)
            part = loss
            if self._world.size > 1:
                # Penalties on weights are the same on every rank: 1/N of them belongs to each.
                share = tf.cast(samples > 0 if self._sums_losses else share, loss.dtype)
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
            self._confuse(target, y_pred)
            return (start + batch_size,)

        tf.while_loop(lambda start: start < count, step, [0], parallel_iterations=1)

    def _measure(self, x: Any, y: Any, y_pred: Any, loss: Any, samples: tf.Tensor) -> None:
        import tensorflow as tf

        def update() -> tf.Tensor:
            self._loss.update_state(loss, sample_weight=samples)
            self._model.compute_metrics(x, y, y_pred)
            return tf.constant(0)

        tf.cond(samples > 0, update, lambda: tf.constant(0))

    def _confuse(self, y: Any, y_pred: Any) -> None:
        """Count which classes were taken for which, where a model has one output for each class."""
        import tensorflow as tf

        size = self._confusion.shape[0]
        if not size or not tf.is_tensor(y_pred) or len(y_pred.shape) != 2:
            return
        if y_pred.shape[-1] == 1:
            taken = tf.cast(y_pred[:, 0] > 0.5, tf.int32)
        elif y_pred.shape[-1] == size:
            taken = tf.argmax(y_pred, axis=-1, output_type=tf.int32)
        else:
            return
        if len(y.shape) == 2 and y.shape[-1] > 1:
            y = tf.argmax(y, axis=-1, output_type=tf.int32)
        true = tf.cast(tf.reshape(y, (-1,)), tf.int32)
        self._confusion.assign_add(tf.math.confusion_matrix(true, taken, size))

    def variables(self) -> list[Any]:
        """What the metrics have summed up so far."""
        return [*self._loss.variables, *self._model.metrics_variables]

    def reset(self) -> None:
        """Begin to measure anew."""
        self._loss.reset_state()
        self._model.reset_metrics()

    def _results(self) -> Metrics:
        """The metrics over all ranks: Keras' metrics are made of sums, which add up."""
        import tensorflow as tf

        variables = self.variables()
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


def _own(model: keras.Model, loop: _Loop) -> list[Any]:
    """What each rank has otherwise than the others: statistics, random numbers, sums of metrics."""
    known = {id(v) for v in [*model.weights, *model.metrics_variables]}
    return [*_moving(model), *(v for v in model.variables if id(v) not in known), *loop.variables()]


def _moving(model: keras.Model) -> list[Any]:
    """Batch normalisation's moving statistics: of each rank's samples until the end of an epoch."""
    return [v for v in model.non_trainable_variables if v.dtype.startswith(("float", "bfloat"))]


def _state(model: keras.Model, loop: _Loop, world: World, position: Position) -> State:
    own = world.gather_bytes(pack([np.array(variable) for variable in _own(model, loop)]))
    shared = [np.array(variable) for variable in _weights(model)] if world.rank == 0 else []
    return State(position, shared, [unpack(data) for data in own])


def _restore(model: keras.Model, loop: _Loop, world: World, state: State) -> None:
    for variable, value in zip(_weights(model), state.shared, strict=True):
        variable.assign(value)
    own = _own(model, loop)
    if len(state.own) == world.size:
        for variable, value in zip(own, state.own[world.rank], strict=True):
            variable.assign(value)
        return
    # Other ranks than then: what they have measured counts once, and all draw anew.
    for position, variable in enumerate(_moving(model)):
        variable.assign(sum(values[position] for values in state.own) / len(state.own))
    for position, variable in enumerate(loop.variables(), start=len(own) - len(loop.variables())):
        total = sum(values[position] for values in state.own)
        variable.assign(total if world.rank == 0 else np.zeros_like(total))


def draw_apart(model: keras.Model, rank: int) -> None:
    """Give each rank random numbers of its own, or all would drop the same units."""
    known = {id(v) for v in [*model.weights, *model.metrics_variables]}
    for variable in model.variables:
        if id(variable) not in known and variable.path.endswith("seed_generator_state"):
            state = np.array(variable)
            state[0] ^= np.asarray(rank * 0x9E3779B1 & 0xFFFFFFFF).astype(state.dtype)
            variable.assign(state)


def _average_statistics(model: keras.Model, world: World) -> None:
    if world.size == 1:
        return
    moving = _moving(model)
    for variable, total in zip(moving, world.sum([v.value for v in moving], "statistics"), strict=True):
        variable.assign(total / world.size)


def weights_digest(model: keras.Model) -> str:
    """SHA-256 of the weights and of the optimizer's variables, to the last bit."""
    digest = hashlib.sha256()
    for variable in _weights(model):
        digest.update(np.ascontiguousarray(variable).tobytes())
    return digest.hexdigest()


def _end_equal(model: keras.Model, world: World) -> None:
    if world.size == 1:
        return
    digests = world.gather(weights_digest(model))
    if len(set(digests)) > 1:
        others = [rank for rank, other in enumerate(digests) if other != digests[0]]
        raise UnequalWeightsError(
            f"ranks {others} ended with other weights than rank 0; its training can't be trusted"
        )
