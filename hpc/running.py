"""Carrying out a sweep: plan it, submit workers, watch them, say how it ended."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpc import leftovers
from hpc import profile as profiles
from hpc.interrupting import deaf, interruptible
from hpc.jobs import stored
from hpc.jobs.check import check
from hpc.jobs.node import device
from hpc.jobs.node.processes import identity
from hpc.jobs.node.rank_info import RankInfo, find_rank_info, leftover
from hpc.jobs.outcome import Loss, records_of
from hpc.jobs.spec import Task, WorkerSpec
from hpc.jobs.worker import Worker
from hpc.local import LocalJob, check_folder, deal
from hpc.lock import lock
from hpc.opening import claim_unless_run, left_alone, open_run
from hpc.outcome import Outcome, View
from hpc.profile import Named, Resources
from hpc.results import Records, Run, RunError, moments
from hpc.searching import Search
from hpc.standing import standing
from hpc.sweeps import Sweep, SweepError
from hpc.sweeps.text import message_of

POLL_SECONDS = 0.25
MOST_SILENT = 10
"""Workers of a search that end without a word before they have had a trial, one after another."""
LOOK_SECONDS = 2.0
"""Between two looks whether a search has work for further workers."""
STOPPED = "stopped from outside (Ctrl-C, hpc cancel or a closed terminal)"


def plan(
    sweep: Sweep, named: Named, *, workers: int | None = None, ranks: int | None = None
) -> tuple[Sweep, Resources]:
    """Check everything that can be checked before a run starts on this machine.

    Returns:
        The sweep with its defaults filled in, and what the run will take of the machine.

    Raises:
        SweepError: with every problem found.
        RanksUnavailableError: more than one rank, and what that needs is not installed.
    """
    place = find_rank_info(os.environ)
    profile = named.profile
    if place.launcher == "mpirun":
        if workers not in (None, 1) or ranks not in (None, place.size):
            raise SweepError(
                f"mpirun has started {place.size} ranks, which make one worker of {place.size} ranks; "
                "leave --workers and --ranks out."
            )
        cpus = device.available_cpus() // place.local_size
        resources = Resources("mpirun", 1, place.size, max(1, cpus), measure=profile.measure)
    else:
        resources = profiles.resources(profile, workers=workers, ranks=ranks)
    return check(sweep, resources.ranks), resources


def run(
    sweep: Sweep,
    *,
    on: str = "local",
    folder: str | Path | None = None,
    workers: int | None = None,
    ranks: int | None = None,
    view: View | None = None,
    profiles_file: Path | None = None,
    rehearse: str = "",
    measure: bool = False,
    storage: str | None = None,
    mixed_code: bool = False,
    began: float | None = None,
) -> Outcome:
    """Carry out a sweep to its end, or go on with it: what is finished stays as it is.

    Args:
        sweep: as ``sweeps.load`` or ``sweeps.parse`` gives it.
        on: name of a profile.
        folder: of the run; ``runs/<name of the sweep>`` unless given.
        workers: jobs at once, instead of the profile's.
        ranks: per job, instead of the profile's.
        view: what shows progress; only what goes wrong, on standard error, unless given.
        profiles_file: a file of profiles that counts before all others.
        rehearse: as ``WorkerSpec.inject_fault``.
        measure: whether to take the time of what steps wait for, as ``measure`` of a profile.
        storage: URL of a database for the study of a search, instead of the profile's.
        mixed_code: whether to go on though the user's code or data have changed since trials were trained.
        began: when the command was typed, by ``results.moments.uptime``; now unless given.

    Raises:
        SweepError: the sweep can't be carried out as written.
        RunError: the folder holds another sweep or something else, or somebody is at it.
        RanksUnavailableError: more than one rank, and what that needs is not installed.
        SchedulerError: SLURM refuses, or does not answer.
    """
    named = profiles.with_storage(profiles.find(on, [sweep.folder], profiles_file), storage)
    if measure:
        named = replace(named, profile=named.profile.model_copy(update={"measure": True}))
    path = Path(folder) if folder is not None else Path("runs") / sweep.name
    shown = view or _complaints()
    outcome = _run(sweep, named, path, workers, ranks, shown, rehearse, mixed_code, began)
    return outcome if view else _complained(outcome, shown)


def resume(
    folder: str | Path,
    *,
    on: str | None = None,
    workers: int | None = None,
    ranks: int | None = None,
    view: View | None = None,
    profiles_file: Path | None = None,
    mixed_code: bool = False,
    began: float | None = None,
) -> Outcome:
    """Go on with a run to its end: train whatever is not finished.

    Args:
        folder: of the run.
        on: name of a profile; that of the run's last launch unless given.
        workers: as in :func:`run`, like those that follow.

    Raises:
        RunError: there is no such run, or somebody is at it.
        RanksUnavailableError: more than one rank, and what that needs is not installed.
        SchedulerError: SLURM refuses, or does not answer.
    """
    from hpc.submitting import profile_of, said_of, say_whose

    restored = stored.restore(Path(folder))
    found = Run(folder)
    named = profile_of(found, on, profiles_file)
    workers, ranks = said_of(found, on, workers, ranks)
    sweep = stored.load(found.folder, found.sweep_texts)
    shown = view or _complaints()
    if restored:
        shown.note(restored)
    say_whose(found, sweep, named, shown.note)
    outcome = _run(sweep, named, Path(folder), workers, ranks, shown, mixed_code=mixed_code, began=began)
    return outcome if view else _complained(outcome, shown)


def _complaints() -> View:
    from hpc.cli.display.progress import Complaints

    return Complaints()


def _complained(outcome: Outcome, view: View) -> Outcome:
    """Say what has stopped a run, as the command does."""
    if outcome.error:
        view.note(outcome.error)
    return outcome


def _run(
    sweep: Sweep,
    named: Named,
    folder: Path,
    workers: int | None,
    ranks: int | None,
    view: View,
    rehearse: str = "",
    mixed_code: bool = False,
    began: float | None = None,
) -> Outcome:
    began = began or moments.uptime()
    if named.profile.cluster == "slurm":
        from hpc import following

        return following.run(
            sweep, named, folder, workers=workers, ranks=ranks, view=view, rehearse=rehearse,
            mixed_code=mixed_code,
        )  # fmt: skip
    place = find_rank_info(os.environ)
    if place.launcher == "mpirun" and place.rank:
        return _follow(place)
    with _led(place) as followers:
        sweep, resources = plan(sweep, named, workers=workers, ranks=ranks)
        asked = {
            "on": named.name, "folder": str(sweep.folder), "profile": named.profile.model_dump(mode="json"),
            "said": {"workers": workers, "ranks": ranks}, "began": began,
        }  # fmt: skip
        storage = named.profile.storage or ""
        return _Runner(
            folder, sweep, resources, view, followers, rehearse, asked, storage, mixed_code
        ).carry_out()


class _Runner:
    """One command at work on one run."""

    def __init__(
        self,
        folder: Path,
        sweep: Sweep,
        resources: Resources,
        view: View,
        followers: _Followers,
        rehearse: str,
        asked: dict[str, Any],
        storage: str,
        mixed_code: bool,
    ) -> None:
        self._folder = folder
        self._sweep = sweep
        self._resources = resources
        self._view = view
        self._followers = followers
        self._rehearse = rehearse
        self._asked = asked
        self._storage = storage
        self._search: Search | None = None
        self._silent = 0
        self._mixed_code = mixed_code

    def carry_out(self) -> Outcome:
        """Do what is left to do, with the folder to oneself."""
        check_folder(self._folder)
        claim_unless_run(self._folder, self._view.note)
        with lock(self._folder, wait_seconds=30), moments.steady():
            self._sweep, self._run, self._sources = open_run(
                self._folder, self._sweep, self._resources, mixed_code=self._mixed_code, note=self._view.note
            )
            self._records = Records(self._run.records / "run.jsonl")
            try:
                with standing(self._folder) as self._standing:
                    return self._carry_out()
            finally:
                self._records.close()

    def _carry_out(self) -> Outcome:
        self._leave_slurm_alone()
        workers = leftovers.living_workers(self._run)
        if workers:
            self._view.note(f"Stopping {len(workers)} workers that an earlier command left behind.")
        leftovers.clear(self._run, self._records, "the command that watched its worker was killed")
        trials = sorted(self._run.trials.values(), key=lambda trial: trial.index)
        left = {t.trial_id: why for t in trials if (why := left_alone(t, self._sources.digest))}
        todo = [
            Task.next_of(t)
            for t in trials
            if t.state not in ("finished", "pruned") and t.trial_id not in left
        ]
        count = len(todo)
        if self._sweep.uses_ask_tell:
            self._search = Search(self._sweep, self._run, self._records, self._storage, self._view.note)
            todo, count = [], self._search.begin(left)
        if not count:
            return Outcome(self._run, 0, left)
        began = moments.now() - (moments.uptime() - self._asked["began"])
        self._records.append(
            "launched", launch=self._run.next_launch(), cluster=self._resources.cluster,
            workers=self._resources.workers, ranks=self._resources.ranks, trials=count,
            code=self._sources.digest, files=self._sources.stamps,
            **{**self._asked, "began": round(began, 3)}, **moments.stamp(),
        )  # fmt: skip
        error, interrupted = "", False
        try:
            with interruptible():
                if self._resources.cluster == "local":
                    error = self._watch(todo, count)
                else:
                    error = self._work_here(todo, count)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self._view.end()
        self._run.refresh()
        return Outcome(self._run, count, left, interrupted, error)

    def _leave_slurm_alone(self) -> None:
        if not self._run.arrays:
            return
        from hpc import settling
        from hpc.scheduler import Slurm
        from hpc.submitting import asking_jobs, covered_trials

        news = settling.ask(self._run, Slurm())
        if news.heard:
            settling.settle(self._run, news, self._records)
        covered = [*covered_trials(self._run), *asking_jobs(self._run)]
        if not news.heard and any("job" not in one for one in settling.open_arrays(self._run).values()):
            raise RunError(
                f"jobs of SLURM may have been submitted for {self._folder}, and it can't be asked: "
                f"{news.problem} Ask again on the login node: `hpc status {self._folder}`."
            )
        if covered:
            raise RunError(
                f"{len(covered)} trials of {self._folder} are with jobs of SLURM: watch them with "
                f"`hpc status {self._folder}`, or end them with `hpc cancel {self._folder}` first."
            )

    def _watch(self, todo: Sequence[Task], count: int) -> str:
        """Run local jobs until every task is dealt with; what stopped some of them, if anything."""
        launch = self._run.next_launch()
        jobs: list[LocalJob] = []
        errors: dict[str, None] = {}
        try:
            workers = self._resources.workers
            parts = deal(todo, workers) if self._search is None else [()] * min(workers, count)
            for number, tasks in enumerate(parts):
                jobs.append(self._submit(self._worker(tasks, f"local-{launch}-{number}", number), launch))
            self._view.begin(self._run, self._resources, count)
            looked = time.monotonic()
            while jobs:
                time.sleep(POLL_SECONDS)
                self._standing.require("Its workers were stopped.")
                if self._search is not None and time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    for _ in range(min(len(parts) - len(jobs), self._search.idle())):
                        launch += 1  # there are points to confirm, and workers that have left before
                        number = min(set(range(workers)) - {job.spec.number for job in jobs})
                        jobs.append(
                            self._submit(self._worker((), f"local-{launch}-{number}", number), launch)
                        )
                done = [job for job in jobs if job.is_done()]
                self._run.refresh()
                self._view.update(self._run)
                for job in done:
                    jobs.remove(job)
                    launch += 1
                    try:
                        jobs.extend(self._settle(job, launch))
                    except _WorkerError as error:
                        errors[str(error)] = None
        except BaseException:
            with deaf():
                for job in jobs:
                    job.stop(2.0)
                    self._records.append("ended", job=job.job_id, how="stopped")
                if self._standing.is_there():
                    leftovers.cancel_running(self._run, self._records, STOPPED)
            raise
        return "\n".join(errors)

    def _worker(self, tasks: tuple[Task, ...], job_id: str, number: int) -> WorkerSpec:
        parent = identity(os.getpid()) if self._resources.cluster == "local" else None
        return WorkerSpec(
            str(self._folder.resolve()), job_id, tasks, number=number, ranks=self._resources.ranks,
            threads=self._resources.threads, checkpoint_min=self._resources.checkpoint_min,
            inject_fault=self._rehearse, measure=self._resources.measure, files=self._sources.stamps,
            parent=parent, zero=moments.zero(),
        )  # fmt: skip

    def _submit(self, spec: WorkerSpec, launch: int) -> LocalJob:
        job = LocalJob(spec, self._run.jobs_folder / str(launch), self._resources)
        self._records.append(
            "submitted", job=job.job_id, host=socket.gethostname(), **job.process._asdict(),
            log=str(job.log().relative_to(self._run.folder.resolve())),
            trials=len(spec.tasks), ranks=self._resources.ranks,
        )  # fmt: skip
        return job

    def _settle(self, job: LocalJob, launch: int) -> list[LocalJob]:
        """Deal with a job that has ended; its successor, if there is work left.

        Raises:
            _WorkerError: it ended before it took up a trial, and so would its successor.
        """
        self._run.refresh()
        if self._search is not None:
            return self._settle_search(self._search, job, launch)
        undone: list[Task] = []
        lost: list[Task] = []
        for task in job.spec.tasks:
            attempts = self._run.trials[task.trial.trial_id].attempts
            mine = [number for number, attempt in attempts.items() if attempt.job_id == job.job_id]
            last = attempts[max(mine)] if mine else None
            if last is None:
                undone.append(task)
            elif last.state == "running":
                lost.append(replace(task, attempt=max(mine)))
            elif last.state == "waiting" and last.alone:
                undone.append(replace(task, attempt=max(mine) + 1, unpacked=True))
        if not undone and not lost:
            self._records.append("ended", job=job.job_id, how="done")
            return []
        self._records.append("ended", job=job.job_id, how="died")
        why = job.failure()
        if not lost and len(undone) == len(job.spec.tasks):
            why = why or f"its process ended without a word:\n{job.tail()}"
            raise _WorkerError(f"A worker could not start: {why}\nIts log: {job.log()}")
        for task in lost:
            trial = self._run.trials[task.trial.trial_id]
            why = why or "the worker's process was killed, or crashed, in the middle of this trial"
            loss = Loss("died", why, error=f"{why}\n{job.tail()}")
            for kind, entries in records_of(trial, task.attempt, loss):
                self._records.append(kind, **entries)
                if kind == "stopped":
                    undone.append(replace(task, attempt=task.attempt + 1, unpacked=True))
        if lost:
            names = ", ".join(task.trial.trial_id for task in lost)
            self._view.note(f"Worker {job.job_id} died while training {names}: {why}")
        if not undone:
            return []
        name = f"local-{launch}-{job.spec.number}"
        return [self._submit(job.spec.but(tasks=tuple(undone), job_id=name), launch)]

    def _settle_search(self, search: Search, job: LocalJob, launch: int) -> list[LocalJob]:
        """As :meth:`_settle`, of a worker that asks for its trials."""
        is_in_order = "left" in self._run.jobs.get(job.job_id, {})
        self._records.append("ended", job=job.job_id, how="done" if is_in_order else "died")
        if not is_in_order:
            why = job.failure()
            lost = search.lose(job.job_id, why or "the worker's process was killed, or crashed", job.tail())
            if lost:
                self._view.note(
                    f"Worker {job.job_id} died while training {', '.join(lost)}; it is taken up again."
                )
            elif not any(t.attempt.job_id == job.job_id for t in self._run.trials.values()):
                self._silent += 1
                if not why and self._silent < MOST_SILENT:  # killed while it was starting, or between trials
                    return [self._submit(job.spec.but(job_id=self._name(job, launch)), launch)]
                why = why or f"its process ended without a word:\n{job.tail()}"
                raise _WorkerError(f"A worker could not start: {why}\nIts log: {job.log()}")
        if not search.goes_on(job.job_id):
            return []
        self._silent = 0
        return [self._submit(job.spec.but(job_id=self._name(job, launch)), launch)]

    def _name(self, job: LocalJob, launch: int) -> str:
        """Of a job's successor."""
        return f"local-{launch}-{job.spec.number}"

    def _work_here(self, todo: Sequence[Task], count: int) -> str:
        """Be the worker, in this process; another thread shows the progress."""
        import submitit

        launch = self._run.next_launch()
        spec = self._worker(tuple(todo), f"{self._resources.cluster}-{launch}-0", 0)
        self._followers.send(spec)
        self._view.begin(self._run, self._resources, count)
        over = threading.Event()
        watch = threading.Thread(target=self._show_until, args=(over,), daemon=True)
        watch.start()
        how = "died"
        try:
            executor = submitit.DebugExecutor(self._run.jobs_folder / str(launch))
            error = executor.submit(Worker(spec)).exception()
            how = "died" if error is not None else "done"
        except KeyboardInterrupt:
            how = "stopped"
            leftovers.cancel_running(self._run, self._records, STOPPED)
            raise
        finally:
            over.set()
            watch.join()
            self._records.append("ended", job=spec.job_id, how=how)
        self._standing.require()
        return f"{type(error).__name__}: {message_of(error)}" if error is not None else ""

    def _show_until(self, over: threading.Event) -> None:
        while not over.wait(POLL_SECONDS):
            self._run.refresh()
            self._view.update(self._run)
        self._run.refresh()
        self._view.update(self._run)


class _WorkerError(RuntimeError):
    """A worker that can't work."""


class _Followers:
    """The other ranks when ``hpc run`` itself was started by mpirun."""

    def __init__(self, place: RankInfo) -> None:
        is_led = place.launcher == "mpirun" and place.size > 1
        self._waiting: Any = _communicator(place) if is_led else None

    def send(self, spec: WorkerSpec | None) -> None:
        """Tell them what to run, or that there is nothing."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.bcast(spec)


@contextmanager
def _led(place: RankInfo) -> Iterator[_Followers]:
    followers = _Followers(place)
    try:
        yield followers
    finally:
        followers.send(None)


def _follow(place: RankInfo) -> Outcome:
    """Be a rank above 0 under mpirun."""
    spec: WorkerSpec | None = _communicator(place).bcast(None)
    if spec is None:
        raise SystemExit(0)
    Worker(spec)()
    raise SystemExit(0)


def _communicator(place: RankInfo) -> Any:
    """What connects the ranks that mpirun has started.

    Raises:
        LauncherError: they are not there.
        RanksUnavailableError: MPI can't be loaded.
    """
    from hpc.jobs.collectives import horovod

    horovod.load_mpi()
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    rank, size = world.Get_rank(), world.Get_size()
    if (rank, size) != (place.rank, place.size):
        other = "a world of this process alone" if size == 1 else f"rank {rank} of {size}"
        raise leftover(place, os.environ, other)
    return world
