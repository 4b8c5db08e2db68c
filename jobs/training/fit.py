"""Keras' own ``model.fit``, called as its user would, with what makes a trial of it.

With one rank, its history and its weights are those of the user's own ``fit`` to the last bit: nothing is
put in its way but a callback, the last of all, which hears of epochs and keeps states.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.callbacks import FILES
from hpc.jobs.collectives import World
from hpc.jobs.data import FitData
from hpc.jobs.training import plain_state
from hpc.jobs.training.base import (
    BoundaryRequest,
    Epoch,
    Guarantees,
    Lane,
    Trained,
    Training,
    TrainingBackend,
)
from hpc.jobs.training.checkpoint import Position
from hpc.jobs.training.fit_feeds import Cut, Feeds, check_equal_steps, feeds_of, first_batch, measured_again
from hpc.jobs.training.fit_ranks import Ranks
from hpc.jobs.training.fit_state import Keeper, optimizers_of, shared_variables
from hpc.jobs.training.fit_watch import Watcher, numbers
from hpc.jobs.training.graph import end_equal
from hpc.jobs.training.graphs import Graphs
from hpc.jobs.training.samples import digest

if TYPE_CHECKING:
    import keras


class FitBackend(TrainingBackend):
    """Keras' own ``fit``.

    Args:
        world: the ranks that train together.
        graphs: of other trainings, which are told that there is something to clear away.
        note: hears what a person should know, each once.
    """

    name = "fit"
    guarantees = Guarantees(equal_ranks=False, exact_resume=False, mid_epoch=False)

    def __init__(self, world: World, graphs: Graphs, note: Callable[[str], None] = lambda text: None) -> None:
        self._world = world
        self._graphs = graphs
        self._hears = note
        self._said: set[str] = set()

    def accepts(self, training: Training) -> str:
        """Why it can't train that: it is no Keras model, or the sweep asks for what ``fit`` does not do."""
        import keras

        if not isinstance(training.model, keras.Model):
            return f"{type(training.model).__name__} is no model of Keras"
        if training.backend == "graph":
            return "the sweep says backend: graph"
        if training.options.accumulate_steps > 1:
            return "accumulate_steps: an optimizer with gradient_accumulation_steps does so under fit"
        return ""

    def train(
        self,
        lanes: Sequence[Lane],
        training: Training,
        request: Callable[[Position], BoundaryRequest] = lambda position: BoundaryRequest(),
        stride: int | None = None,
    ) -> list[Trained | None]:
        """Train one model; see :class:`TrainingBackend`."""
        (lane,) = lanes
        try:
            return [_Fit(lane, training, self._world, request, stride, self._note).carry_out()]
        finally:
            self._graphs.clear_next()

    def _note(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._hears(text)


class _Fit:
    """One call of ``fit``."""

    def __init__(
        self,
        lane: Lane,
        training: Training,
        world: World,
        request: Callable[[Position], BoundaryRequest],
        stride: int | None,
        note: Callable[[str], None],
    ) -> None:
        self._lane = lane
        self._model: keras.Model = lane.model
        self._training = training
        self._world = world
        self._request = request
        self._stride = stride
        self._note = note

    def carry_out(self) -> Trained | None:
        world, training = self._world, self._training
        if world.size == 1:
            return self._carry_out(None)
        ranks = Ranks(
            self._model, world, is_shard=isinstance(training.data, FitData) and training.data.is_shard,
            compression=training.options.compression, note=self._note,
        )  # fmt: skip
        return self._carry_out(ranks)

    def _carry_out(self, ranks: Ranks | None) -> Trained | None:
        lane, training = self._lane, self._training
        finished = lane.begin.position.epochs if lane.begin is not None else 0
        feeds = feeds_of(training, self._world, None if ranks is None else ranks.cut, finished)
        callbacks = training.callbacks() if training.callbacks is not None else []
        callbacks = [one for one in callbacks if self._has_its_place(one)]
        keeper = Keeper(self._model, callbacks, feeds.sources, feeds.iterations, self._world)
        self._note_resuming(feeds, callbacks)
        watcher = self._watcher(feeds, keeper)
        if ranks is not None:
            if isinstance(training.data, FitData) and training.data.is_shard:
                check_equal_steps(training, self._world)
            ranks.prepare(first_batch(training))
        if lane.begin is not None:
            self._go_on(feeds, keeper, callbacks)
        with nullcontext() if ranks is None else ranks.installed():
            if training.options.epochs == 0:
                return self._measured_only(feeds, None if ranks is None else ranks.cut)
            return self._fitted(feeds, watcher, callbacks, finished)

    def _fitted(self, feeds: Feeds, watcher: Watcher, callbacks: list[Any], finished: int) -> Trained | None:
        start = time.perf_counter()
        try:
            self._model.fit(
                **feeds.train, epochs=self._training.options.epochs, verbose=0, initial_epoch=finished,
                callbacks=[*callbacks, watcher.as_callback()],
            )  # fmt: skip
        except BaseException:
            _close(callbacks)
            raise
        if watcher.pruned is not None:
            raise watcher.pruned
        if self._lane.failure is not None:
            return None
        return self._trained(feeds, watcher, time.perf_counter() - start)

    def _has_its_place(self, callback: Any) -> bool:
        """Whether a callback is called on this rank: what writes files does so once."""
        name = type(callback).__name__
        if name == "BackupAndRestore":
            self._note("BackupAndRestore is left out: a trial goes on from its own checkpoint")
            return False
        return self._world.rank == 0 or name not in FILES

    def _note_resuming(self, feeds: Feeds, callbacks: Sequence[Any]) -> None:
        """Say how exactly a trial that is stopped goes on."""
        if self._training.options.epochs < 2:
            return
        kept = [one for one in callbacks if type(one).__name__ not in FILES]
        lost = {type(one).__name__: plain_state.lost(one) for one in [*feeds.sources, *kept]}
        why = [f"{name} begins anew with its {', '.join(names)}" for name, names in lost.items() if names]
        why += [feeds.inexact] if feeds.inexact else []
        exact = f"though not to the last bit: {'; '.join(why)}" if why else "to the last bit"
        self._note(f"a trial that is stopped goes on from its last whole epoch, {exact}")

    def _watcher(self, feeds: Feeds, keeper: Keeper) -> Watcher:
        chosen, part = self._training.options, feeds.parts.get("validation")
        return Watcher(
            self._lane, self._model, self._world, keeper, chosen.epochs,
            chosen.global_batch(self._training.samples), self._request, self._stride,
            None if part is None else lambda: self._evaluate(part),
        )  # fmt: skip

    def _go_on(self, feeds: Feeds, keeper: Keeper, callbacks: Sequence[Any]) -> None:
        """Take up a state."""
        state = self._lane.begin
        assert state is not None
        self._make_variables()
        keeper.put_variables(state)
        if not feeds.inexact:
            for pipeline, times in zip(feeds.pipelines, keeper.iterations(state), strict=True):
                pipeline.begin_again(times)
        for one in callbacks:
            if type(one).__name__ == "CSVLogger":
                one.append = True

    def _make_variables(self) -> None:
        """Have all variables there that a state may hold: by a step, where the user's code makes them."""
        import tensorflow as tf

        model = self._model
        optimizers = optimizers_of(model)
        if model.built and len(optimizers) == 1:
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            return
        if model.built and all(one.built for one in optimizers):
            return
        model.make_train_function(force=True)
        model.train_function(iter(tf.data.Dataset.from_tensors(first_batch(self._training))))
        model.train_function = None

    def _evaluate(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._model.evaluate(**given, verbose=0, return_dict=True)
        return found

    def _trained(self, feeds: Feeds, watcher: Watcher, seconds: float) -> Trained:
        metrics = dict(watcher.metrics)
        if watcher.best is not None:
            for variable, value in zip(self._model.weights, watcher.best.weights, strict=True):
                variable.assign(value)
            metrics = dict(watcher.best.metrics)
        weights = self._digest()
        if "test" in feeds.parts:
            test = numbers(self._evaluate(feeds.parts["test"]))
            metrics |= {f"test_{name}": value for name, value in test.items()}
        traced = watcher.first_seconds
        return Trained(metrics, {}, max(0.0, seconds - traced), traced, lambda: self._model, weights)

    def _measured_only(self, feeds: Feeds, cut: Cut | None) -> Trained:
        """Measure the model as it begins."""
        start = time.perf_counter()
        metrics = numbers(self._evaluate(measured_again(self._training, self._world, cut)))
        if "validation" in feeds.parts:
            found = numbers(self._evaluate(feeds.parts["validation"]))
            metrics |= {f"val_{name}": value for name, value in found.items()}
        seconds = time.perf_counter() - start
        self._lane.on_epoch(Epoch(0, metrics, seconds))
        weights = self._digest()
        return Trained(metrics, {}, seconds, 0.0, lambda: self._model, weights)

    def _digest(self) -> str:
        """Digest of the weights and the optimizers' variables, the same on all ranks."""
        mine = digest([np.asarray(variable) for variable in shared_variables(self._model)])
        end_equal(mine, self._world)
        return mine


def _close(callbacks: Sequence[Any]) -> None:
    """Have callbacks that write files close them, where ``fit`` has not come to its end."""
    for one in callbacks:
        if type(one).__name__ in FILES:
            with suppress(Exception):  # the error that has ended fit is the one to tell
                one.on_train_end()
