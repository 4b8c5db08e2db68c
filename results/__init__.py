"""What came out: the folder of a run, records, tables."""

from results.records import Records
from results.run import (
    REASONS,
    STATES,
    Attempt,
    Bill,
    Plan,
    Run,
    RunError,
    TrialState,
    claim,
    create,
    replacing,
    write_text,
)
from results.table import FORMATS, cell, leaderboard, points, render, save, table

__all__ = [
    "FORMATS",
    "REASONS",
    "STATES",
    "Attempt",
    "Bill",
    "Plan",
    "Records",
    "Run",
    "RunError",
    "TrialState",
    "cell",
    "claim",
    "create",
    "leaderboard",
    "points",
    "render",
    "replacing",
    "save",
    "table",
    "write_text",
]
