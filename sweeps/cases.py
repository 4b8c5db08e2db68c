"""Settings that a sweep file lists by themselves: named cases, values that go together, a table in a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.sweeps.document import SweepError, read_value
from hpc.sweeps.space import Choices, Dimension

if TYPE_CHECKING:
    from hpc.sweeps.spec import Sweep

NAME = "case"
"""The entry of a setting that is its name, and no hyperparameter."""
ZIP = "zip"
"""The one entry of ``settings`` below which lists of equal length are taken side by side."""


def read_settings(value: object) -> object:
    """The entry ``settings`` as a list of groups, of which each may have a name under ``case``.

    Args:
        value: such a list; groups by their names; or ``{zip: {name: [value, …], …}}``.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, Mapping) and set(value) == {ZIP}:
        return _zipped(value[ZIP])
    if isinstance(value, Mapping):
        return [{NAME: str(name), **_group(entries, name)} for name, entries in value.items()]
    if not isinstance(value, list):
        raise ValueError(
            f"{value!r} is no list of settings; write [{{dropout: 0.0}}, {{dropout: 0.5}}], or groups by "
            "their names"
        )
    return [_group(entries, index) for index, entries in enumerate(value)]


def _group(entries: object, which: object) -> dict[str, Any]:
    if entries is None:  # the case in which all stays as it is
        return {}
    if not isinstance(entries, Mapping):
        raise ValueError(f"{which}: {entries!r} is no group of hyperparameters; write {{dropout: 0.5}}")
    return {str(name): entry for name, entry in entries.items()}


def _zipped(lists: object) -> list[dict[str, Any]]:
    if not isinstance(lists, Mapping) or not all(isinstance(one, list) for one in lists.values()):
        raise ValueError(
            f"zip: {lists!r} is no group of lists; write zip: {{width: [32, 64], epochs: [20, 10]}}"
        )
    lengths = {name: len(one) for name, one in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"zip takes lists of equal length, but {told} values")
    return [dict(zip(map(str, lists), values, strict=True)) for values in zip(*lists.values(), strict=True)]


def read_file(path: Path) -> list[dict[str, Any]]:
    """Read settings from a CSV file: a column per hyperparameter, perhaps ``case``, and a row per setting.

    A cell is read as YAML reads it, so that ``1e-3`` is a number, ``true`` is true and ``[64, 32]`` a list.
    Where it is empty, the hyperparameter stays as it is.

    Raises:
        SweepError: there is no such file, or it is no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SweepError(f"{path}: can't be read as a table of settings: {error}.") from None
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise SweepError(f"{path}: has no settings; its first line names hyperparameters, each other is one.")
    names = [cell.strip() for cell in rows[0]]
    for name in names:
        if not name or names.count(name) > 1:
            what = name or "a column without a name"
            raise SweepError(f"{path}, line 1: {what}: each column has a name of its own.")
    found = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise SweepError(f"{path}, row {number}: has {len(row)} cells, and the first line {len(names)}.")
        cells = {name: cell.strip() for name, cell in zip(names, row, strict=True) if cell.strip()}
        case = {NAME: cells.pop(NAME)} if NAME in cells else {}
        found.append(case | {name: _scalar(cell, path, number) for name, cell in cells.items()})
    return found


def _scalar(cell: str, path: Path, number: int) -> Any:
    try:
        return read_value(cell)
    except ValueError as error:
        raise SweepError(f"{path}, row {number}: {error}.") from None


def values_of(setting: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters of a listed setting, without its name."""
    return {name: value for name, value in setting.items() if name != NAME}


def dimensions(settings: Sequence[Mapping[str, Any]], fixed: Mapping[str, Any]) -> dict[str, Dimension]:
    """The hyperparameters that listed settings give, with all values that each has.

    Args:
        settings: as listed.
        fixed: gives the value where a setting does not.
    """
    names = dict.fromkeys(name for one in settings for name in values_of(one))
    found: dict[str, Dimension] = {}
    for name in names:
        given = [{**fixed, **one}[name] for one in settings if name in one or name in fixed]
        values = {repr(value): value for value in given}
        found[name] = Choices(tuple(values.values()))
    return found


def names_of_cases(sweep: Sweep) -> dict[str, str]:
    """The names of listed settings, by what their hyperparameters are as :func:`key_of` writes them."""
    return {
        key_of(sweep, {**sweep.fixed, **values_of(one)}): str(one[NAME])
        for one in sweep.settings
        if NAME in one
    }


def key_of(sweep: Sweep, params: Mapping[str, Any]) -> str:
    """Those of a trial's hyperparameters that listed settings decide, as text."""
    names = [name for name in sweep.dimensions if name not in sweep.space]
    return json.dumps([[name, params[name]] for name in names if name in params])


def problems(sweep: Sweep) -> Iterator[str]:
    """Find what is wrong with the settings that a sweep lists, one sentence each."""
    if sweep.settings and sweep.search.method != "grid":
        message = (
            f"are listed, so there is nothing for {sweep.search.method} to choose; leave search out, or put "
            "settings into a search that runs by `hpc enqueue RUN name=value`."
        )
        yield sweep.problem(("settings",), message)
    first: dict[str, int] = {}
    names: set[str] = set()
    for index, one in enumerate(sweep.settings):
        for name in values_of(one):
            if name in sweep.space:
                message = "stands under space, too; a parameter has one place."
                yield sweep.problem(("settings", index, name), message)
        if NAME in one:
            yield from _problems_of_name(sweep, index, one[NAME], names)
            names.add(str(one[NAME]))
        place = first.setdefault(key_of(sweep, {**sweep.fixed, **values_of(one)}), index)
        if place != index:
            yield sweep.problem(("settings", index), f"is setting {place} again; each may stand only once.")
    given = {frozenset({**sweep.fixed, **values_of(one)}) for one in sweep.settings}
    if sweep.uses_ask_tell and len(given) > 1:
        message = (
            "give different hyperparameters, which goes with no pruner, budget, timeout_min or confirm; give "
            "each setting the same ones, or the others a value under fixed."
        )
        yield sweep.problem(("settings",), message)


def _problems_of_name(sweep: Sweep, index: int, case: object, names: set[str]) -> Iterator[str]:
    key = ("settings", index, NAME)
    if not isinstance(case, str) or not case.strip():
        yield sweep.problem(key, f"{case!r} is no name of a setting; give it a word.")
    elif case in names:
        yield sweep.problem(key, f"{case}: another setting has this name.")
