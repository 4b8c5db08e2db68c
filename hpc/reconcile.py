"""What SLURM says of a run's jobs, brought into its records: who was orphaned, who has ended, why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpc.jobs.job_logs import OUT_OF_MEMORY
from hpc.jobs.launch import Launch
from hpc.jobs.outcome import Loss, records_of
from hpc.results import Records, Run, TrialState, moments
from hpc.schedulers.base import Account, JobState, QueueSnapshot, SchedulerError
from hpc.schedulers.slurm import REASONS, Slurm

IN_LOGS = (
    (re.compile(r"DUE TO TIME LIMIT"), "TIMEOUT"),
    (re.compile(r"DUE TO NODE FAILURE|Node failure", re.IGNORECASE), "NODE_FAIL"),
    (OUT_OF_MEMORY, "OUT_OF_MEMORY"),
    (re.compile(r"DUE TO PREEMPTION", re.IGNORECASE), "PREEMPTED"),
    (re.compile(r"JOB \S+ ON \S+ CANCELLED AT(?!.* DUE TO JOB REQUEUE)"), "CANCELLED"),
)
"""What SLURM writes into a job's log, for sites that keep no accounts."""
START = re.compile(r"^srun (?:--unbuffered )?--kill-on-bad-exit=1 .*$", re.MULTILINE)
"""What the supervisor prints when it starts the ranks; what is before the last one is past."""

DAY = 86400.0
IDLE_SECONDS = 600.0
"""For which a job has been silent that has left nothing to do, before it is cancelled."""


@dataclass
class News:
    """What SLURM says of a run's jobs.

    Attributes:
        jobs: by their ids, those that it knows.
        orphans: numbers of arrays by their names, which are in the queue though nobody has
            written that down.
        never: names of arrays that were about to be submitted, and were not.
        ended: jobs that are over, and how: SLURM's word, or ``UNKNOWN``.
        accounts: what jobs have cost that have ended, as far as sacct has told; None of one whose
            account is not kept.
        heard: whether squeue has answered.
        problem: why it could not be asked; empty if it could.
    """

    jobs: dict[str, JobState] = field(default_factory=dict)
    orphans: dict[str, str] = field(default_factory=dict)
    never: list[str] = field(default_factory=list)
    ended: dict[str, JobState] = field(default_factory=dict)
    accounts: dict[str, Account | None] = field(default_factory=dict)
    heard: bool = False
    problem: str = ""


def open_arrays(run: Run) -> dict[str, dict[str, Any]]:
    """Arrays of which not all is known to have ended, by name."""
    found = {}
    for name, array in run.arrays.items():
        if array.get("dropped"):
            continue
        job = array.get("job")
        if job is None or any(_is_open(run, f"{job}_{i}") for i in range(array["size"])):
            found[name] = array
    return found


def _is_open(run: Run, job: str) -> bool:
    return "ended" not in run.jobs.get(job, {})


def unaccounted(run: Run) -> dict[str, list[str]]:
    """Jobs that have ended of which sacct has not yet told what they cost, by the name of their array.

    It is not asked for ever: what it has not told a day after the last of them it does not know.
    """
    ended = [job for job, entry in run.jobs.items() if "array" in entry and "ended_time" in entry]
    ends = [{"time": run.jobs[job]["ended_time"], **run.jobs[job].get("end", {})} for job in ended]
    if min(map(moments.since, ends), default=0.0) > DAY:
        return {}
    found: dict[str, list[str]] = {}
    for job in ended:
        if "account" not in run.jobs[job]:
            found.setdefault(run.jobs[job]["array"], []).append(job)
    return found


def ask(run: Run, slurm: Slurm) -> News:
    """Ask SLURM for a run's jobs: one squeue, and one sacct at most.

    That is if squeue does not know all of them; and, for what they have cost, when the last has
    ended. Nothing is changed. A run of which all is known costs no question.
    """
    arrays, owed = open_arrays(run), unaccounted(run)
    news = News()
    if not arrays:
        if owed:
            _ask_accounts(run, slurm, owed, news)
        return news
    users = {array.get("user") for array in arrays.values()}
    queue = slurm.queue(arrays, users.pop() if len(users) == 1 else None)
    if queue.problem:
        news.problem = queue.problem
        return news
    news.jobs, news.heard = dict(queue.jobs), True
    numbers = {job.name: job.job_id.partition("_")[0] for job in queue.jobs.values()}
    unknown = [name for name, array in arrays.items() if "job" not in array and name not in numbers]
    gone = [job for job in _open_jobs(run, arrays) if job not in queue.jobs]
    account = QueueSnapshot()
    if unknown or gone or not any(job.is_alive for job in queue.jobs.values()):
        account = _ask_accounts(run, slurm, owed | {name: [] for name in arrays}, news)
        if account.problem and (unknown or gone):
            news.problem = account.problem
    numbers |= {job.name: job.job_id.partition("_")[0] for job in account.jobs.values()}
    for name, array in arrays.items():
        if "job" not in array:
            number = numbers.get(name) or array.get("seen")
            if number:
                news.orphans[name] = number
            elif not news.problem:
                news.never.append(name)
    for job in [*_open_jobs(run, arrays), *_jobs_of(news.orphans, arrays)]:
        state = queue.jobs.get(job)
        if state is None and not account.problem:
            # squeue knows whatever is alive; sacct may lag behind and call it RUNNING still.
            told = account.jobs.get(job)
            name = told.name if told else ""
            state = told if told and not told.is_alive else JobState(job, name, "UNKNOWN")
        if state is not None:
            news.jobs[job] = state
            if not state.is_alive:
                news.ended[job] = state
                if not slurm.has_accounting:
                    news.accounts[job] = None
    return news


def idle(run: Run, news: News) -> list[str]:
    """Jobs that SLURM calls running though all of their trials have ended, and nothing was heard for minutes.

    Where the slurmstepd of a job was killed, nobody tells SLURM that the job is over, and it holds its nodes
    until its time limit.
    """
    under_way = {
        attempt.job_id
        for trial in run.trials.values()
        for attempt in trial.attempts.values()
        if attempt.state in ("running", "waiting")
    }
    found = []
    for job, state in news.jobs.items():
        entry = run.jobs.get(job, {})
        if state.state != "RUNNING" or entry.get("left") != "done" or "ended" in entry or job in under_way:
            continue
        if not _have_all_left(entry):
            continue
        last = max([*entry.get("heard", []), *entry.get("begins", [])])
        if moments.since({"time": last}) > IDLE_SECONDS and not _has_trials_left(run, entry):
            found.append(job)
    return found


def _have_all_left(entry: Mapping[str, Any]) -> bool:
    """Whether each of a job's groups has left since it was begun last; of a search one may ask on alone."""
    groups, begun = int(entry.get("groups", 1)), max(entry.get("begins", []), default=0.0)
    return len([left for left in entry.get("leaves", []) if left >= begun]) >= groups


def _has_trials_left(run: Run, entry: Mapping[str, Any]) -> bool:
    """Whether a job may yet come to a trial that it was dealt; one that asks for its trials has asked."""
    try:
        mine = Launch.read(run.jobs_folder / str(entry["launch"])).trials(entry["number"], run)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return True
    return any(trial.state not in ("finished", "pruned") for trial in mine)


def end_idle(run: Run, news: News, slurm: Slurm, records: Records) -> None:
    """Cancel idle jobs, once each, and say so in a note.

    Args:
        run: of which one holds the lock.
        news: as :func:`ask` brings them.
        slurm: to ask for that.
        records: of ``run.jsonl``.
    """
    for job in idle(run, news):
        text = f"job {job} was cancelled: all of its trials have ended, and by SLURM it ran on all the same"
        if text in run.notes:
            continue
        try:
            slurm.cancel([job])
        except SchedulerError:  # another time; or somebody else's jobs
            continue
        records.append("note", text=text)


def _ask_accounts(run: Run, slurm: Slurm, owed: Mapping[str, list[str]], news: News) -> QueueSnapshot:
    """Ask sacct for arrays, and take in what their jobs have cost."""
    since = min(float(run.arrays[name]["time"]) for name in owed)
    answers = slurm.account(owed, since)
    if not slurm.has_accounting:
        news.accounts = {job: None for jobs in owed.values() for job in jobs}
    news.accounts |= {name: job.account for name, job in answers.jobs.items() if job.account}
    return answers


def _open_jobs(run: Run, arrays: dict[str, dict[str, Any]]) -> Iterator[str]:
    for array in arrays.values():
        if "job" in array:
            for index in range(array["size"]):
                job = f"{array['job']}_{index}"
                if _is_open(run, job):
                    yield job


def _jobs_of(orphans: dict[str, str], arrays: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, number in orphans.items():
        yield from (f"{number}_{index}" for index in range(arrays[name]["size"]))


def settle(run: Run, news: News, records: Records) -> list[str]:
    """Write down what SLURM has said.

    Args:
        run: of which one holds the lock.
        news: as :func:`ask` brings them.
        records: of ``run.jsonl``.

    Returns:
        Sentences for a person, of what was set right.
    """
    said = []
    run.refresh()  # another command may have written something down since SLURM was asked
    known = {name for name, array in run.arrays.items() if "job" in array or array.get("dropped")}
    for name, number in news.orphans.items():
        if name in known:
            continue
        records.append("array", name=name, job=number)
        said.append(f"Job {number} was submitted by a command that did not live to write it down: adopted.")
    for name in news.never:
        if name not in known:
            records.append("dropped", name=name)
    run.refresh()
    attempts: dict[str, list[tuple[TrialState, int]]] = {}
    for trial in run.trials.values():
        for number_, attempt in trial.attempts.items():
            attempts.setdefault(attempt.job_id, []).append((trial, number_))
    gone = []
    for job, state in news.ended.items():
        entry = run.jobs.get(job, {})
        if "ended" in entry:
            continue
        account = news.accounts.get(job)
        running = any(one.attempts[number_].state == "running" for one, number_ in attempts.get(job, []))
        done = entry.get("left") == "done" and not running
        log = "" if _has_no_log_to_tell(state, entry, running, done) else _log(run, job)
        how, reason, words = verdict(state, log, str(entry.get("error", "")))
        if how == "UNKNOWN" and done:
            how = "COMPLETED"  # by its own records, which SLURM's memory of minutes does not outlive
        states = ("running", "waiting") if how == "CANCELLED" else ("running",)
        end = account.end if account and account.end else 0.0
        loss = Loss("ended", words, reason, ended=end, is_late=True)
        for one, number_ in attempts.get(job, []):
            if one.attempts[number_].state in states:
                for kind, entries in records_of(one, number_, loss, uses_ask_tell=bool(run.study)):
                    records.append(kind, **entries)
        if "began" in entry and not done:
            gone.append(job)
        cost = account.entries() if account else {}
        why = "" if how == "COMPLETED" else words
        records.append("ended", job=job, how=how, why=why, **cost, **moments.stamp())
    run.refresh()
    owed = {job for jobs in unaccounted(run).values() for job in jobs}
    late = {job: cost and cost.entries() for job, cost in news.accounts.items() if job in owed}
    if late:
        records.append("accounts", jobs=late)
    # Where no other job is left to take its trial, `hpc resume` sees to it.
    if gone and run.study and any(job.is_alive for job in news.jobs.values()):
        said += _put_back(run, gone, records)
    run.refresh()
    return said


def _put_back(run: Run, jobs: list[str], records: Records) -> list[str]:
    """Let a search hand out again what jobs had of it that are gone without having seen to that."""
    from hpc.jobs.source import put_back

    try:
        put_back(run.folder, jobs)
    except Exception as error:  # of the storage: whoever asks for the status is not to be kept from it
        text = f"what jobs {', '.join(jobs)} had of the search waits for `hpc resume`: {error}"
        records.append("note", text=text)
        return [text]
    return []


def verdict(state: JobState, log: str, error: str = "") -> tuple[str, str, str]:
    """How a job ended, what that means for the trial in it, and the words for it.

    Args:
        state: the job's, as SLURM says.
        log: the end of its log.
        error: what its supervisor has recorded, if anything.
    """
    how = state.state
    if how in ("UNKNOWN", "FAILED", "CANCELLED"):
        # Without accounts the log knows more; and a job that was ended for its time or its memory
        # may be called CANCELLED or FAILED.
        last = START.split(log)[-1]
        found = next((name for pattern, name in IN_LOGS if pattern.search(last)), "")
        if how == "UNKNOWN" or found in ("TIMEOUT", "OUT_OF_MEMORY"):
            how = found or how
    reason = REASONS.get(how, "error")
    where = f" on {state.nodes}" if state.nodes and state.nodes != "None assigned" else ""
    meaning = {
        "TIMEOUT": "the job ran into its time limit before it could write a checkpoint",
        "OUT_OF_MEMORY": "the job used more memory than it was given; raise mem_gb in the profile",
        "NODE_FAIL": "a node of the job failed",
        "CANCELLED": "the job was cancelled",
        "PREEMPTED": "the job was preempted",
        "UNKNOWN": "the job is gone, and SLURM does not know why",
    }.get(how, error or f"the job ended in state {how}, exit code {state.exit_code or 'unknown'}")
    words = f"{meaning} (SLURM job {state.job_id}: {how}{where})"
    return how, reason, f"{words}\n{log}".rstrip()


def _has_no_log_to_tell(state: JobState, entry: Mapping[str, Any], running: bool, done: bool) -> bool:
    """Whether a job's log can't matter: most can't, and with thousands of jobs opening them takes seconds."""
    if state.state == "CANCELLED":
        return "began" not in entry and state.nodes in ("", "None assigned")
    return done if state.state == "UNKNOWN" else state.state == "COMPLETED" and not running


def _log(run: Run, job: str, lines: int = 25) -> str:
    log = run.jobs.get(job, {}).get("log")
    if not log:
        return ""
    try:
        text = (run.folder / str(log)).read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
