"""One process at a time, of all that share a file system, on one machine or several."""

from __future__ import annotations

import itertools
import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

from hpc.jobs.node import identity, is_running

LONGEST_PAUSE_SECONDS = 0.25
SILENT_SECONDS = 5.0
"""Seconds of waiting for a holder, after which a note is given."""
_NO_LINK = "no link"
"""In the place of a holder's name where there is a file: links become some when a folder is copied."""
_numbers = itertools.count()


class FileLock:
    """A lock: a symbolic link, which is made in one step on NFS, too, and whose text names its holder.

    Optuna's ``JournalFileSymlinkLock`` does not know its holder; so that after a ``kill -9`` all others
    wait for its grace period. Here those of the same machine see at once that the holder is gone.

    Args:
        path: of the link.
        patience_seconds: after which one and the same lock of a holder on another machine is taken for that
            of a process that was killed, and also of one on this machine, which may hang.
        note: hears for whom one waits, if that takes some seconds.
    """

    def __init__(
        self, path: Path, patience_seconds: float, note: Callable[[str], None] = lambda text: None
    ) -> None:
        self._path = path.parent.resolve() / path.name  # the link itself, not what it says
        self._patience = patience_seconds
        self._note = note
        self._mine = ""

    def acquire(self) -> None:
        """Wait until nobody else holds the lock, and hold it."""
        pid, started, mark = identity(os.getpid())
        mine = f"{socket.gethostname()}:{pid}:{started},{mark}:{next(_numbers)}"
        pause, holder, since, has_said = 0.001, "", time.monotonic(), False
        try:
            while not self._take(mine):
                now = self._holder()
                if now != holder:
                    holder, since = now, time.monotonic()
                if not has_said and time.monotonic() - since > SILENT_SECONDS < self._patience:
                    has_said = True
                    self._note(self._waiting_for(holder))
                if _is_gone(holder) or time.monotonic() - since > self._patience:
                    self._take_away(holder)
                    continue
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        except BaseException:
            self._take_away(mine)
            raise
        self._mine = mine

    def _waiting_for(self, holder: str) -> str:
        host, _, rest = holder.partition(":")
        pid = rest.partition(":")[0]
        try:
            taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._path.lstat().st_mtime))
        except OSError:
            taken = "a moment ago"
        return (
            f"Waiting for process {pid or '?'} on {host}, which has had {self._path} since {taken}. It is "
            f"taken away after {self._patience:.0f} s; if no such process runs, you may remove it at once."
        )

    def clear(self) -> bool:
        """Take the lock from whoever has it, when nobody else can be at work; whether somebody had it."""
        return self._take_away(self._holder())

    def release(self) -> None:
        """Let others.

        Raises:
            RuntimeError: it has been taken away, since this took longer than others were patient.
        """
        if not self._take_away(self._mine):
            raise RuntimeError(f"{self._path} was taken away from {self._mine}")

    def _take(self, mine: str) -> bool:
        try:
            os.symlink(mine, self._path)
        except FileExistsError:
            return self._holder() == mine  # NFS may ask twice, and hear of its own success
        return True

    def _holder(self) -> str:
        """Who has the lock; empty if nobody."""
        try:
            return os.readlink(self._path)
        except FileNotFoundError:
            return ""
        except OSError:
            return _NO_LINK

    def _take_away(self, holder: str) -> bool:
        """Remove the link of this holder; whether it was there."""
        if not holder or self._holder() != holder:
            return False
        aside = self._path.with_name(
            f"{self._path.name}-{socket.gethostname()}-{os.getpid()}-{next(_numbers)}"
        )
        try:
            os.rename(self._path, aside)
        except FileNotFoundError:
            return False
        found = os.readlink(aside) if aside.is_symlink() else _NO_LINK
        if found != holder:  # somebody else was faster, and the lock is another's by now
            try:
                os.symlink(found, self._path)
            except FileExistsError:
                pass
        os.unlink(aside)
        return found == holder


def _is_gone(holder: str) -> bool:
    """Whether it was a process of this machine that no longer runs, or is none at all."""
    if holder == _NO_LINK:
        return True
    host, _, rest = holder.partition(":")
    if host != socket.gethostname():
        return False
    try:
        pid, began, _ = rest.split(":")
        started, _, mark = began.partition(",")
        return not is_running(int(pid), float(started), mark)
    except ValueError:  # another program's, or another version's
        return False
