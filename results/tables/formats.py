"""Tables as text and as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from hpc.results.store import replacing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[Any]]

from hpc.results.text import cell

_TABULATE = {"table": "simple", "markdown": "pipe", "latex": "latex_booktabs"}


FORMATS = ("table", "csv", "json", "parquet", "markdown", "latex")


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as a file of Parquet."""
    with replacing(path) as scratch, scratch.open("wb") as file:  # pyarrow opens no path that is no UTF-8
        frame.to_parquet(file, index=False)


def render(frame: pd.DataFrame, form: str) -> str:
    """A table as text in one of ``FORMATS`` (except parquet, which is no text).

    Raises:
        ValueError: there is no such format.
    """
    if form == "csv":
        return frame.to_csv(index=False)
    if form == "json":
        return str(frame.to_json(orient="records", indent=2, date_format="iso")) + "\n"
    short = frame.drop(columns=["error"], errors="ignore")
    short = short.assign(error=frame["error"].map(_short_error)) if "error" in frame else short
    if form not in _TABULATE:
        raise ValueError(f"there is no format {form!r}; there are {', '.join(FORMATS)}")
    if form == "table":
        short = short.dropna(axis="columns", how="all")
    return (
        str(
            tabulate(
                [[_for(form, value) for value in row] for row in short.itertuples(index=False)],
                headers=[_for(form, name) for name in short.columns],
                tablefmt=_TABULATE[form],
                disable_numparse=True,
                colalign=["right" if short[name].dtype.kind in "if" else "left" for name in short.columns],
            )
        )
        + "\n"
    )


def _for(form: str, value: Any) -> str:
    """A cell of a table; in Markdown, what would end it or be taken for HTML is escaped."""
    text = cell(value)
    if form != "markdown":
        return text
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")


def _short_error(error: object) -> str | None:
    from hpc.sweeps.text import first_line

    return first_line(error) if isinstance(error, str) and error else None
