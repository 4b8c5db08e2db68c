"""How a run stands, told from its folder; and how to stop it."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from hpc.lock import Holder, holder, lock
from jobs.processes import is_running
from results import Records, Run, RunError


def status(folder: str | Path) -> dict[str, Any]:
    """How a run stands.

    Returns:
        ``run``; ``trials``: a count per state and ``total``; ``lost``: trials that are running by
        their records, but whose worker is gone; ``best``: None, or ``trial_id``, ``metric``,
        ``value``, ``params`` and ``seed``; ``failures``: a count per reason; ``runner``: None, or
        the process that carries the run out; ``jobs``: those submitted, each with ``job_id``,
        ``state`` (``running``, ``done``, ``died``, ``stopped`` or ``lost``), ``host``, ``pid``, ``log``
        and the ``trial`` it is at.

    Raises:
        RunError: there is no such run.
    """
    run = Run(folder)
    top = run.ranked()
    at_work = {t.attempt.job_id: t for t in run.trials.values() if t.state == "running"}
    jobs = []
    for name, job in run.jobs.items():
        trial = at_work.get(name)
        state = job.get("ended") or ("running" if _alive(job) else "lost")
        jobs.append(
            {"job_id": name, "state": state, "host": job.get("host"), "pid": job.get("pid"),
             "ranks": job.get("ranks"), "log": job.get("log"),
             "trial": trial.trial_id if trial and state == "running" else None,
             "epoch": trial.attempt.epochs if trial and state == "running" else None}
        )  # fmt: skip
    who = _runner(run.folder)
    running = {job["job_id"] for job in jobs if job["state"] == "running"}
    reasons = [t.attempt.reason for t in run.trials.values() if t.state == "failed"]
    in_process = who is not None and not running  # debug and mpirun have no job of their own
    lost = [] if in_process else [name for name in at_work if name not in running]
    return {
        "run": str(folder),
        "name": run.name,
        "trials": run.counts(),
        "lost": len(lost),
        "failures": {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
        "best": {"trial_id": top[0].trial_id, "metric": run.metric, "value": top[0].attempt.best,
                 "params": top[0].params, "seed": top[0].seed} if top else None,
        "runner": {"host": who.host, "pid": who.pid} if who else None,
        "jobs": jobs,
    }  # fmt: skip


def cancel(folder: str | Path, wait_seconds: float = 30) -> str:
    """Stop a run that another command carries out; its running trials become cancelled.

    Args:
        folder: of the run.
        wait_seconds: for that command to stop its workers in order.

    Returns:
        What was done, in words.

    Raises:
        RunError: there is no such run, it is carried out on another host, or it does not stop.
    """
    run = Run(folder)
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
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        if not who.is_alive() or holder(run.folder) != who:
            return f"{folder} is stopped. `hpc resume {folder}` goes on with it."
        time.sleep(0.1)
    raise RunError(f"process {who.pid} was asked to stop {wait_seconds:.0f} seconds ago and has not.")


def _stop_workers(run: Run) -> str:
    """End local workers whose command is gone; what was done, in words."""
    from hpc import leftovers

    workers = leftovers.living_workers(run)
    if not workers:
        return ""
    with lock(run.folder):
        records = Records(run.records / "run.jsonl")
        leftovers.clear(run, records, "stopped by hpc cancel")
        records.close()
    return f"{len(workers)} workers that their command had left behind are stopped."


def _runner(folder: Path) -> Holder | None:
    who = holder(folder)
    return who if who is not None and who.is_alive() else None


def _alive(job: dict[str, Any]) -> bool:
    if job.get("host") != socket.gethostname():
        return True  # nothing is known of processes on another host
    return is_running(job["pid"], job["started"])
