"""What came out: the folder of a run, records, tables."""

from results import moments, selection
from results.failures import said_by, trace_of
from results.pareto import front
from results.records import Records, encodable
from results.report import report
from results.run import (
    MOST_LOST,
    Bill,
    Plan,
    Run,
    RunError,
    claim,
    create,
    record_loss,
    replacing,
    write_text,
)
from results.seal import copies_in, is_kept, seal_in, seal_of, sealed, text_in
from results.statistics import Estimate, estimate
from results.table import FORMATS, cell, leaderboard, points, render, save, table, write_parquet
from results.trial import REASONS, STATES, Attempt, TrialState
from results.winner import Winner, winner

__all__ = [
    "FORMATS",
    "MOST_LOST",
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
    "front",
    "is_kept",
    "leaderboard",
    "moments",
    "points",
    "record_loss",
    "render",
    "replacing",
    "report",
    "said_by",
    "save",
    "seal_in",
    "seal_of",
    "sealed",
    "selection",
    "table",
    "text_in",
    "trace_of",
    "winner",
    "write_parquet",
    "write_text",
]
