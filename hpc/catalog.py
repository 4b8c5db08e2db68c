"""What a sweep may name, for ``hpc list``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hpc import profile, sweeps
from hpc.jobs import catalog


def _searches() -> dict[str, list[str]]:
    known = {name: [first_sentence(type(search).__doc__)] for name, search in sweeps.SEARCHES.items()}
    return known | {name: [words] for name, words in sweeps.ADAPTIVE.items()}


def _sweeps() -> dict[str, list[str]]:
    found = {}
    folder = Path(sweeps.__file__).parent
    for path in [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]:
        comment = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        found[str(path.relative_to(folder).with_suffix(""))] = [comment, str(path)]
    return found


def _profiles(given: Path | None) -> dict[str, list[str]]:
    described = {
        "local": "one worker per core (or GPU) of this machine, one rank each",
        "debug": "one worker in this very process, for debuggers",
        "slurm": "jobs of SLURM of one rank each, an hour long, with the site's defaults for the rest",
    }
    found = {}
    for name, named in profile.available(given=given).items():
        if not named.source:
            found[name] = [described[name]]
            continue
        said = named.profile.model_dump(mode="json", exclude_unset=True)
        found[name] = [*(f"{key}: {value}" for key, value in said.items()), f"from {named.source}"]
    return found


def first_sentence(text: str | None) -> str:
    """The first line of a docstring; empty without one, as under ``python -OO``."""
    return (text or "").strip().partition("\n")[0]


LISTS: Mapping[str, Callable[[Path | None], Mapping[str, list[str]]]] = {
    "models": lambda given: catalog.models(),
    "data": lambda given: catalog.data(),
    "searches": lambda given: _searches(),
    "sweeps": lambda given: _sweeps(),
    "profiles": _profiles,
}
"""By what can be listed: the names and a few lines about each, with a file of profiles if given."""
