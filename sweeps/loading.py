"""Reading a sweep: from a file, from the folder of a run, or from Python values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hpc.sweeps import cases
from hpc.sweeps.document import SweepError, of_python, override, read
from hpc.sweeps.spec import Sweep

_OF_RUNS = {
    "defaults": "is written by hpc into the folder of a run; what you want to set goes under fixed.",
    "code_folder": "is written by hpc into the folder of a run; names count from the sweep file.",
    "names": "is written by hpc into the folder of a run.",
}


def load(path: str | Path, overrides: Iterable[str] = (), settings: str | Path | None = None) -> Sweep:
    """Read a sweep file.

    Args:
        path: the YAML file.
        overrides: ``dotted.path=value`` texts that replace entries, as ``--set`` does.
        settings: a CSV file with settings instead of the sweep's, as :func:`cases.read_file` reads it.

    Raises:
        SweepError: with every problem found: file, line, key, value, what would be right.
    """
    path = Path(path)
    document = override(read(path), overrides)
    for name, problem in _OF_RUNS.items():
        if name in document.entries:
            raise SweepError(document.problem((name,), problem))
    folder = path.resolve().parent
    listed = document.entries.get("settings")
    if settings is not None:
        document.entries["settings"] = cases.read_file(Path(settings))
    elif isinstance(listed, str):
        document.entries["settings"] = cases.read_file(folder / Path(listed).expanduser())
    return Sweep.from_document(document, folder)


def load_stored(path: str | Path) -> Sweep:
    """Read the ``sweep.yaml`` of a run, with the defaults the run began with.

    Raises:
        SweepError: as :func:`load`.
    """
    path = Path(path)
    document = read(path)
    folder = document.entries.get("code_folder") if isinstance(document.entries, dict) else None
    is_there = isinstance(folder, str) and Path(folder).is_dir()
    return Sweep.from_document(document, Path(str(folder)) if is_there else path.resolve().parent)


def parse(entries: Mapping[str, Any], folder: Path | None = None) -> Sweep:
    """Make a sweep of plain Python values, as a notebook would.

    Args:
        entries: the entries that the YAML file would hold.
        folder: where ``file.py:function`` is looked for; the current folder by default.

    Raises:
        SweepError: as :func:`load`.
    """
    return Sweep.from_document(of_python(entries), (folder or Path.cwd()).resolve())
