"""A study and the records of its run: how they differ, and a study made anew from records."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpc.jobs.source.entries import (
    CONFIRMED_FROM,
    Attributes,
    attributes_of,
    entries_of,
    latest_by_trial,
    metrics_of,
    objective_values,
)
from hpc.jobs.source.points import distributions_of, encoded_point, point_in
from hpc.jobs.source.studies import Studies
from hpc.results import Run
from hpc.results import TrialState as RecordedTrial
from hpc.sweeps.searches.samplers import decoded, encoded


def difference(studies: Studies, run: Run) -> str:
    """What the studies lack of the records; empty if they have it all.

    Args:
        studies: of the run.
        run: read before the studies were opened, since workers tell those first that they begin a trial.
    """
    for study in studies.both:
        latest = latest_by_trial(study)
        is_confirming = study is studies.confirm
        if any(("point" in attributes_of(entry)) != is_confirming for entry in latest.values()):
            return "it takes trials of the search for such as confirm a setting"
        for name, entry in latest.items():
            if _id_by_point(studies, study, entry) != name:
                return f"it has {name} at another setting"
        for trial in run.trials.values():
            if not trial.attempts or bool(trial.stage) != is_confirming:
                continue
            known = latest.get(trial.trial_id)
            if known is None:
                return f"it does not know of {trial.trial_id}"
            if not _is_like(studies, study, known, trial):
                return f"it has other values of {trial.trial_id}"
    return ""


def _id_by_point(studies: Studies, study: optuna.Study, entry: FrozenTrial) -> str:
    """The id of a trial by its setting; empty if that is none of the space."""
    try:
        return studies.trial_of(study, entry).trial_id
    except (KeyError, IndexError, ValueError):
        return ""


def _is_like(studies: Studies, study: optuna.Study, entry: FrozenTrial, trial: RecordedTrial) -> bool:
    has_ended = trial.state in ("finished", "pruned")
    is_nobodys = entry.state == TrialState.WAITING or (
        entry.state == TrialState.RUNNING and not attributes_of(entry).get("owner")
    )
    if attributes_of(entry)["attempt"] < max(trial.attempts) or (has_ended and is_nobodys):
        return False
    best = trial.attempt.best
    is_told = entry.state == TrialState.COMPLETE and not studies.sweep.further_objectives
    if is_told and best is not None and entry.values != [best]:
        return False
    if study is studies.confirm or not studies.sweep.is_adaptive:
        return True
    space, here = studies.sweep.dimensions, point_in(studies.sweep.dimensions, trial.params)
    return entry.params.keys() == here.keys() and all(
        encoded(space[name], decoded(space[name], entry.params[name])) == encoded(space[name], value)
        for name, value in here.items()
    )


def restore(studies: Studies, run: Run) -> int:
    """Add what the records know to empty studies; how many trials that are.

    Every trial gets the place that it had, so that none of its number is drawn anew. A place without a
    record, as that of a setting that does not keep a constraint, gets an entry that is dropped.

    Args:
        studies: of the run.
        run: with its epochs; nobody trains any of its trials.
    """
    known = [trial for trial in run.trials.values() if trial.attempts]
    for trial in sorted(known, key=lambda trial: trial.index):
        study = studies.confirm if trial.stage else studies.search
        slot = trial.index - (CONFIRMED_FROM if trial.stage else 0)
        while study is studies.search and studies.sweep.is_adaptive and len(entries_of(study)) < slot:
            lost = {"dropped": "not in the records"}
            study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"hpc": lost}))
        study.add_trial(_restored(studies, study, trial, slot))
    return len(known)


def _restored(studies: Studies, study: optuna.Study, trial: RecordedTrial, slot: int) -> FrozenTrial:
    sweep, attempt, number = studies.sweep, trial.attempt, max(trial.attempts)
    params: dict[str, Any] = {}
    if study is studies.search and sweep.is_adaptive:
        params = encoded_point(sweep.dimensions, trial.params)
    attributes: Attributes = {
        "slot": slot, "trial": trial.trial_id, "index": trial.index, "attempt": number,
        "owner": trial.attempts[number].job_id,
    }  # fmt: skip
    if study is studies.confirm:
        attributes["point"] = {
            name: value for name, value in trial.params.items() if name in sweep.dimensions
        }
        attributes["seed"] = trial.seed
    reported: dict[int, float] = {}
    if studies.prunes and study is studies.search:
        metric = sweep.objective.metric
        measured = {record["epoch"]: record["metrics"].get(metric) for record in trial.history()}
        reported = {epoch: value for epoch, value in measured.items() if value is not None}
    state, values = TrialState.FAIL, None
    if attempt.state == "finished":
        values = objective_values(sweep, metrics_of(attempt), attempt.best)
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        values = values[:1] if values and study is studies.confirm else values
    elif reported and (attempt.state == "pruned" or attempt.reason == "diverged"):
        state, values = TrialState.PRUNED, [reported[max(reported)]]
    return create_trial(
        state=state, values=values, params=params, intermediate_values=reported,
        distributions=distributions_of(sweep.dimensions, params), user_attrs={"hpc": attributes},
    )  # fmt: skip
