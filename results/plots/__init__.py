"""Charts of a run."""

from hpc.results.plots.data import ChartData, DoesNotGoError
from hpc.results.plots.embedding import svg
from hpc.results.plots.registry import CHARTS, Chart, charts

__all__ = [
    "CHARTS",
    "Chart",
    "ChartData",
    "DoesNotGoError",
    "charts",
    "svg",
]
