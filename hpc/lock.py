"""At most one command carries out a run at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpc import waiting
from hpc.jobs.node import BEAT_SECONDS, FileLock, Holder, LockedError, LostError
from hpc.results import RunError

SILENT_SECONDS = 30.0
"""After which without a sign, by the clock of who waits, a lease is taken from a process of another host."""
VANISHING_SECONDS = 0.5
"""For how long a lock that can't be read, or vanishes while one looks, is looked at again."""


def _path(folder: Path) -> Path:
    return folder / "jobs" / "runner.json"


def holder(folder: Path) -> Holder | None:
    """Who carries out the run, or did so when it was killed; None if nobody."""
    return Holder.at(_path(folder))


def _patience(holder: Holder | None) -> float:
    """Only a lease of a process of another host is ever taken away: it may have been killed there."""
    return SILENT_SECONDS if holder and holder.until and not holder.is_here else math.inf


@contextmanager
def lock(folder: Path, *, lease_seconds: float = 0.0, wait_seconds: float = 0.0) -> Iterator[None]:
    """Be the only one who carries out a run, for the length of the block.

    Args:
        folder: of the run.
        lease_seconds: that this takes at most, as it expects. From a process of another host that has said so
            and gives no sign of life, since it may have been killed there, the lock is taken; never else.
        wait_seconds: for another that holds it with a lease; long enough to see whether it lives, if at all.

    One that a killed process left behind on this host is taken over; see :class:`FileLock`.

    Raises:
        RunError: somebody else is at it.
    """
    longest = max(wait_seconds, SILENT_SECONDS + BEAT_SECONDS) if wait_seconds else 0.0

    def wait(other: Holder | None) -> float:
        if other is None:
            return VANISHING_SECONDS
        return longest if other.until else 0.0

    path = _path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = FileLock(path, _patience, is_file=True, now=waiting.now, sleep=waiting.sleep)
    try:
        mine.acquire(wait, lease_seconds)
    except LockedError as error:
        raise RunError(_why_not(error.holder, folder)) from None
    try:
        yield
    finally:
        with suppress(LostError):
            mine.release()


def _why_not(other: Holder | None, folder: Path) -> str:
    path = _path(folder)
    if other is None:
        return f"{path} can't be taken over; delete it if nothing runs in {folder}."
    place = "" if other.is_here else f" on {other.host}"
    forgotten = "" if other.is_here else f" If that is no longer so, delete {path}."
    return (
        f"{folder} is being carried out by process {other.pid}{place}. Watch it with `hpc status {folder}`, "
        f"stop it with `hpc cancel {folder}`.{forgotten}"
    )
