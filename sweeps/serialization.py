"""A sweep as plain values: what its file holds, and where two sweeps differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.sweeps.trial import names_a_file, place_and_function, reference_name
from hpc.sweeps.trials import callback_entries, callback_functions, data_identity, stable_name

if TYPE_CHECKING:
    from hpc.sweeps.spec import Sweep

_NOT_DECISIVE = ("name", "keep", "pack", "budget", "defaults", "names", "code_folder", "grace_seconds")


def to_entries(sweep: Sweep) -> dict[str, Any]:
    """The entries of a sweep file, with defaults filled in and paths made absolute."""
    folder = sweep.folder
    references = _references(sweep)
    objectives = [{"metric": one.metric, "mode": one.mode} for one in sweep.objectives]
    return {
        "name": sweep.name,
        **_training_entries(sweep),
        "space": {name: choice.as_written() for name, choice in sweep.space.items()},
        **({"settings": sweep.settings} if sweep.settings else {}),
        "fixed": sweep.fixed,
        "search": _search_entries(sweep),
        "seeds": list(sweep.seeds),
        **_optional_entries(sweep, references),
        "objective": objectives if sweep.further_objectives else objectives[0],
        "keep": sweep.keep,
        **({"pack": sweep.pack} if sweep.kind == "model" else {}),
        "defaults": sweep.defaults,
        **({"code_folder": str(folder)} if sweep.command or _has_user_files(references) else {}),
    }


def to_linked_entries(sweep: Sweep) -> dict[str, Any]:
    """The entries with symbolic links followed, as earlier versions stored them."""
    entries = to_entries(sweep)
    if sweep.kind == "model":
        entries["model"] = _real(entries["model"])
        entries["data"]["name"] = _real(entries["data"]["name"])
    for baseline in entries.get("baselines", []):
        baseline["model"] = _real(baseline["model"])
    if sweep.callbacks:
        entries["callbacks"] = callback_entries(sweep, lambda name: _real(_absolute(name, sweep.folder)))
    if sweep.search.runs:
        entries["search"]["from"] = [str(Path(one).resolve()) for one in entries["search"]["from"]]
    entries.pop("names", None)
    return entries


def moved(sweep: Sweep, before: Path, after: Path) -> dict[str, Any]:
    """The entries of the same sweep where all files of one folder are in another.

    Args:
        sweep: whose files are where they are.
        before: the folder that has them.
        after: the folder that is to have them.
    """

    def at(reference: str) -> str:
        place, function = place_and_function(reference)
        if not Path(place).is_relative_to(before):
            return reference
        path = after / Path(place).relative_to(before)
        return f"{path}:{function}" if function else str(path)

    entries = to_entries(sweep)
    for key in ("model", "train", "code_folder"):
        if key in entries:
            entries[key] = at(entries[key])
    for baseline in entries.get("baselines", []):
        baseline["model"] = at(baseline["model"])
    if "data" in entries:
        entries["data"]["name"] = at(entries["data"]["name"])
    if "names" in entries:
        entries["names"] = {at(one): name for one, name in entries["names"].items()}
    return entries


def differences(sweep: Sweep, other: Sweep) -> list[str]:
    """The entries that make two sweeps different experiments, one sentence each.

    Names, budgets, packs and kept models don't count.
    """
    mine, its = _identity(sweep), _identity(other)
    found: list[str] = []
    for key in {**mine, **its}:
        if mine.get(key) != its.get(key):
            found.extend(_differences(key, mine.get(key), its.get(key)))
    return found


def data_differences(sweep: Sweep, other: Sweep) -> list[str]:
    """The entries of ``data`` that differ between two sweeps, one sentence each."""
    return list(_differences("data", data_identity(sweep), data_identity(other)))


def _training_entries(sweep: Sweep) -> dict[str, Any]:
    """The entries that say what trains."""
    folder = sweep.folder
    if sweep.kind == "function":
        return {"train": _absolute(sweep.train, folder)}
    if sweep.kind == "program":
        patterns = {"metrics": sweep.metrics} if sweep.metrics else {}
        return {"command": sweep.command, **patterns, "grace_seconds": sweep.grace_seconds}
    data = {**sweep.data, "name": _absolute(sweep.data["name"], folder)}
    return {"model": _absolute(sweep.model, folder), "data": data}


def _references(sweep: Sweep) -> list[str]:
    if sweep.kind != "model":
        return [sweep.train] if sweep.train else []
    models = [sweep.model, sweep.data["name"], *(baseline["model"] for baseline in sweep.baselines)]
    return [*models, *callback_functions(sweep)]


def _has_user_files(references: list[str]) -> bool:
    return any(":" in name or names_a_file(name) for name in references)


def _search_entries(sweep: Sweep) -> dict[str, Any]:
    search = sweep.search.entries()
    if sweep.search.runs:
        search["from"] = [str(sweep.folder / Path(one).expanduser()) for one in sweep.search.runs]
    return search


def _optional_entries(sweep: Sweep, references: list[str]) -> dict[str, Any]:
    """The entries that stand in the file only where they are given."""
    names = {_absolute(one, sweep.folder): stable_name(sweep, one) for one in references}
    baselines = [{**one, "model": _absolute(one["model"], sweep.folder)} for one in sweep.baselines]
    given: dict[str, Any] = {
        "constraints": list(sweep.constraints) or None,
        "budget": None if sweep.budget is None else sweep.budget.entries(),
        "confirm": None if sweep.confirm is None else sweep.confirm.model_dump(),
        "folds": None if sweep.folds is None else sweep.folds.entries(),
        "baselines": baselines or None,
        "backend": None if sweep.backend == "auto" else sweep.backend,
        "callbacks": callback_entries(sweep, lambda name: _absolute(name, sweep.folder)) or None,
        "names": {one: name for one, name in names.items() if name != reference_name(one)} or None,
    }
    return {name: entries for name, entries in given.items() if entries is not None}


def _identity(sweep: Sweep) -> dict[str, Any]:
    entries = to_entries(sweep)
    if sweep.kind == "model":
        entries["model"] = stable_name(sweep, sweep.model)
        entries["data"]["name"] = stable_name(sweep, sweep.data["name"])
    elif sweep.kind == "function":
        entries["train"] = stable_name(sweep, sweep.train)
    for baseline, given in zip(entries.get("baselines", []), sweep.baselines, strict=True):
        baseline["model"] = stable_name(sweep, given["model"])
    if sweep.callbacks:
        entries["callbacks"] = callback_entries(sweep, lambda name: stable_name(sweep, name))
    entries["search"].pop("timeout_min", None)
    entries["search"]["from"] = [Path(one).name for one in sweep.search.runs]
    return {name: value for name, value in entries.items() if name not in _NOT_DECISIVE}


def _differences(key: str, mine: Any, its: Any) -> Iterator[str]:
    if isinstance(mine, dict) and isinstance(its, dict):
        for part in {**mine, **its}:
            if mine.get(part) != its.get(part):
                yield from _differences(f"{key}.{part}", mine.get(part), its.get(part))
    else:
        yield f"{key} is {_format_value(mine)}, there {_format_value(its)}"


def _format_value(value: Any) -> str:
    return "absent" if value is None else str(value)


def _absolute(reference: str, folder: Path) -> str:
    """An absolute path. Links are not followed: trial ids have the name that the user wrote."""
    if not names_a_file(reference):
        return reference
    file, function = place_and_function(reference)
    path = folder / Path(file).expanduser()
    return f"{path}:{function}" if function else str(path)


def _real(reference: str) -> str:
    if not names_a_file(reference):
        return reference
    file, function = place_and_function(reference)
    return f"{Path(file).resolve()}:{function}" if function else str(Path(file).resolve())
