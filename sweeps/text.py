"""Parts of messages: once for the whole house."""

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
    """The first line of a text that is not blank; empty if there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def headline(message: str) -> str:
    """The line of an error's message that says what is wrong: the first, as a rule.

    TensorFlow begins the message of an error in a graph with words that say only where it was, and ends it
    with the error, behind which names of nodes in brackets may stand.

    Args:
        message: the type of the error, a colon, and what it says.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    first = lines[0] if lines else ""
    said = [line for line in lines[1:] if not line.startswith(("[[", "File "))]
    if not said or not first.endswith(("in user code:", "Graph execution error:")):
        return first
    kind = first.partition(":")[0]
    return said[-1] if said[-1].startswith(f"{kind}:") else f"{kind}: {said[-1]}"


def message_of(error: BaseException) -> str:
    """The message of an exception, even if its ``__str__`` raises another."""
    try:
        return str(error)
    except Exception as broken:  # whatever a class of the user's does wrong
        return f"what it says can't be told, since its __str__ raises {type(broken).__name__}"


def format_error(error: BaseException) -> str:
    """The type of an exception and its message, in a line.

    Keras puts a line of its own before the message of a layer, and prints parts of it in bold.
    """
    text = re.sub(r"\x1b\[\d*m", "", message_of(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}" if lines else type(error).__name__


def format_count(number: int, noun: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
