"""Handing out trials: those that wait, then settings that the sampler draws."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpc.jobs.source.entries import (
    Attributes,
    attributes_of,
    end,
    enqueue,
    entries_of,
    is_enqueued,
    latest_by_slot,
    put_back,
)
from hpc.jobs.source.points import suggested_point
from hpc.jobs.source.studies import BROKEN, Studies
from hpc.sweeps import SEARCHES
from hpc.sweeps.searches import optuna_private
from hpc.sweeps.searches.samplers import encoded

MAX_REPEATS = 20
"""Points of a sampler in a row that are none, after which one is drawn at random."""
MAX_BROKEN = 100
"""Points in a row whose models were too large, after which no further one is built."""


class Dealer:
    """Hands out the trials of a run. Whoever asks does so alone.

    Args:
        studies: of the run.

    Attributes:
        over: why no further trial is handed out, if a limit of the space says so.
    """

    def __init__(self, studies: Studies) -> None:
        self._studies = studies
        self.over = ""

    def deal(self, study: optuna.Study, owner: str) -> optuna.Trial | None:
        """The next trial of a study, with its attributes; None if there is none."""
        entries = entries_of(study)
        has_put_back = self._free_orphans(study, entries)
        if has_put_back or any(entry.state == TrialState.WAITING for entry in entries):
            trial = study.ask()
            if "slot" in attributes_of(trial):
                trial.set_user_attr("hpc", {**attributes_of(trial), "owner": owner})
                return trial
            if is_enqueued(trial):
                if self._is_new(trial, owner, seen_in(entries)):
                    return trial
                return self.deal(study, owner)
            study.tell(trial, state=TrialState.FAIL)  # put there by one who was killed before asking for it
            return self.deal(study, owner)
        if study is self._studies.confirm or not self._studies.sweep.is_adaptive or self.over:
            return None
        if len(latest_by_slot(entries)) >= self._studies.wanted:
            return None
        last = [attributes_of(entry).get("dropped") for entry in entries[-MAX_BROKEN:]]
        if last == [BROKEN] * MAX_BROKEN:
            self.over = f"{MAX_BROKEN} settings in a row do not keep the constraints"
            return None
        return self._draw(owner, seen_in(entries))

    def _draw(self, owner: str, seen: set[Any]) -> optuna.Trial | None:
        """A new setting, none of those that have been seen."""
        for number in range(10 * MAX_REPEATS):
            if number >= MAX_REPEATS and not self._enqueue_any(seen):
                self.over = "the space has no further setting"
                return None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna's, for people who call it themselves
                trial = self._studies.search.ask()
            if self._is_new(trial, owner, seen):
                return trial
        return None

    def _is_new(self, trial: optuna.Trial, owner: str, seen: set[Any]) -> bool:
        """Whether the setting of an entry is one to be tried, which it is named after; else end the entry."""
        study, sweep = self._studies.search, self._studies.sweep
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as before
            found = suggested_point(sweep.dimensions, trial)
        index = trial.number
        drawn = sweep.trial(found, sweep.seeds[0], index)
        attributes: Attributes = {
            "slot": index, "trial": drawn.trial_id, "index": index, "attempt": 1, "owner": owner,
        }  # fmt: skip
        broken = sweep.allows(drawn.params)
        if not broken and drawn.trial_id not in seen:
            trial.set_user_attr("hpc", attributes)
            return True
        attributes["dropped"] = f"not {broken}" if broken else "a setting that was there before"
        trial.set_user_attr("hpc", attributes)
        twins = [
            entry
            for entry in entries_of(study, TrialState.COMPLETE)
            if attributes_of(entry).get("trial") == attributes["trial"]
        ]
        if twins and not broken:  # so that the search moves on
            study.tell(trial, twins[0].values)
        else:
            study.tell(trial, state=TrialState.FAIL)
        return False

    def _enqueue_any(self, seen: set[Any]) -> bool:
        """Have a setting drawn at random next that was not there before."""
        sweep = self._studies.sweep
        for found in SEARCHES["random"].settings(sweep.dimensions, len(seen) + 200, sweep.search.seed):
            trial = sweep.trial(found, sweep.seeds[0], 0)
            if trial.trial_id not in seen and not sweep.allows(trial.params):
                self._studies.search.enqueue_trial(
                    {name: encoded(sweep.dimensions[name], value) for name, value in found.items()}
                )
                return True
        return False

    def _free_orphans(self, study: optuna.Study, entries: Sequence[FrozenTrial]) -> bool:
        """End the entries whose asker was killed before they were anybody's: nobody else asks now.

        Returns:
            Whether some of them were put back.
        """
        has_put_back = False
        for entry in entries:
            attributes = attributes_of(entry)
            if entry.state != TrialState.RUNNING or attributes.get("owner"):
                continue
            if "slot" in attributes and "dropped" not in attributes:
                put_back(study, entry, attributes["attempt"])
                has_put_back = True
            elif is_enqueued(entry) and "slot" not in attributes:
                enqueue(study, entry.system_attrs.get("fixed_params", {}))
                optuna_private.set_attribute(study, entry, "hpc", {"dropped": "killed"})
                has_put_back = True
            else:
                optuna_private.set_attribute(study, entry, "hpc", {**attributes, "dropped": "killed"})
            end(study, entry, TrialState.FAIL)
        return has_put_back


def seen_in(entries: Sequence[FrozenTrial]) -> set[Any]:
    """Ids of the trials that entries stand for, or stood for until they were dropped."""
    return {attributes_of(entry).get("trial") for entry in entries}
