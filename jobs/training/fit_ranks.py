"""Keras' own ``fit`` on several ranks: each takes its share of every batch, and all take the same step.

Every rank has the same pipeline, and takes its rows of each batch. Its gradients count for its share of the
batch, and are summed, so that N ranks take the step of one where the loss is a mean over samples. What
metrics have summed up is summed over ranks before anybody looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.collectives.base import Compression
from hpc.jobs.training import keras_private
from hpc.jobs.training.fit_gather import rows_of_all
from hpc.jobs.training.fit_remarks import remarks
from hpc.jobs.training.fit_state import optimizers_of
from hpc.jobs.training.graph import seed_by_rank
from hpc.jobs.training.measures import unchanged
from hpc.jobs.training.optimizer import reduced
from hpc.jobs.training.parts import ALONE, adds_up, check_layers, whole_batch_metrics

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True)
class Share:
    """A rank's share of a batch, in a graph.

    Attributes:
        count: of its samples; with 0, it computes with one that counts for nothing.
        total: samples of the batch of all ranks; -1 where each rank has batches of its own.
    """

    count: Any
    total: Any

    def weight(self, size: int) -> tf.Tensor:
        """The share, from 0 to 1, among so many ranks."""
        import tensorflow as tf

        mine = tf.cast(self.count, tf.float64) / tf.cast(tf.maximum(self.total, 1), tf.float64)
        return tf.where(self.total < 0, tf.constant(1 / size, tf.float64), mine)


class Ranks:
    """One training by ``fit``, on one of several ranks.

    Args:
        model: that is trained.
        world: the ranks that train together.
        is_shard: whether each rank has samples of its own.
        compression: of gradients on their way.
        note: hears what a person should know.
    """

    def __init__(
        self,
        model: keras.Model,
        world: World,
        *,
        is_shard: bool,
        compression: Compression,
        note: Callable[[str], None],
    ) -> None:
        self._model = model
        self._world = world
        self._is_shard = is_shard
        self._compression = compression
        self._note = note
        self._share: Share | None = None
        self._last: Any = None
        self._gathers = False
        self._put: list[tuple[Any, str]] = []

    # The data

    def cut(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """A pipeline of this rank's rows of every batch, each with its share."""
        import tensorflow as tf

        is_tuple = isinstance(dataset.element_spec, tuple)
        rank, size = self._world.rank, self._world.size

        def mine(*given: Any) -> Any:
            element = given if is_tuple else given[0]
            total = _rows_of(tf.nest.flatten(element)[0])
            if self._is_shard:
                return element, {"count": total, "total": tf.constant(-1, tf.int64)}
            low, high = total * rank // size, total * (rank + 1) // size
            begin, end = tf.where(high > low, low, 0), tf.where(high > low, high, 1)
            cut = tf.nest.map_structure(lambda one: _rows(one, begin, end), element)
            return cut, {"count": high - low, "total": total}

        return dataset.map(mine).prefetch(tf.data.AUTOTUNE)

    # The model

    def prepare(self, sample: Any) -> None:
        """Build the model and its metrics, check that ranks can share its batches, and say what differs.

        Args:
            sample: a batch, as the pipeline gives it.

        Raises:
            ValueError: a layer, or a metric, can't be had so.
        """
        model, world = self._model, self._world
        with unchanged(model), suppress(Exception):  # a GAN, say, can't be measured; fit shows what is wrong
            model.test_step(sample)
        model.reset_metrics()
        check_layers(model, world.size, 1)
        compiled = keras_private.compiled_metrics(model)
        is_known = compiled is None or compiled.built
        self._gathers = not is_known or bool(whole_batch_metrics(model))
        self._check_metrics()
        for text in remarks(model, sample, world.size, is_shard=self._is_shard):
            self._note(text)
        if model.steps_per_execution > 1:
            model.steps_per_execution = 1
            self._note("steps_per_execution is 1 on several ranks, which meet in each step")
        if model.jit_compile:
            model.jit_compile = False
            self._note("jit_compile is off on several ranks: XLA has no kernels that sum over ranks")
        world.broadcast([v.value for v in model.weights])
        _seed_by_rank(model, world.rank)

    def _check_metrics(self) -> None:
        compiled = keras_private.compiled_metrics(self._model)
        known = {id(one) for one in (compiled.metrics if compiled else [])} | {id(compiled)}
        bad = [one for one in self._model.metrics if id(one) not in known and not adds_up(one)]
        if bad:
            raise ValueError(
                f"{type(self._model).__name__} keeps the metric {bad[0].name} by itself, and it can't be "
                f"known how those of {self._world.size} ranks make up that of all; hand it to "
                f"compile(metrics=…), or {ALONE}"
            )

    @contextmanager
    def installed(self) -> Iterator[None]:
        """While the model is trained and measured, its steps are those of one rank among several."""
        model = self._model
        model.train_function = model.test_function = None
        steps = [(name, getattr(model, name)) for name in ("train_step", "test_step")]
        try:
            for name, step in steps:
                self._replace(model, name, self._stepping(step))
            for optimizer in optimizers_of(model):
                self._replace(optimizer, "apply", self._applying(optimizer.apply))
            for metric in self._trackers():
                self._replace(metric, "update_state", self._tracking(metric.update_state))
            if self._gathers:
                self._replace(model, "compute_metrics", self._gathering(model.compute_metrics))
            results = keras_private.RESULTS
            self._replace(model, results, self._summing(getattr(model, results)))
            yield
        finally:
            for owner, name in reversed(self._put):
                object.__delattr__(owner, name)
            self._put.clear()
            model.train_function = model.test_function = None

    def _replace(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        object.__setattr__(owner, name, function)
        self._put.append((owner, name))

    def _stepping(self, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def with_share(data: Any) -> Any:
            import tensorflow as tf

            element, share = data
            self._share, self._last = Share(share["count"], share["total"]), None
            kept = [] if self._is_shard else self._untouched_by_nothing()
            before = [tf.identity(variable.value) for variable in kept]
            logs = step(element)
            for variable, value in zip(kept, before, strict=True):
                variable.assign(tf.where(share["count"] > 0, variable.value, value))
            return logs

        return with_share

    def _untouched_by_nothing(self) -> list[Any]:
        """What a rank that is left without samples must not change: what is measured, and statistics."""
        model = self._model
        return [*_moving(model), *model.metrics_variables]

    def _applying(self, apply: Callable[..., Any]) -> Callable[..., Any]:
        def summed(grads: Sequence[Any], trainable_variables: Any = None) -> Any:
            import tensorflow as tf

            assert self._share is not None
            weight = self._share.weight(self._world.size)
            mine = [None if one is None else _times(one, weight) for one in grads]
            total = [self._slices_of_all(one) if isinstance(one, tf.IndexedSlices) else one for one in mine]
            dense = [None if isinstance(one, tf.IndexedSlices) else one for one in total]
            with tf.control_dependencies(self._before()):
                sums = reduced(dense, self._world, self._compression)
            self._last = next((one for one in sums if one is not None), self._last)
            total = [one if its_sum is None else its_sum for one, its_sum in zip(total, sums, strict=True)]
            return apply(total, trainable_variables)

        return summed

    def _slices_of_all(self, mine: tf.IndexedSlices) -> tf.IndexedSlices:
        """The rows of an embedding's gradient, as one rank would have them.

        Keras' optimizers take a step for a row as often as it is there: the sum of a row's gradients, which
        dense ones hold, comes to another step.
        """
        import tensorflow as tf

        assert self._share is not None
        count = tf.where(self._share.count > 0, tf.shape(mine.indices, tf.int64)[0], 0)
        values, indices = rows_of_all(self._world, [mine.values, mine.indices], count, self._before())
        self._last = values
        return tf.IndexedSlices(values, indices, mine.dense_shape)

    def _before(self) -> list[Any]:
        """What must be over before ranks meet again: they have to meet in one order."""
        return [] if self._last is None else [self._last]

    def _trackers(self) -> list[Any]:
        """Means of a number for each batch, which then counts for its share."""
        import keras

        tracker = keras_private.loss_tracker(self._model)
        return [one for one in self._model.metrics if type(one) is keras.metrics.Mean and one is not tracker]

    def _tracking(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def with_weight(values: Any, sample_weight: Any = None) -> Any:
            import tensorflow as tf

            values = tf.convert_to_tensor(values)
            is_plain = sample_weight is None or isinstance(sample_weight, int)
            if values.shape.rank == 0 and is_plain and self._share is not None:
                share = tf.cast(self._share.weight(self._world.size), tf.float32)
                sample_weight = share * float(sample_weight or 1)
            return update(values, sample_weight=sample_weight)

        return with_weight

    def _gathering(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def of_all(x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            import tensorflow as tf

            given = {"y": y, "p": y_pred, "w": sample_weight}
            found = tf.nest.pack_sequence_as(given, self._gathered(tf.nest.flatten(given)))
            return compute(x, found["y"], found["p"], found["w"])

        return of_all

    def _gathered(self, values: Sequence[Any]) -> list[Any]:
        """The rows of all ranks, in the order of the ranks, with their masks."""
        import tensorflow as tf

        assert self._share is not None
        if any(isinstance(one, (tf.RaggedTensor, tf.SparseTensor)) for one in values):
            raise ValueError(f"a metric has to see whole batches, and these are ragged or sparse; {ALONE}")
        places = [place for place, one in enumerate(values) if one is not None]
        masks = {place: keras_private.mask_of(values[place]) for place in places}
        masks = {place: mask for place, mask in masks.items() if mask is not None}
        sent = [*(tf.convert_to_tensor(values[place]) for place in places), *masks.values()]
        totals = rows_of_all(self._world, sent, self._share.count, self._before())
        self._last = totals[0]
        found: list[Any] = list(values)
        for place, one in zip(places, totals, strict=False):
            found[place] = one
        for place, one in zip(masks, totals[len(places) :], strict=True):
            keras_private.put_mask(found[place], one)
        return found

    def _summing(self, results: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def of_all(logs: Any) -> Any:
            self._average(_moving(self._model))
            self._sum_metrics()
            found = results(logs)
            return self._averaged(found) if found is logs and isinstance(logs, dict) else found

        return of_all

    def _sum_metrics(self) -> None:
        compiled = keras_private.compiled_metrics(self._model)
        whole = {id(v) for v in compiled.variables} if self._gathers and compiled is not None else set()
        variables = [v for v in self._model.metrics_variables if id(v) not in whole]
        totals = self._world.sum([v.value for v in _as_tensors(variables)], "metrics") if variables else []
        for variable, total in zip(variables, totals, strict=True):
            variable.assign(total)

    def _average(self, variables: Sequence[Any]) -> None:
        totals = (
            self._world.sum([one.value for one in _as_tensors(variables)], "statistics") if variables else []
        )
        for variable, total in zip(variables, totals, strict=True):
            variable.assign(total / self._world.size)

    def _averaged(self, logs: dict[str, Any]) -> dict[str, Any]:
        """What a step of the user's returned, and no metric keeps: the mean over ranks."""
        import tensorflow as tf

        names = [name for name, value in logs.items() if tf.is_tensor(value) and value.dtype.is_floating]
        totals = self._world.sum([logs[name] for name in names], "logs") if names else []
        return {**logs, **{name: one / self._world.size for name, one in zip(names, totals, strict=True)}}


def _times(gradient: Any, weight: tf.Tensor) -> Any:
    import tensorflow as tf

    if isinstance(gradient, tf.IndexedSlices):
        values = gradient.values * tf.cast(weight, gradient.values.dtype)
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    gradient = tf.convert_to_tensor(gradient)
    return gradient * tf.cast(weight, gradient.dtype)


@dataclass(frozen=True)
class _Value:
    value: Any


def _as_tensors(variables: Sequence[Any]) -> list[_Value]:
    import tensorflow as tf

    return [_Value(tf.convert_to_tensor(one.value)) for one in variables]


def _moving(model: keras.Model) -> list[Any]:
    """Statistics that are of each rank's samples until the end of an epoch."""
    return [v for v in model.non_trainable_variables if v.dtype.startswith(("float", "bfloat"))]


def _rows_of(value: Any) -> tf.Tensor:
    """The number of rows of a batch."""
    import tensorflow as tf

    if isinstance(value, tf.RaggedTensor):
        return tf.cast(value.nrows(), tf.int64)
    if isinstance(value, tf.SparseTensor):
        return value.dense_shape[0]
    return tf.cast(tf.shape(value)[0], tf.int64)


def _rows(value: Any, begin: tf.Tensor, end: tf.Tensor) -> Any:
    import tensorflow as tf

    if isinstance(value, tf.SparseTensor):
        rest = value.dense_shape[1:]
        return tf.sparse.slice(
            value, tf.concat([[begin], tf.zeros_like(rest)], 0), tf.concat([[end - begin], rest], 0)
        )
    return value if value.shape.rank == 0 else value[begin:end]


def _seed_by_rank(model: keras.Model, rank: int) -> None:
    """Give each rank random numbers of its own, or all would drop the same units."""
    import tensorflow as tf

    seed_by_rank(model, rank)
    generator = keras_private.global_seed_generator()
    if generator is not None and rank:
        state = np.array(generator.state)
        state[0] ^= np.asarray(rank * 0x9E3779B1 & 0xFFFFFFFF).astype(state.dtype)
        generator.state.assign(state)
    if rank:
        tf.random.set_seed(rank)
