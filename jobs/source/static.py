"""Trials that are dealt out beforehand: those of grid, random and quasi-random searches."""

from __future__ import annotations

from collections.abc import Sequence

from hpc.jobs.source.base import TrialSource
from hpc.jobs.spec import Task


class StaticSource(TrialSource):
    """A worker's own list. Nothing to lock, nothing to lose: the records say what is left of it.

    Args:
        tasks: of the worker, in this order.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tuple(tasks)

    def ask(self) -> Sequence[Task]:
        """Hand out all at once, so that trials of equal shapes can be trained together."""
        tasks, self._tasks = self._tasks, ()
        return tasks
