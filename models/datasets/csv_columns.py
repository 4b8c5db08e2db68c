"""The columns of a CSV file, and the options that name some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from csv import Error as CsvError
from csv import reader
from pathlib import Path
from typing import Any

from hpc.models.datasets.paths import format_names
from hpc.models.reference import ModelError
from hpc.sweeps.text import did_you_mean


def read_header(file: Path, sep: str) -> list[str]:
    """The names of the columns; a column without a name gets the name that pandas gives it.

    Raises:
        ModelError: the file can't be read, is not UTF-8, or is empty.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            _, names = next(numbered_rows(lines, sep), (0, []))
    except UnicodeDecodeError:
        raise not_utf8(file) from None
    except (CsvError, OSError) as error:
        raise ModelError(f"{file} can't be read: {error}") from None
    if not names:
        raise ModelError(f"{file} is empty; its first line must hold the names of the columns")
    return [name or f"Unnamed: {index}" for index, name in enumerate(names)]


def numbered_rows(lines: Iterator[str], sep: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that pandas reads, blank lines left out, each with the number of its first line."""
    rows = reader(lines, delimiter=sep, skipinitialspace=sep != " ")
    line = 1
    for fields in rows:
        if any(field.strip() for field in fields) or len(fields) > 1:
            yield line, fields
        line = rows.line_num + 1


def not_utf8(file: Path) -> ModelError:
    """The error of a file that is not UTF-8."""
    return ModelError(f"{file} is not UTF-8 text; save it as such, which Excel calls CSV UTF-8")


def listed_names(option: object) -> list[str]:
    """The columns that an option lists."""
    if isinstance(option, list):
        return [str(name) for name in option]
    return [] if option is None else [str(option)]


def target_names(names: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """The columns to predict: the option ``target``, else the last column that is not dropped."""
    dropped = set(listed_names(options.get("drop")))
    return listed_names(options.get("target")) or [name for name in names if name not in dropped][-1:]


def columns_problem(file: Path, names: Sequence[str], options: Mapping[str, Any]) -> str | None:
    """A sentence about invalid columns of a file, or invalid options that name some, or None."""
    return next(_columns_problems(file, names, options), None)


def _columns_problems(file: Path, names: Sequence[str], options: Mapping[str, Any]) -> Iterator[str]:
    if all(map(_is_number, names)) and list(names) not in _counted(len(names)):
        yield (
            f"{file} begins with the numbers {format_names(names)} where the names of the columns must "
            "stand; add a line with names"
        )
    for name, number in Counter(names).items():
        if number > 1:
            yield f"{file} has {number} columns called {name!r}; give each its own name"
    known = set(names)
    used: dict[str, str] = {}
    for option in ("target", "drop", "one_hot"):
        for name in listed_names(options.get(option)):
            if name not in known:
                yield (
                    f"{option}: there is no column {name!r} in {file}{did_you_mean(name, names)}; "
                    f"there are {format_names(names)}"
                )
            if name in used:
                places = (
                    f"twice under {option}" if used[name] == option else f"under {used[name]} and {option}"
                )
                yield f"the column {name!r} stands {places}; it has one place"
            used[name] = option
    for index, name in enumerate(names):
        if name == f"Unnamed: {index}" and name not in used:
            yield (
                f"{file}: column {index + 1} has no name; if it only numbers the lines, leave it out by "
                f"drop: [{name!r}]"
            )
    targets = target_names(names, options)
    if not known - set(listed_names(options.get("drop"))) - set(targets):
        other = next((sep for sep in ";\t|, " if len(names) == 1 and sep in names[0]), None)
        hint = f"; are columns separated by {other!r}? Then say so by sep" if other else ""
        yield f"{file} has no column to predict from: there is only {format_names(names)}{hint}"
    if len(targets) > 1 and options.get("classes") is True:
        yield f"classes: true stands beside {len(targets)} targets; only a single one can hold classes"
    if options.get("decimal") == "," == options.get("sep", ","):
        yield "a comma can't stand both between two columns (sep) and before a fraction (decimal)"


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _counted(columns: int) -> list[list[str]]:
    """Names by which programs number columns, from 0 or from 1."""
    return [[str(number) for number in range(first, first + columns)] for first in (0, 1)]
