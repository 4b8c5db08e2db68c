"""Processes of this machine, told apart from later ones of the same number."""

from __future__ import annotations

import psutil


def identity(pid: int) -> tuple[int, float]:
    """The number of a process and when it started, in seconds since 1970."""
    return pid, psutil.Process(pid).create_time()


def find(pid: int, started: float) -> psutil.Process | None:
    """That very process, if it still runs; its number may have been given to another.

    Processes reckon the start from when the machine booted, by its clock: the answer may change by a second.
    """
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < 3 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def is_running(pid: int, started: float) -> bool:
    """Whether that very process still runs."""
    return find(pid, started) is not None


def stop(processes: list[psutil.Process], grace_seconds: float) -> None:
    """Ask processes to end, and end those that don't.

    Args:
        processes: with all their children.
        grace_seconds: between asking (SIGINT) and ending (SIGKILL).
    """
    import signal

    family = {child.pid: child for process in processes for child in _family(process)}
    for process in family.values():
        _signal(process, signal.SIGINT)
    _, alive = psutil.wait_procs(list(family.values()), timeout=grace_seconds)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
