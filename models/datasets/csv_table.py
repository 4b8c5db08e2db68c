"""A table as read from a CSV file, with the lines on which its fields stand."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.models.arrays import Array
from hpc.models.reference import ModelError

if TYPE_CHECKING:
    import pandas

from hpc.models.datasets.csv_columns import not_utf8, numbered_rows

INSTEAD_OF_TEXT = "list the column under one_hot if it has a few different values, else under drop"


class Table:
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
        """The columns as float64, of shape (n, columns); :meth:`number` lists what is raised."""
        chosen = self.data[list(names)]
        if all(dtype.kind in "biuf" for dtype in chosen.dtypes):
            whole = np.ascontiguousarray(chosen.to_numpy(np.float64))
            if np.isfinite(whole).all():
                return whole
        return np.stack([self.number(name, instead) for name in names], axis=1)

    def number(self, name: str, instead: str) -> Array:
        """The column as float64, of shape (n,).

        Raises:
            ModelError: a field is infinite, or is text, where ``instead`` is the remedy.
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
        """The option that would make numbers of texts, to be followed by another remedy."""
        texts = self.data[name][bad].astype(str)
        if texts.str.contains(",").mean() <= 0.5 or not np.isfinite(_coerced(texts, ",")).mean() > 0.5:
            return ""
        return 'say decimal: "," if a comma stands before the fraction; else '

    def features(self, targets: Sequence[str], one_hot: Sequence[str]) -> Array:
        """All other columns as float64, of shape (n, features), those of ``one_hot`` expanded."""
        import pandas

        others = {*targets, *one_hot}
        plain = [name for name in self.data.columns if name not in others]
        parts = [self.numbers(plain, INSTEAD_OF_TEXT)] if plain else []
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
            rows = numbered_rows(lines, self.sep)
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


def read_table(file: Path, sep: str, decimal: str, names: Sequence[str]) -> pandas.DataFrame:
    """Read all lines after the first.

    Raises:
        ModelError: the file is not UTF-8, or a line has too many fields.
    """
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
            raise not_utf8(file) from None
        except pandas.errors.ParserWarning:
            raise ModelError(f"{file}: lines have more fields than the {len(names)} columns") from None
        except pandas.errors.ParserError as error:
            raise ModelError(f"{file} can't be read: {str(error).strip()}") from None
