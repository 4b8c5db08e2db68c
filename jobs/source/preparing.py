"""What a search knows before its first trial: settings of one that does not learn, trials of other runs."""

from __future__ import annotations

from optuna.trial import create_trial

from hpc.jobs.source import earlier
from hpc.jobs.source.entries import add_waiting, attributes_of, entries_of
from hpc.jobs.source.points import distributions_of, encoded_point, point_in
from hpc.jobs.source.studies import Studies
from hpc.results import Run


def known_trials(studies: Studies) -> set[str]:
    """Ids of the trials that the search has entries of."""
    return {attributes_of(entry).get("trial", "") for entry in entries_of(studies.search)}


def add_listed_trials(studies: Studies, known: set[str]) -> None:
    """Add the trials of a search that does not learn, but for those that are known."""
    for index, trial in enumerate([] if studies.sweep.is_adaptive else studies.sweep.trials):
        if trial.trial_id not in known:
            add_waiting(
                studies.search, {"slot": index, "trial": trial.trial_id, "index": index, "attempt": 1}
            )


def take_over(studies: Studies, run: Run, known: set[str]) -> str:
    """Tell the search of the finished trials of another run.

    Args:
        studies: of the run that begins.
        run: the other one, with its epochs.
        known: ids of trials that are not told again; those that are told come to it.

    Returns:
        How many trials were taken over, as a sentence.
    """
    sweep, space = studies.sweep, studies.sweep.dimensions
    taken, outside, without_value = 0, 0, 0
    for trial in sorted(run.trials.values(), key=lambda trial: trial.index):
        if trial.state != "finished" or trial.stage:
            continue
        values = earlier.values(sweep, run, trial)
        if values is None:
            without_value += 1
            continue
        try:
            here, params = point_in(space, trial.params), encoded_point(space, trial.params)
        except (KeyError, ValueError):
            outside += 1
            continue
        trial_id = sweep.trial(here, trial.seed, 0).trial_id
        if trial_id in known:
            continue
        known.add(trial_id)
        attributes = {"dropped": f"from {run.folder}", "trial": trial_id}
        studies.search.add_trial(
            create_trial(
                params=params, distributions=distributions_of(space, params), values=values,
                user_attrs={"hpc": attributes},
            )
        )  # fmt: skip
        taken += 1
    rest = f"; {outside} lie outside this space" if outside else ""
    rest += f"; {without_value} have no value of the objective" if without_value else ""
    return f"The search begins with {taken} finished trials of {run.folder}{rest}."
