"""What a program prints: kept in a file of bounded size, and looked through for metrics."""

from __future__ import annotations

import os
import re
from pathlib import Path

HEAD_BYTES = TAIL_BYTES = 2 * 2**20
"""Of a program's output, so much from its beginning and so much from its end are kept."""
MAX_LINE = 2**16
"""Characters of a line up to which it is looked through whole; a longer one is taken in pieces."""
LAST_BYTES = 4096
_ENDS = re.compile(r"[\r\n]+")  # a progress bar ends its lines by \r


class ProgramOutput:
    """The output of one program.

    The file is there from the first byte on. It never has more than its head and twice its tail.

    Args:
        path: of the file; its folder is there.
        is_read: whether lines are wanted.

    Attributes:
        size: bytes that have come.
    """

    def __init__(self, path: Path, *, is_read: bool) -> None:
        self._path = path
        self._is_read = is_read
        self._file = -1
        self._last = b""
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._rest = ""
        self.size = 0

    def take(self, data: bytes) -> list[str]:
        """Keep some bytes; the lines that are whole by them."""
        if self._file < 0:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self._last = (self._last + data)[-LAST_BYTES:]
        room = max(0, HEAD_BYTES - self.size)
        self.size += len(data)
        if room:
            self._write(data[:room])
        if data[room:]:
            self._keep(data[room:])
        return self._lines(data) if self._is_read else []

    def close(self) -> list[str]:
        """Close the file; the last line, if it has no end."""
        if self._file >= 0:
            if self._tail_size > TAIL_BYTES:
                self._shorten()
            os.close(self._file)
            self._file = -1
        rest, self._rest = self._rest, ""
        return [rest] if rest.strip() else []

    def last_lines(self, count: int = 20) -> str:
        """The last lines that are not blank."""
        lines = [one.rstrip() for one in _ENDS.split(self._last.decode(errors="replace")) if one.strip()]
        return "\n".join(lines[-count:])

    def _lines(self, data: bytes) -> list[str]:
        text = self._rest + data.decode(errors="replace")
        *lines, self._rest = _ENDS.split(text)
        if len(self._rest) > MAX_LINE:
            lines, self._rest = [*lines, self._rest], ""
        return lines

    def _keep(self, data: bytes) -> None:
        self._write(data)
        self._tail.append(data)
        self._tail_size += len(data)
        if self._tail_size >= 2 * TAIL_BYTES:
            self._shorten()

    def _shorten(self) -> None:
        """Leave out the middle of the file."""
        end = b"".join(self._tail)[-TAIL_BYTES:]
        left_out = self.size - HEAD_BYTES - len(end)
        os.ftruncate(self._file, HEAD_BYTES)
        os.lseek(self._file, 0, os.SEEK_END)
        self._write(f"\n[{left_out:,} bytes are left out here]\n".encode())
        self._write(end)
        self._tail, self._tail_size = [end], len(end)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]
