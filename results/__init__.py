"""What came out: the folder of a run, records, tables."""

from hpc.results.analysis.winners import Winner, winner
from hpc.results.reports.writing import report
from hpc.results.stats.pareto import front
from hpc.results.stats.verdicts import Estimate, estimate
from hpc.results.store import moments
from hpc.results.store.failures import said_by, trace_of
from hpc.results.store.records import Records, encodable
from hpc.results.store.run import (
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
from hpc.results.store.seal import copies_in, is_kept, seal_in, seal_of, sealed, text_in
from hpc.results.store.trial import REASONS, STATES, Attempt, TrialState
from hpc.results.tables import selection
from hpc.results.tables.gathering import (
    FORMATS,
    cell,
    leaderboard,
    points,
    render,
    save,
    table,
    write_parquet,
)

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

if __name__ != "hpc.results":  # where the checkout's own folder is on the path
    raise ImportError("results is a part of hpc here: import hpc.results")
