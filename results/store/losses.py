"""Workers that are lost in a trial of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hpc.results.store.run import Run

MAX_LOSSES = 2
"""Times that a search lets a worker be lost in a trial at the same epoch; then the trial has failed."""


def record_loss(
    run: Run,
    record: Callable[..., None],
    who: Mapping[str, Any],
    why: str,
    *,
    reason: str = "error",
    error: str = "",
    most: int = MAX_LOSSES,
) -> None:
    """Record that a worker was lost in a trial of a search, which hands it out again, but not for ever.

    Args:
        run: as read; read on after the record.
        record: appends one, as :meth:`hpc.results.Records.append` does.
        who: entries of the attempt: ``trial``, ``attempt`` and more.
        why: in words.
        reason: of the failure, if it has cost too many workers at the same epoch.
        error: of that failure; ``why`` if empty.
        most: how many workers it may cost there.
    """
    record("stopped", **who, why=why, lost=True)
    run.refresh()
    if run.trials[who["trial"]].losses > most:
        record("failed", **who, reason=reason, error=error or why)
