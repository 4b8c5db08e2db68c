"""At most one command carries out a run at a time."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from hpc.jobs.node import identity, is_running
from hpc.results import RunError

BEAT_SECONDS = 5.0
"""Between two signs of life of a holder with a lease."""
SILENT_SECONDS = 30.0
"""After which without a sign, by the clock of who waits, a lease is taken from a process of another host."""
_watched: dict[Path, tuple[tuple[Holder, int], float]] = {}
"""Holders on other hosts: their last sign of life, and since when it is that, by ``time.monotonic``."""


@dataclass(frozen=True)
class Holder:
    """The process that carries out a run.

    Attributes:
        host: it runs on.
        pid: its number there.
        started: when, in seconds since 1970.
        until: when it expects to be done at the latest, likewise; 0 if that can't be said. Who has said it
            gives signs of life.
        mark: of its start, as in :class:`hpc.jobs.node.processes.Identity`.
    """

    host: str
    pid: int
    started: float
    until: float = 0.0
    mark: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Whether it still runs; a process of another host is taken to."""
        return not self.is_here or is_running(self.pid, self.started, self.mark)


def _path(folder: Path) -> Path:
    return folder / "jobs" / "runner.json"


def holder(folder: Path) -> Holder | None:
    """Who carries out the run, or did so when it was killed; None if nobody."""
    return _read(_path(folder))


def _read(path: Path) -> Holder | None:
    try:
        found = json.loads(path.read_text())
        return Holder(**{one.name: found[one.name] for one in fields(Holder) if one.name in found})
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _is_silent(path: Path, other: Holder) -> bool:
    """Whether a holder with a lease on another host has given no sign of life for a while, as seen from here.

    That is never told by the time that it has written down: clocks differ, and may be set.
    """
    if other.is_here or not other.until:
        return False
    path = path.absolute()
    try:
        sign = other, path.stat().st_mtime_ns
    except FileNotFoundError:
        return False
    if path not in _watched or _watched[path][0] != sign:
        _watched[path] = sign, time.monotonic()
    return time.monotonic() - _watched[path][1] > SILENT_SECONDS


@contextmanager
def _beating(path: Path) -> Iterator[None]:
    """Give signs of life: the time of the file, which is the lock's by another name, changes, whatever to."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                os.utime(path)
            except FileNotFoundError:
                return
            except OSError:  # a server that does not answer now may do so the next time
                pass

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def lock(folder: Path, *, lease_seconds: float = 0.0, wait_seconds: float = 0.0) -> Iterator[None]:
    """Be the only one who carries out a run, for the length of the block.

    Args:
        folder: of the run.
        lease_seconds: that this takes at most, as it expects. From a process of another host that has said so
            and gives no sign of life, since it may have been killed there, the lock is taken; never else.
        wait_seconds: for another that holds it with a lease; long enough to see whether it lives, if at all.

    A lock is a hard link made in one step, which works on NFS, where ``fcntl`` may not. One that
    a killed process left behind on this host is taken over.

    Raises:
        RunError: somebody else is at it.
    """
    path = _path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.time() + lease_seconds if lease_seconds else 0.0
    pid, started, mark = identity(os.getpid())
    me = Holder(socket.gethostname(), pid, started, until, mark)
    mine = path.with_name(f".tmp-runner-{me.host}-{me.pid}")
    mine.write_text(json.dumps(asdict(me)))
    try:
        deadline = time.monotonic() + (
            max(wait_seconds, SILENT_SECONDS + BEAT_SECONDS) if wait_seconds else 0
        )
        while True:
            try:
                _acquire(path, mine, folder)
                break
            except RunError:
                other = holder(folder)
                if time.monotonic() > deadline or (other is not None and not other.until):
                    raise
            time.sleep(0.2)
        try:
            with _beating(mine) if lease_seconds else nullcontext():
                yield
        finally:
            if holder(folder) == me:
                path.unlink()
    finally:
        mine.unlink(missing_ok=True)


def _acquire(path: Path, mine: Path, folder: Path) -> None:
    for _ in range(10):
        try:
            os.link(mine, path)
            return
        except FileExistsError:
            pass
        other = holder(folder)
        if other is not None and other.is_alive() and not _is_silent(path, other):
            place = "" if other.is_here else f" on {other.host}"
            forgotten = "" if other.is_here else f" If that is no longer so, delete {path}."
            raise RunError(
                f"{folder} is being carried out by process {other.pid}{place}. Watch it with "
                f"`hpc status {folder}`, stop it with `hpc cancel {folder}`.{forgotten}"
            )
        stale = path.with_name(f".tmp-stale-{os.getpid()}")
        try:
            os.rename(path, stale)
        except FileNotFoundError:
            continue
        if _read(stale) != other:  # somebody was faster: that is a living one's
            try:
                os.link(stale, path)
            except FileExistsError:
                pass
        stale.unlink()
        time.sleep(0.05)
    raise RunError(f"{path} can't be taken over; delete it if nothing runs in {folder}.")
