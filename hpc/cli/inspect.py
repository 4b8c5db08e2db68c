"""Commands that show how a run stands, and what a sweep may name."""

from __future__ import annotations

import gc
import json
from typing import Annotated, Any

import typer

from hpc import waiting
from hpc.cli.display.console import plain_console
from hpc.cli.errors import errors, require_choice
from hpc.cli.options import AsJson, OneTrial, ProfilesFile, RunFolder
from hpc.cli.runs import open_run

LOCAL_PAUSE_SECONDS = 2.0
"""Between two looks at a run of which no job is SLURM's."""

commands = typer.Typer()


@commands.command(epilog="Example: hpc status runs/digits --json")
def status(
    folder: RunFolder,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Show it again and again, SLURM's part the more rarely the less changes."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a run stands."""
    with errors(folder):
        from hpc.watching import Pause, Scheduler, is_busy
        from hpc.watching import status as status_of

        if watch:
            gc.enable()
        scheduler, pause = Scheduler(), Pause()
        while True:
            summary = status_of(folder, scheduler)
            _print_status(summary, as_json=as_json, is_again=watch)
            if not watch or not is_busy(summary):
                return
            # Only jobs of SLURM have its words.
            asked = sum(job["state"].isupper() and not job["over"] for job in summary["jobs"])
            changes = summary["scheduler"] or [job["state"] for job in summary["jobs"]]
            waiting.sleep(pause.after(changes, asked) if asked else LOCAL_PAUSE_SECONDS)


def _print_status(summary: dict[str, Any], *, as_json: bool, is_again: bool) -> None:
    """Print how a run stands, in place of what was printed before if it is printed again and again."""
    if as_json:
        print(json.dumps(summary, indent=None if is_again else 2), flush=True)
        return
    from hpc.cli.display.status import format_status

    if is_again:
        console = plain_console()
        if console.is_terminal:
            console.clear()
    print("\n".join(format_status(summary)), flush=True)


@commands.command(epilog="Example: hpc logs runs/digits tkjvvrahfo5")
def logs(
    folder: RunFolder,
    trial: Annotated[
        str | None, typer.Argument(metavar="TRIAL", help="The trial's id, or how it begins.")
    ] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", help="The last lines of each log; 0 for all.")
    ] = 40,
) -> None:
    """Print the logs of a trial's job, or of all jobs; and its error, if it has failed."""
    with errors(folder):
        from hpc.watching import logs as logs_of

        for path in logs_of(folder, trial):
            text = path.read_text(errors="replace").splitlines()
            print(f"==> {path} <==")
            print("\n".join(text[-lines:] if lines else text))
        if trial:
            one = open_run(folder).find(trial)
            if one.attempt.error:
                print(f"==> {one.trial_id} failed: {one.attempt.reason} <==\n{one.attempt.error}")


@commands.command(epilog="Example: hpc show runs/digits tkjvvrahfo5")
def show(folder: RunFolder, trial: OneTrial = None, as_json: AsJson = False) -> None:
    """Show everything about one trial: hyperparameters, curves, confusions, where its model is."""
    with errors(folder):
        from hpc.trial_summary import trial_summary

        summary = trial_summary(folder, trial)
        if as_json:
            print(json.dumps(summary, indent=2))
            return
        from hpc.cli.display.trial import format_trial

        print("\n".join(format_trial(summary)))


@commands.command("list", epilog="Example: hpc list models")
def list_(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="models, data, searches, sweeps or profiles.")],
    profiles: ProfilesFile = None,
) -> None:
    """List what a sweep may name: models, data, searches, ready-made sweeps, profiles."""
    with errors():
        from hpc import catalog

        require_choice(what, catalog.LISTS, "can't be listed", "WHAT")
        console = plain_console()
        for name, lines in catalog.LISTS[what](profiles).items():
            console.print(name, style="bold")
            for line in lines:
                console.print(f"    {line}")
