"""Tables of runs, as pandas DataFrames."""

from hpc.results.tables import selection
from hpc.results.tables.by_epoch import counted_epochs
from hpc.results.tables.by_point import points, trials_by_point
from hpc.results.tables.formats import FORMATS, render, write_parquet
from hpc.results.tables.gathering import save, table
from hpc.results.tables.ranking import leaderboard

__all__ = [
    "FORMATS",
    "counted_epochs",
    "leaderboard",
    "points",
    "render",
    "save",
    "selection",
    "table",
    "trials_by_point",
    "write_parquet",
]
