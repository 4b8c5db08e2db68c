"""Pydantic's errors as sentences that name the file, the line and the entry: once for the whole house."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from hpc.sweeps.document import Document, Key

EXPECTED = {
    "string_type": "a word",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a group of `name: value` lines",
    "greater_than_equal": "a number of at least {ge}",
    "greater_than": "a number above {gt}",
    "literal_error": "{expected}",
}
"""Descriptions of valid values, by pydantic's name of the error. Braces stand for entries of its context."""


@dataclass(frozen=True)
class InvalidEntry:
    """One entry that pydantic refuses.

    Attributes:
        key: path of the entry in the file.
        kind: pydantic's name of the error.
        value: the entry.
        expected: what the value must be, as ``a whole number``; pydantic's own message for rarer errors.
    """

    key: Key
    kind: str
    value: object
    expected: str


Explain = Callable[[InvalidEntry], str | None]


@dataclass(frozen=True)
class Wording:
    """The part of the sentences that differs between kinds of files.

    Attributes:
        locate: gives the key in the file of an entry, for pydantic's key and kind of error.
        explain: gives the message about an entry; None for the usual message.
        expected: additions to ``EXPECTED``.
    """

    locate: Callable[[Key, str], Key]
    explain: Explain
    expected: Mapping[str, str] = field(default_factory=dict)


def format_errors(error: ValidationError, document: Document, wording: Wording) -> list[str]:
    """One sentence for each error, in pydantic's order."""
    return [_format_error(dict(one), document, wording) for one in error.errors()]


def _format_error(error: Mapping[str, Any], document: Document, wording: Wording) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    key = wording.locate(tuple(error["loc"]), kind)
    template = {**EXPECTED, **wording.expected}.get(kind)
    expected = template.format(**context) if template else error["msg"]
    message = wording.explain(InvalidEntry(key, kind, value, expected))
    if message is None:
        message = f"{context['error']}." if kind == "value_error" else f"{value!r} is not {expected}."
    return document.problem(key, message)
