"""The paths of a user's files of data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from hpc.models.reference import ModelError
from hpc.sweeps.text import did_you_mean

FilePath = Annotated[str, Field(description="the path of a file")]


def find_file(path: str) -> Path:
    """The file at a path, where ``~`` stands for the home folder.

    Raises:
        ModelError: there is no such file.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise ModelError(f"{file} is a folder, not a file")
    if not file.is_file():
        others = [other.name for other in file.parent.glob(f"*{file.suffix}")]
        raise ModelError(f"there is no file {file}{did_you_mean(file.name, others)}")
    return file


def format_names(names: Sequence[str], most: int = 20) -> str:
    """The first names, and how many there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, … ({len(names)} in all)"
