"""The report of a run: one page of HTML that holds all it needs, to read, to print and to mail."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.results.analysis.winners import Winner, winner
from hpc.results.store.records import encodable
from hpc.results.store.run import Run, RunError, replacing
from hpc.results.tables.gathering import Runs, by_point, cell, leaderboard, table

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment

    from hpc.results.plots.registry import Chart
    from hpc.results.store.failures import Failure

MOST_ROWS = 1000
"""Points in the leaderboard of a page."""
MOST_DATA = 2000
"""Rows of the data of a figure."""
MOST_TEXT = 200_000
"""Characters of a diff or a traceback."""
_SECTIONS = (
    ("matters", "What matters", ("importance", "effects")),
    ("heatmaps", "Heat maps", ("heatmap",)),
    ("curves", "Learning curves", ("points", "curves")),
    ("coordinates", "Parallel coordinates", ("parallel",)),
    ("progress", "Progress against cost", ("progress",)),
    ("cost", "Cost", ("cost",)),
)
"""Sections with figures: id, title, names of charts."""
_WHISKER = 94.0  # pixels of the axis on which the leaderboard draws intervals


@dataclass(frozen=True)
class Cell:
    """A value in a table of the page: as it is read, and whole, as sorting and copying take it."""

    text: str
    value: str
    is_number: bool


@dataclass(frozen=True)
class Grid:
    """A table of the page.

    Attributes:
        columns: their names.
        rows: cells, as many in each as there are columns.
        more: how many further rows there are that the page leaves out.
    """

    columns: list[str]
    rows: list[list[Cell]]
    more: int = 0

    def is_numeric(self, place: int) -> bool:
        """Whether a column holds numbers, and so stands to the right."""
        cells = [row[place] for row in self.rows if row[place].value]
        return bool(cells) and all(one.is_number for one in cells)


@dataclass(frozen=True)
class Figure:
    """A chart as it stands in the page."""

    name: str
    title: str
    words: str
    svg: str
    data: Grid


@dataclass(frozen=True)
class Section:
    """A part of the page with figures."""

    name: str
    title: str
    figures: list[Figure]


@dataclass(frozen=True)
class Board:
    """The leaderboard: its table and, row by row, what goes beside it.

    Attributes:
        grid: the table.
        best: the column of the objective.
        trials: the id of each row's best trial.
        ties: of which rows can't be told from the first.
        whiskers: ``(low, mean, high)`` of each row on an axis of 100 pixels, the mean None where it is
            beyond; empty without intervals.
        hint: an example of what may stand in the filter.
    """

    grid: Grid
    best: str
    trials: list[str]
    ties: list[bool]
    whiskers: list[tuple[float, float | None, float]]
    hint: str


@dataclass(frozen=True)
class Part:
    """All that the page says of one run.

    Attributes:
        prefix: of every id, so that two runs do not share one.
        run: as read.
        winner: the best point; None while there is none.
        answer: the best point in words: a sentence, and what else there is to say of it.
        facts: what the reader wants to know first, by its name.
        board: the leaderboard.
        sections: with figures.
        bill: hours by outcome.
        source: whose clock the bill goes by.
        failures: grouped.
        failed: number of trials that have failed.
        provenance: what the run was made with, by dotted names.
        packages: versions by name.
        launches: each time that the run was started.
        diff: uncommitted changes.
        sweep: the text of the sweep file.
        left_out: why some figures are not there.
        notes: what workers had to say.
        skipped: lines of records that could not be read: file, why, how many.
    """

    prefix: str
    run: Run
    winner: Winner | None
    answer: tuple[str, str]
    facts: dict[str, str]
    board: Board
    sections: list[Section]
    bill: Grid
    source: str
    failures: list[Failure]
    failed: int
    provenance: dict[str, str]
    packages: dict[str, str]
    launches: Grid
    diff: str
    sweep: str
    left_out: list[str]
    notes: list[str]
    skipped: Grid | None


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
    parts = [_part(run, f"run{place}-" if several else "") for place, run in enumerate(opened, 1)]
    script, style = _source("report.js"), _source("report.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    names = list(dict.fromkeys(run.name for run in opened))
    text = _environment().get_template("report.html").render(
        title=", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
        parts=parts,
        comparison=_comparison(parts) if several else None,
        differences=_differences(parts) if several else None,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        refresh=refresh_seconds,
        script=script,
        style=style,
        digest=digest,
        most_rows=MOST_ROWS,
    )  # fmt: skip
    with replacing(out) as scratch:
        scratch.write_text(text, encoding="utf-8", errors="replace")
    return out


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    from hpc.results.store.failures import cut

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
    environment.filters["shortened"] = _shortened
    environment.filters["cut"] = cut
    environment.filters["trusted"] = Markup  # of this folder's own files, and of matplotlib
    return environment


def _source(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _part(run: Run, prefix: str) -> Part:
    from hpc.results.plots.registry import charts
    from hpc.results.stats.cost import by_outcome
    from hpc.results.store.failures import failures

    best, left_out = winner(run), list[str]()
    facts, bill = _provenance(run), by_outcome(run)
    packages = facts.pop("packages", None)
    git = facts.get("git")
    diff = str(git.pop("diff", "") or "") if isinstance(git, dict) else ""
    return Part(
        prefix=prefix,
        run=run,
        winner=best,
        answer=_first_sentence(best.words()) if best else (_no_answer(run), ""),
        facts=_facts(run, bill),
        board=_board(run, best),
        sections=_sections(charts(run, note=left_out.append), prefix),
        bill=_grid(_without_unknown(bill)),
        source=str(bill.attrs.get("source", "")),
        failures=failures(run),
        failed=run.counts()["failed"],
        provenance=dict(_flat(facts)),
        packages={str(k): str(v) for k, v in packages.items() if v} if isinstance(packages, dict) else {},
        launches=_launches(run),
        diff=_shortened(diff, "provenance.json"),
        sweep=_shortened(run.sweep_file.read_text(encoding="utf-8", errors="replace"), "sweep.yaml"),
        left_out=left_out,
        notes=run.notes,
        skipped=_skipped(run),
    )


def _without_unknown(bill: pd.DataFrame) -> pd.DataFrame:
    """A bill without what nobody could measure, and without GPUs where there were none."""
    bill = bill.dropna(axis="columns", how="all")
    none = [name for name in ("gpu_hours",) if name in bill and not bill[name].any()]
    return bill.drop(columns=none)


def _no_answer(run: Run) -> str:
    counts = run.counts()
    if counts["total"] and counts["failed"] == counts["total"]:
        return f"No trial has a value of {run.metric}: all {counts['total']} have failed."
    return f"No trial has ended with a value of {run.metric} yet."


def _first_sentence(text: str) -> tuple[str, str]:
    first, stop, rest = text.partition(". ")
    return first + stop.strip(), rest


def _facts(run: Run, bill: pd.DataFrame) -> dict[str, str]:
    """What stands at the top of the page."""
    counts = run.counts()
    states = ", ".join(f"{number} {state}" for state, number in counts.items() if number and state != "total")
    facts = {
        "Objective": f"{'highest' if run.mode == 'max' else 'lowest'} {run.metric}",
        "Trials": f"{counts['total']}: {states}" if states else "none",
        "Searched": ", ".join(run.varying or run.space) or "nothing",
    }
    if run.has_seeds:
        facts["Seeds"] = str(len({trial.seed for trial in run.trials.values()}))
    if run.has_folds:
        facts["Folds"] = str(run.folds)
    for name, unit in (("core_hours", "Core-hours"), ("gpu_hours", "GPU-hours")):
        hours = float(bill[name].sum()) if name in bill else 0.0
        if hours > 0:
            facts[unit] = cell(hours)
    joules = float(bill["energy_joules"].sum()) if "energy_joules" in bill else 0.0
    if joules > 0:
        facts["Energy"] = f"{cell(joules / 3.6e6)} kWh"
    launch = run.launches[-1] if run.launches else {}
    where = [str(launch[name]) for name in ("on",) if launch.get(name)]
    hosts = sorted({trial.attempt.node for trial in run.trials.values() if trial.attempt.node})
    if hosts:
        where.append(hosts[0] if len(hosts) == 1 else f"{len(hosts)} nodes")
    if where:
        facts["Trained on"] = ", ".join(where)
    return facts


def _board(run: Run, best: Winner | None) -> Board:
    frame, column = leaderboard(run, top=MOST_ROWS), f"best_{run.metric}"
    place = [str(name) for name in frame]
    searched = [name for name in place[1 : place.index(column)] if name in run.varying]
    first = ["rank", column]  # what a narrow screen has room for
    frame = frame[first + [name for name in frame if name not in first]]
    points = len(by_point(run, run.ranked()))
    grid = _grid(frame, most=MOST_ROWS)
    trials = [str(name) for name in frame["trial_id"]]
    tied = {point[0].trial_id for point in best.ties} if best and _is_told(best) else set()
    return Board(
        Grid(grid.columns, grid.rows, points - len(frame)),
        column,
        trials,
        [name in tied for name in trials],
        _whiskers(frame, column),
        _hint(frame, searched, column, run.mode),
    )


def _is_told(best: Winner) -> bool:
    """Whether anything is known of which points are tied, as with one seed it is not."""
    return any(not math.isnan(rival.p) for rival in best.verdict.rivals)


def _hint(frame: pd.DataFrame, names: Sequence[str], best: str, mode: str) -> str:
    """An example for the filter: a number that varies, and the better half of the points."""
    import pandas as pd

    terms = []
    for name in reversed([name for name in names if '"' not in name]):
        if pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name]):
            terms.append(f"{_quoted(name)}<{cell(frame[name].max())}")
            break
    if len(frame):
        terms.append(f"{_quoted(best)}{'>=' if mode == 'max' else '<='}{cell(float(frame[best].median()))}")
    return " ".join(terms)


def _quoted(name: str) -> str:
    return f'"{name}"' if re.search(r"[\s<>=!]", name) else name


def _whiskers(frame: pd.DataFrame, column: str) -> list[tuple[float, float | None, float]]:
    """Intervals on an axis of the best third of the points, cut where it ends.

    The worst points are often so far off that those among which one chooses would be a dot.
    """
    if "low" not in frame or not frame["low"].notna().any():
        return []
    means = [float(value) for value in frame[column]]
    typical = float((frame["high"] - frame["low"]).median())
    some = sorted((means[0], means[len(means) // 3]))
    first, last = some[0] - typical / 2, some[1] + typical / 2
    width = (last - first) or 1.0

    def at(value: float) -> float:
        return round(3 + _WHISKER * min(1.0, max(0.0, (value - first) / width)), 1)

    found: list[tuple[float, float | None, float]] = []
    for low, mean, high in zip(frame["low"], means, frame["high"], strict=True):
        ends = (mean, mean) if math.isnan(low) else (float(low), float(high))
        found.append((at(ends[0]), at(mean) if first <= mean <= last else None, at(ends[1])))
    return found


def _sections(found: Sequence[Chart], prefix: str) -> list[Section]:
    """The charts by where they stand; one that no section knows has its own."""
    known = {name for _, _, names in _SECTIONS for name in names}
    sections = [
        Section(name, title, [_figure(chart, prefix) for chart in found if chart.name in names])
        for name, title, names in _SECTIONS
    ]
    sections += [
        Section(f"chart-{chart.name}", chart.title, [_figure(chart, prefix)])
        for chart in found if chart.name not in known
    ]  # fmt: skip
    return sections


def _figure(chart: Chart, prefix: str) -> Figure:
    from hpc.results.plots.registry import svg

    drawn = svg(chart.draw(), prefix=f"{prefix}{chart.name}-")
    name = f"{prefix}figure-{chart.name}"
    drawn = re.sub(
        r"<svg\b",
        f'<svg role="img" aria-labelledby="{name}-title" aria-describedby="{name}-words"',
        drawn, count=1,
    )  # fmt: skip
    return Figure(name, chart.title, chart.words, drawn, _grid(chart.data, digits=7))


def _launches(run: Run) -> Grid:
    import pandas as pd

    rows = [
        {
            "time": f"{datetime.fromtimestamp(launch.get('time', 0), UTC):%Y-%m-%d %H:%M:%S} UTC",
            "profile": launch.get("on"),
            "cluster": launch.get("cluster"),
            "workers": launch.get("workers"),
            "ranks": launch.get("ranks"),
            "trials": launch.get("trials"),
        }
        for launch in run.launches
    ]
    return _grid(pd.DataFrame(rows))


def _skipped(run: Run) -> Grid | None:
    """Lines of records that could not be read, those of epochs included."""
    import pandas as pd

    found = table(run, epochs=True).attrs.get("skipped", {})
    rows = [
        {"file": file, "what": why, "times": number} for file, each in found.items()
        for why, number in each.items()
    ]  # fmt: skip
    return _grid(pd.DataFrame(rows)) if rows else None


def _provenance(run: Run) -> dict[str, Any]:
    """``provenance.json``; empty where it is missing or can't be read."""
    try:
        found = json.loads((run.folder / "provenance.json").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return encodable(found) if isinstance(found, dict) else {}


def _flat(entries: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Entries by their dotted names, as text; those that are empty are left out."""
    for name, value in entries.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        elif name == "command" and isinstance(value, list):
            yield f"{before}{name}", shlex.join(map(str, value))
        elif value not in (None, "", False, []):
            yield f"{before}{name}", value if isinstance(value, str) else json.dumps(value)


def _shortened(text: str, file: str) -> str:
    if len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]}\n… {len(text) - MOST_TEXT} more characters are in {file}."


def _comparison(parts: Sequence[Part]) -> Grid:
    """A row for each run: what it came to."""
    import pandas as pd

    from hpc.results.stats.cost import by_outcome

    rows = []
    for part in parts:
        counts, best, bill = part.run.counts(), part.winner, by_outcome(part.run)
        found = best.verdict.estimate if best else None
        rows.append(
            {
                "run": encodable(str(part.run.folder)),
                "sweep": part.run.name,
                "objective": f"{part.run.mode} {part.run.metric}",
                "trials": counts["total"],
                "finished": counts["finished"] + counts["pruned"],
                "failed": counts["failed"],
                "best point": best.name(best.trials) if best else None,
                "mean": found.mean if found else None,
                "low": found.low if found else None,
                "high": found.high if found else None,
                "core_hours": bill["core_hours"].sum(),
                "gpu_hours": bill["gpu_hours"].sum(),
            }
        )
    return _grid(_without_unknown(pd.DataFrame(rows)))


def _differences(parts: Sequence[Part]) -> Grid:
    """Entries of the sweep files and of the provenance in which runs differ, with the value in each."""
    import pandas as pd

    each = [_entries(part) for part in parts]
    names = dict.fromkeys(name for entries in each for name in entries)
    rows = []
    for name in names:
        values = [entries.get(name, "") for entries in each]
        if len(set(values)) > 1:
            columns = {f"run {place}": value for place, value in enumerate(values, 1)}
            rows.append({"entry": name, **columns})
    return _grid(pd.DataFrame(rows))


def _entries(part: Part) -> dict[str, str]:
    from hpc.sweeps import SweepError, read

    try:
        sweep = read(part.run.sweep_file).entries
    except SweepError:
        sweep = {}
    found = {f"sweep.{name}": value for name, value in _flat(encodable(sweep))}
    found |= {name: value for name, value in part.provenance.items() if name not in ("time", "folder")}
    found |= {f"packages.{name}": value for name, value in part.packages.items()}
    if part.diff:
        found["uncommitted changes"] = hashlib.sha256(part.diff.encode(errors="replace")).hexdigest()[:12]
    return found


def _grid(frame: pd.DataFrame, most: int = MOST_DATA, digits: int | None = None) -> Grid:
    """A table of the page from a DataFrame.

    Args:
        frame: any.
        most: rows.
        digits: of real numbers, where they are to be copied; else they are as a person reads them.
    """
    shown = frame.head(most)
    columns = [[_cell(value, digits) for value in shown.iloc[:, place]] for place in range(frame.shape[1])]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Grid([str(name) for name in frame], rows, len(frame) - len(shown))


def _cell(value: Any, digits: int | None) -> Cell:
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()  # of numpy
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return Cell("", "", False)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return Cell(str(value), str(value), False)
    if isinstance(value, float) and math.isnan(value):
        return Cell("", "", True)
    if digits is not None and isinstance(value, float):
        return Cell(f"{value:.{digits}g}", f"{value:.{digits}g}", True)
    return Cell(cell(value), repr(value), True)
