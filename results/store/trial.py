"""A trial as records tell it: its attempts, and which of them counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from hpc.results.store.attempt import Attempt

STATES = ("waiting", "running", "finished", "pruned", "failed")


@dataclass
class TrialState:
    """What is known of one trial: its hyperparameters, and every attempt at it by number.

    ``fold`` is None without folds, ``model`` empty where records do not name it; ``stage`` is ``confirm``
    of a trial that confirms a setting, else empty; ``case`` is the name of its setting, if it has one.
    """

    trial_id: str
    index: int
    params: dict[str, Any]
    seed: int
    attempts: dict[int, Attempt] = field(default_factory=dict)
    model: str = ""
    fold: int | None = None
    stage: str = ""
    case: str = ""

    @property
    def attempt(self) -> Attempt:
        """The one that counts: the first that ended well, else the latest."""
        if len(self.attempts) < 2:  # so with nearly all, and asked of 10,000 many times
            return next(iter(self.attempts.values()), None) or Attempt(state="waiting")
        for number in sorted(self.attempts):
            if self.attempts[number].state in ("finished", "pruned"):
                return self.attempts[number]
        return self.attempts[max(self.attempts)]

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        return self.attempt.state

    @property
    def tier(self) -> int:
        """How much its value says: 0 of one that confirms a setting, 2 of one that was pruned, else 1."""
        return 0 if self.stage else 2 if self.state == "pruned" else 1

    @property
    def losses(self) -> int:
        """How many times a worker was lost in it at the epoch where it stands."""
        return sum(one.lost and one.epochs == self.attempt.epochs for one in self.attempts.values())

    @property
    def goes_alone(self) -> bool:
        """Whether its next attempt is to be by itself: others had to suffer from it, or might."""
        last = self.attempts[max(self.attempts)] if self.attempts else Attempt()
        return last.alone or (last.state == "failed" and last.reason in ("error", "out-of-memory"))

    def spans(self) -> list[tuple[int, float]]:
        """The attempts that led to the deciding one, in order, and up to which epoch each of them counts."""
        if len(self.attempts) == 1:  # so with nearly all
            return [(next(iter(self.attempts)), math.inf)]
        attempt, end = self.attempt, math.inf
        numbers = {id(one): number for number, one in self.attempts.items()}
        found: list[tuple[int, float]] = []
        while id(attempt) in numbers and numbers[id(attempt)] not in dict(found):
            found.insert(0, (numbers[id(attempt)], end))
            if attempt.after is None:
                break
            number, end = attempt.after
            attempt = self.attempts.get(number, Attempt())
        return found

    def history(self) -> list[dict[str, Any]]:
        """The metrics of every epoch up to the deciding attempt's last, over those it went on from."""
        return [
            record
            for number, end in self.spans()
            for record in self.attempts[number].history
            if record["epoch"] <= end
        ]
