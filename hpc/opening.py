"""The folder of a run: made for a sweep, or found to be of that very sweep."""

from __future__ import annotations

from pathlib import Path

from hpc.profile import Resources
from hpc.provenance import as_json, provenance
from results import Plan, Run, RunError, TrialState, claim, create, write_text
from sweeps import Sweep, load_stored


def claim_unless_run(folder: Path) -> None:
    """Make sure that a folder is a run, or can become one.

    Raises:
        RunError: it holds something else.
    """
    if not (folder / "sweep.yaml").is_file():
        claim(folder)


def open_run(folder: Path, sweep: Sweep, resources: Resources, code: str) -> tuple[Sweep, Run]:
    """The run of a sweep in a folder, made where there is none.

    Args:
        folder: of which one holds the lock.
        sweep: checked, with its defaults.
        resources: that the run begins with.
        code: digest of the user's model and dataset files.

    Returns:
        The sweep with the defaults that the run began with, and the run.

    Raises:
        RunError: the folder is of another sweep, or of something else.
    """
    if (folder / "sweep.yaml").is_file():
        sweep = _go_on(folder, sweep)
        run = Run(folder)
        _refuse_other_names(sweep, run)
        return sweep, run
    _begin(folder, sweep, resources, code)
    return sweep, Run(folder)


def left_alone(trial: TrialState, code: str) -> str:
    """Why an unfinished trial is not to be trained again; empty if it is."""
    attempt = trial.attempt
    if attempt.state == "failed" and attempt.reason == "diverged" and attempt.code == code:
        return "diverged, and would again: same seed, same code"
    return ""


def _begin(folder: Path, sweep: Sweep, resources: Resources, code: str) -> None:
    facts = provenance(sweep.folder, resources, code)
    trials = [trial.facts() for trial in sweep.trials]
    objective = sweep.objective
    several = [(one.metric, one.mode) for one in sweep.objectives] if sweep.further_objectives else []
    create(
        folder,
        Plan(sweep.name, objective.metric, objective.mode, list(sweep.space), trials,
             sweep.as_yaml(), as_json(facts), sweep.size, several),
    )  # fmt: skip


def _go_on(folder: Path, sweep: Sweep) -> Sweep:
    path = folder / "sweep.yaml"
    stored = load_stored(path)
    differences = sweep.differences(stored)
    if differences and not (through := sweep.through_links()).differences(stored):
        # An earlier version has stored what links point to. A search has named its trials by that; the
        # trials of any other sweep were planned by what the user wrote.
        sweep, differences = through if stored.is_adaptive else sweep, []
    if differences:
        more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
        extended = ""
        if all(one.startswith("search.trials ") for one in differences):
            extended = f" `hpc resume {folder}` goes on with it; `hpc extend {folder} --trials N` extends it."
        raise RunError(
            f"{folder} holds another sweep: here {'; here '.join(differences[:3])}{more}. "
            f"Two sweeps never share a folder; choose another with --dir.{extended}"
        )
    sweep = sweep.model_copy(update={"name": stored.name, "defaults": stored.defaults})
    if sweep.as_yaml() != stored.as_yaml():  # the user's files have moved
        write_text(path, sweep.as_yaml())
    return sweep


def _refuse_other_names(sweep: Sweep, run: Run) -> None:
    """Make sure that trials have the names they were planned by, or they would be waited for for ever."""
    planned: dict[int, str] = {}
    for known in run.trials.values():  # those that were planned come first
        planned.setdefault(known.index, known.trial_id)
    for trial in () if sweep.is_adaptive else sweep.trials:
        name = planned.get(trial.index, trial.trial_id)
        if name != trial.trial_id:
            raise RunError(
                f"{run.folder}: trial {trial.index} was planned as {name}, but by sweep.yaml it is "
                f"{trial.trial_id}: an earlier version has stored what a symbolic link points to. Go on with "
                f"the sweep file itself: hpc run SWEEP.yaml --dir {run.folder}"
            )
