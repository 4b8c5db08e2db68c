"""Interruptions on purpose, in the middle of a trial, for `hpc verify-resume`."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from hpc.jobs.training.base import BoundaryRequest
from hpc.jobs.training.checkpoint import Position


@dataclass
class Fault:
    """An interruption past the half of a trial.

    Args:
        kind: ``stop``, as a time limit does; ``kill``, which ends the last rank by SIGKILL some steps after
            a checkpoint; empty for none.
        epochs: of the trial.
        samples: of an epoch.
        is_last: whether this is the last of the ranks.
    """

    kind: str
    epochs: int
    samples: int
    is_last: bool
    has_saved: bool = False

    def stride(self, steps: int) -> int | None:
        """Steps between two boundaries, so that there are some inside an epoch of so many."""
        return max(1, steps // 4) if self.kind else None

    def request(self, position: Position) -> BoundaryRequest:
        """The request at a boundary."""
        half = self.epochs // 2 * self.samples
        if not self.kind or position.epochs * self.samples + position.samples <= half:
            return BoundaryRequest()
        if self.kind == "stop":
            return BoundaryRequest(stop=True)
        if self.has_saved and self.is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.has_saved = True
        return BoundaryRequest(save=True)
