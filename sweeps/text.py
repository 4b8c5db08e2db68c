"""Words that messages are made of: once for the whole house."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """`` (did you mean "adam"?)``, or nothing when no choice is near.

    Args:
        word: that was written.
        choices: that would be right.
    """
    near = difflib.get_close_matches(str(word).lower(), list(choices), n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""


def first_line(text: str) -> str:
    """The first line of a text that says something; empty if none does."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def message_of(error: BaseException) -> str:
    """What an exception says; of one whose ``__str__`` raises another, that it can't be told."""
    try:
        return str(error)
    except Exception as broken:  # whatever a class of the user's does wrong
        return f"what it says can't be told, since its __str__ raises {type(broken).__name__}"


def format_error(error: BaseException) -> str:
    """The kind of an error and what it says, in a line.

    Keras puts a line of its own before the words of a layer, and prints some of them in bold.
    """
    text = re.sub(r"\x1b\[\d*m", "", message_of(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}" if lines else type(error).__name__


def format_count(number: int, noun: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
