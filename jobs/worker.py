"""The worker: what a job runs, on each of its ranks."""

from __future__ import annotations

import atexit
import faulthandler
import gc
import hashlib
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs import stored
from hpc.jobs.check import arguments, data_of, digest, model_of
from hpc.jobs.collectives import horovod
from hpc.jobs.collectives.clock import Clock
from hpc.jobs.collectives.shared_memory import LEFT
from hpc.jobs.collectives.world import World
from hpc.jobs.data.preparation import Preparation, Scaling
from hpc.jobs.node import device, energy
from hpc.jobs.node.processes import is_running
from hpc.jobs.node.rank_info import find_place
from hpc.jobs.node.stop import StopRequest
from hpc.jobs.options import (
    COMPILED,
    Options,
    check_metrics,
    check_outputs,
    compile_model,
    loss_of,
    options,
    targets,
)
from hpc.jobs.source.budget import Budget
from hpc.jobs.spec import Task, WorkerSpec
from hpc.jobs.training import packing
from hpc.jobs.training.checkpoint import Checkpoints, Position, State, facts_of, read
from hpc.jobs.training.estimator import fit, is_estimator, regresses
from hpc.jobs.training.graph import (
    Answer,
    DivergedError,
    Epoch,
    Lane,
    Stopped,
    Trained,
    Wish,
    train_lanes,
)
from hpc.jobs.training.graphs import Graphs
from hpc.jobs.training.keras_settings import KerasSettings
from hpc.jobs.training.leaving import LeavingError, an_error, contained
from hpc.jobs.training.loop import words_of
from hpc.jobs.training.model_store import Kept
from hpc.jobs.training.pack import NUMBERS, PackError, Plan, check_measures, plan
from hpc.jobs.training.parts import refuse_own_steps
from hpc.jobs.user_files import Sources, require_same_data, require_same_modules
from hpc.models import FROM_DATA, Dataset, Importer, Split, signature_of
from hpc.results import Records, Run, moments
from hpc.results import format_error as said_by
from hpc.results import format_traceback as trace_of
from hpc.sweeps import SIZES, Sweep, Trial

if TYPE_CHECKING:
    import keras

    from hpc.jobs.source.study import Study

MOST_SIBLINGS = 4
"""Models that a worker keeps as the beginnings of further lanes."""


@dataclass(frozen=True)
class Worker:
    """Takes trials one after another until none is left. Every rank of a job runs it."""

    spec: WorkerSpec

    def __call__(self, request: StopRequest | None = None) -> int:
        """Train the trials.

        Args:
            request: to stop; none ever comes unless given.

        Returns:
            How many were finished.
        """
        with moments.steady(self.spec.zero):
            return self._work(request)

    def _work(self, request: StopRequest | None) -> int:
        with suppress(
            ValueError, RuntimeError, AttributeError
        ):  # standard error may be a notebook's, no file
            faulthandler.enable()
        place = find_place(os.environ)
        place.require(self.spec.ranks)
        threads = self.spec.threads or device.granted_cpus(os.environ, place.local_size)
        if self.spec.parent is not None:  # a command on this machine has dealt out all of its CPUs
            device.bind(threads, place.local_rank, place.local_size, self.spec.number, os.environ)
        device.prepare(os.environ, threads)
        horovod.ease_import()
        folder = Path(self.spec.folder)
        world = World(place, folder / "jobs", self.spec.label or self.spec.job_id)
        records, who = None, {"job": self.spec.job_id, "label": self.spec.label}
        try:
            sweep = stored.load(folder)
            names = {sweep.model, *(baseline["model"] for baseline in sweep.baselines)}
            models = {name: model_of(sweep, name) for name in names}
            ours = not any(reference.is_users_code for reference in (*models.values(), data_of(sweep)))
            gpu = device.start(
                threads, place.local_rank, self.spec.number, place.local_size, only_ours=ours
            )  # fmt: skip
            sources = Sources.of(sweep, self.spec.files)
            code = sources.digest
            world.verify({"sweep": digest(sweep), "code": code, "gpu": gpu}, gpus=self.spec.gpus)
            sources.require(self.spec.files)
            held = world.held(threads, gpu)
            if self.spec.measure:
                world.clock = Clock()
            finished = 0
            with _process_as_it_was():
                importer = Importer()
                with contained():
                    builds = {name: model.resolve(importer) for name, model in models.items()}
                    preparation = Preparation(sweep, importer)
                world.require_equal_data(preparation.digest)
                sources.require_executed(importer.executed)
                require_same_data(folder, code, preparation.digest, self.spec.job_id)
                group = f"-g{place.group}" if place.groups > 1 else ""
                if world.rank == 0:
                    records = Records(folder / "records" / f"{self.spec.job_id}{group}.jsonl")
                    records.append(
                        "ready",
                        job=self.spec.job_id,
                        backend=world.backend,
                        gpu=gpu,
                        data=preparation.digest,
                        **held,
                    )
                    for text in filter(None, (world.remark, *preparation.said)):
                        records.append("note", text=text)
                kept = Kept(folder, sweep.keep, sweep.objective.mode)
                request = request or StopRequest()
                meter = energy.meter(threads, gpu, os.cpu_count() or 1)
                work = _Work(
                    self.spec, sweep, builds, preparation, kept, world, records, code, request, meter,
                    KerasSettings.now(), importer, sources,
                )  # fmt: skip
                work.note_hidden()
                if sweep.is_asked:
                    work.begin_search(
                        f"{self.spec.job_id}-g{place.group}" if place.groups > 1 else self.spec.job_id
                    )
                    while (attempt := work.ask(held)) is not None:
                        finished += work.train([attempt])
                else:
                    for attempts in work.portions(self.spec.tasks):
                        finished += work.train(attempts)
        except Stopped as stopped:
            if records is not None:
                records.append("left", **who, how="stopped", why=str(stopped))
        else:
            if records is not None:
                records.append("left", **who, how="done")
        finally:
            world.leave()
        return finished


@dataclass
class _Work:
    """A worker at work: what it has loaded and whom it has met.

    Attributes:
        settings: Keras', as the user's files leave them when they are imported. Each trial begins with them.
    """

    spec: WorkerSpec
    sweep: Sweep
    builds: Mapping[str, Callable[..., Any]]
    preparation: Preparation
    kept: Kept
    world: World
    records: Records | None
    code: str
    request: StopRequest
    meter: energy.Meter
    settings: KerasSettings
    importer: Importer
    sources: Sources
    has_noted: bool = False
    has_unwrapped: bool = False
    noted: set[str] = field(default_factory=set)
    owner: str = ""
    study: Study | None = None
    budget: Budget | None = None
    siblings: dict[str, tuple[_Built, Plan]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.graphs = Graphs(lambda text: self._record("note", text=text))
        self._reduced: list[dict[str, float]] | None = None
        self.searching = 0.0
        # Told once by each, so that trials need not ask whether there is anything to add up.
        ranks = self.world.gather([self.world.node, self.meter.joules is not None])
        self.nodes = len({node for node, _ in ranks})
        self._can_tell_energy = all(can for _, can in ranks)

    def begin_search(self, owner: str) -> None:
        """Open the study on rank 0.

        Args:
            owner: the name of this worker in the study.
        """
        self.owner = owner
        error = ""
        if self.world.rank == 0:
            try:
                from hpc.jobs.source.study import open_study

                folder = Path(self.spec.folder)
                run = Run(folder)
                self.study = open_study(self.sweep, run, lambda text: self._record("note", text=text))
                self.budget = Budget(self.sweep, run)
                wrong = self.study.unlike(run)
                if wrong:
                    error = f"it is not what the records say: {wrong}"
            except Exception as problem:  # told to all ranks, which would wait for ever
                error = words_of(problem)
        self._agree_on(error, None)

    def ask(self, held: Mapping[str, float]) -> _Attempt | None:
        """The next trial of the search, the same on all ranks; None if there is none.

        Args:
            held: what this job holds, by which a budget is reckoned.

        Raises:
            Stopped: on all ranks, if any of them is to stop.
        """
        self._stop_before_the_next()
        found, error = None, ""
        if self.study is not None and self.budget is not None:
            try:
                found = self._ask(held)
            except Exception as problem:
                error = words_of(problem)
        found = self._agree_on(error, found)
        if found is None:
            return None
        return _Attempt(self, Task.of_json(found))

    def _ask(self, held: Mapping[str, float]) -> dict[str, Any] | None:
        assert self.study is not None
        assert self.budget is not None
        before, job = self.study.seconds, self.spec.job_id
        spent = self.budget.ends(held)
        asked = None if spent else self.study.ask(self.owner)
        self.searching = self.study.seconds - before
        if asked is None:
            if spent:
                self._record("over", job=job, why=spent, limits=self.budget.limits)
            elif self.study.over:
                self._record("over", job=job, why=self.study.over)
            return None
        return asdict(Task(asked.trial, asked.attempt))

    def _agree_on(self, error: str, found: Any) -> Any:
        """What rank 0 has found, on all ranks.

        Raises:
            SearchError: rank 0 has met an error.
        """
        error, found = self.world.agree([error, found])
        if error:
            raise SearchError(
                f"the search's storage: {error}. `hpc resume` makes a damaged one anew from the records"
            )
        return found

    def report(self, trial: Trial, value: float, epoch: int) -> str:
        """Why a trial is to be pruned after an epoch, the same on all ranks; empty if it is not."""
        if not (self.sweep.search.pruner or self.sweep.budget):
            return ""
        why, error = "", ""
        if self.study is not None and self.budget is not None:
            try:
                before = self.study.seconds
                if self.study.report(trial, value, epoch):
                    why = (
                        f"{self.sweep.search.pruner and self.sweep.search.pruner['name']}: worse than others"
                    )
                elif self.budget.is_spent():
                    why = "the budget is spent"
                self.searching += self.study.seconds - before
            except Exception as problem:
                error = words_of(problem)
        found: str = self._agree_on(error, why)
        return found

    def tell(self, trial: Trial, state: str, metrics: Mapping[str, Any], best: float | None) -> None:
        """Tell the search how a trial has ended, as :meth:`hpc.jobs.source.study.Study.tell` takes it."""
        if self.study is not None:
            self.study.tell(trial, state, metrics, best)

    def portions(self, tasks: Sequence[Task]) -> Iterator[list[_Attempt]]:
        """The trials, those together that are to be trained at once."""
        by_themselves = self.spec.inject_fault or self.spec.measure
        if self.sweep.pack == "off" or self.world.size > 1 or by_themselves:
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

    def sibling_key(self, trial: Trial, chosen: Options) -> str | None:
        """What trials have in common whose models begin with the same weights; None if that is unknown."""
        if trial.model != self.sweep.model or trial.model not in ("mlp", "linear"):
            return None  # a baseline does not have the defaults of the sweep's model
        params = {**self.sweep.defaults, **trial.params}
        numbers = [*NUMBERS, "learning_rate", "weight_decay", "clip_norm"]
        numbers += ["momentum"] if chosen.optimizer == "sgd" else []
        rest = {name: value for name, value in params.items() if name not in numbers}
        given = [name for name in numbers if params.get(name)]
        return repr((trial.model, trial.seed, trial.fold, sorted(rest.items()), given))

    def _attempt(self, task: Task) -> _Attempt:
        return _Attempt(self, replace(task, trial=self.sweep.recognize(task.trial)))

    def _lanes(self, first: _Attempt, tasks: Sequence[Task]) -> int:
        """How many trials of a bucket to train at once."""
        if len(tasks) == 1:
            return 1
        self._stop_before_the_next()
        first.begin(len(tasks))
        try:
            first.build()
            first.shapes()
            assert first.built is not None
            check_measures(first.built.model, first.built.data)
            choice = self._choose(first, tasks)
        except BaseException as raised:  # what is wrong with it shows when it is trained
            choice = packing.Choice(1, words_of(an_error(raised)))
        self._record("pack", lanes=choice.lanes, trials=len(tasks), why=choice.why)
        return choice.lanes

    def _choose(self, first: _Attempt, tasks: Sequence[Task]) -> packing.Choice:
        built, its_plan = first.built, first.plan
        assert built is not None
        assert its_plan is not None
        if isinstance(self.sweep.pack, int):
            return packing.Choice(min(self.sweep.pack, len(tasks)), "the sweep says so")
        samples = len(built.data.train)
        seeds = {task.trial.seed for task in tasks} if built.options.shuffle else set()
        batch_size = min(built.options.global_batch(samples), samples)

        def probe(lanes: int) -> tuple[float, float]:
            trials = [task.trial for task in tasks[:lanes]]
            plans = [its_plan, *(plan(self._build(trial).model) for trial in trials[1:])]
            alike = [place for place, one in enumerate(plans) if one.shapes == its_plan.shapes]
            built.model.optimizer.build(built.model.trainable_variables)
            orders = [trials[place].seed for place in alike] if built.options.shuffle else []
            together = self.graphs.pack([plans[place] for place in alike], orders, built.data, self.world)
            alone = self.graphs.of(built.model, built.data, self.world)
            alone_seconds, together_seconds = (
                packing.step_seconds(loop, self.graphs, built.data, batch_size, 0.3)
                for loop in (alone, together)
            )
            return alone_seconds, together_seconds

        steps = built.options.steps(samples) * built.options.epochs
        return packing.choose(its_plan, len(tasks), steps, batch_size, probe, orders=max(1, len(seeds)))

    def train(self, attempts: Sequence[_Attempt]) -> int:
        """Train trials together and record how they ended; a trial's failure is not the worker's.

        Args:
            attempts: one, or several that :meth:`portions` has put together.

        Returns:
            How many were finished.

        Raises:
            Stopped: on all ranks, if any of them is to stop.
        """
        try:
            self._stop_before_the_next()
            return self._train_one(attempts[0]) if len(attempts) == 1 else self._train_groups(attempts)
        except Stopped:
            why = self._why()
            for attempt in attempts:
                if not attempt.is_over:
                    attempt.stop(why)
            raise Stopped(why) from None

    def _train_groups(self, attempts: Sequence[_Attempt]) -> int:
        groups: dict[Any, list[_Attempt]] = {}
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

    def _train_one(self, attempt: _Attempt) -> int:
        if not self.sweep.weighs:  # else one that is too large is no trial
            attempt.begin()
        failure, trained = None, None
        try:
            attempt.build()
            broken = attempt.broken_constraint()
            if broken:
                attempt.skip(broken)
                return 0
            attempt.begin()
            (trained,) = self._train([attempt])
            diverged = attempt.diverged(trained)
            if diverged is not None:
                raise diverged
        except Stopped:
            raise
        except PrunedError as pruned:
            attempt.prune(str(pruned))
            return 1
        except BaseException as raised:
            failure = {"rank": self.world.rank, **_failure(an_error(raised))}
            attempt.begin()
        failures = self._failures(failure)
        if not failures and trained is not None:
            attempt.finish(trained)
            return 1
        cause = min(failures, key=lambda other: (other["follows"], other["rank"]))
        words = cause["error"] if self.world.size == 1 else f"rank {cause['rank']}: {cause['error']}"
        attempt.fail(cause["reason"], words)
        return 0

    def _train_pack(self, attempts: Sequence[_Attempt]) -> int:
        for attempt in attempts:
            attempt.begin(len(attempts))
        trained, words = None, ""
        try:
            trained = self._train(attempts)
        except Stopped:
            raise
        except BaseException as raised:  # its traceback holds the pack: nothing is trained before it is gone
            words = f"{len(attempts)} trials at once: {words_of(an_error(raised))}"
        if trained is None:
            self.graphs.forget()
            self._record("note", text=f"{words}; each is trained by itself instead")
            for attempt in attempts:
                attempt.stop(words, alone=True)
            left = [attempt.task for attempt in attempts if attempt.failure is None]
            return sum(
                self.train([self._attempt(replace(task, attempt=task.attempt + 1, unpacked=True))])
                for task in left
            )
        failures = [attempt.diverged(one) for attempt, one in zip(attempts, trained, strict=True)]
        ended = zip(attempts, trained, failures, strict=True)
        finished = [(attempt, one) for attempt, one, why in ended if one is not None and why is None]
        for attempt, one in sorted(finished, key=lambda pair: pair[0].merit, reverse=True):
            attempt.finish(one)  # the best first: of all the others no model is written
        for attempt, why in zip(attempts, failures, strict=True):
            if why is not None:
                attempt.fail("diverged", str(why))
        return len(finished)

    def _train(self, attempts: Sequence[_Attempt]) -> list[Trained | None]:
        """Train what is built."""
        first = attempts[0].built
        assert first is not None
        chosen, samples = first.options, len(first.data.train)
        kind = self.spec.inject_fault if attempts[0].task.attempt == 1 else ""
        rehearsal = _Rehearsal(kind, chosen, samples, self.world)
        saved = time.monotonic()

        def wish(position: Position) -> Wish:
            nonlocal saved
            due = self.world.rank == 0 and time.monotonic() - saved > 60 * self.spec.checkpoint_min
            if due:
                saved = time.monotonic()
            self.meter.look()
            rehearsed = rehearsal.wish(position)
            return Wish(self._is_asked_to_stop() or rehearsed.stop, due or rehearsed.save)

        return train_lanes(
            [attempt.as_lane() for attempt in attempts],
            first.data,
            self.world,
            epochs=chosen.epochs,
            batch_size=chosen.global_batch(samples),
            shuffle=chosen.shuffle,
            validation_freq=chosen.validation_freq,
            wish=wish,
            stride=rehearsal.stride(chosen.steps(samples)),
            graphs=self.graphs,
            accumulate_steps=chosen.accumulate_steps,
            compression=chosen.compression,
        )

    def joules(self) -> float | None:
        """Of all ranks so far; None where one of their nodes can't say it. Asked by all at once."""
        if not self._can_tell_energy:
            return None
        everyone = self.world.gather(self.meter.look())
        return None if None in everyone else float(sum(everyone))

    def reduced(self) -> list[dict[str, float]]:
        """How long sums over all ranks take, by their size; measured once."""
        if self._reduced is None and self.world.clock is not None:
            self._reduced = self.world.clock.reductions(self.world)
        return self._reduced or []

    def _stop_before_the_next(self) -> None:
        if self.world.add([self._is_asked_to_stop()])[0]:
            raise Stopped(self._why())

    def _is_asked_to_stop(self) -> bool:
        return bool(self.request.signal) or self._is_abandoned()

    def _is_abandoned(self) -> bool:
        parent = self.spec.parent
        return parent is not None and not is_running(*parent)

    def _why(self) -> str:
        if self._is_abandoned():
            return "the command that watched this worker is gone"
        return self.request.signal or "another rank was asked to"

    def _checkpoint(self, trial: Trial, seen: _Seen) -> State | None:
        """Where the trial was left, if it was and the code is what it was then.

        Rank 0 looks for the file; all read it.
        """
        path, state = None, None
        if self.world.rank == 0:
            for path in Checkpoints(Path(self.spec.folder)).newest_first(trial.trial_id):
                try:
                    wrong = self._foreign(facts_of(path), trial)
                    state = None if wrong else read(path)  # all of it: a broken array shows only here
                except Exception as error:  # zipfile, numpy and json have errors of their own
                    wrong = f"can't be read: {words_of(error)}"
                if state is not None:
                    break
                self._record("note", text=f"{path} is left aside: it {wrong}")
        found = self.world.agree(str(path) if state is not None else None)
        if found is None:
            return None
        state = state or _read_when_there(Path(found))
        self._note_other_arithmetic(trial, state.facts.get("arithmetic"))
        seen.restore(state.facts)
        return state

    @property
    def arithmetic(self) -> dict[str, Any]:
        """On what the last bits of a training depend, beside code, data and versions."""
        return {**device.arithmetic(), "ranks": self.world.size, "sums": self.world.reduces_by}

    def _note_other_arithmetic(self, trial: Trial, before: Mapping[str, Any] | None) -> None:
        now = self.arithmetic
        others = [
            f"{name} {now.get(name)} (was {was})"
            for name, was in (before or {}).items()
            if was != now.get(name)
        ]
        if others:
            text = f"{trial.trial_id} goes on with {', '.join(others)}: its last digits may be others by that"
            self._record("note", text=text)

    def _foreign(self, facts: Mapping[str, Any], trial: Trial) -> str:
        """What a checkpoint is of other than this trial and code; its name says nothing of that."""
        mine = {
            "trial": (trial.trial_id, "is of another trial"),
            "code": (self.code, "was made by other code"),
            "made_with": (_versions(), "was made by other versions of the libraries"),
            "data": (self.preparation.digest, "was made with other data"),
        }
        later = ("trial", "data")  # those of earlier versions do not say these
        for name, (value, words) in mine.items():
            if (facts.get(name, value) if name in later else facts[name]) != value:
                return f"{words} ({facts[name]})" if name == "trial" else words
        return ""

    def _forget(self, trial: Trial) -> None:
        if self.world.rank == 0:
            Checkpoints(Path(self.spec.folder)).remove(trial.trial_id)

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

    def _build(self, trial: Trial) -> _Built:
        """What a trial is trained with: a compiled model, the data as it takes them, how to train it."""
        self.graphs.begin(trial.seed, only_keras=not model_of(self.sweep, trial.model).is_users_code)
        chosen = options({**self.sweep.defaults, **trial.params})
        self.settings.put(chosen.dtype if "dtype" in trial.params else None)
        prepared = self.preparation.of(trial, chosen.scale)
        data = prepared.data
        model = self._model(trial, chosen, data)
        fitted = is_estimator(model)
        if fitted:
            changes: dict[str, Any] = {"epochs": 0}
            if chosen.loss == "auto" and data.num_classes is not None and regresses(model):
                changes["loss"] = "mean_squared_error"
            chosen = chosen.model_copy(update=changes)
            model, data = fit(model, data)
        if model.compiled:
            data = data.as_given()
        else:
            classes, parts = data.num_classes, data.parts().items()
            compile_model(model, chosen, num_classes=classes, samples=len(data.train))
            data = data.with_parts(
                {name: Split(part.x, targets(part.y, chosen, model, classes)) for name, part in parts}
            )
            check_metrics(chosen, data.train.y, classes)
            check_outputs(model, data.train.y, loss_of(chosen, model, classes), classes)
        if chosen.initial_weights is not None:
            _begin_with(model, chosen.initial_weights)
        self._note_idle_ranks(chosen, len(data.train))
        self.note_hidden()
        return _Built(model, data, chosen, fitted, prepared.scaling)

    def note_hidden(self) -> None:
        """Say which of the user's modules were imported in a way that their sources don't show."""
        executed = self.sources.require_executed(self.importer.executed)
        names = sorted({*executed, *map(str, self.importer.hidden())} - self.noted)
        self.noted.update(names)
        if names:
            how = "imported in a way that your sources do not show: a change of it is noticed by jobs only"
            self._record("note", text=f"{', '.join(names)} was {how}")
            digests = {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in names}
            folder = Path(self.spec.folder)
            require_same_modules(folder, self.sources.digest, digests, self.spec.job_id)

    def _note_idle_ranks(self, chosen: Options, samples: int) -> None:
        batch = chosen.global_batch(samples)
        if batch < self.world.size and chosen.epochs and not self.has_noted:
            self.has_noted = True
            text = f"batch_size={batch} is the batch of all {self.world.size} ranks: some of them only wait"
            self._record("note", text=text)

    def _model(self, trial: Trial, chosen: Options, data: Dataset) -> Any:
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
            if horovod.unwrap(model.optimizer) and not self.has_unwrapped:
                self.has_unwrapped = True
                self._record(
                    "note",
                    text="hvd.DistributedOptimizer does nothing under Keras 3 and is left out: gradients are "
                    "reduced by hpc-sweeps, as sums over the global batch",
                )
        refuse_own_steps(model)
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


class PrunedError(Exception):
    """The trial is worse than others, on all ranks after the same epoch."""


class SearchError(RuntimeError):
    """The search can't say what to train."""


@dataclass(frozen=True)
class _Built:
    """What a trial is trained with.

    Attributes:
        model: compiled.
        data: as the model takes them.
        options: of the training.
        fitted: whether it is an estimator's, and only measured.
        scaling: of the data, if they are scaled.
    """

    model: keras.Model
    data: Dataset
    options: Options
    fitted: bool
    scaling: Scaling | None


class _Attempt:
    """One try of a trial, and what has come of it so far.

    Attributes:
        built: what it is trained with, once that is there.
        plan: of its model, once that is asked for.
        is_over: whether it is recorded how it ended.
    """

    def __init__(self, work: _Work, task: Task) -> None:
        self.trial = trial = task.trial
        self.task = task
        self.built: _Built | None = None
        self.plan: Plan | None = None
        self.is_over = False
        self._lane: Lane | None = None
        self._lanes = 0
        self._is_borrowed = False
        self._work = work
        self._who = {"trial": trial.trial_id, "attempt": task.attempt}
        self._seen = _Seen(work.sweep.objective.mode)
        self._state = work._checkpoint(trial, self._seen)
        self._start = 0.0
        self._joules: float | None = None
        self._times: dict[str, float] = {}

    @property
    def failure(self) -> DivergedError | None:
        """Why it has ended in the middle of a pack, if it has."""
        return self._lane.failure if self._lane else None

    @property
    def begun(self) -> bool:
        """Whether that is recorded."""
        return self._lanes > 0

    @property
    def merit(self) -> tuple[float, int]:
        """What it has come to by the objective, more is better; of equals the first of the sweep."""
        best = self._seen.best
        value = -math.inf if best is None else best if self._seen.mode == "max" else -best
        return value, -self.trial.index

    def build(self, *, as_lane: bool = False) -> None:
        """Build the model, and make the data ready.

        A lane may do with the model of another that has the same weights, which is built but once.
        """
        work = self._work
        if self._is_borrowed and not as_lane:
            self.unbuild()
        if self.built is not None:
            return
        chosen = options({**work.sweep.defaults, **self.trial.params})
        key = work.sibling_key(self.trial, chosen) if as_lane else None
        if key is not None and key in work.siblings:
            built, its_plan = work.siblings[key]
            self.built = replace(built, options=chosen)
            self.plan = its_plan.with_numbers({**work.sweep.defaults, **self.trial.params}, chosen)
            self._is_borrowed = True
            return
        self.built = work._build(self.trial)
        if key is not None:
            self.shapes()
            assert self.plan is not None
            while len(work.siblings) >= MOST_SIBLINGS:
                work.siblings.pop(next(iter(work.siblings)))
            work.siblings[key] = self.built, self.plan

    def unbuild(self) -> None:
        """Have the model built anew when it is trained."""
        self.built = self.plan = None
        self._is_borrowed = False

    def shapes(self) -> Any:
        """What attempts of one pack have in common.

        Raises:
            PackError: it can be of none.
        """
        assert self.built is not None
        state = self._state
        if self.built.fitted or (state is not None and len(state.own) != 1):
            raise PackError("an estimator, or begun by several ranks")
        if self.built.options.accumulate_steps > 1:
            raise PackError("its batches are taken in parts")
        if self.built.options.patience is not None or self.built.options.restore_best_weights:
            raise PackError("it goes by its own curve (patience, restore_best_weights)")
        if self.plan is None:
            self.plan = plan(self.built.model)
        return self.plan.shapes, state.position if state else None

    def begin(self, lanes: int = 1) -> None:
        """Record that it begins, as one of so many that are trained at once."""
        if self._lanes == lanes:
            return
        if not self.begun:
            self._start = time.perf_counter() - self._seen.seconds
            self._joules = self._work.joules()
        self._lanes, work = lanes, self._work
        further: dict[str, Any] = {"lanes": lanes} if lanes > 1 else {}
        if self._state:
            further["after"] = self._seen.facts()
        work._record(
            "started", **{**self.trial.facts(), **self._who}, ranks=work.world.size, job=work.spec.job_id,
            node=work.world.node, code=work.code, **further,
        )  # fmt: skip

    def as_lane(self) -> Lane:
        """What trains it."""
        assert self.built is not None
        self._lane = Lane(
            self.built.model, self.trial.seed, self._on_epoch, self._state, self._save, plan=self.plan,
            by_sample=not model_of(self._work.sweep, self.trial.model).is_users_code,
        )  # fmt: skip
        return self._lane

    def _seconds(self) -> float:
        return round(time.perf_counter() - self._start, 3)

    def _on_epoch(self, epoch: Epoch) -> Answer:
        metric, metrics = self._work.sweep.objective.metric, epoch.metrics
        facts = {"epoch": epoch.number, "metrics": metrics, "seconds": self._seconds(), **epoch.times}
        self._work._record("epoch", **self._who, **facts)
        for name, value in epoch.times.items():
            self._times[name] = self._times.get(name, 0) + value
        for name in (one.metric for one in self._work.sweep.objectives):
            if name not in metrics and name not in SIZES:
                raise ValueError(
                    f"the objective is {name}, but what this model records is {', '.join(metrics)}"
                )
        chosen = self.built.options if self.built is not None else Options()
        is_best = self._seen.add(epoch, metrics[metric], chosen.min_delta)
        is_number = math.isfinite(metrics[metric]) and math.isfinite(metrics.get("loss", 0.0))
        why = self._work.report(self.trial, metrics[metric], epoch.number) if is_number else ""
        if why:
            raise PrunedError(why)
        is_enough = chosen.patience is not None and self._seen.waited >= chosen.patience
        return Answer(is_enough, is_best and chosen.restore_best_weights)

    def diverged(self, trained: Trained | None) -> DivergedError | None:
        """Why nothing has come of a training that is over; None if an objective says how good it is."""
        sweep, seen = self._work.sweep, self._seen
        if trained is None:
            return self.failure
        if seen.best is None:
            metric, number = sweep.objective.metric, seen.epochs
            last = f"{seen.metrics.get(metric, math.nan)} after {f'epoch {number}' if number else 'the fit'}"
            never = f"was not a finite number in any of the {number} epochs: it is " if number > 1 else "is "
            return DivergedError(f"the objective {metric} {never}{last}")
        for name in (one.metric for one in sweep.objectives if sweep.further_objectives):
            if not math.isfinite(trained.metrics.get(name, 0.0)):  # of several the last values count
                return DivergedError(f"the objective {name} is {trained.metrics[name]} at the end")
        return None

    def _save(self, state: State) -> None:
        work = self._work
        facts = {**self._seen.facts(), "attempt": self.task.attempt, "code": work.code}
        facts |= {
            "trial": self.trial.trial_id,
            "arithmetic": work.arithmetic,
            "made_with": _versions(),
            "data": work.preparation.digest,
            "seconds": self._seconds(),
        }
        try:
            checkpoints = Checkpoints(Path(work.spec.folder))
            checkpoints.save(self.trial.trial_id, replace(state, facts=facts))
        except Exception as error:  # a full disk, no memory: the one before is still there
            work._record("note", text=f"no checkpoint of {self.trial.trial_id}: {words_of(error)}")
            return
        at = state.position
        work._record("checkpoint", **self._who, epoch=at.epochs, samples=at.samples)

    def finish(self, trained: Trained) -> None:
        """Record what it has come to, and keep its model if that is wanted."""
        assert self.built is not None
        self.is_over = True
        work, seen, fitted = self._work, self._seen, self.built.fitted
        if not (work.world.rank or fitted) and work.kept.wants(self.trial, seen.best):
            try:
                work.kept.save(self.trial, trained.model, seen.best, self.built.scaling)
            except BaseException as raised:  # a class of the user's that Keras can't write, or a full disk
                text = f"the model of {self.trial.trial_id} is not kept: {said_by(an_error(raised))}"
                work._record("note", text=text)
        times = {name: round(getattr(trained, name), 3) for name in ("training_seconds", "drawing_seconds")}
        work._record(
            "finished", **self._who, epochs=seen.epochs, metrics=trained.metrics, best=seen.best,
            seconds=self._seconds(), weights="" if fitted else trained.weights,
            confusion=trained.confusion, **times, **self._size(), **self._spent(), **self._searched(),
        )  # fmt: skip
        self._tell("finished")
        work._forget(self.trial)

    def prune(self, why: str) -> None:
        """Record that it was ended since others are better, or since the budget is spent."""
        self.is_over = True
        work, seen = self._work, self._seen
        work._record(
            "pruned", **self._who, epochs=seen.epochs, metrics=seen.metrics, best=seen.best,
            seconds=self._seconds(), why=why, **self._spent(), **self._searched(),
        )  # fmt: skip
        self._tell("pruned")
        work._forget(self.trial)

    def broken_constraint(self) -> str:
        """The limit on its number of weights that it does not keep; empty if it keeps all."""
        if not self._work.sweep.weighs:
            return ""
        return self._work.sweep.allows(self.trial.params, parameters=self._size()["parameters"])

    def skip(self, broken: str) -> None:
        """Leave it out; of a search that does not learn it is a trial nevertheless, and is pruned."""
        self.is_over = True
        text = f"a point with {self._size()['parameters']} parameters is left out: not {broken}"
        self._work._record("note", text=text)
        if not self._work.sweep.is_adaptive or self.trial.stage:
            self.begin()
            self._work._record(
                "pruned", **self._who, epochs=0, metrics={}, best=None, seconds=0.0, why=f"not {broken}"
            )
        self._tell("skipped")

    def _tell(self, state: str) -> None:
        facts = {"seconds": self._seconds()}
        if self.built is not None:
            facts["parameters"] = self._size()["parameters"]
        self._work.tell(self.trial, state, {**self._seen.metrics, **facts}, self._seen.best)

    def _searched(self) -> dict[str, float]:
        """What the search has taken for it up to now."""
        return {"searching_seconds": round(self._work.searching, 6)} if self._work.sweep.is_asked else {}

    def _size(self) -> dict[str, int]:
        """Of what is trained: samples, the batch, the model."""
        import tensorflow as tf

        assert self.built is not None
        samples, variables = len(self.built.data.train), self.built.model.trainable_variables
        numbers = [math.prod(variable.shape) for variable in variables]
        rounded = self.built.options.compression == "fp16" and self._work.world.reduces_by != "memory"
        sizes = [2 if rounded else tf.as_dtype(variable.dtype).size for variable in variables]
        return {
            "samples": samples,
            "batch_size": min(self.built.options.global_batch(samples), samples),
            "parameters": sum(numbers),
            "gradient_bytes": sum(number * size for number, size in zip(numbers, sizes, strict=True)),
            "nodes": self._work.nodes,
        }

    def _spent(self) -> dict[str, Any]:
        """Energy, and what its steps have waited for, if that was measured."""
        work = self._work
        joules = work.joules()
        if joules is not None and self._joules is not None:
            joules = round((joules - self._joules) / max(1, self._lanes), 3)
        spent: dict[str, Any] = {"energy_joules": joules}
        if work.world.clock is not None:
            times = {name: round(value, 6) for name, value in self._times.items()}
            spent |= {**times, "reduces_by": work.world.reduces_by, "reduced": work.reduced()}
        return spent

    def fail(self, reason: str, words: str) -> None:
        """Record why it has failed."""
        self.is_over = True
        self._work._record("failed", **self._who, reason=reason, error=words, seconds=self._seconds())
        self._tell("diverged" if reason == "diverged" else "failed")
        if reason == "diverged":
            self._work._forget(self.trial)

    def stop(self, why: str, **further: Any) -> None:
        """Record that it was stopped, to go on later; or, in a pack, that it had failed before."""
        self.is_over = True
        if not self.begun:
            self._tell("stopped")
        elif self.failure is not None:
            self.fail("diverged", str(self.failure))
        else:
            self._work._record("stopped", **self._who, why=why, seconds=self._seconds(), **further)
            self._tell("stopped")


@dataclass
class _Seen:
    """What has come of a trial so far, over all attempts that continue each other."""

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

    def facts(self) -> dict[str, Any]:
        return {"attempt": self.attempt, "epoch": self.epochs, "metrics": self.metrics, "best": self.best,
                "waited": self.waited, "mark": self.mark}  # fmt: skip

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.attempt, self.epochs, self.seconds = facts["attempt"], facts["epoch"], facts["seconds"]
        self.metrics, self.best = facts["metrics"], facts["best"]
        self.waited, self.mark = facts.get("waited", 0), facts.get("mark")


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
    before = KerasSettings.now()
    gc.collect()
    gc.freeze()  # what TensorFlow has loaded: to look through it takes a sixth of a second each time
    atexit.register(gc.freeze)  # and half a second at the end of the process
    try:
        yield
    finally:
        gc.unfreeze()
        before.put()


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

    said = said_by(error)
    message = said if isinstance(error, LeavingError) else f"{type(error).__name__}: {said}"
    reason = "error"
    if isinstance(error, DivergedError):
        return {"reason": "diverged", "error": str(error), "follows": False}
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        reason = "out-of-memory"
    follows = any(words in message for words in ("Horovod has been shut down", "HorovodInternalError", LEFT))
    first = message.strip().splitlines()[0]
    return {"reason": reason, "error": f"{first}\n{trace_of(error)}", "follows": follows}
