"""How a run stands, told from its folder; and how to stop it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc import orphans, reconcile, waiting
from hpc.jobs.node import Holder, is_running
from hpc.lock import holder, lock
from hpc.results import Records, Run, RunError
from hpc.results.text import cut
from hpc.schedulers.base import SchedulerError, UnreachableError
from hpc.schedulers.slurm import Slurm
from hpc.sweeps.text import first_line

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 60.0
"""Between two questions to SLURM."""
PAUSE_SECONDS_PER_JOB = 0.02
"""At least, for each job that may yet change: of a thousand one always does."""
AT_WORK = ("running", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING")
"""States of a job, here's and SLURM's, in which its worker may be training."""


def status(folder: str | Path, scheduler: Scheduler | None = None) -> dict[str, Any]:
    """How a run stands.

    What SLURM says of jobs that have ended is written into the records, unless another command
    is at it.

    Args:
        folder: of the run.
        scheduler: to ask, which remembers from one question to the next; a new one unless given.

    Returns:
        ``run``; ``trials``: a count per state and ``total``; ``over``: why a search handed out
        no further trial, or empty; ``lost``: trials that are running by
        their records, but whose worker is gone; ``best``: None, or ``trial_id``, ``metric``,
        ``value``, ``params`` and ``seed``; ``failures``: a count per reason; ``failed``: the latest
        failed trials, each with ``trial_id``, ``reason``, the first line of ``error`` and the ``log``;
        ``seconds_left``: an estimate, or None; ``scheduler``: why SLURM could not be asked, or empty;
        ``notes``: what jobs had to say; ``runner``: None, or the process that carries the run out;
        ``jobs``: all there were, each with ``job_id``, ``state``, ``host``, ``pid``, ``log``, ``why``
        and the ``trial`` it is at. A local job's state is ``running``, ``done``, ``died``, ``stopped``
        or ``lost``; a job of SLURM has SLURM's, or ``UNKNOWN``.

    Raises:
        RunError: there is no such run.
    """
    run = Run(folder)
    scheduler = scheduler or Scheduler()
    scheduler.look(run)
    top = run.ranked()
    at_work = {t.attempt.job_id: t for t in run.trials.values() if t.state == "running"}
    who = _runner(run.folder)
    jobs = []
    for name, job in run.jobs.items():
        trial = at_work.get(name)
        known = scheduler.news.jobs.get(name)
        if "array" in job:
            last = "RUNNING" if "began" in job else "PENDING"
            told = last if scheduler.news.problem and not scheduler.news.heard else "UNKNOWN"
            state = job.get("ended") or (known.state if known else told)
        else:
            state = job.get("ended") or _state_here(job, who)
        pid, host = job.get("pid"), job.get("host")
        if state == "running" and pid is None and who is not None:
            pid, host = who.pid, who.host
        at = trial if trial and state in AT_WORK else None
        why = str(job.get("error") or job.get("why") or (known.reason if known else ""))
        jobs.append(
            {"job_id": name, "state": state, "host": (known.nodes if known else None) or host, "pid": pid,
             "ranks": job.get("ranks"), "log": job.get("log"),
             "why": cut(first_line(why), f"{folder}/records"),
             "left": known.left if known else "", "over": "ended" in job,
             "trial": at.trial_id if at else None, "epoch": at.attempt.epochs if at else None}
        )  # fmt: skip
    running = {job["job_id"] for job in jobs if job["state"] in AT_WORK}
    reasons = [t.attempt.reason for t in run.trials.values() if t.state == "failed"]
    in_process = who is not None and not running  # debug and mpirun, before they are ready
    silent = {name for name, job in run.jobs.items() if "array" in job} if scheduler.news.problem else set()
    going = [t for t in run.trials.values() if t.state == "running"]
    lost = [] if in_process else [t for t in going if t.attempt.job_id not in running | silent]
    failed = sorted((t for t in run.trials.values() if t.state == "failed"), key=lambda t: -t.attempt.started)
    return {
        "run": str(folder),
        "name": run.name,
        "trials": run.counts(),
        "over": run.over,
        "lost": len(lost),
        "failures": {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
        "best": {"trial_id": top[0].trial_id, "metric": run.metric, "value": top[0].attempt.best,
                 "params": top[0].params, "seed": top[0].seed} if top else None,
        "failed": [{"trial_id": t.trial_id, "reason": t.attempt.reason,
                    "error": cut(first_line(t.attempt.error), f"hpc logs {folder} {t.trial_id}"),
                    "log": run.jobs.get(t.attempt.job_id, {}).get("log")} for t in failed[:10]],
        "seconds_left": _seconds_left(run, max(len(running), len(going) - len(lost))),
        "scheduler": scheduler.news.problem,
        "notes": [cut(text, f"{folder}/records") for text in run.notes[-5:]],
        "skipped": run.skipped(),
        "faults": run.faults(),
        "runner": {"host": who.host, "pid": who.pid} if who else None,
        "jobs": jobs,
    }  # fmt: skip


def is_busy(summary: Mapping[str, Any]) -> bool:
    """Tell whether anything may yet change in a run.

    Args:
        summary: what :func:`status` returns.
    """
    over = ("done", "died", "stopped", "lost")
    jobs = any(not job["over"] and job["state"] not in over for job in summary["jobs"])
    return bool(summary["runner"] or jobs)


class Pause:
    """How long to leave SLURM alone: longer for many jobs, while nothing changes, or if it is silent."""

    def __init__(self) -> None:
        self.seconds = FIRST_PAUSE_SECONDS
        self._last: object = None

    def after(self, news: object, jobs: int = 0) -> float:
        """The pause after an answer.

        Args:
            news: what was answered, to tell whether anything has changed.
            jobs: how many may yet change.
        """
        least = max(FIRST_PAUSE_SECONDS, PAUSE_SECONDS_PER_JOB * jobs)
        self.seconds = min(LONGEST_PAUSE_SECONDS, least if news != self._last else self.seconds * 1.5)
        self._last = news
        return self.seconds


class Scheduler:
    """Asks SLURM for a run's jobs, and remembers what it has said.

    Attributes:
        news: the last answer.
    """

    def __init__(self, slurm: Slurm | None = None) -> None:
        self.news = reconcile.News()
        self._slurm = slurm or Slurm(timeout_seconds=15)

    def look(self, run: Run, wait_seconds: float = 0.0) -> None:
        """Ask anew: one squeue, and one sacct if that does not know all. Nothing without SLURM jobs.

        What has ended is written down, unless another command is about to.

        Args:
            run: to ask for.
            wait_seconds: for another command that is at it.
        """
        if not reconcile.open_arrays(run) and not reconcile.unaccounted(run):
            self.news = reconcile.News()
            return
        news = reconcile.ask(run, self._slurm)
        if news.problem:  # what was known before is better than nothing
            news.jobs = {**self.news.jobs, **news.jobs}
        self.news = news
        is_new = news.ended or news.orphans or news.never or news.accounts or reconcile.idle(run, news)
        if news.problem or not is_new:
            return
        try:
            with lock(run.folder, lease_seconds=60, wait_seconds=wait_seconds):
                run.refresh()
                if news.never:  # sbatch may have been under way when squeue was asked
                    self.news = news = reconcile.ask(run, self._slurm)
                    if news.problem:
                        return
                records = Records(run.records / "run.jsonl")
                reconcile.settle(run, news, records)
                reconcile.end_idle(run, news, self._slurm, records)
                records.close()
                run.refresh()
        except (RunError, OSError):
            pass  # somebody is at it; or the folder may only be read, or the disk is full


def cancel(folder: str | Path, wait_seconds: float = 90) -> str:
    """Stop a run; its running trials become cancelled.

    Args:
        folder: of the run.
        wait_seconds: for its workers to stop in order.

    Returns:
        What was done, in words.

    Raises:
        RunError: there is no such run, it is carried out on another host, or it does not stop.
        SchedulerError: SLURM does not answer, or refuses.
    """
    run = Run(folder)
    if reconcile.open_arrays(run):
        return _cancel_jobs(run, wait_seconds)
    who = _runner(run.folder)
    if who is None:
        counts = run.counts()
        left = counts["total"] - counts["finished"] - counts["pruned"]
        more = f"; {left} trials are not finished (`hpc resume {folder}`)" if left else ""
        stopped = _stop_workers(run)
        return stopped or f"nothing of {folder} is running{more}."
    if not who.is_here:
        raise RunError(
            f"{folder} is carried out on {who.host} (process {who.pid}), out of reach from here; type "
            f"`hpc cancel {folder}` there."
        )
    os.kill(who.pid, signal.SIGTERM)
    deadline = waiting.now() + wait_seconds
    while waiting.now() < deadline:
        if not who.is_alive() or holder(run.folder) != who:
            return f"{folder} is stopped. `hpc resume {folder}` goes on with it."
        waiting.sleep(0.1)
    raise RunError(f"process {who.pid} was asked to stop {wait_seconds:.0f} seconds ago and has not.")


def _cancel_jobs(run: Run, wait_seconds: float) -> str:
    """Cancel exactly this run's jobs of SLURM, those included that nobody has written down."""
    slurm = Slurm()
    with lock(run.folder, lease_seconds=600, wait_seconds=30):
        run.refresh()
        records = Records(run.records / "run.jsonl")
        try:
            news = reconcile.ask(run, slurm)
            if not news.heard:
                raise UnreachableError(f"{news.problem} Nothing was cancelled; try again.")
            reconcile.settle(run, news, records)
            # By what squeue says: a sbatch that was heard twice has made two arrays of one name.
            arrays = _numbers(news)
            if not arrays:
                return f"nothing of {run.folder} is running."
            slurm.cancel(arrays)
            deadline = waiting.now() + wait_seconds
            while waiting.now() < deadline:
                news = reconcile.ask(run, slurm)
                if news.heard:
                    reconcile.settle(run, news, records)
                    if not _numbers(news):
                        return (
                            f"SLURM jobs {', '.join(arrays)} are cancelled. "
                            f"`hpc resume {run.folder}` goes on with the run."
                        )
                waiting.sleep(0.5)
        finally:
            records.close()
    raise SchedulerError(
        f"SLURM was asked to cancel {', '.join(arrays)} {wait_seconds:.0f} seconds ago, and they are not "
        f"gone yet; look again with `hpc status {run.folder}`."
    )


def _numbers(news: reconcile.News) -> list[str]:
    """Numbers of the arrays that are alive."""
    alive = {job.job_id.partition("_")[0] for job in news.jobs.values() if job.is_alive}
    return sorted(alive, key=int)


def logs(folder: str | Path, trial: str | None = None) -> list[Path]:
    """The log files of a trial, or of all jobs.

    Args:
        folder: of the run.
        trial: its id, or the beginning of it; that of the last attempt counts.

    Raises:
        RunError: there is no such run, no such trial, or it has no log yet.
    """
    run = Run(folder)
    if trial is None:
        names = list(run.jobs)
    else:
        found = run.find(trial)
        attempt = found.attempt
        if not attempt.job_id:
            raise RunError(f"{found.trial_id} has not been started yet, so there is no log.")
        names = [attempt.job_id]
    paths: list[Path] = []
    for name in names:
        log = run.jobs.get(name, {}).get("log")
        if log:
            path = run.folder / str(log)
            stem = path.name.removesuffix("_log.out")
            ranks = sorted(path.parent.glob(f"{stem}_*_log.out")) if "array" in run.jobs[name] else []
            paths += [p for p in [path, *ranks] if p.is_file()]
    if not paths:
        raise RunError(f"there is no log of {trial or folder} yet.")
    return paths


def _seconds_left(run: Run, workers: int) -> float | None:
    """An estimate: what finished trials have taken on average, for each that is open, by worker."""
    taken = [t.attempt.seconds for t in run.trials.values() if t.state == "finished" and t.attempt.seconds]
    counts = run.counts()
    if not taken or not workers:
        return None
    mean = sum(taken) / len(taken)
    running = [t.attempt.seconds or 0.0 for t in run.trials.values() if t.state == "running"]
    return float(round(mean * counts["waiting"] + sum(max(0.0, mean - s) for s in running)) / workers)


def _stop_workers(run: Run) -> str:
    """End local workers whose command is gone; what was done, in words."""
    workers = orphans.living_workers(run)
    if not workers:
        return ""
    with lock(run.folder):
        records = Records(run.records / "run.jsonl")
        orphans.clear(run, records, "stopped by hpc cancel")
        records.close()
    return f"{len(workers)} workers that their command had left behind are stopped."


def _runner(folder: Path) -> Holder | None:
    who = holder(folder)
    if who is None or (who.until and not who.is_here):  # on another host, and only for a moment
        return None
    return who if who.is_alive() else None


def _state_here(job: dict[str, Any], who: Holder | None) -> str:
    """The state of a job that is none of SLURM's, and whose end nobody has written down.

    Args:
        job: its summary.
        who: carries the run out, if anybody does.
    """
    if orphans.is_in_process(job):
        return str(job.get("left") or ("running" if who is not None else "lost"))
    return "running" if _alive(job) else "lost"


def _alive(job: dict[str, Any]) -> bool:
    if "pid" not in job:
        return False
    if job.get("host") != socket.gethostname():
        return True  # nothing is known of processes on another host
    return is_running(job["pid"], job["started"], job.get("mark", ""))
