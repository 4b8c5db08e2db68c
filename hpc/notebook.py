"""Functions and arrays of a notebook as the training of a sweep: written beside the run, for its workers."""

from __future__ import annotations

import ast
import inspect
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpc.request import RunRequest
from hpc.results import write_text
from hpc.run_folder import claim_unless_run
from hpc.sweeps import Sweep, SweepError, parse

FOLDER = "objects"
"""The folder in that of a run that holds them."""
_SHIM = '''"""{name} of a notebook, as hpc.run was given it. SHA-256 of what it does: {digest}."""

import pickle
from pathlib import Path

_ITS_OWN = object()
with Path(__file__).with_suffix(".pickle").open("rb") as file:
    _given = pickle.load(file)


def {name}({parameters}):
    given = {{{entries}}}
    return _given(**{{key: value for key, value in given.items() if value is not _ITS_OWN}})
'''


def holds_objects(entries: Mapping[str, Any]) -> bool:
    """Whether the training that entries of a sweep name is given by objects, and not by names."""
    return callable(entries.get("train")) or callable(entries.get("model")) or _data_of(entries) is not None


def with_objects(entries: Mapping[str, Any], run: Path, folder: Path | None = None) -> Sweep:
    """Make a sweep of entries in which functions and arrays stand for files.

    They are written into the folder of the run: functions by cloudpickle, readable by nobody else (their
    pickles are opened by workers only, which run the user's code anyway), arrays as ``.npz``.

    Args:
        entries: as a sweep file has them, but ``train``, ``model`` and ``data`` (or its ``name``) may be
            functions, and ``data`` a pair of arrays, or a dict of such pairs by ``train``, ``validation`` and
            ``test``.
        run: folder of the run, which is there.
        folder: where files are looked for; the current one unless given.

    Returns:
        The sweep.

    Raises:
        SweepError: an object can't be written, or the entries are none of a sweep.
    """
    mine = dict(entries)
    for key in ("train", "model"):
        if callable(mine.get(key)):
            mine[key] = _write_function(mine[key], run, key)
    data = _data_of(mine)
    if data is not None:
        name = _write_function(data, run, "data") if callable(data) else _write_arrays(data, run)
        given = entries["data"]
        mine["data"] = {**given, "name": name} if _is_group(given) else name
    return parse(mine, folder)


def sweep_of(entries: Mapping[str, Any], request: RunRequest) -> Sweep:
    """Make the sweep of entries that may hold functions and arrays.

    Args:
        entries: as :func:`with_objects` takes them.
        request: says where the run is to be.

    Raises:
        SweepError: as of :func:`with_objects`.
        RunError: objects are to be written, and the folder holds something else than a run.
    """
    if not holds_objects(entries):
        return parse(entries)
    run = request.folder_of(str(entries.get("name", "")))
    claim_unless_run(run)
    return with_objects(entries, run)


def _data_of(entries: Mapping[str, Any]) -> Any:
    """The object that stands for the data; None if they have a name."""
    data: Any = entries.get("data")
    found = data["name"] if _is_group(data) else data
    return None if found is None or isinstance(found, str) else found


def _is_group(data: object) -> bool:
    return isinstance(data, Mapping) and "name" in data


def _write_function(function: Callable[..., Any], run: Path, key: str) -> str:
    import cloudpickle

    from hpc.fingerprint import fingerprint

    name = getattr(function, "__name__", type(function).__name__)
    name = name if name.isidentifier() else key  # a lambda has none
    try:
        parameters, given = _signature(function)
        text = cloudpickle.dumps(function)
    except Exception as error:  # by whatever an object raises that can't be pickled
        raise SweepError(f"{key}: {name} can't be handed to workers: {error}; put it into a file.") from None
    digest = fingerprint(function)
    place = run / FOLDER / digest[:12]
    _write(place / f"{key}.pickle", text)
    shim = _SHIM.format(name=name, digest=digest, parameters=parameters, entries=given)
    write_text(place / f"{key}.py", shim)
    return f"{place.resolve() / key}.py:{name}"


def _signature(function: Callable[..., Any]) -> tuple[str, str]:
    """The parameters of a function as source, and the entries of a dict by which they are handed on."""
    parameters, entries, rest = [], [], ""
    for one in inspect.signature(function).parameters.values():
        if one.kind is one.POSITIONAL_ONLY:
            raise TypeError(f"its argument {one.name} has no name that it can be given by")
        if one.kind is one.VAR_KEYWORD:
            rest = f"**{one.name}"
        elif one.kind is not one.VAR_POSITIONAL:
            kind = f": {one.annotation.__name__}" if one.annotation in (int, float, str, bool) else ""
            default = repr(one.default) if _is_literal(one.default) else "_ITS_OWN"
            parameters.append(one.name + kind + ("" if one.default is one.empty else f"={default}"))
            entries.append(f"{one.name!r}: {one.name}")
    named = ["*", *parameters] if parameters else []
    return ", ".join(filter(None, [*named, rest])), ", ".join(filter(None, [*entries, rest]))


def _is_literal(value: object) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _write_arrays(data: object, run: Path) -> str:
    from hpc.fingerprint import fingerprint

    parts = {f"_{part}": pair for part, pair in data.items()} if isinstance(data, Mapping) else {"": data}
    arrays: dict[str, Any] = {}
    for suffix, pair in parts.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise SweepError(
                f"data: {type(pair).__name__} is no pair (x, y) of arrays; give one, or a function that "
                "returns one, or the name of a dataset."
            )
        for name, values in zip("xy", pair, strict=True):
            arrays[f"{name}{suffix}"] = np.asarray(values)
            if arrays[f"{name}{suffix}"].dtype.hasobject:
                raise SweepError(f"data: {name}{suffix} holds Python objects, not numbers.")
    place = run / FOLDER / fingerprint(arrays)[:12]
    place.mkdir(parents=True, exist_ok=True)
    scratch = place / f".tmp-{os.getpid()}-{secrets.token_hex(3)}.npz"
    np.savez(scratch, **arrays)
    scratch.rename(place / "data.npz")
    return str(place.resolve() / "data.npz")


def _write(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".tmp-{path.name}-{os.getpid()}-{secrets.token_hex(3)}")
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
    scratch.rename(path)
