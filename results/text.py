"""Values, errors and texts of users as a person reads them. Imports nothing of the house."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

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


def format_error(error: BaseException) -> str:
    """The message of an exception; a sentence in its place if ``__str__`` raises another exception."""
    try:
        return str(error)
    except Exception as broken:  # whatever a class of the user's does wrong
        return f"what it says can't be told, since its __str__ raises {type(broken).__name__}"


def format_traceback(error: BaseException) -> str:
    """The traceback of an exception, with its message if there is one."""
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except Exception:  # a class of the user's whose __getattr__ or __repr__ raises
        where = "".join(traceback.format_tb(error.__traceback__))
        return f"Traceback (most recent call last):\n{where}{type(error).__name__}: {format_error(error)}"


def first_line(error: str) -> str:
    """The first line of an error or of another text, without spaces around it; empty of an empty text."""
    return error.strip().partition("\n")[0]


def cut(text: str, whole: str) -> str:
    """The beginning of a text, as much as people read of it, and where the rest is.

    Args:
        text: of any length.
        whole: where all of it is.
    """
    if len(text) <= MAX_SHOWN:
        return text
    return f"{text[:MAX_SHOWN]}… ({len(text):,} characters; whole: {whole})"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'NAME'?)`` with the most similar name that is known; else ``; there are`` and all."""
    names = list(known)
    near = get_close_matches(name, names, 1)
    return f" (did you mean {near[0]!r}?)" if near else f"; there are {', '.join(names)}"
