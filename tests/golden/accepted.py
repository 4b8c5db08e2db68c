"""Texts that were accepted, and what of a text counts."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ACCEPT = "HPC_ACCEPT_GOLDEN"
_IS_ACCEPTED = bool(os.environ.get(ACCEPT))  # read once: tests take away what begins with HPC_
FOLDER = Path(__file__).parent / "accepted"
_OF_THE_MACHINE = {"energy_joules", "gpu"}
"""Fields that are null where the node can't say them."""


def compare(name: str, text: str) -> None:
    """Fail with the changed lines where a text is not the accepted one.

    Args:
        name: of its file.
        text: as it is now.
    """
    path = FOLDER / name
    text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    if _IS_ACCEPTED:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    accepted = path.read_text() if path.exists() else ""
    if text != accepted:
        changes = list(
            difflib.unified_diff(accepted.splitlines(), text.splitlines(), "accepted", "now", "", "", 1, "")
        )
        said = (
            f"What users rely on has changed. If that is meant, `{ACCEPT}=1 pytest {Path(__file__).parent}` "
            f"writes {path.name} anew; then say it in CHANGES.md."
        )
        pytest.fail("\n".join([*changes, said]), pytrace=False)


def plain(text: str, names: Mapping[str, str] | None = None) -> str:
    """A text without what differs from one machine, one moment and one release to the next.

    Args:
        text: that a command has written.
        names: further words to replace, as the folder of a test.
    """
    for old, new in (names or {}).items():
        text = text.replace(old, new)
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)  # colours, which typer insists on in some CI
    # A launch has a random name, of six digits, by which its jobs are found again.
    return re.sub(r"\b(hpc-[\w.-]+?)-[0-9a-f]{6}\b", r"\1-TOKEN", text)


def shape(values: Iterable[object]) -> str:
    """The keys of JSON values with their types, a line each; types of one key in several values are united.

    Args:
        values: as ``json.loads`` gives them.
    """
    found: dict[str, set[str]] = {}
    for value in values:
        _walk(value, "", found)
    return "".join(f"{path or '.'}: {' | '.join(sorted(kinds))}\n" for path, kinds in sorted(found.items()))


def _walk(value: object, path: str, found: dict[str, set[str]]) -> None:
    if path.rpartition(".")[2] in _OF_THE_MACHINE:
        found[path] = {"null or more"}
        return
    kinds = {dict: "object", list: "list", str: "string", bool: "boolean", int: "integer", float: "number"}
    found.setdefault(path, set()).add(kinds.get(type(value), "null"))
    if isinstance(value, dict):
        for key, entry in value.items():
            _walk(entry, f"{path}.{_key(str(key))}".lstrip("."), found)
    if isinstance(value, list):
        for entry in value:
            _walk(entry, f"{path}[]", found)


def _key(key: str) -> str:
    """A key; of maps whose keys are data (trials, files, jobs, sizes) what the keys are."""
    for pattern, word in (
        (r"t[a-z2-7]{10}", "TRIAL"), (r"/.*", "PATH"), (r".*\.jsonl", "FILE"), (r"\d+", "NUMBER"),
    ):  # fmt: skip
        if re.fullmatch(pattern, key):
            return word
    return key
