"""Conditions as text, like ``depth >= 2``: one grammar for the settings of a sweep and the rows of a table.

Nothing is executed: Python's ``ast`` reads the text, and a walk over its tree makes functions of those
parts that stand in a list of what may be there. Everything else is refused, and so is what is too large.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hpc.sweeps.grammar import Reader
from hpc.sweeps.operations import Part

MAX_CHARACTERS, MAX_LEVELS = 10_000, 100


@dataclass(frozen=True)
class Condition:
    """A condition that has been read: call it with the values of its ``names``, in their order.

    Raises:
        ValueError: by the call, if it can't be told of these values.
    """

    names: tuple[str, ...]
    part: Part

    def __call__(self, values: Sequence[Any]) -> bool:
        """Whether it is true."""
        return bool(self.part(values))


@lru_cache(256)
def read(text: str, *, rows: bool = False) -> Condition:
    """Read a condition.

    Args:
        text: as ``docs/conditions.md`` describes it.
        rows: it is on the rows of a table, where None is a value that is missing, as NaN is in pandas: it
            compares as false, what is calculated from it is missing, and so is what has no finite value.
            ``==`` with a list is then ``in``, and only what is true or false counts as such. In a sweep
            file it can't be told then, and numbers, words and lists are true unless they are 0 or empty.

    Raises:
        ValueError: with what is wrong and what may stand instead.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, and may have {MAX_CHARACTERS:,}")
    source, in_backticks = _as_python(text.strip())
    tree = _parsed(source)
    reader = Reader(source, in_backticks, rows)
    part = reader.truth(tree.body)
    return Condition(tuple(reader.names), part)


def check(text: str) -> None:
    """Make sure that a condition on hyperparameters can be read.

    Raises:
        ValueError: with what is wrong.
    """
    try:
        condition = read(text)
    except ValueError as error:
        raise ValueError(
            f"{cited(text)} is no condition ({error}); write for example optimizer == 'sgd'"
        ) from None
    if not condition.names:
        raise ValueError(f"{cited(text)} names no hyperparameter; write for example depth >= 2")


def names(text: str) -> list[str]:
    """The names that a condition has, each once."""
    return list(read(text).names)


def holds(text: str, values: Mapping[str, Any]) -> bool:
    """Whether a condition is true of hyperparameters; not if one that it names is not there.

    Raises:
        ValueError: it can't be told, as where a word is compared with a number.
    """
    condition = read(text)
    if any(name not in values for name in condition.names):
        return False
    told = {name: values[name] for name in condition.names}
    try:
        return condition(list(told.values()))
    except ValueError as error:
        raise ValueError(f"{cited(text)} can't be told of {_short(repr(told))}: {error}") from None


def named(name: str) -> str:
    """A name as a condition has it: in backticks, if it is no name of Python."""
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"`{name}`"


def cited(text: str) -> str:
    """A condition as messages quote it, not too long."""
    return repr(text) if len(text) <= 200 else f"{text[:80]!r}…"


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:190]}…"


_TOKENS = re.compile(
    r"""'''(?:[^\\]|\\.)*?'''|\"""(?:[^\\]|\\.)*?\"""|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\""""
    r"""|`(?P<name>[^`]+)`|(?P<sign>[&|@`])""",
    re.DOTALL,
)


_RESERVED = re.compile(
    rf"\b(?:{'|'.join({*keyword.kwlist} - {'and', 'or', 'not', 'in', 'is', 'True', 'False', 'None'})})\b"
)


def _as_python(text: str) -> tuple[str, dict[str, str]]:
    """A condition as Python's parser takes it: ``&`` and ``|`` as words, names in backticks as others.

    Returns:
        The text, and the name in backticks that each of the other names stands for.
    """
    names: dict[str, str] = {}
    prefix = "name"
    while prefix in text:
        prefix += "_"

    def changed(found: re.Match[str]) -> str:
        if found["name"]:
            names[f"{prefix}{len(names)}"] = found["name"]
            return f" {prefix}{len(names) - 1} "
        match found["sign"]:
            case None:
                return found[0]
            case "&":
                return " and "  # of lower rank than in Python, as pandas.DataFrame.query takes it
            case "|":
                return " or "
            case "@":
                raise ValueError("it holds an @, but there are no variables of Python that it could name")
        raise ValueError("it holds a backtick without another")

    return _TOKENS.sub(changed, text).strip(), names


def _parsed(source: str) -> ast.Expression:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ast.parse(source, mode="eval")
    except (MemoryError, RecursionError):
        raise ValueError(f"it is nested in more than {MAX_LEVELS} levels") from None
    except SyntaxError as error:
        message = error.msg
        if re.search("(?<![=<>!:])=(?!=)", source):
            message = "invalid syntax; to compare, write =="
        elif message == "invalid syntax" and (word := _RESERVED.search(_TOKENS.sub("", source))):
            message = f"invalid syntax; a name as {word[0]}, which is a word of Python, stands in `backticks`"
        if "Exceeds the limit" in message:
            message = "a number has too many digits"
        raise ValueError("it holds a null byte" if "\0" in source else message) from None
    except UnicodeError:
        raise ValueError("it holds half a character, which no text can hold") from None
    except (ValueError, Warning) as error:
        raise ValueError("it holds a null byte" if "\0" in source else str(error)) from None
    level: list[ast.AST] = [tree]
    for _ in range(MAX_LEVELS):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level:
        raise ValueError(f"it is nested in more than {MAX_LEVELS} levels")
    return tree
