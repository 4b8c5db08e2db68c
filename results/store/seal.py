"""The first line of a run's ``sweep.yaml``, by which it is known whether anybody has changed the rest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc.results.store.reading import parse

_LINE = re.compile(
    r"# Kept by hpc; edits count for nothing. (\d+) trials, (\d+) planned, sha256 ([0-9a-f]{64})\n"
)
_LONGEST = 200
_COPIES = (b'{"record": "sweep"', b'{"record": "stored"')
_TRIALS = re.compile(r"\btrials: \d+")


@dataclass(frozen=True)
class Seal:
    """What the first line says.

    Attributes:
        trials: that the run is to have.
        planned: how many of them are known from the beginning; a search that learns plans none.
        is_whole: whether what follows is what it was.
    """

    trials: int
    planned: int
    is_whole: bool


def sealed(text: str, *, trials: int, planned: int) -> str:
    """The text of a sweep with its seal.

    Args:
        text: of ``sweep.yaml``.
        trials: that the run is to have.
        planned: how many of them are known from the beginning.
    """
    numbers = f"{trials} trials, {planned} planned"
    return f"# Kept by hpc; edits count for nothing. {numbers}, sha256 {_digest(text)}\n{text}"


def seal_of(path: Path) -> Seal | None:
    """The seal of a file; None of one that has none, as earlier versions wrote it, or that can't be read."""
    text = text_in(path)
    return None if text is None else seal_in(text)


def text_in(path: Path) -> str | None:
    """What a ``sweep.yaml`` holds, damaged bytes replaced; None if it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def seal_in(text: str) -> Seal | None:
    """The seal of a text, as :func:`seal_of`."""
    found = _LINE.match(text[:_LONGEST])
    if found is None:
        return None
    return Seal(int(found[1]), int(found[2]), _digest(text[found.end() :]) == found[3])


def copies_in(records: Path) -> list[str]:
    """Texts that the ``sweep.yaml`` of a run has had, the latest last, as its ``run.jsonl`` holds them."""
    try:
        lines = records.read_bytes().split(b"\n")
    except OSError:
        return []
    found = [parse(line).get("file") for line in lines if line.startswith(_COPIES)]
    return [text for text in found if isinstance(text, str)]


def is_kept(text: str, copies: Sequence[str]) -> bool:
    """Whether a text is what a run has written, though the last copies of it may be lost.

    Args:
        text: of ``sweep.yaml``.
        copies: that the records have; a run that was extended since has more trials, and is the same else.
    """
    return text in copies or any(_extends(text, copy) for copy in copies)


def _extends(text: str, copy: str) -> bool:
    new, old = seal_in(text), seal_in(copy)
    if new is None or not new.is_whole or (old is not None and new.trials <= old.trials):
        return False
    bodies = [
        _TRIALS.sub("", one.partition("\n")[2] if seal else one) for one, seal in ((text, new), (copy, old))
    ]
    return bodies[0] == bodies[1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
