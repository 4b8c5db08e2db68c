"""All that the page says of one run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hpc.results.analysis import winner
from hpc.results.store import Run, encodable
from hpc.results.tables import table
from hpc.results.text import cell

if TYPE_CHECKING:
    import pandas as pd

    from hpc.results.plots import Chart

from hpc.results.reports.board import board_of
from hpc.results.reports.grids import grid_of
from hpc.results.reports.page import Figure, Grid, Part, Section

MAX_TEXT = 200_000
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


def part_of(run: Run, prefix: str) -> Part:
    """All that the page says of a run; ``prefix`` stands before every id."""
    from hpc.results.plots import charts
    from hpc.results.stats import by_outcome
    from hpc.results.store import failures

    best, left_out = winner(run), list[str]()
    written, bill = _provenance(run), by_outcome(run)
    packages = written.pop("packages", None)
    git = written.get("git")
    diff = str(git.pop("diff", "") or "") if isinstance(git, dict) else ""
    return Part(
        prefix=prefix,
        run=run,
        winner=best,
        answer=_first_sentence(best.format()) if best else (_no_answer(run), ""),
        overview=_overview(run, bill),
        board=board_of(run, best),
        sections=_sections(charts(run, note=left_out.append), prefix),
        bill=grid_of(without_unknown(bill)),
        source=str(bill.attrs.get("source", "")),
        failures=failures(run),
        failed=run.counts()["failed"],
        provenance=dict(flat(written)),
        packages={str(k): str(v) for k, v in packages.items() if v} if isinstance(packages, dict) else {},
        launches=_launches(run),
        diff=shortened(diff, "provenance.json"),
        sweep=shortened(run.sweep_file.read_text(encoding="utf-8", errors="replace"), "sweep.yaml"),
        left_out=left_out,
        notes=run.notes,
        skipped=_skipped(run),
    )


def without_unknown(bill: pd.DataFrame) -> pd.DataFrame:
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


def _overview(run: Run, bill: pd.DataFrame) -> dict[str, str]:
    """What stands at the top of the page."""
    counts = run.counts()
    states = ", ".join(f"{number} {state}" for state, number in counts.items() if number and state != "total")
    overview = {
        "Objective": f"{'highest' if run.mode == 'max' else 'lowest'} {run.metric}",
        "Trials": f"{counts['total']}: {states}" if states else "none",
        "Searched": ", ".join(run.varying or run.space) or "nothing",
    }
    if run.has_seeds:
        overview["Seeds"] = str(len({trial.seed for trial in run.trials.values()}))
    if run.has_folds:
        overview["Folds"] = str(run.folds)
    for name, unit in (("core_hours", "Core-hours"), ("gpu_hours", "GPU-hours")):
        hours = float(bill[name].sum()) if name in bill else 0.0
        if hours > 0:
            overview[unit] = cell(hours)
    joules = float(bill["energy_joules"].sum()) if "energy_joules" in bill else 0.0
    if joules > 0:
        overview["Energy"] = f"{cell(joules / 3.6e6)} kWh"
    launch = run.launches[-1] if run.launches else {}
    where = [str(launch[name]) for name in ("on",) if launch.get(name)]
    hosts = sorted({trial.attempt.node for trial in run.trials.values() if trial.attempt.node})
    if hosts:
        where.append(hosts[0] if len(hosts) == 1 else f"{len(hosts)} nodes")
    if where:
        overview["Trained on"] = ", ".join(where)
    return overview


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
    from hpc.results.plots import svg

    drawn = svg(chart.draw(), prefix=f"{prefix}{chart.name}-")
    name = f"{prefix}figure-{chart.name}"
    drawn = re.sub(
        r"<svg\b",
        f'<svg role="img" aria-labelledby="{name}-title" aria-describedby="{name}-words"',
        drawn, count=1,
    )  # fmt: skip
    return Figure(name, chart.title, chart.caption, drawn, grid_of(chart.data, digits=7))


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
    return grid_of(pd.DataFrame(rows))


def _skipped(run: Run) -> Grid | None:
    """Lines of records that could not be read, those of epochs included."""
    import pandas as pd

    found = table(run, epochs=True).attrs.get("skipped", {})
    rows = [
        {"file": file, "what": why, "times": number} for file, each in found.items()
        for why, number in each.items()
    ]  # fmt: skip
    return grid_of(pd.DataFrame(rows)) if rows else None


def _provenance(run: Run) -> dict[str, Any]:
    """``provenance.json``; empty where it is missing or can't be read."""
    try:
        found = json.loads((run.folder / "provenance.json").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return encodable(found) if isinstance(found, dict) else {}


def flat(entries: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Entries by their dotted names, as text; those that are empty are left out."""
    for name, value in entries.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name}.")
        elif name == "command" and isinstance(value, list):
            yield f"{before}{name}", shlex.join(map(str, value))
        elif value not in (None, "", False, []):
            yield f"{before}{name}", value if isinstance(value, str) else json.dumps(value)


def shortened(text: str, file: str) -> str:
    """The beginning of a text, and the name of the file that has the rest."""
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}\n… {len(text) - MAX_TEXT} more characters are in {file}."
