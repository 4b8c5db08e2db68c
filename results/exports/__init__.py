"""Exports of a run to other tools."""

from hpc.results.exports.base import Exported
from hpc.results.exports.registry import TARGETS, export

__all__ = [
    "TARGETS",
    "Exported",
    "export",
]
