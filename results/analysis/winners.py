"""The best setting of a run, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

from hpc.results.stats import Verdict, verdict
from hpc.results.store import Run, TrialState
from hpc.results.tables import trials_by_point
from hpc.results.text import cell


@dataclass(frozen=True)
class Winner:
    """The best setting of a run.

    Attributes:
        run: as read.
        settings: the finished trials of each setting, in the order of the verdict's places.
        verdict: which is the best, and what is not separable from it.
    """

    run: Run
    points: tuple[tuple[TrialState, ...], ...]
    verdict: Verdict

    @property
    def trials(self) -> tuple[TrialState, ...]:
        """Those of the best setting."""
        return self.points[self.verdict.place]

    @property
    def ties(self) -> list[tuple[TrialState, ...]]:
        """Points that are not separable from it, the closest first."""
        return [self.points[rival.place] for rival in self.verdict.ties]

    def name(self, trials: tuple[TrialState, ...]) -> str:
        """A setting by the hyperparameters that vary, as ``learning_rate=0.01 dropout=0.5``."""
        first = trials[0]
        names = [name for name in self.run.varying if name in first.params]
        model = [first.model] if self.run.has_models else []
        return (
            " ".join([*model, *(f"{cell(name)}={cell(first.params[name])}" for name in names)])
            or first.trial_id
        )

    def format(self) -> str:
        """The best setting with its interval, its ties, and what would tell them apart."""
        found, best = self.verdict, self.verdict.estimate
        level = f"{found.level:.0%}"
        value = f"{cell(self.run.metric)} {cell(best.mean)}"
        if best.number == 1:
            first = f"Best: {self.name(self.trials)} with {value}, from one training."
        elif best.std == 0:
            first = f"Best: {self.name(self.trials)} with {value} in each of {best.number} trainings."
        else:
            first = (
                f"Best: {self.name(self.trials)} with {value} on average over {best.number} trainings "
                f"({level} interval {cell(best.low)} to {cell(best.high)})."
            )
        if not found.rivals:
            return first
        ties = found.ties
        if not ties:
            count = len(found.rivals)
            others = "the other setting" if count == 1 else f"each of the other {count} settings"
            return f"{first} It is better than {others} at {level}."
        if all(math.isnan(rival.p) for rival in found.rivals):
            more = "`confirm: {best: 5, seeds: 3}` could" if self.run.study else "`seeds: 3` or more could"
            return f"{first} One training per setting can't tell it from the others; {more}."
        what = "One other setting is" if len(ties) == 1 else f"{len(ties)} other settings are"
        closest = ties[0]
        if closest.more is None:
            hint = "no number of seeds in reach would tell these two apart"
        else:
            seeds = "seed" if closest.more == 1 else "seeds"
            hint = f"about {closest.more} more {seeds} of both would tell these two apart"
        return (
            f"{first} {what} not separable from it at {level}, the closest {self.name(self.ties[0])} "
            f"(worse by {cell(closest.difference)}); {hint}."
        )


def winner(run: Run) -> Winner | None:
    """The best setting of a run, its trials over seeds and folds taken together.

    Where settings were confirmed with fresh seeds, it is one of these; one that was pruned only if none
    finished. Of each trial counts the best value of the objective over its epochs. Settings and how they are
    compared are those of :func:`hpc.results.leaderboard` and :func:`hpc.results.stats.verdict`.

    Returns:
        None if no trial has finished with a value of the objective.
    """
    found = trials_by_point(run, run.ranked())
    if not found:
        return None
    tier = min(trials[0].tier for trials in found)
    points = tuple(tuple(trials) for trials in found if trials[0].tier == tier)
    values: list[dict[Hashable, float]] = [
        {(one.seed, one.fold): float(one.attempt.best or 0.0) for one in trials} for trials in points
    ]
    return Winner(run, points, verdict(values, run.mode, folds=run.folds))
