"""The two studies of a run: one searches, the other confirms the best settings with fresh seeds."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpc.jobs.source.entries import (
    ENDED,
    attributes_of,
    end,
    enqueued,
    entries_of,
    latest_by_slot,
    objective_values,
    put_back,
)
from hpc.jobs.source.journal import Journal
from hpc.sweeps import Sweep, Trial
from hpc.sweeps.searches import optuna_private
from hpc.sweeps.searches.pruners import pruner
from hpc.sweeps.searches.samplers import decoded, sampler

JOURNAL = "study.journal"
"""The file of a study in the folder of its run."""
BROKEN = "does not keep a constraint"


@dataclass(frozen=True)
class Studies:
    """The studies of a run, and what follows from their entries. Locks and clocks are the caller's.

    Attributes:
        sweep: of the run, as stored.
        search: tries the settings of the space.
        confirm: tries the best of them with fresh seeds.
        prunes: whether the search ends trials early.
    """

    sweep: Sweep
    search: optuna.Study
    confirm: optuna.Study
    prunes: bool

    @property
    def both(self) -> tuple[optuna.Study, optuna.Study]:
        """The search, then the confirmation."""
        return self.search, self.confirm

    @property
    def wanted(self) -> int:
        """The number of trials that the search is to have."""
        return (self.sweep.search.trials or 0) if self.sweep.is_adaptive else len(self.sweep.trials)

    @property
    def is_planned(self) -> bool:
        """Whether the confirmation of a search of this many trials was planned."""
        return self.confirm.user_attrs.get("planned") == self.wanted

    def left(self, *, is_over: bool) -> int:
        """How many trials are yet to be handed out or to end, those of the confirmation included.

        Args:
            is_over: whether the search hands out no further one.
        """
        found = 0
        for study, wanted in zip(self.both, (self.wanted, self._to_confirm()), strict=True):
            latest = latest_by_slot(entries_of(study))
            ended = sum(entry.state in ENDED for entry in latest.values())
            total = len(latest) if is_over and study is self.search else max(wanted, len(latest))
            found += total - ended
        return found

    def waiting(self, *, is_over: bool) -> int:
        """How many trials could be handed out right now.

        Args:
            is_over: whether the search hands out no further one.
        """
        found = sum(len(entries_of(study, TrialState.WAITING)) for study in self.both)
        found -= len(enqueued(self.search))  # each is one of those that are wanted
        latest = latest_by_slot(entries_of(self.search))
        found += 0 if is_over else max(0, self.wanted - len(latest))
        has_ended = all(entry.state in ENDED for entry in latest.values()) and not found
        return found + (self._to_confirm() if has_ended and not self.is_planned else 0)

    def _to_confirm(self) -> int:
        confirm = self.sweep.confirm
        if confirm is None:
            return 0
        slots = {attributes_of(entry)["slot"] for entry in entries_of(self.confirm)}
        return len(slots) if self.is_planned else max(len(slots), confirm.best * confirm.seeds)

    def trial_of(self, study: optuna.Study, entry: FrozenTrial | optuna.Trial) -> Trial:
        """The trial that an entry stands for.

        Raises:
            KeyError: an attribute or a parameter is missing.
            IndexError: the sweep has no trial of this index.
            ValueError: the setting is none of the space.
        """
        sweep, attributes, params = self.sweep, attributes_of(entry), entry.params
        index = attributes["index"]
        if study is self.confirm:
            return replace(sweep.trial(attributes["point"], attributes["seed"], index), stage="confirm")
        if not sweep.is_adaptive:
            known: Trial = sweep.trials[index]
            return known
        values = {
            name: decoded(sweep.dimensions[name], params[name]) for name in sweep.dimensions if name in params
        }
        return sweep.trial(values, sweep.seeds[0], index)

    def tell(
        self,
        study: optuna.Study,
        entry: FrozenTrial,
        state: str,
        metrics: Mapping[str, Any],
        best: float | None,
    ) -> None:
        """End an entry as its trial has ended; ``state``, ``metrics`` and ``best`` as of ``Study.tell``."""
        if state == "stopped":
            put_back(study, entry, attributes_of(entry)["attempt"] + 1)
        if state == "skipped" and self.sweep.is_adaptive:
            attributes = {**attributes_of(entry), "dropped": BROKEN}
            optuna_private.set_attribute(study, entry, "hpc", attributes)
        values = objective_values(self.sweep, metrics, best) if state == "finished" else None
        if values is not None:
            end(study, entry, TrialState.COMPLETE, values[:1] if study is self.confirm else values)
        elif state in ("pruned", "diverged") and entry.intermediate_values:
            end(study, entry, TrialState.PRUNED)
        else:
            end(study, entry, TrialState.FAIL)


def open_studies(sweep: Sweep, folder: Path, storage: str, name: str, note: Callable[[str], None]) -> Studies:
    """Open the studies of a run, or create them; arguments as of ``Study``."""
    epochs = int(sweep.fixed.get("epochs", sweep.defaults.get("epochs", 10)))
    search, sampled = sweep.search, None
    if sweep.is_adaptive:
        sampled = sampler(search.method, search.seed, search.sampler, sweep.dimensions)
    store = _open_storage(folder, storage, note)
    is_single = not sweep.further_objectives
    prefix = f"{name}-" if storage else ""

    def study(name: str, directions: Sequence[StudyDirection], **further: Any) -> optuna.Study:
        return optuna.create_study(
            storage=store, study_name=prefix + name, directions=directions, load_if_exists=True, **further
        )

    rule = pruner(search.pruner, epochs) if is_single else optuna.pruners.NopPruner()
    found = Studies(
        sweep,
        study(
            "search",
            [_direction(one.mode) for one in sweep.objectives],
            sampler=sampled or optuna.samplers.RandomSampler(0),
            pruner=rule,
        ),
        study("confirm", [_direction(sweep.objective.mode)], pruner=optuna.pruners.NopPruner()),
        bool(search.pruner) and is_single,
    )
    if isinstance(store, optuna.storages.RDBStorage):
        weakref.finalize(found, _close, store)
    return found


def _direction(mode: str) -> StudyDirection:
    return StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE


def _open_storage(folder: Path, url: str, note: Callable[[str], None]) -> optuna.storages.BaseStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if not url:
            return optuna.storages.JournalStorage(Journal(folder / JOURNAL, note))
        return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})


def _close(store: optuna.storages.RDBStorage) -> None:
    """Give back the connections to a database."""
    store.remove_session()
    store.engine.dispose()
