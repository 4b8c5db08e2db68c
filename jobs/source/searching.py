"""Trials that a worker asks for one by one: those of a search that learns, prunes or has a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.jobs.collectives import World
from hpc.jobs.source.base import TrialSource
from hpc.jobs.source.budget import BudgetGuard
from hpc.jobs.spec import Task
from hpc.results import Run
from hpc.sweeps import Sweep, Trial
from hpc.sweeps.text import format_error

if TYPE_CHECKING:
    from hpc.jobs.source.study import Study


class SearchError(RuntimeError):
    """The search can't say what to train."""


class SearchSource(TrialSource):
    """The study of a run, which rank 0 asks; the others hear of it.

    Args:
        sweep: of the run, as stored.
        folder: of the run.
        owner: the name of this worker in the study.
        world: the ranks that ask together.
        held: ``nodes``, ``cores`` and ``gpus`` of this job, by which a budget is reckoned.
        record: appends a record, as ``Records.append`` does; hears ``note`` and ``over``.

    Raises:
        SearchError: on all ranks, if the study is not there or is not what the records say.
    """

    def __init__(
        self,
        sweep: Sweep,
        folder: Path,
        owner: str,
        world: World,
        held: Mapping[str, float],
        record: Callable[..., None],
    ) -> None:
        self._sweep = sweep
        self._owner = owner
        self._world = world
        self._held = held
        self._record = record
        self._study: Study | None = None
        self._budget: BudgetGuard | None = None
        error = ""
        if world.rank == 0:
            try:
                from hpc.jobs.source.study import open_study

                run = Run(folder)
                self._study = open_study(sweep, run, lambda text: record("note", text=text))
                self._budget = BudgetGuard(sweep, run)
                wrong = self._study.unlike(run)
                error = f"it is not what the records say: {wrong}" if wrong else ""
            except Exception as problem:  # told to all ranks, which would wait for ever
                error = format_error(problem)
        self._agree_on(error, None)

    def ask(self) -> Sequence[Task]:
        """The next trial of the search.

        Raises:
            SearchError: on all ranks, if the storage can't be used.
        """
        found, error = None, ""
        if self._study is not None and self._budget is not None:
            try:
                found = self._ask(self._study, self._budget)
            except Exception as problem:
                error = format_error(problem)
        found = self._agree_on(error, found)
        return [] if found is None else [Task.of_json(found)]

    def _ask(self, study: Study, budget: BudgetGuard) -> dict[str, Any] | None:
        before = study.seconds
        spent = budget.ends(self._held)
        asked = None if spent else study.ask(self._owner)
        self.seconds = study.seconds - before
        if asked is not None:
            return asdict(Task(asked.trial, asked.attempt))
        job = self._owner.partition("-g")[0]
        if spent:
            self._record("over", job=job, why=spent, limits=budget.limits)
        elif study.over:
            self._record("over", job=job, why=study.over)
        return None

    def _agree_on(self, error: str, found: Any) -> Any:
        """Give all ranks what rank 0 has found.

        Raises:
            SearchError: rank 0 has met an error.
        """
        error, found = self._world.agree([error, found])
        if error:
            raise SearchError(
                f"the search's storage: {error}. `hpc resume` makes a damaged one anew from the records"
            )
        return found

    def report(self, trial: Trial, value: float, epoch: int) -> str:
        """Why a trial is to be pruned: by the pruner, or since the budget is spent."""
        pruner = self._sweep.search.pruner
        if not (pruner or self._sweep.budget):
            return ""
        why, error = "", ""
        if self._study is not None and self._budget is not None:
            try:
                before = self._study.seconds
                if self._study.report(trial, value, epoch):
                    why = f"{pruner and pruner['name']}: worse than others"
                elif self._budget.is_spent():
                    why = "the budget is spent"
                self.seconds += self._study.seconds - before
            except Exception as problem:
                error = format_error(problem)
        found: str = self._agree_on(error, why)
        return found

    def tell(self, trial: Trial, state: str, metrics: Mapping[str, Any], best: float | None) -> None:
        """Tell the study, on rank 0."""
        if self._study is not None:
            self._study.tell(trial, state, metrics, best)

    def release(self, worker: str) -> None:
        """Let the study hand out again what a worker has that is gone, by what the records say of it."""
        if self._study is not None:
            self._study.settle(Run(self._study.folder), lambda owner: owner == worker)
