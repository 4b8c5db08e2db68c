"""The speed of a training by its number of ranks: measurements, and a model of them."""

from hpc.results.scaling.devices import Advice, advice, format_duration
from hpc.results.scaling.fits import Line, fitted
from hpc.results.scaling.measurements import SHARES, measure, reductions, rows_of, speed_up
from hpc.results.scaling.model import AlphaBeta, Prediction, factors, fit

__all__ = [
    "SHARES",
    "Advice",
    "AlphaBeta",
    "Line",
    "Prediction",
    "advice",
    "factors",
    "fit",
    "fitted",
    "format_duration",
    "measure",
    "reductions",
    "rows_of",
    "speed_up",
]
