"""Where a trial goes on: the newest checkpoint of it that this code can go on from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpc.jobs.context import WorkerContext
from hpc.jobs.training import Checkpoints, State, metadata_of, read
from hpc.sweeps import Trial
from hpc.sweeps.text import format_error

VISIBLE_SECONDS = 60.0
"""For which a rank waits for a file that rank 0 has seen; another node may see it later."""


def state_of(context: WorkerContext, trial: Trial) -> State | None:
    """Where a trial was left, if it was and the code is what it was then.

    Rank 0 looks for the file; all read it.
    """
    path, state = None, None
    if context.world.rank == 0:
        for path in Checkpoints(context.folder).newest_first(trial.trial_id):
            try:
                wrong = _foreign(context, metadata_of(path), trial)
                state = None if wrong else read(path)  # all of it: a broken array shows only here
            except Exception as error:  # zipfile, numpy and json have errors of their own
                wrong = f"can't be read: {format_error(error)}"
            if state is not None:
                break
            context.note(f"{path} is left aside: it {wrong}")
    found = context.world.agree(str(path) if state is not None else None)
    if found is None:
        return None
    state = state or _read_when_there(Path(found))
    _note_other_arithmetic(context, trial, state.metadata.get("arithmetic"))
    return state


def identity_of(context: WorkerContext, trial: Trial) -> dict[str, Any]:
    """The properties of a training by which it may go on from a checkpoint, or may not."""
    mine = {"trial": trial.trial_id, "code": context.code, "data": context.data}
    if context.sweep.kind != "model":  # what it has written by which library is its own affair
        return {**mine, "made_with": [], "arithmetic": {}}
    return {**mine, "made_with": versions(), "arithmetic": context.arithmetic}


def versions() -> list[str]:
    """Names and versions of the libraries that a checkpoint's arrays depend on."""
    return [f"{name} {version(name)}" for name in ("keras", "tensorflow", "hpc-sweeps")]


def forget(context: WorkerContext, trial: Trial) -> None:
    """Remove the checkpoints of a trial."""
    if context.world.rank == 0:
        Checkpoints(context.folder).remove(trial.trial_id)


def _foreign(context: WorkerContext, saved: Mapping[str, Any], trial: Trial) -> str:
    """Why a checkpoint is not one of this trial and code; empty if it is. Its name does not tell."""
    mine = identity_of(context, trial)
    ways = {
        "trial": "is of another trial", "code": "was made by other code",
        "made_with": "was made by other versions of the libraries", "data": "was made with other data",
    }  # fmt: skip
    later = ("trial", "data")  # those of earlier versions do not say these
    for name, why in ways.items():
        if (saved.get(name, mine[name]) if name in later else saved[name]) != mine[name]:
            return f"{why} ({saved[name]})" if name == "trial" else why
    return ""


def _note_other_arithmetic(context: WorkerContext, trial: Trial, before: Mapping[str, Any] | None) -> None:
    now = identity_of(context, trial)["arithmetic"] if before else {}
    others = [
        f"{name} {now.get(name)} (was {was})" for name, was in (before or {}).items() if was != now.get(name)
    ]
    if others:
        context.note(
            f"{trial.trial_id} goes on with {', '.join(others)}: its last digits may be others by that"
        )


def _read_when_there(path: Path) -> State:
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        try:
            return read(path)
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
