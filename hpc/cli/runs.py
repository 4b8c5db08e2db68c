"""Runs that a command reads: opened, brought up to date, and with a word on what can't be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpc.cli.display.console import complain

if TYPE_CHECKING:
    from hpc import results


def open_run(folder: Path) -> results.Run:
    """Open a run, and say what of its folder is not as the run has left it."""
    from hpc import results

    run = results.Run(folder)
    for text in run.faults():
        complain(text)
    return run


def settle(run: results.Run) -> None:
    """Bring what SLURM says of a run's jobs into its records, where there are any of SLURM."""
    if run.arrays:
        from hpc.watching import Scheduler

        scheduler = Scheduler()
        scheduler.look(run)
        if scheduler.news.problem:
            complain(f"SLURM could not be asked, so jobs may have ended otherwise: {scheduler.news.problem}")


def open_settled(folder: Path) -> results.Run:
    """Open a run as :func:`open_run` does, and :func:`settle` it."""
    run = open_run(folder)
    settle(run)
    return run


def complain_of_skipped(folder: str, skipped: dict[str, dict[str, int]]) -> None:
    """Say which of a run's records could not be read.

    Args:
        folder: the folder of the run.
        skipped: the number of records per reason, by the name of the file.
    """
    for file, reasons in skipped.items():
        for why, number in reasons.items():
            complain(f"{folder}/records/{file}: skipped {number} {why}")
