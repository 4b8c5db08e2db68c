"""Epochs as TensorFlow graphs: what the loop of one model and that of several stacked ones have in common."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.training.base import Metrics
from hpc.jobs.training.checkpoint import Position, State
from hpc.jobs.training.samples import (
    Orders,
    Rows,
    Slice,
    count_of,
    length,
    samples_after,
    specs,
    steps_to,
    take_rows,
)
from hpc.models import Array, Dataset
from hpc.sweeps.text import format_error

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

FIRST_STEPS = 4
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 4.0
"""Between two boundaries, at which a training may stop; SLURM gives notice 90 seconds before."""


class Loop(ABC):
    """Epochs as TensorFlow graphs, each traced once: those of a model, or of several stacked ones.

    Attributes:
        lanes: how many trials are trained at once.
        orders: in how many orders these see the samples; 1 where all see the same batches.
        stride: steps between two boundaries.
        training_seconds: in which they were trained and measured.
        tracing_seconds: in which their graphs were traced; 0 where they were there.
    """

    _confusion: tf.Variable

    def __init__(
        self,
        world: World,
        data: Dataset,
        *,
        lanes: int = 1,
        orders: int = 1,
        parts: int = 1,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Make graphs, which are traced when they first run.

        Args:
            world: the ranks that train together.
            data: its shapes and types count.
            lanes: how many trials are trained at once.
            orders: in how many orders these see the samples; 1 where all see the same batches.
            parts: in which each batch is taken, one after the other.
            note: told why steps are taken one by one, if they are.
        """
        import tensorflow as tf

        self.lanes = lanes
        self.orders = orders
        self.restart()
        self._world = world
        self._parts = parts
        self._names: list[str] = []
        x, y, number = specs(data.train.x), specs(data.train.y), tf.TensorSpec((), tf.int32)
        # autograph would rewrite Keras' own code line by line; tf.while_loop needs none of it.
        rows = tf.TensorSpec((None,) if orders == 1 else (None, orders), tf.int32)
        inputs = [x, y, rows, number, number, number, tf.TensorSpec((), tf.bool)]
        self._graphs: dict[Callable[..., tf.Tensor], Any] = {
            self._train_steps: tf.function(self._train_steps, inputs, autograph=False),
            self._evaluate_all: tf.function(self._evaluate_all, [x, y, number], autograph=False),
        }
        self._note = note

    def restart(self) -> None:
        """Take up another training."""
        self.stride = FIRST_STEPS  # with another batch size, as many may take long
        self.training_seconds = self.tracing_seconds = 0.0

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """The size of the weights and the optimizer's state."""

    @abstractmethod
    def reset(self) -> None:
        """Begin to measure anew."""

    @abstractmethod
    def states(self, at: Position) -> list[State]:
        """The state of each lane, by which it can go on from here; on all ranks at once, whole on rank 0."""

    @abstractmethod
    def restore(self, states: Sequence[State]) -> None:
        """Go on from there."""

    def weights(self) -> list[Array]:
        """Copies of the weights of a model that is trained alone."""
        raise NotImplementedError

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Give weights to that model."""
        raise NotImplementedError

    @abstractmethod
    def confusion(self) -> list[list[list[int]]]:
        """The confusion matrix of each lane, counted by the last evaluation over all ranks, or empty."""

    @abstractmethod
    def finalize(self) -> None:
        """Let the optimizer finish the weights after the last step."""

    @abstractmethod
    def finish(self) -> list[Callable[[], keras.Model]]:
        """For each lane a function that returns a model with its weights, until another is asked for."""

    @abstractmethod
    def digests(self) -> list[str]:
        """For each lane SHA-256 of its weights and its optimizer's variables, to the last bit."""

    @abstractmethod
    def _gradients(self, x: Any, y: Any, mine: Slice) -> list[Any]:
        """Measure a part of a batch, and return its gradients; None for variables without."""

    @abstractmethod
    def _apply(self, gradients: Sequence[Any]) -> None:
        """Take a step."""

    @abstractmethod
    def _evaluate_batch(self, x: Any, y: Any, mine: Slice) -> None:
        """Measure a batch."""

    @abstractmethod
    def _values(self) -> tf.Tensor:
        """In a graph: what this rank has measured, in the order of ``_names``; shape (names, lanes)."""

    def _results(self, values: Any) -> list[Metrics]:
        """The metrics of each lane, over all ranks."""
        return [dict(zip(self._names, lane, strict=True)) for lane in values.T.tolist()]

    @abstractmethod
    def average_statistics(self) -> None:
        """Let all ranks have the same moving statistics; they are of each rank's samples until then."""

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        """While a graph is traced."""
        yield

    def _batch(self, x: Any, y: Any, rows: tf.Tensor) -> Any:
        """The samples of these rows and their targets."""
        clock = self._world.clock
        if clock is None:
            return self._take(x, rows), self._take(y, rows)
        return clock.timed("input", lambda these: (self._take(x, these), self._take(y, these)), rows)

    def _take(self, values: Any, rows: tf.Tensor) -> Any:
        """Take these rows of the samples."""
        return take_rows(values, rows)

    def train(
        self,
        x: Any,
        y: Any,
        orders: Callable[[int], Rows],
        at: Position,
        epochs: int,
        batch_size: int,
        boundary: Callable[[Position], None],
        *,
        adjusts: bool = True,
    ) -> list[Metrics]:
        """Train one epoch or several, or the rest of them.

        Args:
            x: inputs.
            y: targets.
            orders: the order of the samples in an epoch of that number.
            at: where to begin.
            epochs: that are completed at the end.
            batch_size: samples per step over all ranks, no more than there are.
            boundary: called after every ``stride`` steps, but not at the end.
            adjusts: whether the stride changes, so that a boundary comes every few seconds.

        Returns:
            The metrics of each lane over the last of these epochs.
        """
        size = count_of(x)
        done, end = at.samples, (epochs - at.epochs) * size
        values: Any = None
        rows = Orders(lambda index: orders(at.epochs + 1 + index))
        while done < end:
            stop = min(
                samples_after(done, self.stride, size, batch_size), end if done >= end - size else end - size
            )
            first = done // size
            some = rows.between(first, math.ceil(stop / size))
            start, anew = time.perf_counter(), done == end - size
            values = self.steps(x, y, some, done - first * size, stop - first * size, batch_size, anew=anew)
            whole = stop == samples_after(done, self.stride, size, batch_size)
            if adjusts:
                self._adjust(time.perf_counter() - start, whole=whole)
            done = stop
            if done < end:
                boundary(Position(at.epochs, done))
        return self._results(values)

    def steps(
        self, x: Any, y: Any, rows: Any, first: int, last: int, batch_size: int, *, anew: bool = True
    ) -> Any:
        """Take the steps on ``rows[first:last]``.

        Args:
            x: inputs.
            y: targets.
            rows: the order of the samples, of as many epochs as are needed.
            first: number of the first sample in it.
            last: number of the one after the last.
            batch_size: samples per step over all ranks.
            anew: whether to measure anew, and not on top of what was measured.

        Returns:
            What this rank has measured, shape (names, lanes).
        """
        numbers, before = map(np.int32, (first, last, batch_size)), self.tracing_seconds
        values = self._call(self._train_steps, x, y, rows, *numbers, np.bool_(anew))
        if self._world.clock is not None:
            steps = steps_to(last, count_of(x), batch_size) - steps_to(first, count_of(x), batch_size)
            self._world.clock.count(0 if self.tracing_seconds > before else steps)
        return values

    def _call(self, steps: Callable[..., tf.Tensor], *inputs: Any) -> Any:
        """Run a graph; the first time it is traced, too, which takes longer than its few steps.

        Steps that can't be traced are taken one by one.
        """
        import tensorflow as tf

        graph, start, why = self._graphs[steps], time.perf_counter(), ""
        is_new = graph is not None and graph.experimental_get_tracing_count() == 0
        if is_new:
            try:
                graph.get_concrete_function()
            except Exception as error:  # what is wrong otherwise, too, shows at the first step
                is_new, graph, why = False, None, format_error(error)
        if graph is None:
            values = steps(*(tf.nest.map_structure(tf.convert_to_tensor, given) for given in inputs)).numpy()
        else:
            values = graph(*inputs).numpy()
        if why:
            self.take_steps_singly(why)
        seconds = time.perf_counter() - start
        if is_new:
            self.tracing_seconds += seconds
        else:
            self.training_seconds += seconds
        return values

    def take_steps_singly(self, why: str) -> None:
        """Take steps one by one from now on, as Python says."""
        self._graphs = dict.fromkeys(self._graphs)
        self._note(f"no graph can be traced, so that steps are taken one by one, which is slow: {why}")

    def _adjust(self, seconds: float, *, whole: bool) -> None:
        """Take more or fewer steps next time, so that a boundary comes every few seconds."""
        if whole and seconds < SHORTEST_SECONDS:
            self.stride *= 2
        elif seconds > LONGEST_SECONDS and self.stride > 1:
            self.stride //= 2

    def evaluate(self, x: Any, y: Any, batch_size: int) -> list[Metrics]:
        """The metrics of each lane on a part of the data, of so many samples at once over all ranks."""
        return self._results(self._call(self._evaluate_all, x, y, np.int32(batch_size)))

    def _train_steps(
        self,
        x: Any,
        y: Any,
        rows: tf.Tensor,
        first: tf.Tensor,
        last: tf.Tensor,
        batch_size: tf.Tensor,
        anew: tf.Tensor,
    ) -> tf.Tensor:
        """Take the steps on ``rows[first:last]``, and measure them: anew, or on top of those before."""
        import tensorflow as tf

        size, rank, samples = self._world.size, self._world.rank, length(x)

        def step(start: tf.Tensor) -> tuple[tf.Tensor]:
            batch = tf.minimum(batch_size, samples - start % samples)
            begin, end = start + batch * rank // size, start + batch * (rank + 1) // size

            def gradients(part: tf.Tensor | int) -> list[Any]:
                low, high = (begin + (end - begin) * at // self._parts for at in (part, part + 1))
                mine = rows[low:high]
                if size * self._parts > 1:
                    # The last batch may have fewer samples than there are parts. Those left without take
                    # one that counts for nothing: their layers still see a batch, and they still reduce.
                    mine = tf.cond(high > low, lambda: rows[low:high], lambda: rows[start : start + 1])
                inputs, wanted = self._batch(x, y, mine)
                return self._gradients(inputs, wanted, Slice(low - start, high - low, batch))

            def add(part: tf.Tensor, *totals: tf.Tensor) -> tuple[tf.Tensor, ...]:
                more = [tf.convert_to_tensor(grad) for grad in gradients(part) if grad is not None]
                return part + 1, *[total + grad for total, grad in zip(totals, more, strict=True)]

            totals = gradients(0)
            if self._parts > 1:
                dense = [tf.convert_to_tensor(total) for total in totals if total is not None]
                _, *dense = tf.while_loop(
                    lambda part, *_: part < self._parts, add, [tf.constant(1), *dense], parallel_iterations=1
                )
                totals = [None if total is None else dense.pop(0) for total in totals]
            self._apply(totals)
            return (start + batch,)

        def reset() -> tf.Tensor:
            self.reset()
            return tf.constant(0)

        tf.cond(anew, reset, lambda: tf.constant(0))

        def take(start: tf.Tensor) -> Any:
            # One iteration at a time: Horovod tells reductions apart by name.
            return tf.while_loop(lambda start: start < last, step, [start], parallel_iterations=1)

        with self._tracing():
            if self._world.clock is None:
                take(first)
            else:
                self._world.clock.timed("steps", take, first)
        return self._values()

    def _evaluate_all(self, x: Any, y: Any, batch_size: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        self.reset()
        self._confusion.assign(tf.zeros_like(self._confusion))
        size, rank, count = self._world.size, self._world.rank, length(x)

        def step(start: tf.Tensor) -> tuple[tf.Tensor]:
            batch = tf.minimum(batch_size, count - start)
            low, high = batch * rank // size, batch * (rank + 1) // size
            rows = tf.range(start + low, start + high)
            if size > 1:  # a rank for which there is none measures one that counts for nothing
                rows = tf.cond(high > low, lambda: rows, lambda: tf.range(start, start + 1))
            self._evaluate_batch(take_rows(x, rows), take_rows(y, rows), Slice(low, high - low, batch))
            return (start + batch,)

        with self._tracing():
            tf.while_loop(lambda start: start < count, step, [0], parallel_iterations=1)
        return self._values()
