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
    """Make a finding of what needs no change."""
    return Finding(check, "ok", found)


def note(check: str, found: str, remedy: str) -> Finding:
    """Make a finding of what is worth knowing."""
    return Finding(check, "note", found, remedy)


def problem(check: str, found: str, remedy: str) -> Finding:
    """Make a finding of what stops jobs."""
    return Finding(check, "problem", found, remedy)


def format_finding(finding: Finding) -> str:
    """Show a finding: its level, what was looked at, what is so; then, on a line of its own, the remedy."""
    said = finding.found.replace("\n", "\n" + " " * 12)
    remedy = f"\n{'':9}-> {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:8} {finding.check}: {said}{remedy}"
