"""The command of a sweep whose training is a program: its placeholders, its arguments, the user's files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import Any

from hpc.models import ModelError, files_of, function_reference

OF_TRIALS = (
    "seed", "folder", "scratch", "checkpoint", "params", "params_file", "trial_id", "attempt", "rank", "size",
)  # fmt: skip
"""Placeholders that are filled in every command, which no hyperparameter may be named after."""
SCRIPTS = (".py", ".sh", ".bash", ".R", ".jl", ".pl", ".rb", ".lua", ".js", ".m")

SETTINGS = (".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf")


class CommandError(ValueError):
    """A command that can't be started as it is written."""


@dataclass(frozen=True)
class Command:
    """A program and its arguments, in which ``{name}`` stands for a value, and ``{{`` and ``}}`` for braces.

    Attributes:
        arguments: as the sweep has them, the program first.
        folder: of the sweep file, which the program is started in.
    """

    arguments: tuple[str, ...]
    folder: Path

    @cached_property
    def _parts(self) -> list[list[tuple[str, str]]]:
        """For each argument its texts and the name that follows each, empty where none does."""
        return [list(_parts_of(argument)) for argument in self.arguments]

    @cached_property
    def names(self) -> list[str]:
        """The names of its placeholders, each once.

        Raises:
            CommandError: braces are not as they must be.
        """
        return list(dict.fromkeys(name for parts in self._parts for _, name in parts if name))

    def filled(self, values: Mapping[str, Any]) -> list[str]:
        """The arguments with values in place.

        Args:
            values: for each name; words stand as they are, all else as in JSON.

        Raises:
            CommandError: a placeholder has none.
        """
        for name in self.names:
            if name not in values:
                raise CommandError(f"nothing fills {{{name}}} in this trial")
        return [
            "".join(text + (shown(values[name]) if name else "") for text, name in parts)
            for parts in self._parts
        ]

    @property
    def script(self) -> Path | None:
        """The file that it names behind an interpreter, as ``train.py``, whether or not that is there."""
        first = next((one for one in self.arguments[1:2] if not one.startswith("-")), "")
        is_script = first.endswith(SCRIPTS) and "{" not in first
        return self.folder / Path(first).expanduser() if is_script else None

    def files(self) -> list[Path]:
        """The user's code that it names, the modules that this imports, and files of settings.

        A program on the PATH is none of the user's. A file of another kind may be one that the program
        writes, and does not count.
        """
        found: dict[Path, None] = {}
        for place, argument in enumerate(self.arguments):
            is_code = argument.endswith((*SCRIPTS, *SETTINGS)) if place else "/" in argument
            if "{" in argument or not is_code:
                continue
            path = (self.folder / argument).expanduser().resolve()
            try:
                mine = files_of(path, self.folder) if path.is_file() and not _is_of_system(path) else []
            except OSError:  # too long for a name of a file
                continue
            found |= dict.fromkeys(mine)
        if "-m" in self.arguments[1:-1]:
            module = self.arguments[self.arguments.index("-m") + 1]
            try:
                found |= dict.fromkeys(function_reference(f"{module}:main", self.folder).files())
            except ModelError:  # of another Python, or shown when it is started
                pass
        return list(found)


def shown(value: Any) -> str:
    """A value as an argument: words as they are, all else as in JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _parts_of(argument: str) -> Iterator[tuple[str, str]]:
    try:
        parts = list(Formatter().parse(argument))
    except ValueError as error:
        raise CommandError(
            f"the argument {argument!r} has braces that are no placeholder ({error}); a brace is written "
            "{{ or }}"
        ) from None
    for text, name, form, conversion in parts:
        if name is not None and (form or conversion or not name.isidentifier()):
            raise CommandError(
                f"the argument {argument!r} has braces that are no placeholder, as {{learning_rate}} is one; "
                "write {{ and }} for braces"
            )
        yield text, name or ""


def _is_of_system(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in ("/usr", "/bin", "/sbin", "/lib", "/dev", "/proc"))
