"""A user's own data: tables in CSV files, and NumPy's .npz files."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from csv import Error as CsvError
from csv import reader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from hpc.models.dataset import MOST_CLASSES, Array, Classes, say
from hpc.models.reference import ModelError
from hpc.sweeps.text import did_you_mean

if TYPE_CHECKING:
    import pandas

FilePath = Annotated[str, Field(description="the path of a file")]
Columns = Annotated[
    str | Annotated[list[str], Field(min_length=1)],
    Field(description="the name of a column, or a list of names"),
]
Separator = Annotated[
    str, Field(pattern=r'^[^"\r\n]$', description='one character, such as "," or ";" or "\\t"')
]
ArrayName = Annotated[str, Field(min_length=1, description="the name of an array in the file")]

Decimal = Annotated[Literal[".", ","], Field(description='"." or ","')]

PARTS = ("train", "validation", "test")
MOST_TEXTS = 10
"""More different texts than that are no classes if they are more than half as many as samples."""
NUMBERLIKE = re.compile(r"[€$£]?\s*[+-]?\d[\d.,'\s]*[€$£%]?")
"""What a person would read as a number, though Python would not."""


def csv(
    path: FilePath,
    *,
    target: Columns | None = None,
    drop: Columns | None = None,
    one_hot: Columns | None = None,
    classes: Classes = "auto",
    sep: Separator = ",",
    decimal: Decimal = ".",
) -> tuple[Array, Array]:
    """A table in a CSV file: a line with the names of the columns, then one sample per line.

    A target of text, of true and false, or of whole numbers holds classes, which are numbered
    from 0 in sorted order; any other holds numbers to predict. The file is UTF-8. What a target was
    read as is said (:func:`hpc.models.dataset.say`), unless it holds real numbers.

    Args:
        path: relative to the current folder.
        target: the column to predict, or several columns of numbers; unless given the last one
            that is not dropped. All others are features.
        drop: columns to leave out.
        one_hot: features to replace by a column of zeros and ones per value; these come after all
            other features, in sorted order.
        classes: whether the target holds classes; auto decides as said above, but refuses whole
            numbers of which more than 100, or more than half as many as samples, are different, and
            text that looks like numbers, stands among numbers, or is another in nearly every line.
        sep: what stands between two columns.
        decimal: what stands before the fraction of a number.

    Returns:
        x of shape (n, features), float64; y of shape (n,), int32 classes or float64 numbers, or of
        shape (n, targets) for a list of more than one.

    Raises:
        ModelError: the file can't be read, has no such column or no sample; a field is empty or
            infinite, or text where a number is needed; what the target holds can't be told.
    """
    options = {"target": target, "drop": drop, "one_hot": one_hot, "classes": classes, "sep": sep,
               "decimal": decimal}  # fmt: skip
    file = _file(path)
    names = _header(file, sep)
    problem = _columns_problem(file, names, options)
    if problem:
        raise ModelError(problem)
    targets = _targets(names, options)
    data = _read(file, sep, decimal, names).drop(columns=_names(drop))
    table = _Table(file, sep, decimal, names, data)
    table.refuse_missing()
    if len(targets) == 1:
        y = _classes_or_numbers(table, targets[0], classes)
    else:
        y = table.numbers(targets, "several targets can only be numbers to predict")
    return table.features(targets, _names(one_hot)), y


def csv_problem(path: str, options: Mapping[str, Any]) -> str | None:
    """What is wrong with a file and the options of ``csv``, or None; reads only its first line."""
    sep = options.get("sep", ",")
    if not isinstance(sep, str) or len(sep) != 1 or sep in '"\r\n':
        return None  # which the check of the option by itself has said
    try:
        file = _file(path)
        return _columns_problem(file, _header(file, sep), options)
    except ModelError as error:
        return str(error)


def npz(
    path: FilePath, *, x: ArrayName = "x", y: ArrayName = "y"
) -> tuple[Array, Array] | dict[str, tuple[Array, Array]]:
    """Arrays in an .npz file, as ``numpy.savez`` writes it, with one sample per row.

    The file holds the whole as ``x`` and ``y``; or parts as ``x_train`` and ``y_train``, and, if
    there are any, ``x_validation`` and ``y_validation``, ``x_test`` and ``y_test``.

    Args:
        path: relative to the current folder.
        x: name of the array of inputs, or what its parts' names begin with.
        y: likewise of the targets: whole numbers are classes from 0, others numbers to predict.

    Returns:
        The whole ``(x, y)``; or such a pair for each of ``train``, ``validation`` and ``test``
        that is there.

    Raises:
        ModelError: the file can't be read, holds no such arrays, or holds Python objects.
    """
    file = _file(path)
    names = _array_names(file)
    problem = _arrays_problem(file, names, x, y)
    if problem:
        raise ModelError(problem)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if x in names and y in names:
                return arrays[x], arrays[y]
            return {
                part: (arrays[f"{x}_{part}"], arrays[f"{y}_{part}"])
                for part in PARTS
                if f"{x}_{part}" in names
            }
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"{file} can't be read: {error}") from None


def npz_problem(path: str, options: Mapping[str, Any]) -> str | None:
    """What is wrong with a file and the options of ``npz``, or None; reads only the names in it."""
    try:
        file = _file(path)
        return _arrays_problem(
            file, _array_names(file), str(options.get("x", "x")), str(options.get("y", "y"))
        )
    except ModelError as error:
        return str(error)


def _file(path: str) -> Path:
    file = Path(path).expanduser()
    if file.is_dir():
        raise ModelError(f"{file} is a folder, not a file")
    if not file.is_file():
        others = [other.name for other in file.parent.glob(f"*{file.suffix}")]
        raise ModelError(f"there is no file {file}{did_you_mean(file.name, others)}")
    return file


# CSV


class _Table:
    """A table as read, which can say where in the file something stands.

    Attributes:
        file: where it is from.
        sep: what stands between two columns there.
        decimal: what stands before the fraction of a number there.
        names: of all columns there.
        data: without the columns that are left out.
    """

    def __init__(
        self, file: Path, sep: str, decimal: str, names: Sequence[str], data: pandas.DataFrame
    ) -> None:
        self.file, self.sep, self.decimal, self.names, self.data = file, sep, decimal, names, data

    def refuse_missing(self) -> None:
        """Raise ModelError if there is no row, or a field with no value in it."""
        if self.data.empty:
            raise ModelError(f"{self.file} holds no samples: no line follows the names of the columns")
        missing = self.data.isna().to_numpy()
        rows = np.flatnonzero(missing.any(axis=1))
        if len(rows):
            name = str(self.data.columns[missing[rows[0]].argmax()])
            more = f", the first of {len(rows)} such lines" if len(rows) > 1 else ""
            raise ModelError(
                f"{self.file}: the column {name!r} holds no value in {self.cells(rows[:1], name)}{more}; "
                "fill in what is missing, take the lines out, or list the column under drop"
            )

    def numbers(self, names: Sequence[str], instead: str) -> Array:
        """Those columns as float64, of shape (n, columns); :meth:`number` says what is raised."""
        chosen = self.data[list(names)]
        if all(dtype.kind in "biuf" for dtype in chosen.dtypes):
            whole = np.ascontiguousarray(chosen.to_numpy(np.float64))
            if np.isfinite(whole).all():
                return whole
        return np.stack([self.number(name, instead) for name in names], axis=1)

    def number(self, name: str, instead: str) -> Array:
        """The column as float64, of shape (n,).

        Raises:
            ModelError: a field is infinite, or is text, where ``instead`` says what to do.
        """
        values = self.coerced(name)
        for bad, what, remedy in (
            (np.isnan(values), "text", instead),
            (np.isinf(values), "an infinite number", "correct it, or take the line out"),
        ):
            if bad.any():
                raise ModelError(
                    f"{self.file}: the column {name!r} holds {what} in {self.some(bad, name)}, "
                    f"where a number is needed; {self.hint(name, bad)}{remedy}"
                )
        return values

    def is_text(self, name: str) -> bool:
        """Whether some field is no number, or all are true or false."""
        return self.data[name].dtype == bool or bool(np.isnan(self.coerced(name)).any())

    def hint(self, name: str, bad: Array) -> str:
        """What option would make numbers of texts, to be followed by what else could be done."""
        texts = self.data[name][bad].astype(str)
        if texts.str.contains(",").mean() <= 0.5 or not np.isfinite(_coerced(texts, ",")).mean() > 0.5:
            return ""
        return 'say decimal: "," if a comma stands before the fraction; else '

    def features(self, targets: Sequence[str], one_hot: Sequence[str]) -> Array:
        """All other columns as float64, of shape (n, features), those of ``one_hot`` expanded."""
        import pandas

        others = {*targets, *one_hot}
        plain = [name for name in self.data.columns if name not in others]
        parts = [self.numbers(plain, _INSTEAD_OF_TEXT)] if plain else []
        parts += [pandas.get_dummies(self.data[name]).to_numpy(np.float64) for name in one_hot]
        return np.concatenate(parts, axis=1)

    def some(self, bad: Array, name: str) -> str:
        """Where the first of some fields stand, and how many they are."""
        rows = np.flatnonzero(bad)
        more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        return f"{self.cells(rows[:3], name)}{more}"

    def cells(self, wanted: Iterable[np.integer[Any]], name: str) -> str:
        """Where fields stand and what they hold, as ``line 7 ('NA'), line 9 ('?')``."""
        places, column = [int(row) for row in wanted], list(self.names).index(name)
        found: dict[int, str] = {}
        with self.file.open(encoding="utf-8-sig", newline="") as lines:
            rows = _rows(lines, self.sep)
            next(rows)
            for index, (line, fields) in enumerate(rows):
                if index in places:
                    found[index] = f"line {line} ({fields[column] if column < len(fields) else ''!r})"
                if len(found) == len(places):
                    break
        return ", ".join(found.get(row, f"sample {row + 1}") for row in places)  # if the file has changed

    def coerced(self, name: str) -> Array:
        """The column as float64, NaN where it holds no number."""
        return _coerced(self.data[name], self.decimal)


def _coerced(column: pandas.Series[Any], decimal: str) -> Array:
    import pandas

    if decimal != "." and column.dtype.kind not in "biuf":  # else pandas has read it so
        column = column.astype(str).str.replace(decimal, ".")
    return pandas.to_numeric(column, errors="coerce").to_numpy(np.float64)


_INSTEAD_OF_TEXT = "list the column under one_hot if it has a few different values, else under drop"


def _classes_or_numbers(table: _Table, name: str, classes: bool | Literal["auto"]) -> Array:
    """The target: int32 class numbers or float64 numbers, of shape (n,)."""
    column = table.data[name]
    if table.is_text(name):
        if classes is False:
            return table.number(name, "correct it, take the line out, or leave classes: false out")
        if classes == "auto" and column.dtype != bool:
            _refuse_texts(table, name)
        numbers = _numbered(column.to_numpy() if column.dtype == bool else column.astype(str).to_numpy())
        kind = "true and false" if column.dtype == bool else "text"
        say(f"{table.file.name}: the target {name!r} was read as {numbers.max() + 1} classes of {kind}")
        return numbers
    values = table.number(name, "")
    if classes is False or (classes == "auto" and (values != np.floor(values)).any()):
        return values
    different = len(np.unique(values))
    if classes == "auto" and (different > MOST_CLASSES or different > len(values) / 2):
        raise ModelError(
            f"{table.file}: the target {name!r} holds whole numbers, {different} different ones in "
            f"{len(values)} samples; say classes: true if each is a class, classes: false if they are "
            "numbers to predict"
        )
    numbers = _numbered(values)
    instead = "; classes: false takes them as numbers to predict" if classes == "auto" else ""
    say(f"{table.file.name}: the target {name!r} was read as {numbers.max() + 1} classes, since it holds "
        f"whole numbers{instead}")  # fmt: skip
    return numbers


def _refuse_texts(table: _Table, name: str) -> None:
    """Raise ModelError if a target of text seems to hold numbers, or something else than classes."""
    texts = table.data[name].astype(str)
    bad = np.isnan(table.coerced(name))
    doubt = ""
    if not bad.all():
        doubt = f"holds numbers, but text in {table.some(bad, name)}"
    elif texts.map(lambda text: NUMBERLIKE.fullmatch(text.strip()) is not None).mean() > 0.5:
        doubt = f"holds what looks like numbers, but is text: {table.some(bad, name)}"
    elif MOST_TEXTS < (different := texts.nunique()) > len(texts) / 2:
        doubt = f"holds {different} different texts in {len(texts)} samples: {table.some(bad, name)}"
    if doubt:
        raise ModelError(
            f"{table.file}: the target {name!r} {doubt}; {table.hint(name, bad)}correct them or take the "
            "lines out if these are numbers to predict, say classes: true if each text is a class"
        )


def _numbered(values: Array) -> Array:
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def _read(file: Path, sep: str, decimal: str, names: Sequence[str]) -> pandas.DataFrame:
    import pandas

    # Left to itself pandas would take the first column for an index where lines are too long.
    with file.open(encoding="utf-8-sig", newline="") as lines, warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            return pandas.read_csv(
                lines,
                sep=sep,
                decimal=decimal,
                names=list(names),
                header=0,
                index_col=False,
                skipinitialspace=sep != " ",
                low_memory=False,
            )
        except UnicodeDecodeError:
            raise _not_utf8(file) from None
        except pandas.errors.ParserWarning:
            raise ModelError(f"{file}: lines have more fields than the {len(names)} columns") from None
        except pandas.errors.ParserError as error:
            raise ModelError(f"{file} can't be read: {str(error).strip()}") from None


def _header(file: Path, sep: str) -> list[str]:
    """The names of the columns; one without a name has pandas' name for it."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            _, names = next(_rows(lines, sep), (0, []))
    except UnicodeDecodeError:
        raise _not_utf8(file) from None
    except (CsvError, OSError) as error:
        raise ModelError(f"{file} can't be read: {error}") from None
    if not names:
        raise ModelError(f"{file} is empty; its first line must hold the names of the columns")
    return [name or f"Unnamed: {index}" for index, name in enumerate(names)]


def _rows(lines: Iterator[str], sep: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that pandas reads, blank lines left out, each with the number of its first line."""
    rows = reader(lines, delimiter=sep, skipinitialspace=sep != " ")
    line = 1
    for fields in rows:
        if any(field.strip() for field in fields) or len(fields) > 1:
            yield line, fields
        line = rows.line_num + 1


def _not_utf8(file: Path) -> ModelError:
    return ModelError(f"{file} is not UTF-8 text; save it as such, which Excel calls CSV UTF-8")


def _names(option: object) -> list[str]:
    """The columns that an option lists."""
    if isinstance(option, list):
        return [str(name) for name in option]
    return [] if option is None else [str(option)]


def _targets(names: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    dropped = set(_names(options.get("drop")))
    return _names(options.get("target")) or [name for name in names if name not in dropped][-1:]


def _columns_problem(file: Path, names: Sequence[str], options: Mapping[str, Any]) -> str | None:
    """What is wrong with the columns of a file and the options that name some, or None."""
    return next(_columns_problems(file, names, options), None)


def _columns_problems(file: Path, names: Sequence[str], options: Mapping[str, Any]) -> Iterator[str]:
    if all(map(_is_number, names)) and list(names) not in _counted(len(names)):
        yield (
            f"{file} begins with the numbers {_some(names)} where the names of the columns must stand; "
            "add a line with names"
        )
    for name, number in Counter(names).items():
        if number > 1:
            yield f"{file} has {number} columns called {name!r}; give each its own name"
    known = set(names)
    used: dict[str, str] = {}
    for option in ("target", "drop", "one_hot"):
        for name in _names(options.get(option)):
            if name not in known:
                yield (
                    f"{option}: there is no column {name!r} in {file}{did_you_mean(name, names)}; "
                    f"there are {_some(names)}"
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
    targets = _targets(names, options)
    if not known - set(_names(options.get("drop"))) - set(targets):
        other = next((sep for sep in ";\t|, " if len(names) == 1 and sep in names[0]), None)
        hint = f"; are columns separated by {other!r}? Then say so by sep" if other else ""
        yield f"{file} has no column to predict from: there is only {_some(names)}{hint}"
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


# .npz


def _array_names(file: Path) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"{file} is no .npz file, as numpy.savez writes it: {error}") from None


def _arrays_problem(file: Path, names: Sequence[str], x: str, y: str) -> str | None:
    """What is wrong with the arrays of a file and the two names, or None."""
    pairs = {part: (f"{x}_{part}", f"{y}_{part}") for part in PARTS}
    if x in names and y in names:
        return None
    for pair in ((x, y), *pairs.values()):
        missing = [name for name in pair if name not in names]
        if len(missing) == 1:
            there = pair[0] if missing[0] == pair[1] else pair[1]
            return (
                f"there is {there!r} in {file}, but no {missing[0]!r}{did_you_mean(missing[0], names)}; "
                f"there are {_some(names)}"
            )
    if pairs["train"][0] not in names:
        return (
            f"there are neither {x!r} and {y!r} in {file} nor {' and '.join(map(repr, pairs['train']))}; "
            f"there are {_some(names) or 'no arrays'}. Say by x and y which hold the inputs and the targets"
        )
    return None


def _some(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, … ({len(names)} in all)"
