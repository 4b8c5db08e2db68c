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
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.checkpoint import Position, State, pack, unpack
from jobs.graphs import Graphs, Loop, Metrics, Rows
from jobs.optimizer import distribute
from jobs.world import Compression, World
from models import Dataset, Split

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

LEAST_EVALUATED = 1024
"""Samples that are measured at once, at least."""


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
        training_seconds: in which its graphs ran.
        drawing_seconds: in which its graphs were drawn; 0 where those of an earlier training fitted.
        model: that was trained: the one that was given, or one like it of an earlier training.
    """

    metrics: Metrics
    confusion: dict[str, list[list[int]]]
    training_seconds: float = field(compare=False)
    drawing_seconds: float = field(compare=False)
    model: keras.Model = field(compare=False)


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
    graphs: Graphs | None = None,
    accumulate_steps: int = 1,
    compression: Compression = "none",
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
        graphs: of earlier trainings, which are used again where they fit.
        accumulate_steps: parts in which each rank takes its share of a batch, one after the other;
            their gradients are added up, and reduced once.
        compression: of gradients on their way between ranks.

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
    model.optimizer = distribute(model.optimizer, world, compression)
    draw_apart(model, world.rank)
    _start_equal(model, world)
    graphs = graphs or Graphs()
    loop = graphs.of(model, data, world, accumulate_steps)
    loop.stride = stride or loop.stride
    batch_size = min(batch_size, len(data.train))
    model = loop.model
    x, y = graphs.tensor(data.train.x), graphs.tensor(data.train.y)
    if begin is not None:
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

    def evaluate(part: tuple[tf.Tensor, tf.Tensor]) -> Metrics:
        return loop.evaluate(*part, max(batch_size, LEAST_EVALUATED))

    validation = _part(data.validation, world, graphs) if data.validation else None
    start = time.perf_counter()

    def measured(number: int, metrics: Metrics) -> Metrics:
        if validation:
            metrics |= {f"val_{name}": value for name, value in evaluate(validation).items()}
        on_epoch(Epoch(number, metrics, time.perf_counter() - start))
        for name in ("loss", "val_loss"):  # reduced values: all ranks decide alike
            if not math.isfinite(metrics.get(name, 0.0)):
                raise DivergedError(f"{name} is {metrics[name]} after epoch {number}")
        return metrics

    if epochs == 0:
        metrics = measured(0, evaluate(_part(data.train, world, graphs)))
    at = begin.position if begin is not None else Position()
    while at.epochs < epochs:
        last = min(epochs, at.epochs + validation_freq)
        orders = partial(order, len(data.train), seed, shuffle=shuffle)
        metrics = loop.train(x, y, orders, at, last, batch_size, boundary, adjusts=stride is None)
        at = Position(last)
        _average_statistics(model, world)
        metrics = measured(last, metrics)
        if last < epochs:
            boundary(at)
    _end_equal(model, world)
    confusion = {"validation": loop.confusion()} if validation else {}
    if data.test:
        test = evaluate(_part(data.test, world, graphs))
        metrics = {**metrics, **{f"test_{name}": value for name, value in test.items()}}
        confusion["test"] = loop.confusion()
    confusion = {part: counts for part, counts in confusion.items() if counts}
    return Trained(metrics, confusion, loop.training_seconds, loop.drawing_seconds, model)


def order(samples: int, seed: int, epoch: int, shuffle: bool = True) -> Rows:
    """The order of the training samples in one epoch, shape (samples,), the same on every rank."""
    if not shuffle:
        return np.arange(samples, dtype=np.int32)
    return np.random.default_rng([seed, epoch]).permutation(samples).astype(np.int32)


def _part(split: Split, world: World, graphs: Graphs) -> tuple[tf.Tensor, tf.Tensor]:
    """This rank's part of a split; the parts of all ranks are the whole."""
    low = len(split) * world.rank // world.size
    high = len(split) * (world.rank + 1) // world.size
    return graphs.tensor(split.x[low:high]), graphs.tensor(split.y[low:high])


def _weights(model: keras.Model) -> list[Any]:
    """Everything that one rank could have otherwise than another: weights, slots, counters."""
    return [*model.weights, *model.optimizer.variables]


def _start_equal(model: keras.Model, world: World) -> None:
    """No step is taken from different weights."""
    model.optimizer.build(model.trainable_variables)
    world.broadcast([variable.value for variable in _weights(model)])


def _own(model: keras.Model, loop: Loop) -> list[Any]:
    """What each rank has otherwise than the others: statistics, random numbers, sums of metrics."""
    known = {id(v) for v in [*model.weights, *model.metrics_variables]}
    return [*_moving(model), *(v for v in model.variables if id(v) not in known), *loop.variables()]


def _moving(model: keras.Model) -> list[Any]:
    """Batch normalisation's moving statistics: of each rank's samples until the end of an epoch."""
    return [v for v in model.non_trainable_variables if v.dtype.startswith(("float", "bfloat"))]


def _state(model: keras.Model, loop: Loop, world: World, position: Position) -> State:
    own = world.gather_bytes(pack([np.array(variable) for variable in _own(model, loop)]))
    shared = [np.array(variable) for variable in _weights(model)] if world.rank == 0 else []
    return State(position, shared, [unpack(data) for data in own])


def _restore(model: keras.Model, loop: Loop, world: World, state: State) -> None:
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
