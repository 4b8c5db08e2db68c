"""The contract of trial sources: where a worker's next trial comes from.

To add a search whose trials are known beforehand, write a file in ``sweeps/searches/``. A source is for
another way to hand trials out: beside this list, the study of a search.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from hpc.jobs.spec import Task
from hpc.sweeps import Trial


class TrialSource(ABC):
    """Hands out trials, and hears what came of them. All ranks of a worker ask together.

    Attributes:
        seconds: that it has taken so far.
    """

    seconds: float = 0.0

    @abstractmethod
    def ask(self) -> Sequence[Task]:
        """Trials to train next, at once or one after the other; none where none is left.

        Returns:
            The same on all ranks.
        """

    def report(self, trial: Trial, value: float, epoch: int) -> str:
        """Why a trial is to be pruned after an epoch, the same on all ranks; empty if it is not.

        Args:
            trial: that was asked for.
            value: of the first objective, a finite number.
            epoch: after which it was measured.
        """
        return ""

    def tell(  # noqa: B027  # a list has nobody to tell
        self, trial: Trial, state: str, metrics: Mapping[str, Any], best: float | None
    ) -> None:
        """Tell how a trial has ended.

        Args:
            trial: that was asked for.
            state: ``finished``, ``pruned``, ``diverged``, ``failed``; ``stopped`` to go on later; ``skipped``
                if it does not keep a constraint, so that another takes its place.
            metrics: of the last epoch, and ``parameters`` and ``seconds``.
            best: value of the first objective.
        """

    def release(self, worker: str) -> None:  # noqa: B027
        """Hand out again what a worker has that is gone.

        Args:
            worker: by the name under which it has asked.
        """
