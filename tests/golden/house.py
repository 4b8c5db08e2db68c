"""All that the golden tests import of the house, and how they ask it: the one place to follow a renaming."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from hpc import results, sweeps
from hpc.cli.app import app
from tests.golden.make import PROJECT, RUNS, USER_ID
from tests.hpc import standin
from tests.hpc.fake_slurm import FakeSlurm

__all__ = [
    "PROJECT",
    "RUNS",
    "FakeSlurm",
    "commands",
    "copied",
    "hpc",
    "queue",
    "results",
    "standin",
    "sweeps",
]


@dataclass(frozen=True)
class Said:
    """What a command has said."""

    code: int
    out: str
    err: str


def hpc(*arguments: str | Path, code: int | None = 0) -> Said:
    """Type a command in this process.

    Args:
        arguments: of ``hpc``.
        code: with which it is to end; None for any.
    """
    # No colour and a fixed width, whatever terminal or CI the tests run in.
    variables = {
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "FORCE_COLOR": None,
        "GITHUB_ACTIONS": None,
    }
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=variables)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    if code is not None:
        assert done.exit_code == code, done.output
    return Said(done.exit_code, done.stdout, done.stderr)


def commands() -> list[str]:
    """The names of all commands."""
    group = typer.main.get_command(app)
    return sorted(group.commands)  # type: ignore[attr-defined]


def copied(name: str, folder: Path) -> Path:
    """A copy of a stored run: reading one writes into it."""
    return Path(shutil.copytree(RUNS / name, folder / name))


def queue(name: str, slurm: FakeSlurm, patch: pytest.MonkeyPatch) -> None:
    """Let the jobs of a stored run wait in a queue."""
    known: dict[str, Any] = json.loads((RUNS / name / "queue.json").read_text())
    slurm.change(**known)
    patch.setattr("os.getuid", lambda: USER_ID)  # squeue is asked for the jobs of who has submitted them
