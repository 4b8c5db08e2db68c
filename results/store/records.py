"""Records: lines of JSON that say what happened, appended and never changed."""

from __future__ import annotations

import json
import math
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json  # twice as fast as json, where there are 10,000 trials

from hpc.results.store import moments
from hpc.results.store.disk import name_in, naming

_encode = json.JSONEncoder(allow_nan=False).encode
_SURROGATE = "\\ud"
"""How JSON writes half of a pair: alone it is no letter, in a pair it is one beyond U+FFFF."""


class Records:
    """Appends records to one file; the only writer of it at that time.

    Each record is written by one call, so a killed process leaves a torn last line at worst. Where the
    file was removed meanwhile, or another put in its place, all that was written is written again there;
    but not if the folder of the run was removed with it, which nobody does by mistake.

    Args:
        path: of the file, made with its folder where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()
        self._is_torn = False
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            with naming(path):
                os.write(self._file, b"\n")  # ends the line that an earlier writer was killed in

    def append(self, record: str, **entries: Any) -> None:
        """Append one record of the kind ``record``, with the time."""
        entries = {"record": record, **entries, "time": round(moments.now(), 3)}
        try:
            text = _encode(entries)
        except ValueError:  # seldom, and to look for NaN takes as long as to write
            text = _encode(finite(entries))
        if _SURROGATE in text:
            text = _encode(encodable(finite(entries)))
        data = text.encode() + b"\n"
        if self._is_torn:  # by a full disk, that has room again
            data = b"\n" + data
        self._is_torn = True
        try:
            if self._was_removed():
                self._write_again()
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            name_in(error, self._path)
            raise
        self._is_torn = False

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)

    def _was_removed(self) -> bool:
        return os.fstat(self._file).st_nlink == 0 and self._path.parent.parent.is_dir()

    def _write_again(self) -> None:
        """Bring back a file that has no name any more; records that are told twice count once."""
        old, self._file = self._file, self._open()
        place = 0
        while data := os.pread(old, 1 << 20, place):
            place += len(data)
            while data:
                data = data[os.write(self._file, data) :]
        os.close(old)

    def close(self) -> None:
        """Bring the file to the disk and close it."""
        with naming(self._path):
            if self._was_removed():
                self._write_again()
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


def encodable(value: Any) -> Any:
    r"""The value with only such text as can be written; a byte that is no UTF-8 becomes ``\xe9``.

    Python reads such bytes of a file's name, of an environment variable or of an argument as halves of
    surrogate pairs (PEP 383), which neither a terminal, nor CSV, nor Parquet can take.
    """
    if isinstance(value, str):
        return value if value.isascii() else _encodable(value)
    if isinstance(value, (dict, Mapping)):
        return {encodable(k): encodable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [encodable(v) for v in value]
    return value


def _encodable(text: str) -> str:
    try:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:  # the other halves, which stand for no byte
        return text.encode(errors="backslashreplace").decode()


@dataclass
class Mark:
    """How far a file of records has been read.

    Attributes:
        read: bytes that were taken in, whole lines.
        end: how many of the last of them are known by ``checksum``.
        checksum: by which another file of that name is told.
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
