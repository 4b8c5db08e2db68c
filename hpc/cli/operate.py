"""Commands that act on jobs and on the machine they run on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hpc.cli.display.console import complain
from hpc.cli.errors import errors
from hpc.cli.options import AsJson, On, ProfilesFile, RunFolder, Storage

commands = typer.Typer()


@commands.command(epilog="Example: hpc cancel runs/digits")
def cancel(folder: RunFolder) -> None:
    """Stop a run: its jobs of SLURM, or the command that carries it out on this machine."""
    with errors(folder):
        from hpc.watching import cancel as cancel_run

        print(cancel_run(folder))


@commands.command(epilog="Example: hpc enqueue runs/digits learning_rate=0.01 hidden_size=64")
def enqueue(
    folder: RunFolder,
    setting: Annotated[list[str], typer.Argument(metavar="NAME=VALUE", help="Values of the search space.")],
) -> None:
    """Have a search try a setting of yours next; what you leave out, it chooses."""
    with errors(folder):
        from hpc.enqueueing import enqueue as enqueue_in

        print(enqueue_in(folder, setting))


@commands.command(epilog="Example: hpc doctor --on slurm")
def doctor(
    on: On = "local",
    profiles: ProfilesFile = None,
    folder: Annotated[Path, typer.Option("--dir", metavar="FOLDER", help="Where runs would be made.")] = Path(
        "runs"
    ),
    canary: Annotated[
        bool, typer.Option("--canary/--no-canary", help="Let ranks meet: on SLURM, in one short job.")
    ] = True,
    wait_min: Annotated[
        float, typer.Option("--wait", metavar="MIN", min=0, help="How long that job may take to start.")
    ] = 10,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine or a cluster for what a profile asks of it, and say what to change."""
    with errors(folder):
        from hpc.doctor import examine, format_finding
        from hpc.profile import find, with_storage

        findings = examine(
            with_storage(find(on, given=profiles), storage), folder, canary=canary, wait_min=wait_min,
            note=complain,
            tell=lambda finding: None if as_json else print(format_finding(finding), flush=True),
        )  # fmt: skip
        if as_json:
            print(json.dumps([vars(finding) for finding in findings], indent=2))
        if any(finding.level == "problem" for finding in findings):
            raise typer.Exit(1)
