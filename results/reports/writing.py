"""The report of a run: one page of HTML that holds all it needs, to read, to print and to mail."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hpc.results.store import Run, RunError, replacing
from hpc.results.tables.base import Runs

if TYPE_CHECKING:
    from jinja2 import Environment


from hpc.results.reports.board import MAX_BOARD_ROWS
from hpc.results.reports.parts import part_of, shortened
from hpc.results.reports.several import compared, differing_entries


def report(runs: Runs, out: Path | None = None, refresh_seconds: int | None = None) -> Path:
    """Write the report of a run, or of several with a comparison first.

    The page holds its style, its script and its pictures; it asks for nothing, works from a file and
    without JavaScript, on a phone and on paper. Numbers are as :func:`hpc.results.cell` writes them, and
    those of the leaderboard whole in ``data-value``.

    Args:
        runs: the folder of a run, or several.
        out: the file; ``report.html`` in the folder of the run, or here of several.
        refresh_seconds: after which the page loads itself anew, for a run that is under way.

    Returns:
        The file's path.

    Raises:
        RunError: one of them is not the folder of a run, none is given, or there is no folder for the file.
        OSError: the file can't be written.
    """
    given = [runs] if isinstance(runs, (str, Path, Run)) else list(runs)
    if not given:
        raise RunError("no run is given.")
    opened = [one if isinstance(one, Run) else Run(one) for one in given]
    if out is None:
        out = opened[0].folder / "report.html" if len(opened) == 1 else Path("report.html")
    if out.is_dir():
        raise RunError(f"{out} is a folder; name the file to write, as {out / 'report.html'}.")
    several = len(opened) > 1
    if not out.parent.is_dir():
        raise RunError(f"{out} can't be written: there is no folder {out.parent}.")
    parts = [part_of(run, f"run{place}-" if several else "") for place, run in enumerate(opened, 1)]
    script, style = _source("report.js"), _source("report.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    names = list(dict.fromkeys(run.name for run in opened))
    text = _environment().get_template("report.html").render(
        title=", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
        parts=parts,
        comparison=compared(parts) if several else None,
        differences=differing_entries(parts) if several else None,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        refresh=refresh_seconds,
        script=script,
        style=style,
        digest=digest,
        most_rows=MAX_BOARD_ROWS,
    )  # fmt: skip
    with replacing(out) as scratch:
        scratch.write_text(text, encoding="utf-8", errors="replace")
    return out


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    from hpc.results.text import cut

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined,
    )  # fmt: skip
    environment.filters["breakable"] = lambda text: Markup(  # long names may go on in the next line
        re.sub(r"([_./])", r"\1<wbr>", str(escape(text)))
    )
    environment.filters["coded"] = lambda text: Markup(
        re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    )
    environment.filters["shortened"] = shortened
    environment.filters["cut"] = cut
    environment.filters["trusted"] = Markup  # of this folder's own files, and of matplotlib
    return environment


def _source(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
