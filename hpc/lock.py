"""At most one command carries out a run at a time."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from jobs.processes import identity, is_running
from results import RunError


@dataclass(frozen=True)
class Holder:
    """The process that carries out a run.

    Attributes:
        host: it runs on.
        pid: its number there.
        started: when, in seconds since 1970.
        until: when it is done at the latest, likewise; 0 if that can't be said.
        mark: of its start, as in :class:`jobs.processes.Identity`.
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
        """Whether it still runs; a process of another host is taken to, until its time is up."""
        if self.is_here:
            return is_running(self.pid, self.started, self.mark)
        return not self.until or time.time() < self.until


def _path(folder: Path) -> Path:
    return folder / "jobs" / "runner.json"


def holder(folder: Path) -> Holder | None:
    """Who carries out the run, or did so when it was killed; None if nobody."""
    return _read(_path(folder))


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def lock(folder: Path, *, lease_seconds: float = 0.0, wait_seconds: float = 0.0) -> Iterator[None]:
    """Be the only one who carries out a run, for the length of the block.

    Args:
        folder: of the run.
        lease_seconds: after which it is taken from a process of another host, which may have
            been killed there; never unless given.
        wait_seconds: for another that holds it with a lease.

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
        deadline = time.monotonic() + wait_seconds
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
        if other is not None and other.is_alive():
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
