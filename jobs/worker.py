"""The worker: what a job runs, on each of its ranks."""

from __future__ import annotations

import faulthandler
import math
import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import device
from jobs.check import arguments, code_digest, data_of, data_options, digest, model_of
from jobs.options import COMPILED, Options, compile_model, options
from jobs.place import find_place
from jobs.processes import is_running
from jobs.training import DivergedError, Epoch, train
from jobs.world import World
from models import FROM_DATA, Dataset, dataset, signature_of
from results import Records
from sweeps import Sweep, Trial, load_stored

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Task:
    """A trial that a worker is to train.

    Attributes:
        index: of the trial in the sweep.
        attempt: number of the try, from 1.
    """

    index: int
    attempt: int


@dataclass(frozen=True)
class Worker:
    """Takes trials one after another until none is left. submitit runs it on every rank.

    Attributes:
        folder: of the run.
        tasks: the trials, in this order.
        job_id: names the file of records.
        number: of the worker among those that run at once, from 0.
        threads: that each rank may use.
        parent: process id and start time (seconds since 1970) of the command that watches the
            worker, which ends after the epoch at hand if that is gone; None where nothing
            watches.
    """

    folder: str
    tasks: tuple[Task, ...]
    job_id: str
    number: int = 0
    threads: int = 1
    parent: tuple[int, float] | None = None

    def __call__(self) -> int:
        """Train the trials.

        Returns:
            How many were finished.
        """
        faulthandler.enable()
        device.prepare(os.environ, self.threads)
        place = find_place(os.environ)
        gpu = device.start(self.threads, place.local_rank, self.number, place.local_size)
        folder = Path(self.folder)
        sweep = load_stored(folder / "sweep.yaml")
        code = code_digest(sweep)
        world = World(place, folder / "jobs", self.job_id)
        try:
            world.verify({"sweep": digest(sweep), "code": code, "gpu": gpu})
            build, data = model_of(sweep).resolve(), _load_data(sweep)
            records = None
            if world.rank == 0:
                records = Records(folder / "records" / f"{self.job_id}.jsonl")
                records.append("ready", job=self.job_id, backend=world.backend, gpu=gpu)
            work = _Work(self, sweep, build, data, world, records, code)
            return sum(work.train(task) for task in self.tasks)
        finally:
            world.leave()


@dataclass
class _Work:
    """A worker at work: what it has loaded and whom it has met."""

    worker: Worker
    sweep: Sweep
    build: Callable[..., Any]
    data: Dataset
    world: World
    records: Records | None
    code: str

    def train(self, task: Task) -> bool:
        """Train one trial and record how it ended; a trial's failure is not the worker's."""
        trial = self.sweep.trials[task.index]
        who = {"trial": trial.trial_id, "attempt": task.attempt}
        self._record(
            "started", **who, index=trial.index, params=trial.params, seed=trial.seed,
            ranks=self.world.size, job=self.worker.job_id, node=socket.gethostname(), code=self.code,
        )  # fmt: skip
        start = time.perf_counter()
        failure, seen = None, _Seen(self.sweep.objective.mode)
        try:
            self._train(trial, who, start, seen)
        except Exception as error:
            failure = {"rank": self.world.rank, **_failure(error)}
        failures = self._failures(failure)
        seconds = round(time.perf_counter() - start, 3)
        if not failures:
            self._record(
                "finished", **who, epochs=seen.epochs, metrics=seen.metrics, best=seen.best, seconds=seconds
            )
            return True
        cause = min(failures, key=lambda other: (other["follows"], other["rank"]))
        words = cause["error"] if self.world.size == 1 else f"rank {cause['rank']}: {cause['error']}"
        self._record("failed", **who, reason=cause["reason"], error=words, seconds=seconds)
        return False

    def _failures(self, mine: dict[str, Any] | None) -> list[dict[str, Any]]:
        """The failures of all ranks, in their order; empty if the trial has ended well."""
        if mine is None:
            try:
                return [other for other in self.world.gather(None) if other]
            except Exception:  # a rank that failed has left: meet it again below
                if self.world.size == 1:
                    raise
        self.world.rejoin()  # frees the ranks that wait for this one
        return [other for other in self.world.gather(mine) if other]

    def _train(self, trial: Trial, who: Mapping[str, Any], start: float, seen: _Seen) -> None:
        import keras

        keras.utils.clear_session()
        keras.utils.set_random_seed(trial.seed)
        chosen = options({**self.sweep.defaults, **trial.params})
        model = self._build(trial.params, chosen)
        metric = self.sweep.objective.metric

        def on_epoch(epoch: Epoch) -> None:
            seconds = round(time.perf_counter() - start, 3)
            self._record("epoch", **who, epoch=epoch.number, metrics=epoch.metrics, seconds=seconds)
            if metric not in epoch.metrics:
                raise ValueError(
                    f"the objective is {metric}, but what this model records is {', '.join(epoch.metrics)}"
                )
            seen.add(epoch, epoch.metrics[metric])
            self._stop_if_abandoned()

        train(
            model,
            self.data,
            self.world,
            epochs=chosen.epochs,
            batch_size=chosen.batch_size,
            seed=trial.seed,
            shuffle=chosen.shuffle,
            on_epoch=on_epoch,
        )

    def _build(self, params: Mapping[str, Any], chosen: Options) -> keras.Model:
        import keras

        facts = {name: getattr(self.data, name) for name in FROM_DATA}
        signature = signature_of(self.build)
        wanted = {name: facts[name] for name in facts if name in signature.parameters}
        model = self.build(**arguments(signature, self.sweep, params), **wanted)
        if not isinstance(model, keras.Model):
            raise TypeError(f"{self.sweep.model} returned {type(model).__name__}, not a keras.Model")
        if model.compiled:
            unused = [name for name in params if name in COMPILED and name not in signature.parameters]
            if unused:
                raise ValueError(
                    f"{self.sweep.model} returned a compiled model, so the sweep's {', '.join(unused)} "
                    "would be of no effect; return the model uncompiled, or take them as arguments"
                )
        else:
            compile_model(model, chosen, classes=self.data.num_classes is not None)
        if not model.built:
            model(self.data.train.x[:1])  # a subclassed model has its weights after a first call
        return model

    def _record(self, record: str, **entries: Any) -> None:
        if self.records is not None:
            self.records.append(record, **entries)

    def _stop_if_abandoned(self) -> None:
        if self.worker.parent is None:
            return
        pid, started = self.worker.parent
        if self.world.size > 1:
            gone = self.world.agree(not is_running(pid, started))
        else:
            gone = not is_running(pid, started)
        if gone:
            raise SystemExit(f"the command that started this worker (process {pid}) is gone")


@dataclass
class _Seen:
    """What has come of a trial so far."""

    mode: str
    epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None

    def add(self, epoch: Epoch, value: float) -> None:
        self.epochs, self.metrics = epoch.number, epoch.metrics
        better = min if self.mode == "min" else max
        if math.isfinite(value):
            self.best = value if self.best is None else better(self.best, value)


def _load_data(sweep: Sweep) -> Dataset:
    value = data_of(sweep).resolve()(**data_options(sweep))
    return dataset(value, name=f"the dataset {sweep.data['name']}")


def _failure(error: Exception) -> dict[str, Any]:
    """The reason and the words for a trial's failure.

    ``follows`` is true of errors that another rank's failure has brought about.
    """
    import tensorflow as tf

    message = f"{type(error).__name__}: {error}"
    reason = "error"
    if isinstance(error, DivergedError):
        return {"reason": "diverged", "error": str(error), "follows": False}
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        reason = "out-of-memory"
    follows = "Horovod has been shut down" in message or "HorovodInternalError" in message
    first = message.strip().splitlines()[0]
    trace = "".join(traceback.format_exception(error)).rstrip()
    return {"reason": reason, "error": f"{first}\n{trace}", "follows": follows}
