"""Notes about how data were read, collected while they are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_notes: ContextVar[list[str] | None] = ContextVar("notes", default=None)


@contextmanager
def collect_notes() -> Iterator[list[str]]:
    """Collect the notes that are added meanwhile, one sentence each."""
    notes: list[str] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def add_note(text: str) -> None:
    """Add a note, if notes are collected."""
    notes = _notes.get()
    if notes is not None:
        notes.append(text)


def has_notes() -> bool:
    """Whether a note was added."""
    return bool(_notes.get())
