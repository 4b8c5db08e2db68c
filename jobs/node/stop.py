"""Being asked to stop: by a time limit that is near, by preemption, by cancellation."""

from __future__ import annotations

import signal


class StopRequest:
    """Remembers that a signal has come; what trains looks at it at the next boundary.

    A handler may do no more than that: it interrupts a rank anywhere, in the middle of a
    reduction, and ranks must stop at the same step.

    Attributes:
        signal: the name of the signal, ``SIGUSR2`` for one; empty as long as none has come.
    """

    def __init__(self) -> None:
        self.signal = ""

    def listen(self, *numbers: signal.Signals) -> None:
        """Take these signals as requests, instead of what they would do."""
        for number in numbers:
            signal.signal(number, self._take)

    def _take(self, number: int, frame: object) -> None:
        self.signal = signal.Signals(number).name
