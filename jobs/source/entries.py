"""Trials as entries of a study of Optuna: the attributes that are kept with them, and how they end."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpc.jobs.source import earlier
from hpc.results import Attempt
from hpc.sweeps import Sweep

CONFIRMED_FROM = 1_000_000
"""The index of the first trial that confirms a setting; they come after all others."""
ENQUEUED = "enqueued"
"""The attribute of entries that a person has added."""
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

Attributes = dict[str, Any]
"""Of an entry: ``slot`` (place among those that count), ``trial`` (id), ``index``, ``attempt``, ``owner``.

An entry that confirms a setting has ``point`` and ``seed``, too. One that does not count has ``dropped``, the
reason.
"""


def attributes_of(entry: FrozenTrial | optuna.Trial) -> Attributes:
    """The attributes of an entry; empty if it was drawn, and its worker was killed before it named it."""
    found: Attributes = entry.user_attrs.get("hpc", {})
    return found


def entries_of(study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
    """The entries of a study, in the order of their numbers; those of some states only, if given."""
    return study.get_trials(deepcopy=False, states=states or None)


def add_waiting(study: optuna.Study, attributes: Attributes) -> None:
    """Add an entry that is handed out to whoever asks next."""
    study.add_trial(create_trial(state=TrialState.WAITING, user_attrs={"hpc": attributes}))


def enqueue(study: optuna.Study, params: Mapping[str, Any]) -> None:
    """Add an entry with a setting that a person wants to be tried next; what it leaves out is drawn."""
    study.enqueue_trial(dict(params), user_attrs={ENQUEUED: True})


def is_enqueued(entry: FrozenTrial | optuna.Trial) -> bool:
    """Whether an entry has a setting that a person wants to be tried."""
    return bool(entry.user_attrs.get(ENQUEUED))


def enqueued(study: optuna.Study) -> list[FrozenTrial]:
    """The entries that a person wants to be tried, and that nobody has asked for yet."""
    return [entry for entry in entries_of(study, TrialState.WAITING) if is_enqueued(entry)]


def latest_by_slot(entries: Sequence[FrozenTrial]) -> dict[int, FrozenTrial]:
    """The latest entry of each trial that counts, by its slot."""
    found: dict[int, FrozenTrial] = {}
    for entry in entries:
        attributes = attributes_of(entry)
        if attributes and "dropped" not in attributes:
            found[attributes["slot"]] = entry
    return found


def latest_by_trial(study: optuna.Study) -> dict[str, FrozenTrial]:
    """The latest entry of each trial that counts, by the id of the trial."""
    return {attributes_of(entry)["trial"]: entry for entry in latest_by_slot(entries_of(study)).values()}


def put_back(study: optuna.Study, entry: FrozenTrial, attempt: int) -> None:
    """Add an entry for another attempt at the trial, with all that is known of it.

    Whoever asks next takes it up.
    """
    attributes = {**attributes_of(entry), "attempt": attempt, "owner": ""}
    study.add_trial(
        create_trial(
            state=TrialState.WAITING, params=entry.params, distributions=entry.distributions,
            user_attrs={"hpc": attributes}, system_attrs=entry.system_attrs,
            intermediate_values=entry.intermediate_values,
        )
    )  # fmt: skip


def end(
    study: optuna.Study, entry: FrozenTrial, state: TrialState, values: Sequence[float] | None = None
) -> None:
    """End an entry, unless that was done."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.tell(entry.number, values, state, skip_if_finished=True)


def metrics_of(attempt: Attempt) -> dict[str, Any]:
    """The metrics of an attempt, with ``parameters`` and ``seconds``, as its worker tells the search."""
    sizes = {"parameters": attempt.workload.get("parameters"), "seconds": attempt.seconds}
    return {**attempt.metrics, **{name: value for name, value in sizes.items() if value}}


def objective_values(sweep: Sweep, metrics: Mapping[str, Any], best: float | None) -> list[float] | None:
    """The values of the objectives: of one its best over the epochs, of several the last ones."""
    if not sweep.further_objectives:
        return None if best is None else [float(best)]
    return earlier.known(metrics, [one.metric for one in sweep.objectives])
