"""What is printed, on a terminal or into a file that has not all letters."""

from __future__ import annotations

import codecs
import io
import sys

_DRAWN = {
    "━": "=", "…": "...", "×": "x", "–": "-", "↵": "\\n", "�": "?", "▁": "_", "▂": ".", "▃": "-", "▄": "=",
    "▅": "+", "▆": "*", "▇": "%", "█": "#",
}  # fmt: skip
"""What stands for letters that are only drawn with."""


def print_anything() -> None:
    """Let no letter that standard output or standard error lack end a command.

    Instead of it stands what is most like it, or its number, as in Python's texts. A byte of a path that is
    no UTF-8 is printed as it is, so that others find the path by what they read.
    """
    codecs.register_error("hpc", _instead)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # and not what a test or a notebook has put there
            stream.reconfigure(errors="hpc")


def _instead(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if "\udc80" <= letter <= "\udcff":
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return _DRAWN.get(letter) or letter.encode("ascii", "backslashreplace").decode(), error.start + 1
