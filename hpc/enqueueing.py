"""Settings that a person wants a search to try next."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hpc.jobs import stored
from hpc.results import Run, RunError
from hpc.sweeps import Sweep
from hpc.sweeps.document import read_value
from hpc.sweeps.text import did_you_mean


def enqueue(folder: str | Path, assignments: Iterable[str]) -> str:
    """Have a setting tried before any that the search chooses itself, by whichever worker asks next.

    It counts as one of the search's trials. The run may be under way; nothing is trained by this.

    Args:
        folder: of the run.
        assignments: ``name=value`` of the search space; the search chooses what they leave out.

    Returns:
        What becomes of it, as a sentence.

    Raises:
        RunError: there is no such run, it does not learn, or the setting is none of its space.
    """
    from hpc.jobs.source import open_study

    run = Run(folder)
    sweep = stored.load(run.folder, run.sweep_texts)
    if not sweep.is_adaptive:
        raise RunError(
            f"{folder} is a {sweep.search.method}, whose settings are known beforehand; list further ones "
            "under `settings:` of a sweep of its own."
        )
    setting = _setting(sweep, assignments)
    try:
        broken = sweep.allows({**sweep.fixed, **setting})
        if broken:
            raise ValueError(f"it does not keep the constraint {broken}")
        study = open_study(sweep, run)
        waiting, left = study.enqueue(setting), study.left()
    except ValueError as error:
        raise RunError(f"{folder} can't try {_format(setting)}: {error}.") from None
    done = f"{_format(setting)} is tried next"
    if waiting > 1:
        done = f"{_format(setting)} is tried after {waiting - 1} others that wait"
    if waiting > left:
        return f"{done}, once there are more trials: hpc extend {folder} --trials +{waiting - left}"
    return f"{done}. If no worker is at it: hpc resume {folder}"


def _setting(sweep: Sweep, assignments: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise RunError(f"{assignment!r} is no setting; write name=value, as learning_rate=0.01.")
        if name not in sweep.dimensions:
            known = list(sweep.dimensions)
            raise RunError(f"the search has no {name}{did_you_mean(name, known)}; it has {', '.join(known)}.")
        try:
            found[name] = read_value(value)
        except ValueError as error:
            raise RunError(f"{name}: {error}.") from None
    return found


def _format(setting: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in setting.items())
