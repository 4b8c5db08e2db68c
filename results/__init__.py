"""What came out: the folder of a run, records, tables.

Reading a run loads no NumPy; what reckons and draws is loaded when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc.results.store import (
    REASONS,
    STATES,
    Attempt,
    Bill,
    Plan,
    Records,
    Run,
    RunError,
    TrialState,
    claim,
    copies_in,
    create,
    encodable,
    is_kept,
    moments,
    replacing,
    seal_in,
    seal_of,
    sealed,
    text_in,
    write_text,
)
from hpc.results.text import cell, format_traceback
from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
    from hpc.results.analysis import Winner, winner
    from hpc.results.reports import report
    from hpc.results.stats import Estimate, estimate, front
    from hpc.results.tables import FORMATS, leaderboard, points, render, save, selection, table, write_parquet

__all__ = [
    "FORMATS",
    "REASONS",
    "STATES",
    "Attempt",
    "Bill",
    "Estimate",
    "Plan",
    "Records",
    "Run",
    "RunError",
    "TrialState",
    "Winner",
    "cell",
    "claim",
    "copies_in",
    "create",
    "encodable",
    "estimate",
    "format_traceback",
    "front",
    "is_kept",
    "leaderboard",
    "moments",
    "points",
    "render",
    "replacing",
    "report",
    "save",
    "seal_in",
    "seal_of",
    "sealed",
    "selection",
    "table",
    "text_in",
    "winner",
    "write_parquet",
    "write_text",
]


__getattr__ = lazily(
    __name__,
    {
        "analysis": ["Winner", "winner"],
        "reports": ["report"],
        "stats": ["Estimate", "estimate", "front"],
        "tables": [
            "FORMATS",
            "leaderboard",
            "points",
            "render",
            "save",
            "selection",
            "table",
            "write_parquet",
        ],
    },
)


def _as_html(run: Run) -> str:
    from hpc.results.notebook import html_of

    return html_of(run)


Run.as_html = staticmethod(_as_html)

if __name__ != "hpc.results":  # where the checkout's own folder is on the path
    raise ImportError("results is a part of hpc here: import hpc.results")
