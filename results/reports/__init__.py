"""The report of runs: one self-contained page of HTML."""

from hpc.results.reports.writing import report

__all__ = [
    "report",
]
