"""Answers about runs: which setting is best, what matters, how two runs differ."""

from hpc.results.analysis.comparison import Comparison, compare
from hpc.results.analysis.fanova import importance, is_log, of_search
from hpc.results.analysis.winners import Winner, winner

__all__ = [
    "Comparison",
    "Winner",
    "compare",
    "importance",
    "is_log",
    "of_search",
    "winner",
]
