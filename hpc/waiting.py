"""Waiting for what others do, by a clock that may be another one: tests let time pass at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """The clock by which commands wait: this machine's own."""

    def now(self) -> float:
        """Seconds since some moment, never set back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        time.sleep(seconds)


_clocks = [Clock()]


def now() -> float:
    """Seconds by the clock in use."""
    return _clocks[-1].now()


def sleep(seconds: float) -> None:
    """Let so many seconds pass by the clock in use."""
    _clocks[-1].sleep(seconds)


@contextmanager
def by(clock: Clock) -> Iterator[None]:
    """Wait by another clock for the length of the block."""
    _clocks.append(clock)
    try:
        yield
    finally:
        _clocks.remove(clock)
