"""What a killed command has left behind in a run: workers of this machine, trials without one."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import psutil

from hpc.jobs.node import processes
from hpc.jobs.outcome import Loss, records_of
from hpc.results import Records, Run


def living_workers(run: Run) -> list[psutil.Process]:
    """Processes of this machine that were submitted for the run and have not ended."""
    found = (
        processes.find(job["pid"], job["started"], job.get("mark", ""))
        for job in run.jobs.values()
        if "ended" not in job and "pid" in job and job.get("host") == socket.gethostname()
    )
    return [process for process in found if process is not None]


def clear(run: Run, records: Records, why: str) -> None:
    """End living workers, and record that their trials are cancelled and their jobs lost.

    Args:
        run: of which one holds the lock.
        records: of ``run.jsonl``.
        why: the trials are cancelled.
    """
    workers = living_workers(run)
    processes.stop(workers, 2.0)
    cancel_running(run, records, why, is_late=not workers)
    for name, job in run.jobs.items():
        if "ended" not in job and ("pid" in job or (is_in_process(job) and "left" not in job)):
            records.append("ended", job=name, how="lost")
    run.refresh()


def is_in_process(job: Mapping[str, Any]) -> bool:
    """Whether a job is its command itself (the profile debug, mpirun): it has no process of its own."""
    return not {"pid", "array", "began"} & job.keys()


def cancel_running(run: Run, records: Records, why: str, *, is_late: bool = False) -> None:
    """Record of every running trial that it is cancelled; SLURM's jobs don't end with a command.

    Args:
        run: of which one holds the lock.
        records: of ``run.jsonl``.
        why: they are cancelled.
        is_late: whether they may have ended long ago, so that the last sign of them counts.
    """
    run.refresh()
    for trial in run.trials.values():
        for number, attempt in trial.attempts.items():
            job = run.jobs.get(attempt.job_id, {})
            if attempt.state == "running" and "array" not in job and "began" not in job:
                loss = Loss("ended", why, "cancelled", is_late=is_late)
                for kind, entries in records_of(trial, number, loss):
                    records.append(kind, **entries)
