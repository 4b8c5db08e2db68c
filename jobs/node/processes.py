"""Processes of this machine, told apart from later ones of the same number."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import psutil

from hpc.results import moments


class Identity(NamedTuple):
    """The identity of a process among all that this machine has had.

    Attributes:
        pid: its number, which may be given to another when it has ended.
        started: when, in seconds since 1970; it changes with the clock, which may be set meanwhile.
        mark: of its start, which does not: ``<id of the boot>/<ticks since then>``; empty where the system
            does not tell.
    """

    pid: int
    started: float
    mark: str = ""


def identity(pid: int) -> Identity:
    """The identity of a process.

    Raises:
        psutil.NoSuchProcess: there is none of that number.
    """
    return Identity(pid, psutil.Process(pid).create_time(), _mark(pid))


def _mark(pid: int, proc: Path = Path("/proc")) -> str:
    """By what Linux tells, whatever its clock says. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        stat = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return ""
    after_its_name = stat.rpartition(b")")[2].split()
    return f"{boot}/{int(after_its_name[19])}"


def begun(pid: int) -> float:
    """When a process has started, by ``moments.uptime``; now where the system does not tell."""
    ticks = _mark(pid).rpartition("/")[2]
    return int(ticks) / os.sysconf("SC_CLK_TCK") if ticks else moments.uptime()


def find(pid: int, started: float, mark: str = "") -> psutil.Process | None:
    """The process of this identity if it still runs; its number may have been given to another.

    Args:
        pid: its number.
        started: as in :class:`Identity`; it counts where marks are not known on both sides, and may be some
            seconds off then: processes reckon it from when the machine booted, by its clock.
        mark: likewise.
    """
    try:
        process, now = psutil.Process(pid), identity(pid)
        is_same = now.mark == mark if now.mark and mark else abs(now.started - started) < 3
        return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def is_running(pid: int, started: float, mark: str = "") -> bool:
    """Whether that very process still runs."""
    return find(pid, started, mark) is not None


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
