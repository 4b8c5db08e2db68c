"""The differences between two runs: their sweeps, code, versions and machines."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpc.results.store import Run, RunError

UNKNOWN = "unknown"
"""Said of what a run has not written down."""


MAX_DIFF_LINES = 400
"""Lines of differing uncommitted changes that are kept."""


AREAS = ("sweep", "space", "code", "versions", "where and when")


@dataclass(frozen=True)
class Difference:
    """Something that is one way in the first run and another in the second.

    Attributes:
        area: one of ``AREAS``.
        what: a dotted entry of the sweep, a package, a file, …
        a: how it is in the first run; None if it is not there.
        b: in the second.
    """

    area: str
    what: str
    a: Any
    b: Any


def read_provenance(run: Run) -> dict[str, Any]:
    """What ``provenance.json`` says; nothing if it can't be read."""
    try:
        found = json.loads((run.folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def sweep_differences(a: Run, b: Run) -> list[Difference]:
    """Entries of the sweep in which two runs differ."""
    entries = [_flat(_effective(_sweep_of(run))) for run in (a, b)]
    found = []
    for name in dict.fromkeys([*entries[0], *entries[1]]):
        values = [one.get(name) for one in entries]
        if not _same(*values) or (name in entries[0]) != (name in entries[1]):
            found.append(Difference("space" if name.startswith("space.") else "sweep", name, *values))
    return found


def _sweep_of(run: Run) -> dict[str, Any]:
    from hpc.sweeps import SweepError, read

    try:
        return read(run.sweep_file).entries
    except SweepError as error:
        raise RunError(str(error)) from None


def _effective(sweep: dict[str, Any]) -> dict[str, Any]:
    """The sweep with its defaults among what is fixed: a default that is written down is none other."""
    parts = {name: sweep.get(name) for name in ("defaults", "fixed")}
    fixed = {name: value for part in parts.values() if isinstance(part, dict) for name, value in part.items()}
    return {**{name: value for name, value in sweep.items() if name not in parts}, "fixed": fixed}


def _flat(entries: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Entries by their dotted paths; lists are values."""
    found: dict[str, Any] = {}
    for name, value in entries.items():
        path = f"{prefix}{name}"
        found |= _flat(value, f"{path}.") if isinstance(value, dict) and value else {path: value}
    return found


def code_differences(a: Run, b: Run, *provenances: Mapping[str, Any]) -> list[Difference]:
    """The commit, the uncommitted changes and the user's files in which two runs differ."""
    git = [provenance.get("git") or {} for provenance in provenances]
    commits = [one.get("commit") for one in git]
    found = [] if commits[0] == commits[1] else [Difference("code", "commit", *commits)]
    changes = [_by_file(str(one.get("diff") or "")) for one in git]
    for name in sorted({*changes[0], *changes[1]}):
        texts = [change.get(name) for change in changes]
        if texts[0] != texts[1]:
            changes_of = [None if text is None else f"{_changed_lines(text)} changed lines, not committed"
                    for text in texts]  # fmt: skip
            found.append(Difference("code", name, *changes_of))
    codes = [
        sorted({attempt.code for trial in run.trials.values() for attempt in trial.attempts.values()})
        or [str(provenance.get("code") or "")]
        for run, provenance in zip((a, b), provenances, strict=True)
    ]
    if codes[0] != codes[1]:
        shown = [", ".join(filter(None, code)) or "none of the user's" for code in codes]
        found.append(Difference("code", "digest of model and data files", *shown))
    return found


def place_differences(*provenances: Mapping[str, Any]) -> list[Difference]:
    """Versions of packages, machines and times in which two runs differ."""
    packages = [provenance.get("packages") or {} for provenance in provenances]
    versions = [
        {"python": provenance.get("python"), **its}
        for provenance, its in zip(provenances, packages, strict=True)
    ]
    found = [
        Difference("versions", name, *(one.get(name) for one in versions))
        for name in dict.fromkeys([*versions[0], *versions[1]])
        if versions[0].get(name) != versions[1].get(name)
    ]
    places = []
    for provenance in provenances:
        place = {name: provenance.get(name) for name in ("time", "host", "user", "platform", "folder")}
        command = provenance.get("command")
        place["command"] = " ".join(map(str, command)) if isinstance(command, list) else command
        scheduler = provenance.get("scheduler")
        place |= _flat(scheduler, "scheduler.") if isinstance(scheduler, dict) else {"scheduler": scheduler}
        places.append(place)
    for name in dict.fromkeys([*places[0], *places[1]]):
        values = [place.get(name) for place in places]
        if values[0] != values[1]:
            found.append(Difference("where and when", name, *values))
    return found


def _by_file(diff: str) -> dict[str, str]:
    """A diff of git's, file by file."""
    found = {}
    for part in re.split(r"^(?=diff --git )", diff, flags=re.MULTILINE):
        name = re.match(r"diff --git a/.*? b/(.*)", part)
        if name:
            found[name[1]] = part
    return found


def _changed_lines(diff: str) -> int:
    return sum(bool(re.match(r"[+-](?![+-]{2} )", line)) for line in diff.splitlines())


def diff_of_changes(a: str, b: str) -> str:
    """How uncommitted changes differ, of the files in which they do."""
    changes = [_by_file(one) for one in (a, b)]
    lines: list[str] = []
    for name in sorted({*changes[0], *changes[1]}):
        texts = [change.get(name, "") for change in changes]
        if texts[0] != texts[1]:
            before, after = (text.splitlines() for text in texts)
            heads = f"a: changes of {name}", f"b: changes of {name}"
            lines += difflib.unified_diff(before, after, *heads, lineterm="")
    more = len(lines) - MAX_DIFF_LINES
    return "\n".join([*lines[:MAX_DIFF_LINES], *([f"… and {more} more lines"] if more > 0 else [])])


def _same(a: Any, b: Any) -> bool:
    """Whether two entries mean the same: 1 and 1.0 do, True and 1 don't."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)
