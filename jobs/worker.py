"""The worker: what a job runs, on each of its ranks."""

from __future__ import annotations

import faulthandler
import math
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import device
from jobs.check import arguments, code_digest, data_of, data_options, digest, model_of
from jobs.checkpoint import Checkpoints, Position, State, facts_of, read
from jobs.options import COMPILED, Options, compile_model, options
from jobs.place import find_place
from jobs.processes import is_running
from jobs.stop import StopRequest
from jobs.training import DivergedError, Epoch, Stopped, Wish, train, weights_digest
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
    """Takes trials one after another until none is left. Every rank of a job runs it.

    Attributes:
        folder: of the run.
        tasks: the trials, in this order.
        job_id: names the file of records.
        number: of the worker among those that run at once on this machine, from 0.
        threads: that each rank may use; 0 for as many as the scheduler gives it.
        parent: process id and start time (seconds since 1970) of the command that watches the
            worker, which stops if that is gone; None where nothing watches.
        checkpoint_min: minutes between two checkpoints of a trial.
        label: of this start of the job, so that no two meet; ``job_id`` unless given.
        gpus: whether each rank must see a GPU.
        rehearse: ``stop`` or ``kill`` to be interrupted in the middle of every first attempt.
    """

    folder: str
    tasks: tuple[Task, ...]
    job_id: str
    number: int = 0
    threads: int = 1
    parent: tuple[int, float] | None = None
    checkpoint_min: float = 5.0
    label: str = ""
    gpus: bool = False
    rehearse: str = ""

    def __call__(self, request: StopRequest | None = None) -> int:
        """Train the trials.

        Args:
            request: to stop; none ever comes unless given.

        Returns:
            How many were finished.
        """
        faulthandler.enable()
        place = find_place(os.environ)
        threads = self.threads or device.granted_cpus(os.environ, place.local_size)
        device.prepare(os.environ, threads)
        folder = Path(self.folder)
        world = World(place, folder / "jobs", self.label or self.job_id)
        records = None
        try:
            gpu = device.start(threads, place.local_rank, self.number, place.local_size)
            sweep = load_stored(folder / "sweep.yaml")
            code = code_digest(sweep)
            world.verify({"sweep": digest(sweep), "code": code, "gpu": gpu}, gpus=self.gpus)
            build, data = model_of(sweep).resolve(), _load_data(sweep)
            if world.rank == 0:
                group = f"-g{place.group}" if place.groups > 1 else ""
                records = Records(folder / "records" / f"{self.job_id}{group}.jsonl")
                records.append("ready", job=self.job_id, backend=world.backend, gpu=gpu)
            work = _Work(self, sweep, build, data, world, records, code, request or StopRequest())
            finished = 0
            for task in self.tasks:
                finished += work.train(task)
        except Stopped as stopped:
            if records is not None:
                records.append("left", job=self.job_id, label=self.label, how="stopped", why=str(stopped))
        else:
            if records is not None:
                records.append("left", job=self.job_id, label=self.label, how="done")
        finally:
            world.leave()
        return finished


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
    request: StopRequest

    def train(self, task: Task) -> bool:
        """Train one trial and record how it ended; a trial's failure is not the worker's.

        Raises:
            Stopped: on all ranks, if any of them is to stop.
        """
        self._stop_before_the_next()
        trial = self.sweep.trials[task.index]
        who = {"trial": trial.trial_id, "attempt": task.attempt}
        seen = _Seen(self.sweep.objective.mode)
        begin = self._checkpoint(trial, seen)
        after = {"after": seen.facts()} if begin else {}
        self._record(
            "started", **who, index=trial.index, params=trial.params, seed=trial.seed,
            ranks=self.world.size, job=self.worker.job_id, node=self.world.node, code=self.code, **after,
        )  # fmt: skip
        start = time.perf_counter() - seen.seconds
        failure, weights = None, ""
        try:
            weights = self._train(trial, task, start, seen, begin)
        except Stopped:
            why = self._why()
            seconds = round(time.perf_counter() - start, 3)
            self._record("stopped", **who, why=why, seconds=seconds)
            raise Stopped(why) from None
        except Exception as error:
            failure = {"rank": self.world.rank, **_failure(error)}
        failures = self._failures(failure)
        seconds = round(time.perf_counter() - start, 3)
        if not failures:
            self._record(
                "finished", **who, epochs=seen.epochs, metrics=seen.metrics, best=seen.best,
                seconds=seconds, weights=weights,
            )  # fmt: skip
            self._forget(trial)
            return True
        cause = min(failures, key=lambda other: (other["follows"], other["rank"]))
        words = cause["error"] if self.world.size == 1 else f"rank {cause['rank']}: {cause['error']}"
        self._record("failed", **who, reason=cause["reason"], error=words, seconds=seconds)
        if cause["reason"] == "diverged":
            self._forget(trial)
        return False

    def _stop_before_the_next(self) -> None:
        if self.world.add([self._is_asked_to_stop()])[0]:
            raise Stopped(self._why())

    def _is_asked_to_stop(self) -> bool:
        return bool(self.request.signal) or self._is_abandoned()

    def _is_abandoned(self) -> bool:
        parent = self.worker.parent
        return parent is not None and not is_running(*parent)

    def _why(self) -> str:
        if self._is_abandoned():
            return "the command that watched this worker is gone"
        return self.request.signal or "another rank was asked to"

    def _checkpoint(self, trial: Trial, seen: _Seen) -> State | None:
        """Where the trial was left, if it was and the code is what it was then.

        Rank 0 looks for the file; all read it.
        """
        checkpoints, state = Checkpoints(Path(self.worker.folder)), None
        path = checkpoints.newest(trial.trial_id) if self.world.rank == 0 else None
        if path is not None:
            try:
                facts = facts_of(path)
                if (facts["code"], facts["made_with"]) == (self.code, _versions()):
                    state = read(path)  # all of it: a broken array shows only here
            except Exception as error:  # zipfile, numpy and json have errors of their own
                self._record("note", text=f"{path} can't be read and is left aside: {error!r}")
        found = self.world.agree(str(path) if state is not None else None)
        if found is None:
            return None
        state = state or _read_when_there(Path(found))
        seen.restore(state.facts)
        return state

    def _forget(self, trial: Trial) -> None:
        if self.world.rank == 0:
            Checkpoints(Path(self.worker.folder)).remove(trial.trial_id)

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

    def _train(self, trial: Trial, task: Task, start: float, seen: _Seen, begin: State | None) -> str:
        """Train from the beginning or from a checkpoint; the digest of the final weights."""
        import keras

        keras.utils.clear_session()
        keras.utils.set_random_seed(trial.seed)
        chosen = options({**self.sweep.defaults, **trial.params})
        model = self._build(trial.params, chosen)
        metric = self.sweep.objective.metric
        who = {"trial": trial.trial_id, "attempt": task.attempt}
        saved = time.monotonic()
        rehearsal = _Rehearsal(self.worker.rehearse if task.attempt == 1 else "", chosen, self.world)

        def on_epoch(epoch: Epoch) -> None:
            seconds = round(time.perf_counter() - start, 3)
            self._record("epoch", **who, epoch=epoch.number, metrics=epoch.metrics, seconds=seconds)
            if metric not in epoch.metrics:
                raise ValueError(
                    f"the objective is {metric}, but what this model records is {', '.join(epoch.metrics)}"
                )
            seen.add(epoch, epoch.metrics[metric])

        def wish(position: Position) -> Wish:
            due = self.world.rank == 0 and time.monotonic() - saved > 60 * self.worker.checkpoint_min
            rehearsed = rehearsal.wish(position)
            return Wish(self._is_asked_to_stop() or rehearsed.stop, due or rehearsed.save)

        def save(state: State) -> None:
            nonlocal saved
            saved = time.monotonic()
            facts = {**seen.facts(), "attempt": task.attempt, "code": self.code, "made_with": _versions()}
            facts["seconds"] = round(time.perf_counter() - start, 3)
            try:
                Checkpoints(Path(self.worker.folder)).save(trial.trial_id, replace(state, facts=facts))
            except Exception as error:  # a full disk, no memory: the one before is still there
                self._record("note", text=f"no checkpoint of {trial.trial_id}: {error}")
                return
            self._record("checkpoint", **who, epoch=state.position.epochs, samples=state.position.samples)

        train(
            model,
            self.data,
            self.world,
            epochs=chosen.epochs,
            batch_size=chosen.batch_size,
            seed=trial.seed,
            shuffle=chosen.shuffle,
            on_epoch=on_epoch,
            begin=begin,
            wish=wish,
            save=save,
            stride=rehearsal.stride(len(self.data.train)),
        )
        return weights_digest(model) if self.world.rank == 0 else ""

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


@dataclass
class _Seen:
    """What has come of a trial so far, over all attempts that continue each other."""

    mode: str
    epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None
    attempt: int = 0
    seconds: float = 0.0

    def add(self, epoch: Epoch, value: float) -> None:
        self.epochs, self.metrics = epoch.number, epoch.metrics
        better = min if self.mode == "min" else max
        if math.isfinite(value):
            self.best = value if self.best is None else better(self.best, value)

    def facts(self) -> dict[str, Any]:
        return {"attempt": self.attempt, "epoch": self.epochs, "metrics": self.metrics, "best": self.best}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.attempt, self.epochs, self.seconds = facts["attempt"], facts["epoch"], facts["seconds"]
        self.metrics, self.best = facts["metrics"], facts["best"]


@dataclass
class _Rehearsal:
    """An interruption on purpose, in the middle of a trial, for `hpc verify-resume`.

    ``stop`` is what a time limit does; ``kill`` ends the last rank by SIGKILL some steps after a
    checkpoint.
    """

    kind: str
    options: Options
    world: World
    saved: bool = False

    def stride(self, samples: int) -> int | None:
        """Steps between two boundaries, so that there are some inside an epoch."""
        return max(1, math.ceil(samples / self.options.batch_size) // 4) if self.kind else None

    def wish(self, position: Position) -> Wish:
        half = Position(self.options.epochs // 2)
        if not self.kind or (position.epochs, position.samples) <= (half.epochs, half.samples):
            return Wish()
        if self.kind == "stop":
            return Wish(stop=True)
        if self.saved and self.world.rank == self.world.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        self.saved = True
        return Wish(save=True)


def _versions() -> list[str]:
    """Of what a checkpoint's arrays depend on."""
    from importlib.metadata import version

    return [f"{name} {version(name)}" for name in ("keras", "tensorflow", "hpc-sweeps")]


def _read_when_there(path: Path, wait_seconds: float = 60) -> State:
    """Read a file that rank 0 has seen; another node may see it later."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return read(path)
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


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
