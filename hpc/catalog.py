"""What a sweep may name, for ``hpc list``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import jobs.catalog
import sweeps
from hpc.profile import BUILTIN


def _searches() -> dict[str, list[str]]:
    return {name: [_first(type(search).__doc__)] for name, search in sweeps.SEARCHES.items()}


def _sweeps() -> dict[str, list[str]]:
    found = {}
    for path in sorted(Path(sweeps.__file__).parent.glob("*.yaml")):
        comment = path.read_text().splitlines()[0].lstrip("# ")
        found[path.stem] = [comment, str(path)]
    return found


def _profiles() -> dict[str, list[str]]:
    described = {
        "local": "one worker per core (or GPU) of this machine, one rank each",
        "debug": "one worker in this very process, for debuggers",
    }
    return {name: [described[name]] for name in BUILTIN}


def _first(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]


LISTS: Mapping[str, Callable[[], Mapping[str, list[str]]]] = {
    "models": jobs.catalog.models,
    "data": jobs.catalog.data,
    "searches": _searches,
    "sweeps": _sweeps,
    "profiles": _profiles,
}
