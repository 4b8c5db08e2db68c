"""Charts of a run."""

from hpc.results.plots.data import DoesNotGoError
from hpc.results.plots.registry import CHARTS, Chart, charts

__all__ = ["CHARTS", "Chart", "DoesNotGoError", "charts"]
