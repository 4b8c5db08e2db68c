"""Charts of a run. Importing the package loads neither matplotlib nor pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
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

__getattr__ = lazily(
    __name__,
    {
        "data": ["ChartData", "DoesNotGoError"],
        "embedding": ["svg"],
        "registry": ["CHARTS", "Chart", "charts"],
    },
)
