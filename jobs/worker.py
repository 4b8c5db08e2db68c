"""The worker: what a job runs, on each of its ranks."""

from __future__ import annotations

import faulthandler
import gc
import math
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs import device
from jobs.check import arguments, code_digest, data_of, digest, model_of
from jobs.checkpoint import Checkpoints, Position, State, facts_of, read
from jobs.estimator import fit, is_estimator, regresses
from jobs.graphs import Graphs
from jobs.keeping import Kept
from jobs.memory import LEFT
from jobs.options import COMPILED, Options, compile_model, options, targets
from jobs.place import find_place
from jobs.preparation import Preparation, Prepared, Scaling
from jobs.processes import is_running
from jobs.stop import StopRequest
from jobs.training import DivergedError, Epoch, Stopped, Trained, Wish, train, weights_digest
from jobs.world import World
from models import FROM_DATA, Dataset, Split, signature_of
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
            sweep = load_stored(folder / "sweep.yaml")
            models = {name: model_of(sweep, name) for name in {trial.model for trial in sweep.trials}}
            ours = not any(reference.is_users_code for reference in (*models.values(), data_of(sweep)))
            gpu = device.start(
                threads, place.local_rank, self.number, place.local_size, only_ours=ours
            )  # fmt: skip
            code = code_digest(sweep)
            world.verify({"sweep": digest(sweep), "code": code, "gpu": gpu}, gpus=self.gpus)
            builds = {name: model.resolve() for name, model in models.items()}
            preparation = Preparation(sweep)
            if world.rank == 0:
                group = f"-g{place.group}" if place.groups > 1 else ""
                records = Records(folder / "records" / f"{self.job_id}{group}.jsonl")
                records.append("ready", job=self.job_id, backend=world.backend, gpu=gpu)
            kept = Kept(folder, sweep.keep, sweep.objective.mode)
            request = request or StopRequest()
            work = _Work(self, sweep, builds, preparation, kept, world, records, code, request)
            finished = 0
            with _process_as_it_was():
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
    builds: Mapping[str, Callable[..., Any]]
    preparation: Preparation
    kept: Kept
    world: World
    records: Records | None
    code: str
    request: StopRequest
    graphs: Graphs = field(default_factory=Graphs)
    has_noted: bool = False

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
            "started", **{**trial.facts(), **who}, ranks=self.world.size, job=self.worker.job_id,
            node=self.world.node, code=self.code, **after,
        )  # fmt: skip
        start = time.perf_counter() - seen.seconds
        failure, outcome = None, _Outcome()
        try:
            outcome = self._train(trial, task, start, seen, begin)
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
            self._keep(trial, outcome, seen)
            self._record(
                "finished", **who, epochs=seen.epochs, metrics=outcome.metrics, best=seen.best,
                seconds=seconds, weights=outcome.weights, confusion=outcome.confusion, **outcome.times,
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
        if self.world.size > 1 or (mine and mine["reason"] != "diverged"):
            self.graphs.forget()  # they reduce over the old connections, or have taken the memory
        return [other for other in self.world.gather(mine) if other]

    def _train(self, trial: Trial, task: Task, start: float, seen: _Seen, begin: State | None) -> _Outcome:
        """Train from the beginning or from a checkpoint."""
        import keras

        self.graphs.begin(trial.seed, only_keras=not model_of(self.sweep, trial.model).is_users_code)
        chosen = options({**self.sweep.defaults, **trial.params})
        keras.config.set_floatx(chosen.dtype)
        keras.config.set_dtype_policy(chosen.dtype)
        prepared = self.preparation.of(trial, chosen.scale)
        model, data, chosen, fitted = self._begin(trial, chosen, prepared.data)
        metric = self.sweep.objective.metric
        who = {"trial": trial.trial_id, "attempt": task.attempt}
        saved = time.monotonic()
        kind = self.worker.rehearse if task.attempt == 1 else ""
        rehearsal = _Rehearsal(kind, chosen, len(data.train), self.world)

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

        trained = train(
            model,
            data,
            self.world,
            epochs=chosen.epochs,
            batch_size=chosen.global_batch(len(data.train)),
            seed=trial.seed,
            shuffle=chosen.shuffle,
            validation_freq=chosen.validation_freq,
            on_epoch=on_epoch,
            begin=begin,
            wish=wish,
            save=save,
            stride=rehearsal.stride(chosen.steps(len(data.train))),
            graphs=self.graphs,
            accumulate_steps=chosen.accumulate_steps,
            compression=chosen.compression,
        )
        if fitted:
            return _Outcome(trained)
        weights = weights_digest(trained.model) if self.world.rank == 0 else ""
        return _Outcome(trained, weights, trained.model, prepared)

    def _begin(
        self, trial: Trial, chosen: Options, data: Dataset
    ) -> tuple[keras.Model, Dataset, Options, bool]:
        """A compiled model, the data as it takes them, how to train it, whether it is fitted already."""
        model = self._build(trial, chosen, data)
        fitted = is_estimator(model)
        if fitted:
            changes: dict[str, Any] = {"epochs": 0}
            if chosen.loss == "auto" and data.num_classes is not None and regresses(model):
                changes["loss"] = "mean_squared_error"
            chosen = chosen.model_copy(update=changes)
            model, data = fit(model, data)
        if not model.compiled:
            classes, parts = data.num_classes, data.parts().items()
            compile_model(model, chosen, num_classes=classes, samples=len(data.train))
            data = data.with_parts(
                {name: Split(part.x, targets(part.y, chosen, model, classes)) for name, part in parts}
            )
        if chosen.initial_weights is not None:
            _begin_with(model, chosen.initial_weights)
        self._note_idle_ranks(chosen, len(data.train))
        return model, data, chosen, fitted

    def _keep(self, trial: Trial, outcome: _Outcome, seen: _Seen) -> None:
        if self.world.rank or outcome.model is None or not self.kept.wants(seen.best):
            return
        try:
            self.kept.save(trial.trial_id, outcome.model, seen.best, outcome.scaling)
        except Exception as error:  # a class of the user's that Keras can't write, or a full disk
            self._record("note", text=f"the model of {trial.trial_id} is not kept: {error}")

    def _note_idle_ranks(self, chosen: Options, samples: int) -> None:
        batch = chosen.global_batch(samples)
        if batch < self.world.size and chosen.epochs and not self.has_noted:
            self.has_noted = True
            text = f"batch_size={batch} is the batch of all {self.world.size} ranks: some of them only wait"
            self._record("note", text=text)

    def _build(self, trial: Trial, chosen: Options, data: Dataset) -> Any:
        """The model of a trial: of Keras, built; or an estimator of scikit-learn."""
        import keras

        params, build = trial.params, self.builds[trial.model]
        facts = {name: getattr(data, name) for name in FROM_DATA}
        signature = signature_of(build)
        wanted = {name: facts[name] for name in facts if name in signature.parameters}
        model = build(**arguments(signature, self.sweep, trial), **wanted)
        if is_estimator(model):
            return model
        if not isinstance(model, keras.Model):
            raise TypeError(
                f"{trial.model} returned {type(model).__name__}, neither a keras.Model nor an estimator of "
                "scikit-learn"
            )
        if model.compiled:
            unused = [name for name in params if name in COMPILED and name not in signature.parameters]
            if unused:
                raise ValueError(
                    f"{trial.model} returned a compiled model, so the sweep's {', '.join(unused)} "
                    "would be of no effect; return the model uncompiled, or take them as arguments"
                )
        if not model.built:
            model(data.train.x[:1])  # a subclassed model has its weights after a first call
        return model

    def _record(self, record: str, **entries: Any) -> None:
        if self.records is not None:
            self.records.append(record, **entries)


def _begin_with(model: keras.Model, weights: list[Any]) -> None:
    try:
        arrays = [np.asarray(values) for values in weights]
    except ValueError:
        raise ValueError("initial_weights don't fit: an array has rows of different lengths") from None
    wanted, given = ([tuple(array.shape) for array in group] for group in (model.weights, arrays))
    if wanted != given:
        raise ValueError(
            f"initial_weights don't fit: the model's weights have the shapes {', '.join(map(str, wanted))}, "
            f"not {', '.join(map(str, given))}"
        )
    model.set_weights(arrays)


@dataclass(frozen=True)
class _Outcome:
    """What a trial has come to: what was measured, and for networks the model."""

    trained: Trained | None = None
    weights: str = ""
    model: keras.Model | None = None
    prepared: Prepared | None = None

    @property
    def metrics(self) -> Mapping[str, float]:
        return self.trained.metrics if self.trained else {}

    @property
    def confusion(self) -> Mapping[str, list[list[int]]]:
        return self.trained.confusion if self.trained else {}

    @property
    def times(self) -> Mapping[str, float]:
        if self.trained is None:
            return {}
        names = ("training_seconds", "drawing_seconds")
        return {name: round(getattr(self.trained, name), 3) for name in names}

    @property
    def scaling(self) -> Scaling | None:
        return self.prepared.scaling if self.prepared else None


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
    samples: int
    world: World
    saved: bool = False

    def stride(self, steps: int) -> int | None:
        """Steps between two boundaries, so that there are some inside an epoch of so many."""
        return max(1, steps // 4) if self.kind else None

    def wish(self, position: Position) -> Wish:
        half = self.options.epochs // 2 * self.samples
        if not self.kind or position.epochs * self.samples + position.samples <= half:
            return Wish()
        if self.kind == "stop":
            return Wish(stop=True)
        if self.saved and self.world.rank == self.world.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        self.saved = True
        return Wish(save=True)


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Leave Python and Keras as they were: a worker may be in the process of a notebook."""
    import keras

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    gc.collect()
    gc.freeze()  # what TensorFlow has loaded: to look through it takes a sixth of a second each time
    try:
        yield
    finally:
        gc.unfreeze()
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


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
    follows = any(words in message for words in ("Horovod has been shut down", "HorovodInternalError", LEFT))
    first = message.strip().splitlines()[0]
    trace = "".join(traceback.format_exception(error)).rstrip()
    return {"reason": reason, "error": f"{first}\n{trace}", "follows": follows}
