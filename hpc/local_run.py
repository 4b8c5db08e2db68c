"""Carrying out a run on this machine: start workers, watch them, deal with those that end."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from hpc import orphans
from hpc.folder_guard import standing
from hpc.interrupting import ignore_signals, interruptible
from hpc.jobs.node import identity
from hpc.jobs.outcome import Loss, records_of
from hpc.jobs.spec import Task, WorkerSpec
from hpc.jobs.worker import Worker
from hpc.lock import lock
from hpc.mpirun import Followers
from hpc.outcome import Outcome, View
from hpc.profile import Named, Resources
from hpc.request import RunRequest
from hpc.results import Records, RunError, moments
from hpc.run_folder import claim_unless_run, left_alone, open_run
from hpc.schedulers.base import JobArray
from hpc.schedulers.local import Local, LocalJob, check_folder, deal
from hpc.search_coordinator import SearchCoordinator
from hpc.sweeps import Sweep
from hpc.sweeps.text import message_of

POLL_SECONDS = 0.25
MAX_SILENT = 10
"""Workers of a search that end without a word before they have had a trial, one after another."""
LOOK_SECONDS = 2.0
"""Between two looks whether a search has work for further workers."""
STOPPED = "stopped from outside (Ctrl-C, hpc cancel or a closed terminal)"


class LocalRun:
    """One command at work on one run."""

    def __init__(
        self,
        sweep: Sweep,
        named: Named,
        request: RunRequest,
        resources: Resources,
        view: View,
        followers: Followers,
    ) -> None:
        self._folder = request.folder_of(sweep.name)
        self._sweep = sweep
        self._request = request
        self._resources = resources
        self._view = view
        self._followers = followers
        self._asked = {
            "on": named.name, "folder": str(sweep.folder), "profile": named.profile.model_dump(mode="json"),
            "said": request.said,
        }  # fmt: skip
        self._storage = named.profile.storage or ""
        self._scheduler = Local(resources)
        self._search: SearchCoordinator | None = None
        self._silent = 0

    def carry_out(self) -> Outcome:
        """Do what is left to do, with the folder to oneself."""
        check_folder(self._folder)
        claim_unless_run(self._folder, self._view.note)
        with lock(self._folder, wait_seconds=30), moments.steady():
            self._sweep, self._run, self._sources = open_run(
                self._folder, self._sweep, self._resources, mixed_code=self._request.mixed_code,
                note=self._view.note,
            )  # fmt: skip
            self._records = Records(self._run.records / "run.jsonl")
            try:
                with standing(self._folder) as self._standing:
                    return self._carry_out()
            finally:
                self._records.close()

    def _carry_out(self) -> Outcome:
        self._leave_slurm_alone()
        workers = orphans.living_workers(self._run)
        if workers:
            self._view.note(f"Stopping {len(workers)} workers that an earlier command left behind.")
        orphans.clear(self._run, self._records, "the command that watched its worker was killed")
        trials = sorted(self._run.trials.values(), key=lambda trial: trial.index)
        left = {t.trial_id: why for t in trials if (why := left_alone(t, self._sources.digest))}
        todo = [
            Task.next_of(t)
            for t in trials
            if t.state not in ("finished", "pruned") and t.trial_id not in left
        ]
        count = len(todo)
        if self._sweep.uses_ask_tell:
            self._search = SearchCoordinator(
                self._sweep, self._run, self._records, self._storage, self._view.note
            )
            todo, count = [], self._search.begin(left)
        if not count:
            return Outcome(self._run, 0, left)
        began = moments.now() - (moments.uptime() - self._request.began)
        self._records.append(
            "launched", launch=self._run.next_launch(), cluster=self._resources.cluster,
            workers=self._resources.workers, ranks=self._resources.ranks, trials=count,
            code=self._sources.digest, files=self._sources.stamps,
            **self._asked, began=round(began, 3), **moments.stamp(),
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
        from hpc import reconcile
        from hpc.coverage import asking_jobs, covered_trials
        from hpc.schedulers.slurm import Slurm

        news = reconcile.ask(self._run, Slurm())
        if news.heard:
            reconcile.settle(self._run, news, self._records)
        covered = [*covered_trials(self._run), *asking_jobs(self._run)]
        if not news.heard and any("job" not in one for one in reconcile.open_arrays(self._run).values()):
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
                standing = self._scheduler.queue(job.job_id for job in jobs).jobs
                done = [job for job in jobs if not standing[job.job_id].is_alive]
                self._run.refresh()
                self._view.update(self._run)
                for job in done:
                    jobs.remove(job)
                    launch += 1
                    try:
                        jobs.extend(self._settle(job, launch))
                    except WorkerError as error:
                        errors[str(error)] = None
        except BaseException:
            with ignore_signals():
                for job in jobs:
                    self._scheduler.cancel([job.job_id])
                    self._records.append("ended", job=job.job_id, how="stopped")
                if self._standing.is_there():
                    orphans.cancel_running(self._run, self._records, STOPPED)
            raise
        return "\n".join(errors)

    def _worker(self, tasks: tuple[Task, ...], job_id: str, number: int) -> WorkerSpec:
        parent = identity(os.getpid()) if self._resources.cluster == "local" else None
        return WorkerSpec(
            str(self._folder.resolve()), job_id, tasks, number=number, ranks=self._resources.ranks,
            threads=self._resources.threads, checkpoint_min=self._resources.checkpoint_min,
            inject_fault=self._request.inject_fault, measure=self._resources.measure,
            tensorflow_profile=self._request.tensorflow_profile,
            files=self._sources.stamps, parent=parent, zero=moments.zero(),
        )  # fmt: skip

    def _submit(self, spec: WorkerSpec, launch: int) -> LocalJob:
        array = JobArray(spec.job_id, 0, 1, 1, specs=(spec,))
        self._scheduler.submit(array, self._run.jobs_folder / str(launch))
        job = self._scheduler.of(spec.job_id)
        self._records.append(
            "submitted", job=job.job_id, host=socket.gethostname(), **job.process._asdict(),
            log=str(job.log().relative_to(self._run.folder.resolve())),
            trials=len(spec.tasks), ranks=self._resources.ranks,
        )  # fmt: skip
        return job

    def _settle(self, job: LocalJob, launch: int) -> list[LocalJob]:
        """Deal with a job that has ended; its successor, if there is work left.

        Raises:
            WorkerError: it ended before it took up a trial, and so would its successor.
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
            raise WorkerError(f"A worker could not start: {why}\nIts log: {job.log()}")
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

    def _settle_search(self, search: SearchCoordinator, job: LocalJob, launch: int) -> list[LocalJob]:
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
                if not why and self._silent < MAX_SILENT:  # killed while it was starting, or between trials
                    return [self._submit(job.spec.but(job_id=self._name(job, launch)), launch)]
                why = why or f"its process ended without a word:\n{job.tail()}"
                raise WorkerError(f"A worker could not start: {why}\nIts log: {job.log()}")
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
            orphans.cancel_running(self._run, self._records, STOPPED)
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


class WorkerError(RuntimeError):
    """A worker that can't work."""
