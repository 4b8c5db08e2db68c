"""Counts and durations as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping


def format_duration(seconds: float) -> str:
    """Give a duration as ``40 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_states(counts: Mapping[str, int]) -> str:
    """Give counts of trials as ``3 finished, 1 failed``.

    Args:
        counts: the number of trials by state, and ``total``.
    """
    return ", ".join(f"{n} {state}" for state, n in counts.items() if n and state != "total")
