"""The objective of a run, by its first record or by its sweep file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpc.results.store.folder import FIRST, RunError, RunFolder
from hpc.results.store.reading import parse
from hpc.results.store.schema import REQUIRED, wrong_entry


def read_objective(folder: RunFolder) -> dict[str, Any]:
    """The record of the kind ``sweep`` that says what the run is, or what ``sweep.yaml`` says in its place.

    Raises:
        RunError: neither says.
    """
    try:
        with (folder.records / FIRST).open("rb") as file:
            record = parse(file.readline())
    except OSError:
        record = {}
    is_whole = record.get("record") == "sweep" and not wrong_entry(record, REQUIRED["sweep"])
    if is_whole and record["mode"] in ("min", "max"):
        return record
    return _read_sweep_file(folder.sweep_file)


def _read_sweep_file(sweep_file: Path) -> dict[str, Any]:
    """What ``sweep.yaml`` says a run is after, as the first of its records does.

    Raises:
        RunError: it says nothing of that kind.
    """
    from hpc.sweeps import SweepError, read

    try:
        sweep = read(sweep_file).entries
        given = sweep["objective"] if isinstance(sweep["objective"], list) else [sweep["objective"]]
        objectives = [[str(one["metric"]), str(one["mode"])] for one in given]
        (metric, mode), *further = objectives
        if mode not in ("min", "max"):
            raise ValueError(mode)
        found = {
            "name": str(sweep["name"]),
            "metric": metric,
            "mode": mode,
            "space": list(sweep.get("space", {})),
        }
        return {**found, "objectives": objectives} if further else found
    except (SweepError, LookupError, TypeError, ValueError, AttributeError):
        raise RunError(
            f"neither {sweep_file} nor records/{FIRST} beside it say what the run is after (the objective), "
            "so nothing can be told of it. Put one of them back from a copy."
        ) from None
