"""Submitting to SLURM and watching until all is done, for `hpc run --on PROFILE`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpc import profile as profiles
from hpc import reconcile, waiting
from hpc.folder_guard import standing
from hpc.outcome import Outcome, View
from hpc.profile import Named
from hpc.request import RunRequest
from hpc.results import Run
from hpc.schedulers.slurm import Slurm
from hpc.submitting import Submission, submit_with
from hpc.sweeps import Sweep
from hpc.watching import Pause, Scheduler


def run(sweep: Sweep, named: Named, request: RunRequest, view: View) -> Outcome:
    """Submit, and watch until no job is left; try again what the profile says to.

    Ctrl-C ends the watching only: the jobs go on.
    """
    slurm = Slurm()
    trained = 0
    only: list[str] | None = None
    while True:
        submission = submit_with(sweep, named, request, slurm=slurm, note=view.note, only=only)
        for text in submission.said:
            view.note(text)
        trained += submission.trials + submission.covered
        try:
            error = _watch(submission, named, request, slurm, view)
        except KeyboardInterrupt:
            view.note("The jobs go on. Watch them again with the same command, stop them with hpc cancel.")
            submission.run.refresh()
            return Outcome(submission.run, trained, submission.left, interrupted=True)
        if sweep.uses_ask_tell and not error and _got_on(submission) and submission.job_ids:
            only = None  # jobs have ended, and the search has more: points to confirm, or trials put back
            continue
        only = retries(submission.run, named.profile.retry)
        if request.inject_fault or error or not only or not submission.job_ids:
            return Outcome(submission.run, trained, submission.left, error=error)
        view.note(f"Trying again, as the profile says: {', '.join(only)}")


def _got_on(submission: Submission) -> bool:
    """Whether a search has trials left, none of them failed, and jobs that ended have trained some."""
    run, counts = submission.run, submission.run.counts()
    mine = {job for job in run.jobs if _is_of(job, submission)}
    ended = any(t.attempt.job_id in mine and t.state in ("finished", "pruned") for t in run.trials.values())
    return ended and counts["waiting"] > 0 and not run.over


def retries(run: Run, retry: Mapping[Any, int]) -> list[str]:
    """Failed trials that the profile says to try again; none once somebody has cancelled the jobs."""
    if any(t.state in ("waiting", "running") for t in run.trials.values()):
        return []
    failed = [t for t in run.trials.values() if t.state == "failed" and t.attempt.reason != "diverged"]
    found = []
    for trial in failed:
        reason = trial.attempt.reason
        times = sum(a.reason == reason for a in trial.attempts.values())
        if times <= retry.get(reason, 0):
            found.append(trial.trial_id)
    return found


def _watch(submission: Submission, named: Named, request: RunRequest, slurm: Slurm, view: View) -> str:
    run = submission.run
    if not submission.trials and not submission.covered:
        return ""
    view.begin(run, profiles.resources(named.profile, workers=request.workers, ranks=request.ranks),
               submission.trials + submission.covered)  # fmt: skip
    pause, next_question, problem, scheduler = Pause(), 0.0, "", Scheduler(slurm)
    try:
        with standing(run.folder) as its_folder:
            while True:
                waiting.sleep(1)
                its_folder.require("Its jobs of SLURM end when they find that out; `hpc status` there tells.")
                run.refresh()
                view.update(run)
                if waiting.now() < next_question:
                    continue
                scheduler.look(run, wait_seconds=30)
                news = scheduler.news
                if news.problem and news.problem != problem:
                    view.note(f"SLURM does not answer: {news.problem} Waiting.")
                problem = news.problem
                view.update(run)
                if not problem and not reconcile.open_arrays(run):
                    break
                answer = problem or sorted((job.job_id, job.state) for job in news.jobs.values())
                alive = sum(job.is_alive for job in news.jobs.values())
                next_question = waiting.now() + pause.after(answer, alive)
    finally:
        view.end()
    unfit = {job["error"] for name, job in run.jobs.items() if "error" in job and _is_of(name, submission)}
    return "\n".join(f"A job could not work: {str(error).splitlines()[0]}" for error in sorted(unfit))


def _is_of(job: str, submission: Submission) -> bool:
    return job.partition("_")[0] in submission.job_ids
