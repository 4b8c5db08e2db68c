"""Training one trial: an epoch runs inside one TensorFlow graph, on one rank or on many.

The batch size is that of the whole world. Every epoch has one order of the training samples,
the same on all ranks; each global batch is a slice of it, and each rank takes its slice of that.
A rank's loss counts for its share of the global batch, and gradients are summed, so N ranks
take the steps that one rank would take, up to rounding, whatever sizes divide or not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.collectives.base import Compression
from hpc.jobs.training.base import (
    BoundaryRequest,
    DivergedError,
    Epoch,
    EpochDecision,
    Guarantees,
    Lane,
    Metrics,
    Stopped,
    Trained,
    Training,
    TrainingBackend,
    UnequalWeightsError,
)
from hpc.jobs.training.checkpoint import Best, Position, State
from hpc.jobs.training.graphs import Graphs
from hpc.jobs.training.loop import Loop
from hpc.jobs.training.needs import why_not_in_graph
from hpc.jobs.training.pack import plan
from hpc.jobs.training.parts import refuse_own_steps
from hpc.jobs.training.samples import Rows
from hpc.jobs.training.single import Single
from hpc.models import Dataset, Split

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

LEAST_EVALUATED = 1024
"""Samples that are measured at once, at least, where it is known that this makes no difference. Else they
are measured in batches of ``batch_size``, as ``fit`` does: a loss may depend on which samples come
together, and memory may not suffice for more."""


class GraphBackend(TrainingBackend):
    """One model, the whole epoch in one graph.

    Args:
        world: the ranks that train together.
        graphs: of earlier trainings, which are used again where they fit.
    """

    name = "graph"
    guarantees = Guarantees(equal_ranks=True, exact_resume=True, mid_epoch=True)

    def __init__(self, world: World, graphs: Graphs) -> None:
        self.world = world
        self.graphs = graphs

    def accepts(self, training: Training) -> str:
        """Why it can't train that: it is no Keras model, or one that only Keras' own ``fit`` can."""
        return why_not_in_graph(training)

    def train(
        self,
        lanes: Sequence[Lane],
        training: Training,
        request: Callable[[Position], BoundaryRequest] = lambda position: BoundaryRequest(),
        stride: int | None = None,
    ) -> list[Trained | None]:
        """As :func:`train_lanes`, with the options of the training."""
        chosen, data = training.options, training.arrays
        samples = len(data.train)
        return train_lanes(
            lanes, data, self.world, epochs=chosen.epochs, batch_size=chosen.global_batch(samples),
            shuffle=chosen.shuffle, validation_freq=chosen.validation_freq, request=request, stride=stride,
            graphs=self.graphs, accumulate_steps=chosen.accumulate_steps, compression=chosen.compression,
        )  # fmt: skip

    def forget(self) -> None:
        """Keep no graphs."""
        self.graphs.forget()


def train_lanes(
    lanes: Sequence[Lane],
    data: Dataset,
    world: World,
    *,
    epochs: int,
    batch_size: int,
    shuffle: bool = True,
    validation_freq: int = 1,
    request: Callable[[Position], BoundaryRequest] = lambda position: BoundaryRequest(),
    stride: int | None = None,
    graphs: Graphs | None = None,
    accumulate_steps: int = 1,
    compression: Compression = "none",
) -> list[Trained | None]:
    """Train compiled Keras models, several of them as one stacked model.

    Args:
        lanes: what is trained. Several must be such that ``Pack`` takes them, begin at
            the same position, and need a world of one rank.
        data: whole on every rank.
        world: the ranks that train together.
        epochs: passes over the training data; with 0 the models are only measured.
        batch_size: samples per step over all ranks together; with fewer samples than ranks, some
            ranks only wait.
        shuffle: whether each epoch has an order of its own; else that of the data.
        validation_freq: epochs from one measurement to the next; the last epoch has one anyway.
        request: asked on every rank at every boundary, which comes every few seconds; what any of
            them asks for, all do.
        stride: steps between two boundaries; as many as take a few seconds unless given.
        graphs: of earlier trainings, which are used again where they fit.
        accumulate_steps: parts in which each rank takes its share of a batch, one after the other;
            their gradients are added up, and reduced once.
        compression: of gradients on their way between ranks.

    Returns:
        What came of each; None of one whose loss was NaN or infinite, which has its ``failure``.

    Raises:
        Stopped: some rank has asked for it, on all ranks at the same step.
        PackError: these can't be trained together.
        ValueError: the model has a ``train_step`` of its own, or its batches can't be taken in parts.
        UnequalWeightsError: the ranks end with different weights, on all ranks.
    """
    return _Training(
        lanes, data, world, epochs, batch_size, shuffle, validation_freq, request, stride, graphs or Graphs(),
        accumulate_steps, compression,
    ).carry_out()  # fmt: skip


@dataclass
class _Training:
    """One call of :func:`train_lanes`."""

    lanes: Sequence[Lane]
    data: Dataset
    world: World
    epochs: int
    batch_size: int
    shuffle: bool
    validation_freq: int
    request: Callable[[Position], BoundaryRequest]
    stride: int | None
    graphs: Graphs
    accumulate_steps: int
    compression: Compression

    def __post_init__(self) -> None:
        self.batch_size = min(self.batch_size, len(self.data.train))
        self.training_seconds = self.tracing_seconds = 0.0
        self.is_enough = False
        self.best = self.lanes[0].begin.best if self.lanes[0].begin is not None else None
        self.begun = time.perf_counter()

    def carry_out(self) -> list[Trained | None]:
        self._begin()
        x, y = _tensors(self.data.train, self.graphs)
        validation = _tensors(self.data.validation, self.graphs) if self.data.validation else None
        self.begun = time.perf_counter()
        metrics: list[Metrics] = []
        if self.epochs == 0:
            metrics = self._evaluate((x, y))
            self._measured(0, metrics, validation)
        first = self.lanes[0].begin
        at = first.position if first is not None else Position()
        while at.epochs < self.epochs and self.running and not self.is_enough:
            last = min(self.epochs, at.epochs + self.validation_freq)
            metrics = self.loop.train(
                x, y, self._orders, at, last, self.batch_size, self._boundary, adjusts=self.stride is None
            )
            at = Position(last)
            self.loop.average_statistics()
            self._measured(last, metrics, validation)
            if last < self.epochs and self.running and not self.is_enough:
                self._boundary(at)
                metrics = self._repack(at, metrics)
        return self._end(metrics, validation is not None)

    def _begin(self) -> None:
        for lane in self.lanes:
            refuse_own_steps(lane.model)
        self.running = list(self.lanes)
        if len(self.lanes) == 1:
            (lane,) = self.lanes
            seed_by_rank(lane.model, self.world.rank)
            _start_equal(lane.model, self.world)
        self._take_up([lane.begin for lane in self.lanes])
        if isinstance(self.loop, Single) and not self.lanes[0].by_sample:
            self.loop.check_parts(self.data.train, self.batch_size)

    def _take_up(self, states: Sequence[State | None]) -> None:
        """Have a loop for all lanes that are not over, which goes on from their states."""
        self.packed = list(self.running)
        if len(self.lanes) == 1:
            parts = self.accumulate_steps
            self.loop: Loop = self.graphs.of(
                self.lanes[0].model, self.data, self.world, parts, self.compression
            )
        else:
            seeds = [lane.seed for lane in self.packed] if self.shuffle else []
            plans = [lane.plan or plan(lane.model) for lane in self.packed]
            self.loop = self.graphs.pack(plans, seeds, self.data, self.world)
        self.loop.stride = self.stride or self.loop.stride
        found = [state for state in states if state is not None]
        if found:
            self.loop.restore(found)

    def _repack(self, at: Position, metrics: list[Metrics]) -> list[Metrics]:
        """Go on with fewer lanes, where half of them are over."""
        if len(self.running) > len(self.packed) // 2:
            return metrics
        places = [place for place, lane in enumerate(self.packed) if lane in self.running]
        states = self.loop.states(at)
        self._add_seconds()
        self._take_up([states[place] for place in places])
        return [metrics[place] for place in places]

    def _add_seconds(self) -> None:
        self.training_seconds += self.loop.training_seconds
        self.tracing_seconds += self.loop.tracing_seconds

    def _orders(self, epoch: int) -> Rows:
        samples = len(self.data.train)
        orders = [order(samples, lane.seed, epoch, self.shuffle) for lane in self.packed[: self.loop.orders]]
        return orders[0] if len(orders) == 1 else np.stack(orders, axis=1)

    def _boundary(self, position: Position) -> None:
        mine = self.request(position)
        # One sum tells everyone what anyone asks for, and how many steps rank 0 would take next.
        strides = self.loop.stride if self.world.rank == 0 else 0
        stop, keep, self.loop.stride = self.world.add([mine.stop, mine.save, strides])
        if stop or keep:
            states = self.loop.states(position)
            for lane, state in zip(self.packed, states, strict=True):
                if self.world.rank == 0 and lane in self.running:
                    lane.save(replace(state, best=self.best))
        if stop:
            raise Stopped

    def _evaluate(self, part: tuple[tf.Tensor, tf.Tensor]) -> list[Metrics]:
        # A pack takes only losses and metrics that are means over samples, of layers that are small.
        at_once = len(self.lanes) > 1 or self.lanes[0].by_sample
        return self.loop.evaluate(*part, max(self.batch_size, LEAST_EVALUATED if at_once else 0))

    def _measured(
        self, number: int, metrics: list[Metrics], validation: tuple[tf.Tensor, tf.Tensor] | None
    ) -> None:
        """Add what the validation part says, and tell each lane."""
        times = self.world.clock.take(self.world) if self.world.clock else {}
        if validation:
            for mine, its in zip(metrics, self._evaluate(validation), strict=True):
                mine |= {f"val_{name}": value for name, value in its.items()}
        seconds = time.perf_counter() - self.begun
        for lane, mine in zip(self.packed, metrics, strict=True):
            if lane not in self.running:
                continue
            answer = lane.on_epoch(Epoch(number, mine, seconds, times)) or EpochDecision()
            self.is_enough = answer.is_enough
            if answer.is_best:
                self.best = Best(dict(mine), self.loop.weights())
            for name in ("loss", "val_loss"):  # reduced values: all ranks decide alike
                if not math.isfinite(mine.get(name, 0.0)):
                    lane.failure = DivergedError(f"{name} is {mine[name]} after epoch {number}")
                    self.running.remove(lane)
                    break

    def _end(self, metrics: list[Metrics], validated: bool) -> list[Trained | None]:
        if not self.running:
            return [None for _ in self.lanes]
        if self.epochs:
            self.loop.finalize()
        if self.best is not None:
            self.loop.set_weights(self.best.weights)
            metrics = [dict(self.best.metrics)]
            if self.data.validation:  # for its confusion, which the last epoch has counted
                self._evaluate(_tensors(self.data.validation, self.graphs))
        digests = self.loop.digests()
        end_equal(digests[0], self.world)
        confusions = {"validation": self.loop.confusion()} if validated else {}
        if self.data.test:
            test = self._evaluate(_tensors(self.data.test, self.graphs))
            metrics = [
                {**mine, **{f"test_{name}": value for name, value in its.items()}}
                for mine, its in zip(metrics, test, strict=True)
            ]
            confusions["test"] = self.loop.confusion()
        self._add_seconds()
        share, models = len(self.lanes), self.loop.finish()
        trained: list[Trained | None] = []
        for lane in self.lanes:
            if lane not in self.running:
                trained.append(None)
                continue
            place = self.packed.index(lane)
            confusion = {part: counts[place] for part, counts in confusions.items() if counts[place]}
            seconds = self.training_seconds / share, self.tracing_seconds / share
            trained.append(Trained(metrics[place], confusion, *seconds, models[place], digests[place]))
        return trained


def order(samples: int, seed: int, epoch: int, shuffle: bool = True) -> Rows:
    """The order of the training samples in one epoch, shape (samples,), the same on every rank."""
    if not shuffle:
        return np.arange(samples, dtype=np.int32)
    return np.random.default_rng([seed, epoch]).permutation(samples).astype(np.int32)


def _tensors(split: Split, graphs: Graphs) -> tuple[tf.Tensor, tf.Tensor]:
    """A split, whole on every rank: each takes its part of every batch."""
    return graphs.tensor(split.x), graphs.tensor(split.y)


def _start_equal(model: keras.Model, world: World) -> None:
    """No step is taken from different weights."""
    model.optimizer.build(model.trainable_variables)
    world.broadcast([v.value for v in [*model.weights, *model.optimizer.variables]])


def seed_by_rank(model: keras.Model, rank: int) -> None:
    """Give each rank random numbers of its own, or all would drop the same units."""
    known = {id(v) for v in [*model.weights, *model.metrics_variables]}
    for variable in model.variables:
        if id(variable) not in known and variable.path.endswith("seed_generator_state"):
            state = np.array(variable)
            state[0] ^= np.asarray(rank * 0x9E3779B1 & 0xFFFFFFFF).astype(state.dtype)
            variable.assign(state)


def end_equal(mine: str, world: World) -> None:
    """Make sure that all ranks end with the same weights.

    Raises:
        UnequalWeightsError: they don't, on all of them.
    """
    if world.size == 1:
        return
    digests = world.gather(mine)
    if len(set(digests)) > 1:
        others = [rank for rank, other in enumerate(digests) if other != digests[0]]
        raise UnequalWeightsError(
            f"ranks {others} ended with other weights than rank 0; its training can't be trusted"
        )
