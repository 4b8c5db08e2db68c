"""What a file system refuses, in words: which file, why, and how much room there is."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
OF_DISKS = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a file system that are about more than one file, and that its user can mend."""
SCRATCH = ".tmp-"
"""How names begin of files that are renamed when they are whole."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the block's writing name the file; the system itself tells it only when one is opened."""
    try:
        yield
    except OSError as error:
        name_in(error, path)
        raise


def name_in(error: OSError, path: Path | str) -> None:
    """Let an error of a file system name a file, unless it names one; of a full one, with the room left."""
    if error.errno not in OF_DISKS:
        return
    if error.filename is None or Path(os.fsdecode(error.filename)).name.startswith(SCRATCH):
        error.filename = str(path)
    if error.errno in FULL and "free" not in str(error.strerror):
        error.strerror = f"{error.strerror} ({room(Path(os.fsdecode(error.filename)))})"


def words(error: OSError, folder: Path) -> str:
    """What a file system has refused, without a full stop; what the error says if it is of another kind.

    Args:
        error: with or without the name of a file.
        folder: where the room is told of if it has none.
    """
    if error.errno not in OF_DISKS:
        return str(error)
    if error.filename is None:
        told = f" ({room(folder)})" if error.errno in FULL else ""
        return f"what was to be written can't be: {error.strerror}{told}"
    name_in(error, error.filename)
    hint = (
        "; `quota -s`, or the site's own command, says what takes it" if error.errno == errno.EDQUOT else ""
    )
    return f"{error.filename} can't be used: {error.strerror}{hint}"


def room(path: Path) -> str:
    """``1.2 GB of 30.0 GB free in FOLDER``, of the folder that a file is in, or was to be."""
    folder = next((one for one in (path, *path.absolute().parents) if one.is_dir()), Path("/"))
    try:
        found, entries = shutil.disk_usage(folder), os.statvfs(folder)
    except OSError:
        return f"nobody knows how much is free in {folder}"
    none = ", but room for no further file" if entries.f_files and not entries.f_favail else ""
    return f"{_size(found.free)} of {_size(found.total)} free in {folder}{none}"


def run_of(file: str | Path) -> Path | None:
    """The folder of the run that a file is in, if it is in one."""
    path = Path(file)
    return next((one for one in (path, *path.parents) if (one / "records").is_dir()), None)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
