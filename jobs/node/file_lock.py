"""One process at a time, of all that share a file system, on one machine or several."""

from __future__ import annotations

import itertools
import math
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hpc.jobs.node.holder import Found, Holder

BEAT_SECONDS = 5.0
"""Between two signs of life of a holder that has said how long it takes."""
LONGEST_PAUSE_SECONDS = 0.25
"""Between two looks at a lock that one waits for."""
TOLD_SECONDS = 5.0
"""Of waiting for one and the same holder, after which a note is given."""
_numbers = itertools.count()
_watched: dict[Path, tuple[Found, float]] = {}
"""Locks of others: what was last found, and since when it is that, by the clock of who looks."""


class LockedError(RuntimeError):
    """Somebody else has a lock.

    Attributes:
        holder: who, if it says so.
    """

    def __init__(self, path: Path, holder: Holder | None) -> None:
        super().__init__(f"{path} is held by {holder or 'somebody'}")
        self.holder = holder


class LostError(RuntimeError):
    """A lock has been taken away, since this took longer than others were patient."""


class FileLock:
    """A lock that names its holder.

    It is made in one step, which works on NFS, where ``fcntl`` may not: a symbolic link, whose text names
    the holder, or a hard link to a file, which commands and people can read. Optuna's
    ``JournalFileSymlinkLock`` does not know its holder, so that after a ``kill -9`` all others wait for its
    grace period. Here those of the same machine see at once that the holder is gone, and one of another
    machine is judged by its signs of life, never by a time that it has written down: clocks differ, and may
    be set.

    Args:
        path: of the lock.
        patience: for how many seconds without a sign of life the lock is left to a holder that is not known
            to be gone. None stands for one that can't be read.
        is_file: whether it is a file. Processes of all versions that meet at a lock must have it alike:
            earlier ones take a file for a link's remains, and a link for no file.
        note: hears for whom one waits, if that takes some seconds.
        now: seconds since some moment, never set back.
        sleep: as ``time.sleep``.
        touch: gives a sign of life, as ``os.utime``.
        beat_seconds: between two of them.
    """

    def __init__(
        self,
        path: Path,
        patience: Callable[[Holder | None], float],
        *,
        is_file: bool = False,
        note: Callable[[str], None] = lambda text: None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        touch: Callable[[Path], None] = os.utime,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._path = path.parent.resolve() / path.name  # the link itself, not what it says
        self._patience = patience
        self._is_file = is_file
        self._note = note
        self._now = now
        self._sleep = sleep
        self._touch = touch
        self._beat_seconds = beat_seconds
        self._mine = Found("", not is_file, 0)
        self._scratch = self._beside()
        self._over = threading.Event()
        self._beats: threading.Thread | None = None

    def acquire(
        self, wait: Callable[[Holder | None], float] = lambda holder: math.inf, lease_seconds: float = 0.0
    ) -> None:
        """Wait until nobody else has the lock, and have it.

        Args:
            wait: for how many seconds in all, if it is this holder that has it. None stands for one that
                can't be read, or a lock that is there to make, but not to read.
            lease_seconds: that this takes at most, as it expects; then it gives signs of life. For a file.

        Raises:
            LockedError: somebody else still has it.
        """
        pause, has_said = 0.001, False
        start = seen = self._now()
        try:
            self._name_myself(lease_seconds)
            while not self._take():
                found, now = Found.at(self._path), self._now()
                if found is None:  # it was there a moment ago
                    if now - seen >= wait(None):
                        raise LockedError(self._path, None)
                else:
                    silent, patience = self._silent_seconds(found), self._patience(found.holder)
                    if silent > patience or found.is_gone():
                        if not self._take_away(found):
                            self._sleep(pause)
                        continue
                    if now - start >= wait(found.holder):
                        raise LockedError(self._path, found.holder)
                    if not has_said and silent > TOLD_SECONDS < patience:
                        has_said = True
                        self._note(self._waiting_for(found, patience))
                    seen = now
                self._sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        except BaseException:
            if self._has_taken():
                self._take_away(self._mine)
            self._forget_myself()
            raise
        if lease_seconds:
            self._begin_beats()

    def release(self) -> None:
        """Let others.

        Raises:
            LostError: it has been taken away.
        """
        try:
            if not (self._has_taken() and self._take_away(self._mine)):
                raise LostError(f"{self._path} was taken away from {self._mine.text}")
        finally:
            self._forget_myself()

    def clear(self) -> bool:
        """Take the lock from whoever has it, when nobody else can be at work; whether somebody had it."""
        found = Found.at(self._path)
        return found is not None and self._take_away(found)

    def _waiting_for(self, found: Found, patience: float) -> str:
        holder = found.holder
        host, pid = (holder.host, str(holder.pid)) if holder else (found.text.partition(":")[0], "?")
        taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.sign / 1e9))
        return (
            f"Waiting for process {pid} on {host}, which has had {self._path} since {taken}. It is "
            f"taken away after {patience:.0f} s; if no such process runs, you may remove it at once."
        )

    # What lies on the disk

    def _name_myself(self, lease_seconds: float) -> None:
        me = Holder.this_process(time.time() + lease_seconds if lease_seconds else 0.0)
        if self._is_file:
            self._mine = Found(me.as_json(), False, 0)
            self._scratch = self._beside()
            self._scratch.write_text(self._mine.text)
        else:
            self._mine = Found(me.as_line(next(_numbers)), True, 0)

    def _forget_myself(self) -> None:
        self._over.set()
        if self._beats is not None:
            self._beats.join()
            self._beats = None
        if self._is_file:
            self._scratch.unlink(missing_ok=True)

    def _beside(self) -> Path:
        """A name that is nobody else's."""
        host, pid = socket.gethostname(), os.getpid()
        return self._path.with_name(f".tmp-{self._path.name}-{host}-{pid}-{next(_numbers)}")

    def _take(self) -> bool:
        try:
            if self._is_file:
                os.link(self._scratch, self._path)
            else:
                os.symlink(self._mine.text, self._path)
        except FileExistsError:
            return self._has_taken()  # NFS may ask twice, and hear of its own success
        return True

    def _has_taken(self) -> bool:
        if not self._is_file:
            found = Found.at(self._path)
            return found is not None and found.is_of(self._mine)
        try:  # the file of another lock of this process may say the same
            return self._path.samefile(self._scratch)
        except FileNotFoundError:
            return False

    def _silent_seconds(self, found: Found) -> float:
        """For how long a lock has not changed, as seen from here."""
        if self._path not in _watched or _watched[self._path][0] != found:
            _watched[self._path] = found, self._now()
        return self._now() - _watched[self._path][1]

    def _take_away(self, found: Found) -> bool:
        """Remove this lock, if it is still there; whether it was."""
        now = Found.at(self._path)
        if now is None or not now.is_of(found):
            return False
        aside = self._beside()
        try:
            os.rename(self._path, aside)
        except FileNotFoundError:
            return False
        moved = Found.at(aside)
        is_it = moved is not None and moved.is_of(found)
        if moved is not None and not is_it:  # somebody else was faster, and the lock is another's by now
            self._put_back(moved, aside)
        aside.unlink(missing_ok=True)
        return is_it

    def _put_back(self, moved: Found, aside: Path) -> None:
        with suppress(FileExistsError):
            if moved.is_link:
                os.symlink(moved.text, self._path)
            else:
                os.link(aside, self._path)

    # Signs of life

    def _begin_beats(self) -> None:
        self._over = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def _beat(self) -> None:
        """Change the time of the file, whatever to, by its other name, so that it is never another's."""
        while not self._over.wait(self._beat_seconds):
            try:
                self._touch(self._scratch)
            except FileNotFoundError:
                return
            except OSError:  # a server that does not answer now may do so the next time
                pass
