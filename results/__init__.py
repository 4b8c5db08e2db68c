"""What came out: the folder of a run, records, tables."""

from hpc.results.analysis import Winner, winner
from hpc.results.notebook import html_of
from hpc.results.reports import report
from hpc.results.stats import Estimate, estimate, front
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
from hpc.results.tables import FORMATS, leaderboard, points, render, save, selection, table, write_parquet
from hpc.results.text import cell, format_traceback

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

if __name__ != "hpc.results":  # where the checkout's own folder is on the path
    raise ImportError("results is a part of hpc here: import hpc.results")

Run.as_html = staticmethod(html_of)
