"""One try of a trial: what it is trained with, and what has come of it so far."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hpc.jobs.calling import TrialBuilder
from hpc.jobs.context import WorkerContext
from hpc.jobs.options import Options
from hpc.jobs.resuming import forget, identity_of, state_of
from hpc.jobs.spec import Task
from hpc.jobs.training import Checkpoints, PackError, Plan, State, an_error, is_estimator, needs_fit, plan
from hpc.jobs.training.base import (
    NO_DATA,
    DivergedError,
    Epoch,
    EpochDecision,
    Lane,
    Pruned,
    Trained,
    Training,
)
from hpc.sweeps import SIZES
from hpc.sweeps.text import format_error, message_of


class Attempt:
    """One try of a trial.

    Args:
        context: of its worker.
        builder: of the worker.
        task: the trial, and the number of the try.

    Attributes:
        training: what it is trained with, once that is there.
        plan: of its model, once that is asked for.
        is_over: whether it is recorded how it ended.
    """

    def __init__(self, context: WorkerContext, builder: TrialBuilder, task: Task) -> None:
        self.trial = task.trial
        self.task = task
        self.training: Training | None = None
        self.plan: Plan | None = None
        self.is_over = False
        self._lane: Lane | None = None
        self._lanes = 0
        self._is_borrowed = False
        self._context = context
        self._builder = builder
        self._who = {"trial": self.trial.trial_id, "attempt": task.attempt}
        self._progress = TrialProgress(context.sweep.objective.mode)
        self._state = state_of(context, self.trial)
        if self._state is not None:
            self._progress.restore(self._state.metadata)
        self._start = 0.0
        self._joules: float | None = None
        self._times: dict[str, float] = {}

    @property
    def failure(self) -> DivergedError | None:
        """Why it has ended in the middle of a pack, if it has."""
        return self._lane.failure if self._lane else None

    @property
    def has_begun(self) -> bool:
        """Whether that is recorded."""
        return self._lanes > 0

    @property
    def merit(self) -> tuple[float, int]:
        """The merit by the objective, more is better; of equals the first of the sweep."""
        best = self._progress.best
        value = -math.inf if best is None else best if self._progress.mode == "max" else -best
        return value, -self.trial.index

    @property
    def _what(self) -> str:
        """What trains, for messages."""
        return f"this {self._context.sweep.kind}"

    # What it is trained with

    def build(self, *, as_lane: bool = False) -> Training:
        """Build the model, and make the data ready.

        A lane may do with the model of another that has the same weights, which is built but once.
        """
        if self._is_borrowed and not as_lane:
            self.unbuild()
        if self.training is None and as_lane:
            self.training, self.plan, self._is_borrowed = self._builder.lane(self.trial)
        elif self.training is None:
            self.training = self._builder.training(self.trial, self.task.attempt)
        return self.training

    @property
    def _built(self) -> Training:
        assert self.training is not None
        return self.training

    def unbuild(self) -> None:
        """Have the model built anew when it is trained."""
        self.training = self.plan = None
        self._is_borrowed = False

    def shapes(self) -> Any:
        """The key that attempts of one pack have in common.

        Raises:
            PackError: it can be of none.
        """
        training, state = self._built, self._state
        if is_estimator(training.model) or (state is not None and len(state.own) != 1):
            raise PackError("an estimator, or begun by several ranks")
        if needs_fit(training):
            raise PackError("Keras' own fit trains it")
        if training.options.accumulate_steps > 1:
            raise PackError("its batches are taken in parts")
        if training.options.patience is not None or training.options.restore_best_weights:
            raise PackError("it goes by its own curve (patience, restore_best_weights)")
        if self.plan is None:
            self.plan = plan(training.model)
        return self.plan.shapes, state.position if state else None

    def as_lane(self) -> Lane:
        """The attempt as a lane, for a backend to train."""
        self._lane = Lane(
            self._built.model, self.trial.seed, self._on_epoch, self._state,
            self._save, plan=self.plan, by_sample=not self._builder.is_users_code(self.trial),
            attempt=self.task.attempt, note=self._context.note,
        )  # fmt: skip
        return self._lane

    # How it goes

    def begin(self, lanes: int = 1) -> None:
        """Record that it begins, as one of so many that are trained at once."""
        if self._lanes == lanes:
            return
        context = self._context
        if not self.has_begun:
            self._start = time.perf_counter() - self._progress.seconds
            self._joules = context.joules()
        self._lanes = lanes
        further: dict[str, Any] = {"lanes": lanes} if lanes > 1 else {}
        if self._state:
            further["after"] = self._progress.entries()
        context.record(
            "started", **{**self.trial.to_record(), **self._who}, ranks=context.world.size,
            job=context.spec.job_id, node=context.world.node, code=context.code, **further,
        )  # fmt: skip

    def _seconds(self) -> float:
        return round(time.perf_counter() - self._start, 3)

    def _on_epoch(self, epoch: Epoch) -> EpochDecision:
        context, metrics = self._context, epoch.metrics
        context.record(
            "epoch", **self._who, epoch=epoch.number, metrics=metrics, seconds=self._seconds(), **epoch.times
        )
        for name, value in epoch.times.items():
            self._times[name] = self._times.get(name, 0) + value
        for name in (one.metric for one in context.sweep.objectives):
            if name not in metrics and name not in SIZES:
                there = ", ".join(metrics) or "nothing"
                raise ValueError(f"the objective is {name}, but what {self._what} records is {there}")
        value = metrics[context.sweep.objective.metric]
        chosen = self.training.options if self.training is not None else Options()
        is_best = self._progress.add(epoch, value, chosen.min_delta)
        is_number = math.isfinite(value) and math.isfinite(metrics.get("loss", 0.0))
        why = context.source.report(self.trial, value, epoch.number) if is_number else ""
        if why:
            raise Pruned(why)
        is_enough = chosen.patience is not None and self._progress.waited >= chosen.patience
        return EpochDecision(is_enough, is_best and chosen.restore_best_weights)

    def _save(self, state: State) -> None:
        context = self._context
        metadata = {
            **self._progress.entries(), "attempt": self.task.attempt, "seconds": self._seconds(),
            **identity_of(context, self.trial),
        }  # fmt: skip
        try:
            Checkpoints(context.folder).save(self.trial.trial_id, replace(state, metadata=metadata))
        except Exception as error:  # a full disk, no memory: the one before is still there
            context.note(f"no checkpoint of {self.trial.trial_id}: {format_error(error)}")
            return
        at = state.position
        context.record("checkpoint", **self._who, epoch=at.epochs, samples=at.samples)

    # How it ends

    def diverged(self, trained: Trained | None) -> DivergedError | None:
        """Why nothing has come of a training that is over; None if an objective says how good it is."""
        sweep, progress = self._context.sweep, self._progress
        if trained is None:
            return self.failure
        if progress.best is None:
            metric, number = sweep.objective.metric, progress.epochs
            when = f"epoch {number}" if number else "the fit" if sweep.kind == "model" else "all"
            last = f"{progress.metrics.get(metric, math.nan)} after {when}"
            never = f"was not a finite number in any of the {number} epochs: it is " if number > 1 else "is "
            return DivergedError(f"the objective {metric} {never}{last}")
        for name in (one.metric for one in sweep.objectives if sweep.further_objectives):
            if not math.isfinite(trained.metrics.get(name, 0.0)):  # of several the last values count
                return DivergedError(f"the objective {name} is {trained.metrics[name]} at the end")
        return None

    def finish(self, trained: Trained) -> None:
        """Record what it has come to, and keep its model if that is wanted."""
        self.is_over = True
        context, progress = self._context, self._progress
        progress.end(trained.metrics.get(context.sweep.objective.metric))
        self._keep(trained)
        context.record(
            "finished", **self._who, epochs=progress.epochs, metrics=trained.metrics, best=progress.best,
            seconds=self._seconds(), weights=trained.weights, confusion=trained.confusion,
            training_seconds=round(trained.training_seconds, 3),
            drawing_seconds=round(trained.tracing_seconds, 3), **self._size(), **self._spent(),
            **self._searched(),
        )  # fmt: skip
        self._tell("finished")
        forget(context, self.trial)

    def _keep(self, trained: Trained) -> None:
        context, best = self._context, self._progress.best
        if context.world.rank or not trained.weights or not context.models.wants(self.trial, best):
            return
        try:
            context.models.save(self.trial, trained.model, best, self._built.scaling)
        except BaseException as raised:  # a class of the user's that Keras can't write, or a full disk
            context.note(f"the model of {self.trial.trial_id} is not kept: {message_of(an_error(raised))}")

    def prune(self, why: str) -> None:
        """Record that it was ended since others are better, or since the budget is spent."""
        self.is_over = True
        progress = self._progress
        self._context.record(
            "pruned", **self._who, epochs=progress.epochs, metrics=progress.metrics, best=progress.best,
            seconds=self._seconds(), why=why, **self._spent(), **self._searched(),
        )  # fmt: skip
        self._tell("pruned")
        forget(self._context, self.trial)

    def broken_constraint(self) -> str:
        """The limit on its number of weights that it does not keep; empty if it keeps all."""
        sweep = self._context.sweep
        return (
            sweep.allows(self.trial.params, parameters=self._size()["parameters"])
            if sweep.limits_parameters
            else ""
        )

    def skip(self, broken: str) -> None:
        """Leave it out; of a search that does not learn it is a trial nevertheless, and is pruned."""
        self.is_over = True
        context = self._context
        context.note(f"a setting with {self._size()['parameters']} parameters is left out: not {broken}")
        if not context.sweep.is_adaptive or self.trial.stage:
            self.begin()
            context.record(
                "pruned", **self._who, epochs=0, metrics={}, best=None, seconds=0.0, why=f"not {broken}"
            )
        self._tell("skipped")

    def fail(self, reason: str, error: str) -> None:
        """Record why it has failed."""
        self.is_over = True
        self._context.record("failed", **self._who, reason=reason, error=error, seconds=self._seconds())
        self._tell("diverged" if reason == "diverged" else "failed")
        if reason == "diverged":
            forget(self._context, self.trial)

    def stop(self, why: str, **further: Any) -> None:
        """Record that it was stopped, to go on later; or, in a pack, that it had failed before."""
        self.is_over = True
        if not self.has_begun:
            self._tell("stopped")
        elif self.failure is not None:
            self.fail("diverged", str(self.failure))
        else:
            self._context.record("stopped", **self._who, why=why, seconds=self._seconds(), **further)
            self._tell("stopped")

    def _tell(self, state: str) -> None:
        sizes = {"seconds": self._seconds()}
        if self.training is not None and self.training.data is not NO_DATA:
            sizes["parameters"] = self._size()["parameters"]
        progress = self._progress
        self._context.source.tell(self.trial, state, {**progress.metrics, **sizes}, progress.best)

    def _searched(self) -> dict[str, float]:
        """The seconds that the search has taken for it so far."""
        context = self._context
        return {"searching_seconds": round(context.source.seconds, 6)} if context.sweep.uses_ask_tell else {}

    def _size(self) -> dict[str, int]:
        """The sizes of the training: samples, the batch, the model."""
        training, world = self._built, self._context.world
        if training.data is NO_DATA:
            return {"nodes": self._context.nodes}
        import tensorflow as tf

        samples, chosen = training.samples, training.options
        variables = [] if is_estimator(training.model) else training.model.trainable_variables
        numbers = [math.prod(variable.shape) for variable in variables]
        rounded = chosen.compression == "fp16" and world.reduces_by != "memory"
        sizes = [2 if rounded else tf.as_dtype(variable.dtype).size for variable in variables]
        known = (
            {"samples": samples, "batch_size": min(chosen.global_batch(samples), samples)} if samples else {}
        )
        return {
            **known,
            "parameters": sum(numbers),
            "gradient_bytes": sum(number * size for number, size in zip(numbers, sizes, strict=True)),
            "nodes": self._context.nodes,
        }

    def _spent(self) -> dict[str, Any]:
        """Energy, and what its steps have waited for, if that was measured."""
        joules = self._context.joules()
        if joules is not None and self._joules is not None:
            joules = round((joules - self._joules) / max(1, self._lanes), 3)
        times = {name: round(value, 6) for name, value in self._times.items()}
        return {"energy_joules": joules, **times, **self._context.measured()}


@dataclass
class TrialProgress:
    """The progress of a trial, over all attempts that continue each other."""

    mode: str
    epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None
    attempt: int = 0
    seconds: float = 0.0
    waited: int = 0
    mark: float | None = None

    def add(self, epoch: Epoch, value: float, min_delta: float = 0.0) -> bool:
        """Take in an epoch; whether it is the best so far.

        ``waited`` counts the epochs since one that was better by more than ``min_delta``, as that of
        Keras' EarlyStopping does.
        """
        self.waited += epoch.number - self.epochs
        self.epochs, self.metrics = epoch.number, epoch.metrics
        if not math.isfinite(value):
            return False
        sign = -1 if self.mode == "min" else 1
        if self.mark is None or sign * (value - self.mark) > min_delta:
            self.mark, self.waited = value, 0
        is_best = self.best is None or sign * (value - self.best) > 0
        self.best = value if is_best else self.best
        return is_best

    def end(self, value: float | None) -> None:
        """Take in the value at the end, which a function may tell after its last step."""
        if value is not None and math.isfinite(value) and self.best is not None:
            self.best = (min if self.mode == "min" else max)(self.best, value)

    def entries(self) -> dict[str, Any]:
        """As records and checkpoints have it."""
        return {"attempt": self.attempt, "epoch": self.epochs, "metrics": self.metrics, "best": self.best,
                "waited": self.waited, "mark": self.mark}  # fmt: skip

    def restore(self, entries: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint has."""
        self.attempt, self.epochs, self.seconds = entries["attempt"], entries["epoch"], entries["seconds"]
        self.metrics, self.best = entries["metrics"], entries["best"]
        self.waited, self.mark = entries.get("waited", 0), entries.get("mark")
