"""Trials whose workers are gone, or that are to be trained once more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from optuna.trial import TrialState

from hpc.jobs.outcome import state_for_search
from hpc.jobs.source.entries import (
    ENDED,
    attributes_of,
    end,
    entries_of,
    latest_by_slot,
    latest_by_trial,
    metrics_of,
    put_back,
)
from hpc.jobs.source.studies import Studies
from hpc.results import Run
from hpc.sweeps import Trial


def settle(studies: Studies, run: Run, is_gone: Callable[[str], bool]) -> None:
    """Deal with trials of workers that are gone: end those that have ended, put back the others.

    Args:
        studies: of the run.
        run: read after the workers were gone.
        is_gone: says of an owner whether it is.
    """
    for study in studies.both:
        latest = latest_by_slot(entries_of(study))
        for entry in entries_of(study, TrialState.RUNNING):
            attributes = attributes_of(entry)
            if not attributes.get("owner") or not is_gone(attributes["owner"]):
                continue
            if "dropped" in attributes or latest[attributes["slot"]].number > entry.number:
                end(study, entry, TrialState.FAIL)  # was put back already
                continue
            trial = run.trials.get(attributes["trial"])
            attempt = None if trial is None else trial.attempts.get(attributes["attempt"])
            if attempt is None:  # handed out, and never begun
                put_back(study, entry, attributes["attempt"])
                end(study, entry, TrialState.FAIL)
                continue
            state = state_for_search(trial, attempt)
            studies.tell(study, entry, state, metrics_of(attempt), attempt.best)


def known_by_id(studies: Studies, trial_ids: Collection[str]) -> list[Trial]:
    """Those of the trials with these ids that the studies know."""
    return [
        studies.trial_of(study, entry)
        for study in studies.both
        for trial_id, entry in latest_by_trial(study).items()
        if trial_id in trial_ids
    ]


def revive(studies: Studies, run: Run, left_alone: Mapping[str, str]) -> None:
    """Put back every trial that has not ended well and that nobody has.

    Args:
        studies: of the run.
        run: whose lock the caller holds.
        left_alone: trials that are not to be trained again.
    """
    for study in studies.both:
        for trial_id, entry in latest_by_trial(study).items():
            if entry.state not in ENDED or trial_id in left_alone:
                continue
            found = run.trials.get(trial_id)
            if found is None:  # its records are lost
                put_back(study, entry, attributes_of(entry)["attempt"] + 1)
            elif found.state not in ("finished", "pruned"):
                put_back(study, entry, max(found.attempts, default=0) + 1)
