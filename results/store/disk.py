"""Errors of file systems: which file, why, and how much space is free."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
DISK_ERRORS = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors that are about a whole file system or folder, and that its user can mend."""
SCRATCH = ".tmp-"
"""How names begin of files that are renamed when they are whole."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of writing in the block name the file; the system names it only when one is opened."""
    try:
        yield
    except OSError as error:
        name_in(error, path)
        raise


def name_in(error: OSError, path: Path | str) -> None:
    """Let an error of a file system name a file, unless it names one; of a full one, with the room left."""
    if error.errno not in DISK_ERRORS:
        return
    if error.filename is None or Path(os.fsdecode(error.filename)).name.startswith(SCRATCH):
        error.filename = str(path)
    if error.errno in FULL and "free" not in str(error.strerror):
        error.strerror = f"{error.strerror} ({format_free_space(Path(os.fsdecode(error.filename)))})"


def format_disk_error(error: OSError, folder: Path) -> str:
    """The message of an error of a file system, without a full stop; of another error, what it says.

    Args:
        error: with or without the name of a file.
        folder: whose free space is named if the error names no file.
    """
    if error.errno not in DISK_ERRORS:
        return str(error)
    if error.filename is None:
        room = f" ({format_free_space(folder)})" if error.errno in FULL else ""
        return f"what was to be written can't be: {error.strerror}{room}"
    name_in(error, error.filename)
    hint = (
        "; `quota -s`, or the site's own command, says what takes it" if error.errno == errno.EDQUOT else ""
    )
    return f"{error.filename} can't be used: {error.strerror}{hint}"


def format_free_space(path: Path) -> str:
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
