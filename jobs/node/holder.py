"""The process that has a lock, as it names itself and as others find it."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hpc.jobs.node.processes import identity, is_running


@dataclass(frozen=True)
class Holder:
    """A process that has a lock.

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

    @staticmethod
    def this_process(until: float = 0.0) -> Holder:
        """This one."""
        pid, started, mark = identity(os.getpid())
        return Holder(socket.gethostname(), pid, started, until, mark)

    @staticmethod
    def at(path: Path) -> Holder | None:
        """Who has the lock of this path, or had it when it was killed; None if nobody."""
        found = Found.at(path)
        return found.holder if found is not None else None

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Whether it still runs; a process of another host is taken to."""
        return not self.is_here or is_running(self.pid, self.started, self.mark)

    def as_json(self) -> str:
        """As it stands in a file."""
        return json.dumps(asdict(self))

    def as_line(self, number: int) -> str:
        """As it stands in the text of a symbolic link.

        Args:
            number: of the lock among all that this process has had.
        """
        return f"{self.host}:{self.pid}:{self.started},{self.mark}:{number}"


@dataclass(frozen=True)
class Found:
    """What lies where a lock may be.

    Attributes:
        text: of a symbolic link, or of a file.
        is_link: which of them it is.
        sign: of life: when it was changed, in nanoseconds by the clock of whose disk it is.
    """

    text: str
    is_link: bool
    sign: int

    @staticmethod
    def at(path: Path) -> Found | None:
        """What lies there now; None if nothing does."""
        try:
            sign = path.lstat().st_mtime_ns
            try:
                return Found(os.readlink(path), True, sign)
            except OSError:  # no link
                return Found(path.read_text(errors="replace"), False, sign)
        except FileNotFoundError:
            return None

    @property
    def holder(self) -> Holder | None:
        """Whom it names; None if it names nobody in our words."""
        try:
            return _of_line(self.text) if self.is_link else _of_json(self.text)
        except (ValueError, TypeError):
            return None

    def is_gone(self) -> bool:
        """Whether it is surely nobody's any more.

        A link that says nothing may be another program's; a file that says nothing is what has become of a
        link where a folder was copied.
        """
        holder = self.holder
        return not self.is_link if holder is None else not holder.is_alive()

    def is_of(self, other: Found) -> bool:
        """Whether it is the same lock of the same holder, whatever its sign of life."""
        return (self.text, self.is_link) == (other.text, other.is_link)


def _of_json(text: str) -> Holder:
    found: Any = json.loads(text)
    return Holder(**{one.name: found[one.name] for one in fields(Holder) if one.name in found})


def _of_line(text: str) -> Holder:
    host, pid, began, _ = text.split(":")
    started, _, mark = began.partition(",")
    return Holder(host, int(pid), float(started), mark=mark)
