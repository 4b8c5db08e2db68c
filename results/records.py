"""Records: lines of JSON that say what happened, appended and never changed."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json  # twice as fast as json, where there are 10,000 trials

_encode = json.JSONEncoder(allow_nan=False).encode


class Records:
    """Appends records to one file; the only writer of it at that time.

    Each record is written by one call, so a killed process leaves a torn last line at worst.

    Args:
        path: of the file, made with its folder where it is missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._is_torn = False
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # ends the line that an earlier writer was killed in

    def append(self, record: str, **entries: Any) -> None:
        """Append one record of the kind ``record``, with the time."""
        entries = {"record": record, **entries, "time": round(time.time(), 3)}
        try:
            text = _encode(entries)
        except ValueError:  # seldom, and to look for NaN takes as long as to write
            text = _encode(finite(entries))
        data = text.encode() + b"\n"
        if self._is_torn:  # by a full disk, that has room again
            data = b"\n" + data
        self._is_torn = True
        while data:
            data = data[os.write(self._file, data) :]
        self._is_torn = False

    def close(self) -> None:
        """Bring the file to the disk and close it."""
        os.fsync(self._file)
        os.close(self._file)


def finite(value: Any) -> Any:
    """The value with NaN and infinities as None: JSON has no words for them."""
    if type(value) in (str, int, bool, type(None)):
        return value
    if isinstance(value, (dict, Mapping)):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Tail:
    """Reads what has been appended to a folder of records since the last time.

    Args:
        folder: with one ``.jsonl`` file per writer.
        first: the file whose records come before those of all others.
    """

    def __init__(self, folder: Path, first: str) -> None:
        self._folder = folder
        self._first = first
        self._offsets: dict[str, int] = {}

    def read(self, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[list[bytes]]:
        """New lines of each file; a last one that is torn may yet be completed.

        Args:
            wanted: says by a file's name, when its turn has come, whether to open it.
        """
        try:
            names = [name for name in os.listdir(self._folder) if name.endswith(".jsonl")]
        except FileNotFoundError:
            return
        # As text and not as Path: that is half the time where there are thousands of files.
        for name in sorted(names, key=lambda name: (name != self._first, name)):
            path, start = f"{self._folder}/{name}", self._offsets.get(name, 0)
            if not wanted(name) or (start and os.stat(path).st_size <= start):
                continue
            with open(path, "rb", buffering=0) as file:
                file.seek(start)
                data = file.read()
            complete = data.rfind(b"\n") + 1
            if complete:
                self._offsets[name] = start + complete
                yield data[: complete - 1].split(b"\n")


def parse(line: bytes) -> dict[str, Any]:
    """A line as a record; an empty one if it is torn."""
    try:
        record = from_json(line)
    except ValueError:
        try:
            record = json.loads(line)  # which reads half a pair of surrogates, as a file's name may have
        except ValueError:
            return {}
    return record if isinstance(record, dict) and "record" in record else {}


EPOCH = b'{"record": "epoch", "trial": "'
"""How the record of an epoch begins."""


def trial_of_epoch(line: bytes) -> bytes:
    """The trial of an epoch's record, had without reading all of it."""
    return line[len(EPOCH) : line.find(b'"', len(EPOCH))]
