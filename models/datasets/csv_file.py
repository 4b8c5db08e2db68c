"""Tables in CSV files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from hpc.models.arrays import Array
from hpc.models.datasets.csv_columns import columns_problem, listed_names, read_header, target_names
from hpc.models.datasets.csv_table import Table, read_table
from hpc.models.datasets.paths import FilePath, find_file
from hpc.models.notes import add_note
from hpc.models.reference import ModelError
from hpc.models.splitting import Classes
from hpc.models.targets import MAX_CLASSES

Columns = Annotated[
    str | Annotated[list[str], Field(min_length=1)],
    Field(description="the name of a column, or a list of names"),
]
Separator = Annotated[
    str, Field(pattern=r'^[^"\r\n]$', description='one character, such as "," or ";" or "\\t"')
]
Decimal = Annotated[Literal[".", ","], Field(description='"." or ","')]


MAX_TEXTS = 10
"""More different texts than that are no classes if they are more than half as many as samples."""
NUMBERLIKE = re.compile(r"[€$£]?\s*[+-]?\d[\d.,'\s]*[€$£%]?")
"""Texts that a person would read as a number, though Python would not."""


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
    from 0 in sorted order; any other holds numbers to predict. The file is UTF-8. How a target was
    read is noted (:func:`hpc.models.notes.add_note`), unless it holds real numbers.

    Args:
        path: relative to the current folder.
        target: the column to predict, or several columns of numbers; unless given the last one
            that is not dropped. All others are features.
        drop: columns to leave out.
        one_hot: features to replace by a column of zeros and ones per value; these come after all
            other features, in sorted order.
        classes: whether the target holds classes; auto decides as described above, but refuses whole
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
    file = find_file(path)
    names = read_header(file, sep)
    problem = columns_problem(file, names, options)
    if problem:
        raise ModelError(problem)
    targets = target_names(names, options)
    data = read_table(file, sep, decimal, names).drop(columns=listed_names(drop))
    table = Table(file, sep, decimal, names, data)
    table.refuse_missing()
    if len(targets) == 1:
        y = _classes_or_numbers(table, targets[0], classes)
    else:
        y = table.numbers(targets, "several targets can only be numbers to predict")
    return table.features(targets, listed_names(one_hot)), y


def csv_problem(path: str, options: Mapping[str, Any]) -> str | None:
    """A sentence about an invalid file or option of ``csv``, or None; reads only the first line."""
    sep = options.get("sep", ",")
    if not isinstance(sep, str) or len(sep) != 1 or sep in '"\r\n':
        return None  # the check of the option by itself reports it
    try:
        file = find_file(path)
        return columns_problem(file, read_header(file, sep), options)
    except ModelError as error:
        return str(error)


def _classes_or_numbers(table: Table, name: str, classes: bool | Literal["auto"]) -> Array:
    """The target: int32 class numbers or float64 numbers, of shape (n,)."""
    column = table.data[name]
    if table.is_text(name):
        if classes is False:
            return table.number(name, "correct it, take the line out, or leave classes: false out")
        if classes == "auto" and column.dtype != bool:
            _refuse_texts(table, name)
        numbers = _numbered(column.to_numpy() if column.dtype == bool else column.astype(str).to_numpy())
        kind = "true and false" if column.dtype == bool else "text"
        add_note(f"{table.file.name}: the target {name!r} was read as {numbers.max() + 1} classes of {kind}")
        return numbers
    values = table.number(name, "")
    if classes is False or (classes == "auto" and (values != np.floor(values)).any()):
        return values
    different = len(np.unique(values))
    if classes == "auto" and (different > MAX_CLASSES or different > len(values) / 2):
        raise ModelError(
            f"{table.file}: the target {name!r} holds whole numbers, {different} different ones in "
            f"{len(values)} samples; say classes: true if each is a class, classes: false if they are "
            "numbers to predict"
        )
    numbers = _numbered(values)
    instead = "; classes: false takes them as numbers to predict" if classes == "auto" else ""
    add_note(
        f"{table.file.name}: the target {name!r} was read as {numbers.max() + 1} classes, since it holds "
        f"whole numbers{instead}"
    )
    return numbers


def _refuse_texts(table: Table, name: str) -> None:
    """Raise ModelError if a target of text seems to hold numbers, or something else than classes."""
    texts = table.data[name].astype(str)
    bad = np.isnan(table.coerced(name))
    doubt = ""
    if not bad.all():
        doubt = f"holds numbers, but text in {table.some(bad, name)}"
    elif texts.map(lambda text: NUMBERLIKE.fullmatch(text.strip()) is not None).mean() > 0.5:
        doubt = f"holds what looks like numbers, but is text: {table.some(bad, name)}"
    elif MAX_TEXTS < (different := texts.nunique()) > len(texts) / 2:
        doubt = f"holds {different} different texts in {len(texts)} samples: {table.some(bad, name)}"
    if doubt:
        raise ModelError(
            f"{table.file}: the target {name!r} {doubt}; {table.hint(name, bad)}correct them or take the "
            "lines out if these are numbers to predict, say classes: true if each text is a class"
        )


def _numbered(values: Array) -> Array:
    return np.unique(values, return_inverse=True)[1].astype(np.int32)
