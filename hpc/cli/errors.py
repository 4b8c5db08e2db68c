"""Errors: what a person reads of them, and the exit code that the command ends with.

0 is all good, 1 is that something failed, 2 is wrong use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from hpc.cli.display.console import complain


@contextmanager
def errors(folder: Path | None = None) -> Iterator[None]:
    """Turn a user's mistake into one short paragraph on stderr, without a traceback.

    Args:
        folder: the folder of the run that the command is about, if it was typed.
    """
    try:
        yield
    except BrokenPipeError:  # `hpc table … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        raise typer.Exit(1) from None
    except Exception as error:
        if isinstance(error, _mistakes()):
            complain(f"hpc: {error}")
            raise typer.Exit(2) from None
        if isinstance(error, OSError):
            complain(f"hpc: {_format_os_error(error, folder or Path())}")
            raise typer.Exit(1) from None
        if isinstance(error, _failures()):
            complain(f"hpc: {error}")
            raise typer.Exit(1) from None
        raise


def require_choice(value: str, choices: Collection[str], what: str, where: str) -> None:
    """Refuse a value that is none of the choices, and list them.

    Args:
        value: what was typed.
        choices: what may be typed.
        what: the end of the sentence that begins with the value, like ``is not a format``.
        where: the name of the option or the argument.

    Raises:
        typer.BadParameter: the value is none of the choices.
    """
    if value in choices:
        return
    from hpc.sweeps import did_you_mean

    raise typer.BadParameter(
        f"{value!r} {what}{did_you_mean(value, choices)}; there are {', '.join(choices)}.", param_hint=where
    )


def _format_os_error(error: OSError, folder: Path) -> str:
    """Say what a file system has refused; where it was a file of a run, say what becomes of that, too."""
    from hpc.results.store import DISK_ERRORS, format_disk_error, run_of

    text = format_disk_error(error, folder)
    if error.errno not in DISK_ERRORS:
        return text
    run = run_of(folder if error.filename is None else os.fsdecode(error.filename))
    if run is None:
        return f"{text}."
    return (
        f"{text}. What is recorded of {run} stays; when that is mended, the same command again goes on, or "
        f"hpc resume {run}"
    )


def _mistakes() -> tuple[type[Exception], ...]:
    """Give the errors that are the user's to mend, as far as their modules are loaded at all."""
    kinds = (
        ("hpc.results", "RunError"), ("hpc.sweeps", "SweepError"),
        ("hpc.jobs.collectives.horovod", "RanksUnavailableError"),
        ("hpc.jobs.node.rank_info", "LauncherError"),
    )  # fmt: skip
    return tuple(getattr(sys.modules[module], name) for module, name in kinds if module in sys.modules)


def _failures() -> tuple[type[Exception], ...]:
    """Give the errors that are nobody's mistake: SLURM does not answer, or refuses."""
    module = sys.modules.get("hpc.schedulers.base")
    return (module.SchedulerError,) if module else ()
