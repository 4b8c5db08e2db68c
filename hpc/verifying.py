"""Proof for a user's own sweep that an interrupted trial ends as an uninterrupted one."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpc import profile as profiles
from hpc import running
from hpc.jobs.launchers import find_rank_info
from hpc.outcome import View
from hpc.owners import whose_code
from hpc.results import Run, TrialState
from hpc.sweeps import Sweep, SweepError

KINDS = {
    "stop": "stopped in the middle as at a time limit",
    "kill": "one rank killed (SIGKILL) after a checkpoint",
}


@dataclass(frozen=True)
class Verdict:
    """How an interrupted training compares with the uninterrupted one.

    Attributes:
        what: happened, in words.
        epoch: in which the interruption was, from 1.
        identical: whether weights, optimizer state and metrics are the same to the last bit.
        difference: what is not, in words; else empty.
    """

    what: str
    epoch: int
    identical: bool
    difference: str


def verify_resume(
    sweep: Sweep,
    *,
    on: str = "local",
    ranks: int | None = None,
    profiles_file: Path | None = None,
    folder: Path | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> list[Verdict]:
    """Train the first trial of a sweep without and with interruptions, and compare.

    Args:
        sweep: of which the first trial is taken.
        on: name of a profile.
        ranks: per trial, instead of the profile's.
        profiles_file: a file of profiles that counts before all others.
        folder: to make the runs in; beside the runs of the sweep unless given. It is removed if all
            is well.
        note: hears how it goes on.

    Returns:
        One verdict for each kind of interruption.

    Raises:
        SweepError: the trial has a single step, so there is no middle.
        RuntimeError: a training did not end well; its folder is kept.
    """
    named = profiles.find(on, [sweep.folder], profiles_file)
    if named.profile.cluster == "debug":
        raise SweepError("--on debug: runs in this very process, which would be killed, too; take local.")
    if find_rank_info(os.environ).launcher == "mpirun":
        raise SweepError("verify-resume starts ranks by itself; leave mpirun out and write --ranks.")
    said = whose_code(sweep, *([Path(named.source)] if named.source else []))
    if said:
        note(said)
    one = _first_trial(sweep)
    place = folder or Path("runs") / f".verify-resume-{sweep.name}-{secrets.token_hex(3)}"
    whole = _train(one, place / "whole", "", on, ranks, profiles_file)
    note(f"uninterrupted: {_shown(whole)}")
    verdicts = []
    for kind, what in KINDS.items():
        trial = _train(one, place / kind, kind, on, ranks, profiles_file)
        if trial.attempt.after is None:
            raise SweepError(
                f"the trial was over before it could be interrupted ({what}); give it more epochs or smaller "
                "batches: --set fixed.epochs=4"
            )
        verdict = compare(whole, trial, what)
        note(f"{what}, gone on with in epoch {verdict.epoch}: {_shown(trial)}")
        verdicts.append(verdict)
    if all(verdict.identical for verdict in verdicts):
        shutil.rmtree(place, ignore_errors=True)
    return verdicts


def compare(whole: TrialState, trial: TrialState, what: str) -> Verdict:
    """How a trial that was interrupted compares with one that was not."""
    a, b = whole.attempt, trial.attempt
    epoch = b.after[1] + 1 if b.after else 0
    differences = []
    if a.weights != b.weights:
        differences.append("the final weights or the optimizer's state differ")
    for name in sorted({*a.metrics, *b.metrics}):
        if a.metrics.get(name) != b.metrics.get(name):
            differences.append(f"{name} is {b.metrics.get(name)} instead of {a.metrics.get(name)}")
    return Verdict(what, epoch, not differences, "; ".join(differences))


def _first_trial(sweep: Sweep) -> Sweep:
    model = sweep.require_model("stopping in the middle of an epoch")
    return sweep.single_trial(model.first_trial)


def _train(
    sweep: Sweep, folder: Path, kind: str, on: str, ranks: int | None, profiles_file: Path | None
) -> TrialState:
    for _ in range(3):  # a second time goes on with what was interrupted
        outcome = running.run(
            sweep, on=on, folder=folder, workers=1, ranks=ranks, profiles_file=profiles_file,
            inject_fault=kind, view=View(),
        )  # fmt: skip
        if outcome.is_good:
            break
    (trial,) = Run(folder).trials.values()
    if trial.state != "finished":
        raise RuntimeError(
            f"the training did not end well ({trial.attempt.reason or trial.state}): "
            f"{trial.attempt.error or outcome.error}\nIts folder is kept: {folder}"
        )
    return trial


def _shown(trial: TrialState) -> str:
    metrics = " ".join(f"{name}={value}" for name, value in trial.attempt.metrics.items())
    return f"weights {trial.attempt.weights[:16]}…, {metrics}"
