"""One trial of a run, trained again by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc import profile as profiles
from hpc import running
from hpc.jobs import stored
from hpc.outcome import Outcome, View
from hpc.request import RunRequest
from hpc.results import Run, RunError, TrialState
from hpc.submitting import say_whose
from hpc.sweeps import Sweep, SweepError, Trial
from hpc.verifying import compare

PROFILE = "tensorflow-profile"
"""The folder in that of a rerun that holds TensorFlow's profile."""


@dataclass(frozen=True)
class Rerun:
    """How one trial was trained again.

    Attributes:
        before: the trial in its run.
        outcome: of the run of this one trial.
        profile: the folder of TensorFlow's profile; None unless it was asked for.
    """

    before: TrialState
    outcome: Outcome
    profile: Path | None = None

    @property
    def comparison(self) -> str:
        """How the trial compares with that of its run, in a sentence; empty if one has not finished."""
        (trial,) = self.outcome.run.trials.values()
        if {self.before.state, trial.state} != {"finished"}:
            return ""
        verdict = compare(self.before, trial, "trained again")
        if verdict.identical:
            same = "weights and metrics are the same" if trial.attempt.weights else "metrics are the same"
            return f"It ended as in its run, to the last bit: {same}."
        a, b = self.before.attempt, trial.attempt
        why = [
            "the code or the data have changed since" if a.code != b.code else "",
            f"it was trained by {a.ranks} ranks there, by {b.ranks} here" if a.ranks != b.ranks else "",
            f"it was trained beside {a.lanes - 1} others there" if a.lanes > 1 else "",
        ]
        causes = "; ".join(filter(None, why))
        return f"It did not end as in its run: {verdict.difference}{f' ({causes})' if causes else ''}."


def rerun(
    run_folder: str | Path,
    trial_id: str,
    request: RunRequest | None = None,
    *,
    profile: bool = False,
    view: View | None = None,
    **options: Any,
) -> Rerun:
    """Train one trial of a run again, with its exact settings, in a folder of its own.

    Nothing of its run is changed. The user's code is as it is now.

    Args:
        run_folder: of the run.
        trial_id: of the trial, or how it begins.
        request: where and with what; one worker of the profile ``local`` unless it says otherwise. Its folder
            is that of the new run: unless given, one beside the trial's run, named after both.
        profile: whether to have TensorFlow write a profile of its second epoch.
        view: as in :func:`hpc.running.run`.
        options: attributes of :class:`~hpc.request.RunRequest`, instead of the request's.

    Raises:
        RunError: there is no such run or trial, or the folder of the new run is taken.
        SweepError: the profile submits to SLURM, or the trial can't be trained any more.
        TypeError: there is no such option.
    """
    run = Run(run_folder)
    before = run.find(trial_id)
    sweep = sweep_of(stored.load(run.folder, run.sweep_texts), before)
    if profile:
        sweep.require_model("a profile of the second epoch")
    request = (request or RunRequest()).but(**options)
    place = Path(request.folder) if request.folder is not None else _beside(run, before.trial_id)
    if place.exists() and any(place.iterdir()):
        raise RunError(f"{place} is not empty; name another folder for the rerun with --dir.")
    named = profiles.find(request.on or "local", [sweep.folder], request.profiles_file)
    if named.profile.cluster == "slurm":
        raise SweepError(
            f"--on {named.name} submits to SLURM, and a rerun is on this machine; take local or debug."
        )
    if view is not None:
        say_whose(run, sweep, named, view.note)
    written = str((place / PROFILE).resolve()) if profile else ""
    request = request.but(on=request.on or "local", folder=place, workers=1, tensorflow_profile=written)
    outcome = running.run(sweep, request, view=view)
    return Rerun(before, outcome, place / PROFILE if profile else None)


def sweep_of(sweep: Sweep, trial: TrialState) -> Sweep:
    """The sweep of which the trial is the only one, under the same id.

    Args:
        sweep: of the trial's run.
        trial: of that run.
    """
    entries = sweep.entries()
    kept: dict[str, Any] = {name: entries[name] for name in ("objective", "folds") if name in entries}
    if trial.fold is not None:
        kept["folds"]["only"] = trial.fold
    one = Trial(trial.index, trial.trial_id, trial.params, trial.seed, trial.model, trial.fold)
    name = f"{sweep.name}-{trial.trial_id}"
    of_model = {"model": trial.model, "pack": "off"} if sweep.kind == "model" else {}
    return sweep.single_trial(one, **kept, **of_model, name=name, keep="all")


def _beside(run: Run, trial_id: str) -> Path:
    """A folder that is not there yet."""
    place = run.folder.with_name(f"{run.folder.resolve().name}-rerun-{trial_id}")
    number = 1
    while place.exists():
        number += 1
        place = place.with_name(f"{run.folder.resolve().name}-rerun-{trial_id}-{number}")
    return place
