"""Reading of records: what has been appended to their files since the last time."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json  # twice as fast as json, where there are 10,000 trials

from hpc.results.store.records import encodable


@dataclass
class Mark:
    """How far a file of records has been read.

    Attributes:
        read: bytes that were taken in, whole lines.
        end: how many of the last of them are known by ``checksum``.
        checksum: of these, by which another file of that name is recognised.
    """

    read: int = 0
    end: int = 0
    checksum: int = 0

    def pass_over(self, data: bytes) -> None:
        """Go on behind what was read."""
        last = data[-256:]
        self.read, self.end, self.checksum = self.read + len(data), len(last), zlib.crc32(last)

    def is_in(self, path: str | Path) -> bool:
        """Whether a file still has what was taken in of it: nobody has replaced it."""
        if not self.read:
            return True
        try:
            with open(path, "rb", buffering=0) as file:
                file.seek(self.read - self.end)
                return zlib.crc32(file.read(self.end)) == self.checksum
        except (OSError, ValueError):
            return False


class Tail:
    """Reads what has been appended to a folder of records since the last time.

    Args:
        folder: with one ``.jsonl`` file per writer.
        first: the file whose records come before those of all others.

    Attributes:
        marks: how far each file has been read, by its name.
        holes: blocks of NUL bytes in each file, as a crash of a network file system leaves them.
        torn: files that end in the middle of a line, which may yet be completed.
    """

    def __init__(self, folder: Path, first: str) -> None:
        self._folder = folder
        self._first = first
        self.marks: dict[str, Mark] = {}
        self.holes: dict[str, int] = {}
        self.torn: set[str] = set()

    @property
    def bytes_read(self) -> int:
        """Bytes of all files that have been read."""
        return sum(mark.read for mark in self.marks.values())

    def read(self, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[tuple[str, list[bytes]]]:
        """The name of each file that has new lines, and these; a last one that is torn may yet be completed.

        Args:
            wanted: says by a file's name, when its turn has come, whether to open it.
        """
        try:
            names = [name for name in os.listdir(self._folder) if name.endswith(".jsonl")]
        except FileNotFoundError:
            return
        # As text and not as Path: that is half the time where there are thousands of files.
        for name in sorted(names, key=lambda name: (name != self._first, name)):
            path, mark = f"{self._folder}/{name}", self.marks.get(name)
            if not wanted(name) or (mark and os.stat(path).st_size <= mark.read):
                continue
            with open(path, "rb", buffering=0) as file:
                file.seek(mark.read if mark else 0)
                data = file.read()
            complete = data.rfind(b"\n") + 1
            self.torn.discard(name)
            if complete < len(data):
                self.torn.add(name)
            if complete:
                self.marks.setdefault(name, Mark()).pass_over(data[:complete])
                found, holes = lines(data[:complete])
                if holes:
                    self.holes[name] = self.holes.get(name, 0) + holes
                yield name, found


def lines(data: bytes) -> tuple[list[bytes], int]:
    """The lines of what was read of a file, empty ones too, and how many blocks of NUL bytes are among them.

    Such a block stands where a line, or several, or their ends should be.
    """
    holes = 0
    if b"\0" in data:
        data, holes = re.subn(rb"\0+", b"\n", data)
    return data.split(b"\n"), holes  # the last is empty


def parse(line: bytes) -> dict[str, Any]:
    """A line as a record; an empty one if it is torn."""
    try:
        record = from_json(line, allow_inf_nan=False)
    except ValueError:
        try:
            # This reads half a pair of surrogates, as a file's name may have.
            record = encodable(json.loads(line, parse_constant=lambda name: None))
        except (ValueError, RecursionError):
            return {}
    return record if isinstance(record, dict) and "record" in record else {}


EPOCH = b'{"record": "epoch", "trial": "'
"""How the record of an epoch begins."""


def trial_of_epoch(line: bytes) -> bytes:
    """The trial of an epoch's record, had without reading all of it."""
    return line[len(EPOCH) : line.find(b'"', len(EPOCH))]
