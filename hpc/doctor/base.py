"""A finding: what every check gives, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what, in a word or two.
        level: ``ok``, ``note`` for what is worth knowing, ``problem`` for what stops jobs.
        found: what is so.
        remedy: what to change; empty if all is well.
    """

    check: str
    level: Level
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """Nothing to change."""
    return Finding(check, "ok", found)


def note(check: str, found: str, remedy: str) -> Finding:
    """Worth knowing."""
    return Finding(check, "note", found, remedy)


def problem(check: str, found: str, remedy: str) -> Finding:
    """What stops jobs."""
    return Finding(check, "problem", found, remedy)


def format_finding(finding: Finding) -> str:
    """A finding as it is shown: its level, what was looked at, what is so; then the remedy."""
    said = finding.found.replace("\n", "\n" + " " * 12)
    remedy = f"\n{'':9}-> {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:8} {finding.check}: {said}{remedy}"
