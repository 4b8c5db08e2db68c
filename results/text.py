"""Values, errors and texts of users as a person reads them."""

from __future__ import annotations

import math
import traceback
from typing import Any

from hpc.sweeps.text import message_of

MAX_SHOWN = 500
"""Characters of a note or of an error that are shown where it is one of many things."""


def cell(value: Any) -> str:
    """A value as a person reads it, on one line: whole, or with four digits; empty where nothing is known."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas' NA, without importing pandas
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
    if type(value).__name__ == "Timestamp":
        return str(value.isoformat(sep=" ", timespec="seconds")).removesuffix("+00:00")
    return "".join(char if char.isprintable() else _unprintable(char) for char in str(value))


def _unprintable(char: str) -> str:
    """What stands for an end of a line, and for what might make a terminal do something."""
    return "↵" if char == "\n" else "�"


def format_traceback(error: BaseException) -> str:
    """The traceback of an exception, with its message if there is one."""
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except Exception:  # a class of the user's whose __getattr__ or __repr__ raises
        where = "".join(traceback.format_tb(error.__traceback__))
        return f"Traceback (most recent call last):\n{where}{type(error).__name__}: {message_of(error)}"


def cut(text: str, whole: str) -> str:
    """The beginning of a text, as much as people read of it, and where the rest is.

    Args:
        text: of any length.
        whole: where all of it is.
    """
    if len(text) <= MAX_SHOWN:
        return text
    return f"{text[:MAX_SHOWN]}… ({len(text):,} characters; whole: {whole})"
