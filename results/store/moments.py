"""Times and spans that stay right whatever is done to the clock meanwhile.

The clock of a machine may be set at any time: by a person, by NTP after the machine has booted, by a virtual
machine that wakes up. What it says is for people. Spans are measured by the clock that goes on since the
machine booted, which nobody sets: clock_gettime(2).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_clocks: list[Callable[[], float]] = [time.time]
_zero: float | None = None
"""When the machine booted, in seconds since 1970, by its clock at the time of asking."""


def uptime() -> float:
    """Seconds since this machine booted, or since another moment that stays the same until it does again."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def boot() -> str:
    """Which boot of which machine that is; empty where the system does not tell."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def now() -> float:
    """Seconds since 1970, as the clock says; inside :func:`steady` evenly on from where that began."""
    return _clocks[-1]() if _zero is None else _zero + uptime()


def zero() -> str:
    """What :func:`steady` needs in another process of this machine, so that both tell moments alike."""
    return f"{boot()}/{_clocks[-1]() - uptime() if _zero is None else _zero!r}"


@contextmanager
def by(clock: Callable[[], float]) -> Iterator[None]:
    """Have another clock tell the time for the length of the block, as if this machine's had been set.

    Args:
        clock: seconds since 1970.
    """
    _clocks.append(clock)
    try:
        yield
    finally:
        _clocks.remove(clock)


@contextmanager
def steady(shared: str = "") -> Iterator[None]:
    """Let :func:`now` go on evenly for the length of the block.

    Args:
        shared: of :func:`zero` in another process; it counts if that was on this machine, since it booted.
    """
    global _zero
    before = _zero
    where, _, value = shared.partition("/")
    _zero = float(value) if where and where == boot() else _clocks[-1]() - uptime()
    try:
        yield
    finally:
        _zero = before


def stamp() -> dict[str, Any]:
    """What a record needs, so that :func:`since` can tell how long ago it was written."""
    return {"boot": boot(), "uptime": round(uptime(), 3)}


def since(record: Mapping[str, Any]) -> float:
    """Seconds since a record was written.

    They are measured by the clock alone if that was on another machine, or before this one booted; never less
    than 0.
    """
    if record.get("boot") and record["boot"] == boot():
        return max(0.0, uptime() - float(record["uptime"]))
    return max(0.0, now() - float(record["time"]))
