"""What SLURM's commands print, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Rows = Sequence[Mapping[str, str]]


def parse_partitions(text: str) -> dict[str, dict[str, str]]:
    """Read the entries of each partition by name, from ``scontrol --all --oneliner show partition``."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        pairs: list[tuple[str, str]] = re.findall(r"(\S+?)=(\S*)", line)
        entries = dict(pairs)
        if "PartitionName" in entries:
            found[entries["PartitionName"]] = entries
    return found


def parse_rows(text: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the lines of a command called with ``--parsable2 --noheader``."""
    found = [line.split("|") for line in text.splitlines()]
    return [dict(zip(columns, values, strict=True)) for values in found if len(values) == len(columns)]


def parse_minutes(text: str) -> float | None:
    """Read a time of SLURM's (``1-00:00:00``, ``30:00``) in minutes; None for UNLIMITED and the like."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)??(\d+)(?::(\d+))?", text.strip())
    if not found:
        return None
    days, hours, middle, seconds = (int(part or 0) for part in found.groups())
    if found.group(1) and found.group(4) is None and found.group(2) is None:  # 2-12 is days and hours
        hours, middle = middle, 0
    return days * 1440 + hours * 60 + middle + seconds / 60


def parse_seconds(text: str) -> float:
    """Read a time of SLURM's (``30``, or ``00:00:30``) in seconds."""
    return float(text) if text.isdigit() else 60 * (parse_minutes(text) or 0.0)


def parse_number(text: str | None) -> int | None:
    """Read a whole number; None for UNLIMITED and the like."""
    return int(text) if text and text.isdigit() else None
