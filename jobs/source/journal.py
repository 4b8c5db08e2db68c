"""Optuna's journal as a file that survives a writer that is killed in the middle of a line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from hpc.jobs.node import FileLock
from hpc.results.store import naming
from hpc.sweeps.searches.optuna_private import JournalOperation

OPERATIONS = frozenset(map(int, JournalOperation))
LOCK_SECONDS = 30
"""After which the lock of one who wrote on another machine and was killed there is taken away."""


class Journal(BaseJournalBackend):
    """A file of one JSON entry per line, in Optuna's own format.

    Optuna's ``JournalFileBackend`` appends to a line that a killed writer has left torn, and no one can
    read the file from there on. This one ends such a line first, and readers pass over it. Those who write
    take turns.

    Args:
        path: of the file, made where it is missing.
        note: hears for whom one waits, if that takes some seconds.
    """

    def __init__(self, path: Path, note: Callable[[str], None] = lambda text: None) -> None:
        self._path = path.resolve()
        self._path.touch()
        self._lock = lock_of(path, note)
        self._entries = 0  # of those before the place that has been read up to
        self._offset = 0

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Entries from a number on, counted from 0; lines that are none don't count."""
        if log_number_from != self._entries:
            self._entries = self._offset = 0
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        found = []
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            self._offset += len(line)
            entry = _entry(line)
            if entry is None:
                continue
            if self._entries >= log_number_from:
                found.append(entry)
            self._entries += 1
        return iter(found)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries, all in one write."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._lock.acquire()
        try:
            file = os.open(self._path, os.O_RDWR | os.O_APPEND)
            try:
                size = os.fstat(file).st_size
                if size and os.pread(file, 1, size - 1) != b"\n":
                    text = b"\n" + text
                with naming(self._path):
                    while text:
                        text = text[os.write(file, text) :]
                    os.fsync(file)
            finally:
                os.close(file)
        finally:
            self._lock.release()


def lock_of(path: Path, note: Callable[[str], None] = lambda text: None) -> FileLock:
    """The lock of a journal: its holder may write."""
    return FileLock(path.with_name(f"{path.name}.lock"), lambda holder: LOCK_SECONDS, note=note)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:  # torn, or a block of NUL bytes that a crash of a file system leaves
        return None
    return entry if isinstance(entry, dict) and entry.get("op_code") in OPERATIONS else None
