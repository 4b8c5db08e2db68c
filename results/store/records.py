"""Records: lines of JSON that say what happened, appended and never changed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
        """Write a file that was removed again; records that stand twice count once."""
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
    """The value with NaN and infinities as None: JSON has none of them."""
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
