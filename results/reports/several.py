"""What the page says of several runs together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hpc.results.reports.grids import grid_of
from hpc.results.reports.page import Grid, Part
from hpc.results.reports.parts import flat, without_unknown
from hpc.results.store import encodable


def compared(parts: Sequence[Part]) -> Grid:
    """A row for each run: what it came to."""
    import pandas as pd

    from hpc.results.stats import by_outcome

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
                "best setting": best.name(best.trials) if best else None,
                "mean": found.mean if found else None,
                "low": found.low if found else None,
                "high": found.high if found else None,
                "core_hours": bill["core_hours"].sum(),
                "gpu_hours": bill["gpu_hours"].sum(),
            }
        )
    return grid_of(without_unknown(pd.DataFrame(rows)))


def differing_entries(parts: Sequence[Part]) -> Grid:
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
    return grid_of(pd.DataFrame(rows))


def _entries(part: Part) -> dict[str, str]:
    from hpc.sweeps import SweepError, read

    try:
        sweep = read(part.run.sweep_file).entries
    except SweepError:
        sweep = {}
    found = {f"sweep.{name}": value for name, value in flat(encodable(sweep))}
    found |= {name: value for name, value in part.provenance.items() if name not in ("time", "folder")}
    found |= {f"packages.{name}": value for name, value in part.packages.items()}
    if part.diff:
        found["uncommitted changes"] = hashlib.sha256(part.diff.encode(errors="replace")).hexdigest()[:12]
    return found
