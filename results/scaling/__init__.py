"""The speed of a training by its number of ranks: measurements, and a model of them."""

from hpc.results.scaling.devices import Advice, advice, format_duration
from hpc.results.scaling.fits import Line, fitted
from hpc.results.scaling.measurements import SHARES, measure, reductions, rows_of, speed_up
from hpc.results.scaling.model import BACKWARD, AlphaBeta, Prediction, factors, fit, overlapped

__all__ = [
    "BACKWARD",
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
    "overlapped",
    "reductions",
    "rows_of",
    "speed_up",
]
