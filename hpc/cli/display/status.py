"""How a run stands, as ``hpc status`` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpc.cli.display.text import format_duration, format_states
from hpc.watching import is_busy

MAX_JOBS = 20
"""Lines of jobs; of further jobs their number is shown."""


def format_status(summary: dict[str, Any]) -> Iterator[str]:
    """Give the lines that show how a run stands.

    Args:
        summary: what :func:`hpc.watching.status` returns.
    """
    counts = summary["trials"]
    yield f"{summary['name']}: {counts['total']} trials: {format_states(counts)}"
    if summary["lost"]:
        yield f"lost: {summary['lost']} of the running ones have no worker any more"
    if summary["failures"]:
        from hpc import results
        from hpc.results.store import format_failures

        yield "failed: " + ", ".join(f"{n} {reason}" for reason, n in summary["failures"].items())
        yield from format_failures(results.Run(summary["run"]))
    best = summary["best"]
    if best:
        params = " ".join(f"{name}={value}" for name, value in best["params"].items())
        yield f"best so far: {best['metric']}={best['value']:.4g}  {best['trial_id']}  {params}"
    if summary["over"]:
        yield f"the search is over: {summary['over']}"
    for text in summary["notes"]:
        yield f"note: {text}"
    yield from summary["faults"]
    for file, reasons in summary["skipped"].items():
        for why, number in reasons.items():
            yield f"records/{file}: skipped {number} {why}"
    yield from format_jobs(summary)
    if summary["seconds_left"]:
        yield f"about {format_duration(summary['seconds_left'])} left"
    is_finished = counts["finished"] + counts["pruned"] == counts["total"]
    if summary["scheduler"]:
        yield f"SLURM does not answer, so jobs are shown as last known: {summary['scheduler']}"
    elif not is_finished and not is_busy(summary):
        yield f"nobody is at it; go on with: hpc resume {summary['run']}"


def format_jobs(summary: Mapping[str, Any]) -> list[str]:
    """Give a line for each job that is at work or has come to grief, and a sum of all of SLURM's.

    Args:
        summary: what :func:`hpc.watching.status` returns.
    """
    lines = [_format_sum([job for job in summary["jobs"] if job["state"].isupper()])]
    lines += [_format_job(job, Path(summary["run"])) for job in summary["jobs"]]
    shown = [line for line in lines if line]
    if len(shown) <= MAX_JOBS:
        return shown
    return [*shown[:MAX_JOBS], f"… and {len(shown) - MAX_JOBS} more jobs"]


def _format_sum(jobs: list[dict[str, Any]]) -> str:
    """Count the jobs of SLURM by their states; empty if there are none."""
    if not jobs:
        return ""
    states = Counter(job["state"] for job in jobs)
    waits = dict.fromkeys(job["why"] for job in jobs if job["state"] == "PENDING" and job["why"])
    why = f" ({', '.join(waits)})" if waits else ""
    return "jobs: " + ", ".join(
        f"{n} {state}{why if state == 'PENDING' else ''}" for state, n in states.items()
    )


def _format_job(job: Mapping[str, Any], folder: Path) -> str:
    """Say what a job is at, or how it came to grief; empty if there is nothing to say."""
    if job["state"] in ("running", "RUNNING"):
        at = f"{job['trial']}, epoch {job['epoch']}" if job["trial"] else "starting, or between trials"
        where = f"process {job['pid']} on {job['host']}" if job["pid"] else f"on {job['host']}"
        left = f", {job['left']} to its time limit" if job["left"] else ""
        return f"{job['job_id']}: {job['state']} ({where}{left}): {at}"
    if job["state"] in ("done", "stopped", "COMPLETED", "PENDING", "CANCELLED"):
        return ""
    why = f": {job['why']}" if job["why"] else ""
    path = folder / job["log"] if job["log"] else None
    log = f"; its log: {path}" if path is not None and path.is_file() else ""
    return f"{job['job_id']}: {job['state']}{why}{log}"
