"""Charts of a run. Importing the package loads neither matplotlib nor pandas."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
_PLACES = {
    "ChartData": "data", "DoesNotGoError": "data", "svg": "embedding", "CHARTS": "registry",
    "Chart": "registry", "charts": "registry",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load the part that is asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module 'hpc.results.plots' has no attribute {name!r}")
    return getattr(import_module(f"hpc.results.plots.{_PLACES[name]}"), name)
