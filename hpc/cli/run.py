"""Commands that train trials, here or in jobs of SLURM."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpc.cli.display.console import complain
from hpc.cli.errors import errors
from hpc.cli.options import (
    Folder,
    MixedCode,
    On,
    OnAgain,
    Overrides,
    ProfilesFile,
    Ranks,
    RunFolder,
    Settings,
    Storage,
    SweepFile,
    Workers,
)
from hpc.request import RunRequest

if TYPE_CHECKING:
    from hpc.outcome import Outcome, View
    from hpc.profile import Named
    from hpc.sweeps import Sweep

commands = typer.Typer()


@commands.command(epilog="Example: hpc run sweeps/digits.yaml --set fixed.epochs=5 --dir runs/short")
def run(
    sweep: SweepFile,
    on: On = "local",
    folder: Folder = None,
    overrides: Overrides = None,
    settings: Settings = None,
    workers: Workers = None,
    ranks: Ranks = None,
    profiles: ProfilesFile = None,
    storage: Storage = None,
    mixed_code: MixedCode = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show the trials; run nothing.")
    ] = False,
) -> None:
    """Run a sweep to its end with live progress, then print the leaderboard.

    The same command again goes on where it was stopped: what is finished is not trained again.
    """
    request = RunRequest(
        on=on, folder=folder, workers=workers, ranks=ranks, profiles_file=profiles, storage=storage,
        mixed_code=mixed_code, dry_run=dry_run,
    )  # fmt: skip
    with errors(folder):
        from hpc import sweeps

        loaded = sweeps.load(sweep, overrides or [], settings)
        if dry_run:
            _show_plan(loaded, request)
        else:
            _carry_out(request, loaded)


@commands.command(epilog="Example: hpc submit sweeps/digits.yaml --on slurm --workers 4 --ranks 2")
def submit(
    sweep: SweepFile,
    on: On = "slurm",
    folder: Folder = None,
    overrides: Overrides = None,
    settings: Settings = None,
    workers: Workers = None,
    ranks: Ranks = None,
    profiles: ProfilesFile = None,
    storage: Storage = None,
    mixed_code: MixedCode = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and show what would be submitted; submit nothing.")
    ] = False,
) -> None:
    """Submit a sweep to SLURM and return as soon as it has answered.

    The same command again submits only what is neither finished nor with a job already.
    """
    request = RunRequest(
        on=on, folder=folder, workers=workers, ranks=ranks, profiles_file=profiles, storage=storage,
        mixed_code=mixed_code, dry_run=dry_run,
    )  # fmt: skip
    with errors(folder):
        from hpc import sweeps
        from hpc.profile import find

        loaded = sweeps.load(sweep, overrides or [], settings)
        if dry_run:
            _show_submission(loaded, find(on, [loaded.folder], profiles), request)
        else:
            _submit(request, loaded)


@commands.command(epilog="Example: hpc resume runs/digits")
def resume(
    folder: RunFolder,
    on: OnAgain = None,
    workers: Workers = None,
    ranks: Ranks = None,
    profiles: ProfilesFile = None,
    mixed_code: MixedCode = False,
) -> None:
    """Train whatever is not finished: waiting, lost, cancelled, failed.

    On SLURM it is submitted, and the command returns at once.
    """
    request = RunRequest(
        on=on, folder=folder, workers=workers, ranks=ranks, profiles_file=profiles, mixed_code=mixed_code
    )
    with errors(folder):
        _resume(request)


@commands.command(epilog="Example: hpc extend runs/digits --trials +40")
def extend(
    folder: RunFolder,
    trials: Annotated[
        str, typer.Option("--trials", metavar="+N", help="So many more; without +, so many in all.")
    ],
    on: OnAgain = None,
    workers: Workers = None,
    ranks: Ranks = None,
    profiles: ProfilesFile = None,
    mixed_code: MixedCode = False,
) -> None:
    """Give a run more trials, and train them: the search goes on with what it knows.

    On SLURM they are submitted, and the command returns at once.
    """
    request = RunRequest(
        on=on, folder=folder, workers=workers, ranks=ranks, profiles_file=profiles, mixed_code=mixed_code
    )
    with errors(folder):
        from hpc.extending import extend

        print(f"{folder} has {extend(folder, trials, mixed_code=mixed_code)} settings now.")
        _resume(request)


@commands.command(
    "verify-resume", epilog="Example: hpc verify-resume sweeps/digits.yaml --ranks 2 --set fixed.epochs=4"
)
def verify_resume(
    sweep: SweepFile,
    on: On = "local",
    overrides: Overrides = None,
    ranks: Ranks = None,
    profiles: ProfilesFile = None,
) -> None:
    """Prove that an interrupted trial ends as an uninterrupted one, to the last bit.

    The first trial of the sweep is trained three times: as it is, stopped in the middle as at a
    time limit, and with a rank killed after a checkpoint; each goes on in new processes.
    """
    with errors():
        from hpc import sweeps
        from hpc.verifying import verify_resume as verify

        gc.enable()
        loaded = sweeps.load(sweep, overrides or [])
        try:
            verdicts = verify(loaded, on=on, ranks=ranks, profiles_file=profiles, note=print)
        except RuntimeError as error:
            complain(f"hpc: {error}")
            raise typer.Exit(1) from None
        for verdict in verdicts:
            word = "identical to the last bit" if verdict.identical else f"NOT the same: {verdict.difference}"
            print(f"{verdict.what}: {word}")
        if not all(verdict.identical for verdict in verdicts):
            complain(
                "What a trial draws outside of Keras' seeds (numpy, random, tf.random) is not in a "
                "checkpoint; docs/clusters.md says what is."
            )
            raise typer.Exit(1)


@commands.command(epilog="Example: hpc rerun runs/digits tefmrdjcnh2 --debug")
def rerun(
    folder: RunFolder,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="The trial's id, or how it begins.")],
    on: On = "local",
    place: Annotated[
        Path | None,
        typer.Option("--dir", metavar="FOLDER", help="Folder of the new run (default: RUN-rerun-TRIAL)."),
    ] = None,
    ranks: Ranks = None,
    profiles: ProfilesFile = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="In this very process, so that breakpoint() works.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write a profile of TensorFlow's, which TensorBoard shows.")
    ] = False,
) -> None:
    """Train one trial of a run again in this terminal, with its exact settings, in a folder of its own."""
    request = RunRequest(on="debug" if debug else on, folder=place, ranks=ranks, profiles_file=profiles)
    with errors(folder):
        if debug and on != "local":
            raise typer.BadParameter(
                f"goes on in this process, not {on!r}; leave --on out.", param_hint="--debug"
            )
        _rerun(folder, trial, request, profile)


def _rerun(folder: Path, trial: str, request: RunRequest, profile: bool) -> None:
    from hpc.cli.display.console import plain_console
    from hpc.cli.display.outcome import print_outcome
    from hpc.cli.display.progress import Lines, display_for
    from hpc.rerunning import rerun

    gc.enable()
    console = plain_console()
    view = Lines(console) if request.on == "debug" else display_for(console)  # a debugger needs the terminal
    again = rerun(folder, trial, request, profile=profile, view=view)
    print_outcome(again.outcome, console)
    if again.comparison:
        print(again.comparison)
    if again.profile is not None and again.profile.exists():
        print(f"TensorFlow's profile: tensorboard --logdir {again.profile}")
    if not again.outcome.is_good or again.outcome.error:
        raise typer.Exit(1)


def _carry_out(request: RunRequest, sweep: Sweep | None = None) -> None:
    """Train to the end with live progress: a sweep, or what is not finished of the run in the folder."""
    from hpc.cli.display.console import plain_console
    from hpc.cli.display.outcome import print_outcome
    from hpc.cli.display.progress import display_for

    gc.enable()
    console = plain_console()
    outcome = _train(request, sweep, display_for(console))
    print_outcome(outcome, console)
    if not outcome.is_good or outcome.error:
        raise typer.Exit(1)


def _train(request: RunRequest, sweep: Sweep | None, view: View) -> Outcome:
    from hpc import running
    from hpc.jobs.node import begun

    request = request.but(began=begun(os.getpid()))  # when the command was typed
    if sweep is None:
        assert request.folder is not None
        return running.resume(request.folder, request, view=view)
    return running.run(sweep, request, view=view)


def _submit(request: RunRequest, sweep: Sweep | None = None) -> None:
    """Submit to SLURM: a sweep, or what is not finished of the run in the folder."""
    from hpc import submitting
    from hpc.cli.display.submission import print_submission

    if sweep is None:
        assert request.folder is not None
        submission = submitting.resubmit(request.folder, request, note=complain)
    else:
        submission = submitting.submit(sweep, request, note=complain)
    print_submission(submission)


def _resume(request: RunRequest) -> None:
    """Train what is not finished of the run in the folder, here or on SLURM as the profile says."""
    from hpc import results, submitting
    from hpc.jobs import stored

    folder = request.folder_of("")
    restored = stored.restore(folder)
    if restored:
        complain(restored)
    named = submitting.profile_of(results.Run(folder), request.on, request.profiles_file)
    if named.profile.cluster == "slurm":
        _submit(request)
    else:
        _carry_out(request)


def _show_plan(sweep: Sweep, request: RunRequest) -> None:
    """Check what ``hpc run`` would do, and print it."""
    from hpc import running
    from hpc.cli.display.plan import print_plan
    from hpc.profile import find

    assert request.on is not None
    named = find(request.on, [sweep.folder], request.profiles_file)
    if named.profile.cluster == "slurm":
        _show_submission(sweep, named, request)
        return
    with _notes_of_data():
        checked, resources = running.plan(sweep, named, request)
        print_plan(checked, request.folder_of(checked.name), resources)


def _show_submission(sweep: Sweep, named: Named, request: RunRequest) -> None:
    """Check what would be submitted, and print it."""
    from hpc import planning
    from hpc.cli.display.plan import print_planned

    with _notes_of_data():
        checked, planned = planning.plan(sweep, named, workers=request.workers, ranks=request.ranks)
        print_planned(checked, planned, request.folder_of(checked.name))


@contextmanager
def _notes_of_data() -> Iterator[None]:
    """Print what a person should know of how small files of data were read, when they were."""
    from hpc.jobs.check import notes_of_data

    with notes_of_data() as notes:
        yield
    for text in dict.fromkeys(notes):
        print(f"note: {text}")
