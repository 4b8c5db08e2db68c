"""Training the trials of a worker, one by one or several at once, and recording how they end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hpc.jobs.attempt import Attempt
from hpc.jobs.calling import TrialBuilder
from hpc.jobs.collectives import LEFT
from hpc.jobs.context import WorkerContext
from hpc.jobs.profiling import profiled
from hpc.jobs.spec import Task
from hpc.jobs.training import (
    Fault,
    Graphs,
    LeavingError,
    Position,
    ProgramError,
    an_error,
    check_measures,
    packing,
    plan,
)
from hpc.jobs.training.base import NO_DATA, BoundaryRequest, DivergedError, Pruned, Stopped, Trained, Training
from hpc.jobs.training.registry import backend_of, backends
from hpc.results import format_traceback
from hpc.sweeps.text import format_error, headline, message_of

UNKNOWN_SAMPLES = 10**12
"""Those of an epoch of data that give batches, for faults: more than there are."""


class Trainer:
    """Trains the trials of one worker.

    Args:
        context: of the worker.
        builder: likewise.
        graphs: that trials share.
    """

    def __init__(self, context: WorkerContext, builder: TrialBuilder, graphs: Graphs) -> None:
        self._context = context
        self._builder = builder
        self._graphs = graphs
        self._backends = backends(context.world, graphs, context.note)
        self._said: set[str] = set()

    def train(self, tasks: Sequence[Task]) -> int:
        """Train trials and record how they ended; a trial's failure is not the worker's.

        Args:
            tasks: those of equal shapes are trained together, where that pays.

        Returns:
            How many were finished.

        Raises:
            Stopped: on all ranks, if any of them is to stop.
        """
        return sum(self._train(attempts) for attempts in self._portions(tasks))

    def close(self) -> None:
        """Let go of what the backends hold; nothing more is trained."""
        for backend in self._backends.values():
            backend.close()

    # Which trials go together

    def _portions(self, tasks: Sequence[Task]) -> Iterator[list[Attempt]]:
        """The trials, those together that are to be trained at once."""
        context = self._context
        by_themselves = context.spec.inject_fault or context.spec.measure or context.sweep.uses_ask_tell
        by_themselves = by_themselves or not self._builder.packs
        if context.sweep.pack == "off" or context.world.size > 1 or by_themselves:
            yield from ([self._attempt(task)] for task in tasks)
            return
        for places in packing.buckets([task.trial for task in tasks]):
            yield from ([self._attempt(tasks[place])] for place in places if tasks[place].unpacked)
            together = [tasks[place] for place in places if not tasks[place].unpacked]
            if not together:
                continue
            first = self._attempt(together[0])
            for part in packing.portions(together, self._lanes(first, together)):
                yield [first if task is together[0] else self._attempt(task) for task in part]

    def _attempt(self, task: Task) -> Attempt:
        mine = replace(task, trial=self._context.sweep.recognize(task.trial))
        return Attempt(self._context, self._builder, mine)

    def _lanes(self, first: Attempt, tasks: Sequence[Task]) -> int:
        """Choose how many trials of a bucket to train at once."""
        if len(tasks) == 1:
            return 1
        self._context.require_no_stop()
        first.begin(len(tasks))
        try:
            training = first.build()
            first.shapes()
            check_measures(training.model, training.arrays)
            choice = self._choose(first, tasks)
        except BaseException as raised:  # what is wrong with it shows when it is trained
            choice = packing.Choice(1, format_error(an_error(raised)))
        self._context.record("pack", lanes=choice.lanes, trials=len(tasks), why=choice.why)
        return choice.lanes

    def _choose(self, first: Attempt, tasks: Sequence[Task]) -> packing.Choice:
        training, its_plan, pack = first.build(), first.plan, self._context.sweep.pack
        assert its_plan is not None
        if isinstance(pack, int):
            return packing.Choice(min(pack, len(tasks)), "the sweep says so")
        data, chosen, world = training.arrays, training.options, self._context.world
        samples = len(data.train)
        seeds = {task.trial.seed for task in tasks} if chosen.shuffle else set()
        batch_size = min(chosen.global_batch(samples), samples)

        def probe(lanes: int) -> tuple[float, float]:
            trials = [task.trial for task in tasks[:lanes]]
            plans = [its_plan, *(plan(self._builder.training(trial).model) for trial in trials[1:])]
            alike = [place for place, one in enumerate(plans) if one.shapes == its_plan.shapes]
            training.model.optimizer.build(training.model.trainable_variables)
            orders = [trials[place].seed for place in alike] if chosen.shuffle else []
            together = self._graphs.pack([plans[place] for place in alike], orders, data, world)
            unpacked = self._graphs.of(training.model, data, world)
            unpacked_seconds, together_seconds = (
                packing.step_seconds(loop, self._graphs, data, batch_size, 0.3)
                for loop in (unpacked, together)
            )
            return unpacked_seconds, together_seconds

        steps = chosen.steps(samples) * chosen.epochs
        return packing.choose(its_plan, len(tasks), steps, batch_size, probe, orders=max(1, len(seeds)))

    # How they are trained

    def _train(self, attempts: Sequence[Attempt]) -> int:
        try:
            self._context.require_no_stop()
            return self._train_one(attempts[0]) if len(attempts) == 1 else self._train_groups(attempts)
        except Stopped:
            why = self._context.why_stopped()
            for attempt in attempts:
                if not attempt.is_over:
                    attempt.stop(why)
            raise Stopped(why) from None

    def _train_groups(self, attempts: Sequence[Attempt]) -> int:
        groups: dict[Any, list[Attempt]] = {}
        for attempt in attempts:
            attempt.begin(len(attempts))
            try:
                attempt.build(as_lane=True)
                groups.setdefault(attempt.shapes(), []).append(attempt)
            except BaseException as raised:  # what is wrong with it shows when it is trained by itself
                an_error(raised)
                groups[attempt.trial.trial_id] = [attempt]
        finished = 0
        for group in groups.values():
            if len(group) > 1:
                finished += self._train_pack(group)
            else:
                group[0].unbuild()  # others were built since, with other random numbers
                finished += self._train_one(group[0])
        return finished

    def _train_one(self, attempt: Attempt) -> int:
        context = self._context
        if not context.sweep.limits_parameters:  # else one that is too large is no trial
            attempt.begin()
        failure, trained = None, None
        try:
            attempt.build()
            broken = attempt.broken_constraint()
            if broken:
                attempt.skip(broken)
                return 0
            attempt.begin()
            (trained,) = self._run([attempt])
            diverged = attempt.diverged(trained)
            if diverged is not None:
                raise diverged
        except Stopped:
            raise
        except Pruned as pruned:
            attempt.prune(str(pruned))
            return 1
        except BaseException as raised:
            failure = {"rank": context.world.rank, **_failure(an_error(raised))}
            attempt.begin()
        failures = self._failures(failure)
        if not failures and trained is not None:
            attempt.finish(trained)
            return 1
        cause = min(failures, key=lambda other: (other["follows"], other["rank"]))
        why = cause["error"] if context.world.size == 1 else f"rank {cause['rank']}: {cause['error']}"
        attempt.fail(cause["reason"], why)
        return 0

    def _train_pack(self, attempts: Sequence[Attempt]) -> int:
        for attempt in attempts:
            attempt.begin(len(attempts))
        trained, message = None, ""
        try:
            trained = self._run(attempts)
        except Stopped:
            raise
        except BaseException as raised:  # its traceback holds the pack: nothing is trained before it is gone
            message = f"{len(attempts)} trials at once: {format_error(an_error(raised))}"
        if trained is None:
            self._graphs.forget()
            self._context.note(f"{message}; each is trained by itself instead")
            for attempt in attempts:
                attempt.stop(message, alone=True)
            left = [attempt.task for attempt in attempts if attempt.failure is None]
            again = [replace(task, attempt=task.attempt + 1, unpacked=True) for task in left]
            return sum(self._train([self._attempt(task)]) for task in again)
        failures = [attempt.diverged(one) for attempt, one in zip(attempts, trained, strict=True)]
        ended = zip(attempts, trained, failures, strict=True)
        finished = [(attempt, one) for attempt, one, why in ended if one is not None and why is None]
        for attempt, one in sorted(finished, key=lambda pair: pair[0].merit, reverse=True):
            attempt.finish(one)  # the best first: of all the others no model is written
        for attempt, why in zip(attempts, failures, strict=True):
            if why is not None:
                attempt.fail("diverged", str(why))
        return len(finished)

    def _run(self, attempts: Sequence[Attempt]) -> list[Trained | None]:
        """Train what is built."""
        context, training = self._context, attempts[0].training
        assert training is not None
        fault, stride = self._fault(attempts[0], training)
        saved = time.monotonic()

        def request(position: Position) -> BoundaryRequest:
            nonlocal saved
            due = context.world.rank == 0 and time.monotonic() - saved > 60 * context.spec.checkpoint_min
            if due:
                saved = time.monotonic()
            context.meter.look()
            injected = fault.request(position)
            return BoundaryRequest(context.is_asked_to_stop() or injected.stop, due or injected.save)

        backend = self._backends["pack"]
        if len(attempts) == 1:
            backend, why = backend_of(self._backends, training)
            if why and why not in self._said:
                self._said.add(why)
                context.note(why)
        lanes = [attempt.as_lane() for attempt in attempts]
        folder = context.spec.tensorflow_profile if context.world.rank == 0 else ""
        with profiled(lanes, training.options.epochs, folder) as lanes:
            return backend.train(lanes, training, request, stride)

    def _fault(self, attempt: Attempt, training: Training) -> tuple[Fault, int | None]:
        """What interrupts a first attempt, if that was asked for, and the steps between two boundaries."""
        if training.data is NO_DATA:
            return Fault("", 0, 0, is_last=False), None
        spec, world = self._context.spec, self._context.world
        chosen, samples = training.options, training.samples or UNKNOWN_SAMPLES
        kind = spec.inject_fault if attempt.task.attempt == 1 else ""
        fault = Fault(kind, chosen.epochs, samples, world.rank == world.size - 1)
        return fault, fault.stride(chosen.steps(samples))

    def _failures(self, mine: dict[str, Any] | None) -> list[dict[str, Any]]:
        """The failures of all ranks, in their order; empty if the trial has ended well."""
        world = self._context.world
        if mine is None:
            try:
                return [other for other in world.gather(None) if other]
            except Exception:  # a rank that failed has left: meet it again below
                if world.size == 1:
                    raise
        world.rejoin()  # frees the ranks that wait for this one
        if world.size > 1 or (mine and mine["reason"] != "diverged"):
            self._graphs.forget()  # they reduce over the old connections, or have taken the memory
        return [other for other in world.gather(mine) if other]


def _failure(error: Exception) -> dict[str, Any]:
    """The reason and the message for a trial's failure.

    ``follows`` is true of errors that another rank's failure has brought about.
    """
    text = message_of(error)
    message = text if isinstance(error, LeavingError) else f"{type(error).__name__}: {text}"
    reason = "error"
    if isinstance(error, DivergedError):
        return {"reason": "diverged", "error": str(error), "follows": False}
    if isinstance(error, ProgramError):
        return {"reason": "error", "error": str(error), "follows": error.follows}
    tf = sys.modules.get("tensorflow")
    exhausted = (tf.errors.ResourceExhaustedError,) if tf is not None else ()
    if isinstance(error, (MemoryError, *exhausted)):
        reason = "out-of-memory"
    follows = any(sign in message for sign in ("Horovod has been shut down", "HorovodInternalError", LEFT))
    return {"reason": reason, "error": f"{headline(message)}\n{format_traceback(error)}", "follows": follows}
