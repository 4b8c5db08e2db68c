"""The TensorFlow graphs in which a model is trained and measured, kept from trial to trial.

Drawing the graphs of a small network takes longer than to train it for some epochs. Models that are
alike but for numbers share them: learning rates, dropout rates, penalties on weights, and what the
seed decides are inputs of a graph, not constants in it.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.checkpoint import Position, State, from_bytes, to_bytes
from jobs.options import PACKAGE
from jobs.world import World
from models import Array, Dataset

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from jobs.pack import Pack, Plan

Metrics = dict[str, float]
Rows = np.ndarray[Any, np.dtype[np.int32]]
FIRST_STEPS = 4
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 4.0
"""Between two boundaries, at which a training may stop; SLURM gives notice 90 seconds before."""
MOST_CLASSES = 100
"""Above that, a matrix of confusions is no longer counted."""
MOST_KEPT, MOST_KEPT_BYTES = 32, 2**28
"""Graphs that a worker keeps, and what their models' variables may take; the last is always kept."""
MOST_LITTER_BYTES = 2**26
"""Variables that are of no more use, but not yet freed: Keras' models are cycles of references."""


class Graphs:
    """The graphs of a worker's trials; the same on all ranks.

    Args:
        note: told once of each kind of model of which no graph can be drawn.

    Attributes:
        drawn: for how many trials there was none.
    """

    def __init__(self, note: Callable[[str], None] = lambda text: None) -> None:
        self._note = note
        self._noted: set[str] = set()
        self._kept: dict[str, Loop] = {}
        self._tensors: dict[Any, tuple[Array, tf.Tensor]] = {}
        self._last_tensors: dict[Any, tuple[Array, tf.Tensor]] = {}
        self._litter_bytes: float = 0
        self.drawn = 0

    def begin(self, seed: int, *, only_keras: bool = False) -> None:
        """Set Python, Keras and TensorFlow as they are at the start of a process with a seed.

        Args:
            seed: of all random numbers.
            only_keras: whether the model draws them by Keras only, whose generators are variables.
                TensorFlow's own are in its kernels, so that its seed throws away all of these, and
                every graph has to be instantiated anew.
        """
        import keras
        from keras.src.backend.common.global_state import set_global_attribute
        from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
        from keras.src.utils.naming import reset_uids

        self._last_tensors, self._tensors = self._tensors, {}
        if self._litter_bytes > MOST_LITTER_BYTES:
            gc.collect()
            self._litter_bytes = 0
        if not (self._kept and only_keras):
            keras.utils.clear_session(free_memory=False)
            keras.utils.set_random_seed(seed)
            return
        reset_uids()
        set_global_attribute(GLOBAL_SEED_GENERATOR, None)
        random.seed(seed)
        np.random.seed(seed)

    def of(self, model: keras.Model, data: Dataset, world: World, parts: int = 1) -> Single:
        """The loop that trains a model.

        Args:
            model: compiled, its optimizer built.
            data: whose classes, and shapes and types of samples count.
            world: the ranks that train together.
            parts: in which each batch is taken, one after the other.

        Returns:
            A loop with this model, or one of an earlier model that was alike but for numbers. That
            one has now the weights, the optimizer's state, the random states and the numbers of
            this one, and is trained in its place.
        """
        numbers = _numbers(model)
        key = _outline(model, numbers, data, parts)
        loop = self._kept.get(key) if key is not None else None
        if isinstance(loop, Single):
            loop.take(model, numbers)
        else:
            loop = Single(model, world, data, numbers, parts, note=self._say)
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
        from jobs.pack import Pack, Shape

        shape = Shape.of(plans, seeds)
        key = f"{shape} {plans[0].shapes} {_facts(data)}"
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
            self.drawn += 1
        if key is None:
            self._litter_bytes = math.inf
        else:
            self._kept[key] = loop
            while len(self._kept) > 1 and (
                len(self._kept) > MOST_KEPT
                or sum(loop.nbytes for loop in self._kept.values()) > MOST_KEPT_BYTES
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

    def forget(self) -> None:
        """Keep none, as after a failure that has cut the ranks' connections."""
        self._kept.clear()
        self._litter_bytes = math.inf


@dataclass(frozen=True)
class _Number:
    """A number that is an input of a model's graphs: the attribute of one of its objects."""

    owner: Any
    name: str
    dtype: str

    @property
    def value(self) -> Any:
        return getattr(self.owner, self.name)

    def put(self, value: Any) -> None:
        setattr(self.owner, self.name, value)


def _numbers(model: keras.Model) -> list[_Number]:
    """Those that can be inputs, in the order of the layers."""
    import keras

    found = [
        _Number(layer, "rate", layer.compute_dtype)
        for layer in model._flatten_layers(include_self=False)
        if type(layer) is keras.layers.Dropout and layer.rate > 0
    ]
    names = {keras.regularizers.L1: "l1", keras.regularizers.L2: "l2"}
    for variable in _penalized(model).values():
        if type(variable.regularizer) in names:
            found.append(_Number(variable.regularizer, names[type(variable.regularizer)], variable.dtype))
    optimizer, floatx = model.optimizer, keras.config.floatx()
    schedule = optimizer._learning_rate  # a variable unless it is a schedule
    if type(schedule) is keras.optimizers.schedules.CosineDecay:
        found.append(_Number(schedule, "initial_learning_rate", floatx))
        found.append(_Number(schedule, "decay_steps", "int64"))
        if schedule.warmup_target is not None:
            found.append(_Number(schedule, "warmup_target", floatx))
            found.append(_Number(schedule, "warmup_steps", "int64"))
    if optimizer.weight_decay is not None:
        found.append(_Number(optimizer, "weight_decay", floatx))
    return found


def _penalized(model: keras.Model) -> dict[int, Any]:
    """One of the variables of each regularizer, by the regularizer's identity."""
    variables = [v for v in model.trainable_variables if v.regularizer is not None]
    return {id(v.regularizer): v for v in reversed(variables)}


def _outline(model: keras.Model, numbers: Sequence[_Number], data: Dataset, parts: int) -> str | None:
    """All that a model's graphs depend on, but its numbers; None where Keras can't tell it.

    Keras writes down its own classes in full, and of others only what their authors thought of.
    """
    import keras

    penalties = list(_penalized(model))
    try:
        with _in_place(numbers, [-1] * len(numbers)):
            whole = keras.saving.serialize_keras_object(model)
            optimizer = keras.saving.serialize_keras_object(model.optimizer)
    except Exception:  # a class that does not say how it is made
        return None
    del whole["compile_config"]["optimizer"], optimizer["config"]["name"]
    if isinstance(optimizer["config"]["learning_rate"], float):
        del optimizer["config"]["learning_rate"]  # a variable of the optimizer
    outline = {
        "model": whole,
        "optimizer": optimizer,
        "penalties": [
            penalties.index(id(v.regularizer)) if v.regularizer else None for v in model.trainable_variables
        ],
        "data": _facts(data),
        "parts": parts,
        "compression": getattr(model.optimizer, "compression", None),  # of jobs/optimizer.py
    }
    return json.dumps(outline, sort_keys=True) if is_of_keras(outline) else None


def _facts(data: Dataset) -> list[Any]:
    """What graphs depend on of the data."""
    return [data.num_classes, *(str(_specs(values)) for values in (data.train.x, data.train.y))]


def is_of_keras(value: Any) -> bool:
    """Whether all classes and functions in what Keras has written down are its own, or this project's."""
    if isinstance(value, dict):
        if str(value.get("config")).startswith(f"{PACKAGE}>"):
            return True
        if "class_name" in value and not str(value.get("module", "keras")).startswith("keras"):
            return False
        return value.get("class_name") != "__lambda__" and all(map(is_of_keras, value.values()))
    return all(map(is_of_keras, value)) if isinstance(value, list) else True


@contextmanager
def _in_place(numbers: Sequence[_Number], values: Sequence[Any]) -> Iterator[None]:
    """Put other values in the place of a model's numbers for a while."""
    before = [number.value for number in numbers]
    try:
        for number, value in zip(numbers, values, strict=True):
            number.put(value)
        yield
    finally:
        for number, value in zip(numbers, before, strict=True):
            number.put(value)


def _specs(values: Any) -> Any:
    """What a graph has to know of arrays: their type, and the shape of one sample."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), values)


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


class Loop(ABC):
    """Epochs as TensorFlow graphs, drawn once each: those of a model, or of several stacked ones.

    Attributes:
        lanes: how many trials are trained at once.
        orders: in how many orders these see the samples; 1 where all see the same batches.
        stride: steps between two boundaries.
        training_seconds: in which they were trained and measured.
        drawing_seconds: in which their graphs were drawn; 0 where they were there.
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
        """Make graphs, which are drawn when they first run.

        Args:
            world: the ranks that train together.
            data: of which shapes and types count.
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
        x, y, number = _specs(data.train.x), _specs(data.train.y), tf.TensorSpec((), tf.int32)
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
        self.training_seconds = self.drawing_seconds = 0.0

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Of the weights and the optimizer's state."""

    @abstractmethod
    def reset(self) -> None:
        """Begin to measure anew."""

    @abstractmethod
    def states(self, at: Position) -> list[State]:
        """All that each lane needs to go on from here; on all ranks at once, whole on rank 0."""

    @abstractmethod
    def restore(self, states: Sequence[State]) -> None:
        """Go on from there."""

    @abstractmethod
    def confusion(self) -> list[list[list[int]]]:
        """What was counted in the last evaluation, over all ranks; empty if nothing was. For each lane."""

    @abstractmethod
    def finish(self) -> list[Callable[[], keras.Model]]:
        """For each lane what gives a model with its weights, until another is asked for."""

    @abstractmethod
    def digests(self) -> list[str]:
        """For each lane SHA-256 of its weights and its optimizer's variables, to the last bit."""

    @abstractmethod
    def _gradients(self, x: Any, y: Any, share: tf.Tensor, samples: tf.Tensor) -> list[Any]:
        """Of a part of a batch, which is also measured; None for variables without."""

    @abstractmethod
    def _apply(self, gradients: Sequence[Any]) -> None:
        """Take a step."""

    @abstractmethod
    def _evaluate_batch(self, x: Any, y: Any) -> None:
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
    def _drawing(self) -> Iterator[None]:
        """While a graph is drawn."""
        yield

    def _take(self, values: Any, rows: tf.Tensor) -> Any:
        """Those rows of the samples."""
        return _take(values, rows)

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
        size = _count(x)
        done, end = at.samples, (epochs - at.epochs) * size
        values: Any = None
        rows = _Orders(lambda index: orders(at.epochs + 1 + index))
        while done < end:
            stop = min(_after(done, self.stride, size, batch_size), end if done >= end - size else end - size)
            first = done // size
            start = time.perf_counter()
            some = rows.between(first, math.ceil(stop / size))
            numbers = map(np.int32, (done - first * size, stop - first * size, batch_size))
            values = self._call(self._train_steps, x, y, some, *numbers, np.bool_(done == end - size))
            whole = stop == _after(done, self.stride, size, batch_size)
            if adjusts:
                self._adjust(time.perf_counter() - start, whole=whole)
            done = stop
            if done < end:
                boundary(Position(at.epochs, done))
        return self._results(values)

    def _call(self, steps: Callable[..., tf.Tensor], *inputs: Any) -> Any:
        """Run a graph; the first time it is drawn, too, which takes longer than its few steps.

        Steps of which none can be drawn are taken one by one.
        """
        import tensorflow as tf

        graph, start = self._graphs[steps], time.perf_counter()
        is_new = graph is not None and graph.experimental_get_tracing_count() == 0
        if is_new:
            try:
                graph.get_concrete_function()
            except Exception as error:  # what is wrong otherwise, too, shows at the first step
                self.take_steps_singly(f"{type(error).__name__}: {first_line(error)}")
                is_new, graph = False, None
        if graph is None:
            values = steps(*(tf.nest.map_structure(tf.convert_to_tensor, given) for given in inputs)).numpy()
        else:
            values = graph(*inputs).numpy()
        seconds = time.perf_counter() - start
        if is_new:
            self.drawing_seconds += seconds
        else:
            self.training_seconds += seconds
        return values

    def take_steps_singly(self, why: str) -> None:
        """Take steps one by one from now on, as Python says."""
        self._graphs = dict.fromkeys(self._graphs)
        self._note(f"no graph can be drawn, so that steps are taken one by one, which is slow: {why}")

    def _adjust(self, seconds: float, *, whole: bool) -> None:
        """Take more or fewer steps next time, so that a boundary comes every few seconds."""
        if whole and seconds < SHORTEST_SECONDS:
            self.stride *= 2
        elif seconds > LONGEST_SECONDS and self.stride > 1:
            self.stride //= 2

    def evaluate(self, x: Any, y: Any, batch_size: int) -> list[Metrics]:
        """The metrics of each lane on a part of the data, of which this rank has its own part."""
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

        size, rank, samples = self._world.size, self._world.rank, _length(x)

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
                share = tf.cast(high - low, tf.float64) / tf.cast(batch, tf.float64)
                count = tf.cast(high - low, tf.float32)
                return self._gradients(self._take(x, mine), self._take(y, mine), share, count)

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
        with self._drawing():
            # One iteration at a time: Horovod tells reductions apart by name.
            tf.while_loop(lambda start: start < last, step, [first], parallel_iterations=1)
        return self._values()

    def _evaluate_all(self, x: Any, y: Any, batch_size: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        self.reset()
        self._confusion.assign(tf.zeros_like(self._confusion))
        count = _length(x)

        def step(start: tf.Tensor) -> tuple[tf.Tensor]:
            rows = tf.range(start, tf.minimum(start + batch_size, count))
            self._evaluate_batch(_take(x, rows), _take(y, rows))
            return (start + batch_size,)

        with self._drawing():
            tf.while_loop(lambda start: start < count, step, [0], parallel_iterations=1)
        return self._values()


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
        numbers: Sequence[_Number],
        parts: int = 1,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        import keras
        import tensorflow as tf

        super().__init__(world, data, parts=parts, note=note)
        if model.run_eagerly:
            self.take_steps_singly(f"{model.name} is compiled with run_eagerly")
        self.model = model
        self._numbers = numbers
        self._inputs = [tf.Variable(number.value, False, dtype=number.dtype) for number in numbers]
        self._confusion = tf.Variable(tf.zeros([counted_classes(data)] * 2, tf.int32), trainable=False)
        self._loss = keras.metrics.Mean(name="loss")
        self._sums_losses = getattr(model.loss, "reduction", None) == "sum"
        make_metrics(model, data)
        self.reset()

    def take(self, model: keras.Model, numbers: Sequence[_Number]) -> None:
        """Be the loop of another model, which is alike but for numbers."""
        self.restart()
        for mine, its in zip(_state_of(self.model), _state_of(model), strict=True):
            mine.assign(its)
        for mine, variable, its in zip(self._numbers, self._inputs, numbers, strict=True):
            variable.assign(its.value)
            mine.put(its.value)

    @property
    def nbytes(self) -> int:
        """Of the weights and the optimizer's state."""
        return sum(math.prod(v.shape) * v.value.dtype.size for v in _state_of(self.model))

    def confusion(self) -> list[list[list[int]]]:
        """What was counted in the last evaluation, over all ranks; empty if nothing was."""
        size = self._confusion.shape[0]
        counts = self._world.add([int(count) for count in np.ravel(self._confusion)]) if size else []
        rows = [counts[size * row : size * (row + 1)] for row in range(size)]
        return [rows if any(counts) else []]

    def finish(self) -> list[Callable[[], keras.Model]]:
        """What gives the model."""
        return [lambda: self.model]

    def digests(self) -> list[str]:
        """SHA-256 of the model's weights and its optimizer's variables, to the last bit."""
        return [digest([np.asarray(variable) for variable in _weights(self.model)])]

    def states(self, at: Position) -> list[State]:
        """All that the training needs to go on from here."""
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
        for position, variable in enumerate(measured, start=len(own) - len(measured)):
            total = sum(values[position] for values in state.own)
            variable.assign(total if self._world.rank == 0 else np.zeros_like(total))

    def _own(self) -> list[Any]:
        """What each rank has otherwise than the others: statistics, random numbers, sums of metrics."""
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

    def _gradients(self, x: Any, y: Any, share: tf.Tensor, samples: tf.Tensor) -> list[Any]:
        import tensorflow as tf

        model = self.model
        with tf.GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = model.compute_loss(x=x, y=y, y_pred=y_pred, training=True)
            part = loss
            parts = self._world.size * self._parts
            if parts > 1:
                # Penalties on weights are the same in every part: 1/N of them belongs to each.
                share = tf.cast(samples > 0 if self._sums_losses else share, loss.dtype)
                penalties = [v.regularizer(v) for v in model.trainable_variables if v.regularizer]
                part = loss * share
                if penalties:
                    part += tf.add_n(penalties) * (1 / parts - share)
            part = model.optimizer.scale_loss(part)
        self._measure(x, y, y_pred, loss, samples)
        return list(tape.gradient(part, model.trainable_variables))

    def _apply(self, gradients: Sequence[Any]) -> None:
        self.model.optimizer.apply(gradients, self.model.trainable_variables)

    def _evaluate_batch(self, x: Any, y: Any) -> None:
        import tensorflow as tf

        y_pred = self.model(x, training=False)
        loss = self.model.compute_loss(x=x, y=y, y_pred=y_pred, training=False)
        self._measure(x, y, y_pred, loss, tf.cast(_length(x), tf.float32))
        self._confuse(y, y_pred)

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """While a graph is drawn, the model's numbers are what the variables will hold when it runs.

        Dropout then takes its rate as a tensor, and Adam takes its step in one kernel.
        """
        import tensorflow as tf

        drops = [number.owner for number in self._numbers if number.name == "rate"]
        instead: list[tuple[Any, str, Any]] = [(layer, "call", partial(_drop, layer)) for layer in drops]
        optimizer = self.model.optimizer
        if is_adam(optimizer):
            instead.append((optimizer, "update_step", partial(adam_step, optimizer, optimizer.update_step)))
        with _in_place(self._numbers, [tf.identity(variable) for variable in self._inputs]):
            for owner, name, method in instead:
                object.__setattr__(owner, name, method)
            try:
                yield
            finally:
                for owner, name, _ in instead:
                    object.__delattr__(owner, name)

    def _measure(self, x: Any, y: Any, y_pred: Any, loss: Any, samples: tf.Tensor) -> None:
        import tensorflow as tf

        def update() -> tf.Tensor:
            self._loss.update_state(loss, sample_weight=samples)
            self.model.compute_metrics(x, y, y_pred)
            return tf.constant(0)

        if self._world.size * self._parts == 1:
            update()
        else:
            tf.cond(samples > 0, update, lambda: tf.constant(0))

    def _confuse(self, y: Any, y_pred: Any) -> None:
        """Count which classes were taken for which, where a model has one output for each class."""
        import tensorflow as tf

        size = self._confusion.shape[0]
        cells = confused(y, y_pred, size)
        if cells is not None:
            counts = tf.math.unsorted_segment_sum(tf.ones_like(cells), cells, size * size)
            self._confusion.assign_add(tf.reshape(counts, (size, size)))

    def _measures(self) -> list[Any]:
        """What the metrics have summed up so far."""
        return [*self._loss.variables, *self.model.metrics_variables]

    def reset(self) -> None:
        """Begin to measure anew."""
        self._loss.reset_state()
        self.model.reset_metrics()

    def _measured(self) -> dict[str, Any]:
        """What has been measured, as tensors; a metric of the user's may be called loss, ours counts."""
        loss = {"loss": self._loss.result()}
        return {**loss, **self.model.get_metrics_result(), **loss}

    def _values(self) -> tf.Tensor:
        import tensorflow as tf

        measured = self._measured()
        self._names = list(measured)
        return tf.stack([[tf.cast(value, tf.float64)] for value in measured.values()])

    def _results(self, values: Any) -> list[Metrics]:
        """The metrics over all ranks: Keras' metrics are made of sums, which add up."""
        import tensorflow as tf

        if self._world.size == 1:
            return super()._results(values)
        variables = self._measures()
        totals = self._world.sum([tf.convert_to_tensor(v.value) for v in variables], "metrics")
        for variable, total in zip(variables, totals, strict=True):
            variable.assign(total)
        return [{name: float(value) for name, value in self._measured().items()}]


def counted_classes(data: Dataset) -> int:
    """Of how many classes a matrix of confusions is counted; 0 for none."""
    return data.num_classes if data.num_classes and data.num_classes <= MOST_CLASSES else 0


def make_metrics(model: keras.Model, data: Dataset) -> None:
    """Make the variables of the metrics, which Keras does when it sees the first sample.

    A graph in the drawing of which variables are made is drawn once more.
    """
    import tensorflow as tf

    x, y = (tf.nest.map_structure(lambda v: tf.constant(v[:1]), v) for v in (data.train.x, data.train.y))
    model.compute_metrics(x, y, model(x, training=False))


def confused(y: Any, y_pred: Any, classes: int) -> tf.Tensor | None:
    """For each sample the place in a matrix of confusions (true class, taken class), counted by rows.

    None unless the model has one output for each class, or a single one for two.
    """
    import tensorflow as tf

    if not classes or not tf.is_tensor(y_pred) or len(y_pred.shape) != 2:
        return None
    if y_pred.shape[-1] == 1:
        taken = tf.cast(y_pred[:, 0] > 0.5, tf.int32)
    elif y_pred.shape[-1] == classes:
        taken = tf.argmax(y_pred, axis=-1, output_type=tf.int32)
    else:
        return None
    if len(y.shape) == 2 and y.shape[-1] > 1:
        y = tf.argmax(y, axis=-1, output_type=tf.int32)
    return tf.cast(tf.reshape(y, (-1,)), tf.int32) * classes + taken


def _weights(model: keras.Model) -> list[Any]:
    """Everything that one rank could have otherwise than another: weights, slots, counters."""
    return [*model.weights, *model.optimizer.variables]


def _moving(model: keras.Model) -> list[Any]:
    """Batch normalisation's moving statistics: of each rank's samples until the end of an epoch."""
    return [v for v in model.non_trainable_variables if v.dtype.startswith(("float", "bfloat"))]


def digest(arrays: Sequence[Array]) -> str:
    """SHA-256 of arrays, to the last bit."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _take(values: Any, rows: tf.Tensor) -> Any:
    import tensorflow as tf

    return tf.nest.map_structure(lambda value: tf.gather(value, rows), values)


def _drop(layer: Any, inputs: Any, training: bool = False) -> Any:
    """What ``keras.layers.Dropout`` does, which wants its rate as a number."""
    import keras
    import tensorflow as tf

    if not training:
        return inputs
    shape = tf.shape(inputs)
    if layer.noise_shape is not None:
        shape = [shape[axis] if size is None else size for axis, size in enumerate(layer.noise_shape)]
    kept = keras.random.uniform(shape, dtype=inputs.dtype, seed=layer.seed_generator) >= layer.rate
    return inputs * tf.where(kept, 1 / (1 - layer.rate), 0)


def is_adam(optimizer: Any) -> bool:
    """Whether its steps are those of Keras' Adam, as AdamW's are."""
    import keras

    return type(optimizer).update_step is keras.optimizers.Adam.update_step and not optimizer.amsgrad


def adam_step(optimizer: Any, by_keras: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    """A step of Adam by TensorFlow's own kernel, which goes through memory once.

    Source: D. P. Kingma, J. Ba, Adam, ICLR 2015, section 2, the order of computation at its end, as
    both Keras' ``update_step`` and the kernel have it.
    """
    import tensorflow as tf

    is_dense = isinstance(gradient, tf.Tensor)
    if not is_dense or variable.dtype != gradient.dtype:
        by_keras(gradient, variable, learning_rate)
        return
    index, dtype = optimizer._get_variable_index(variable), variable.dtype
    beta_1, beta_2 = tf.cast(optimizer.beta_1, dtype), tf.cast(optimizer.beta_2, dtype)
    steps = tf.cast(optimizer.iterations + 1, dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].value.handle,
        v=optimizer._velocities[index].value.handle,
        beta1_power=tf.pow(beta_1, steps),
        beta2_power=tf.pow(beta_2, steps),
        lr=tf.cast(learning_rate, dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.cast(optimizer.epsilon, dtype),
        grad=gradient,
    )


def _state_of(model: keras.Model) -> list[Any]:
    """All variables that a training begins with: weights, random states, the optimizer's."""
    measured = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in measured]
    return [*own, *model.optimizer.variables]


def _after(done: int, steps: int, samples: int, batch_size: int) -> int:
    """How many samples are done so many steps later; each epoch's last batch may be smaller."""
    per_epoch = math.ceil(samples / batch_size)
    epochs, rest = divmod(done, samples)
    epochs, steps = divmod(epochs * per_epoch + rest // batch_size + steps, per_epoch)
    return epochs * samples + steps * batch_size


def first_line(error: Exception) -> str:
    """Of what it says."""
    return (str(error).strip().splitlines() or [""])[0]


def _count(values: Any) -> int:
    import tensorflow as tf

    return int(tf.nest.flatten(values)[0].shape[0])


def _length(values: Any) -> tf.Tensor:
    """How many samples there are, in a graph."""
    import tensorflow as tf

    return tf.shape(tf.nest.flatten(values)[0])[0]
