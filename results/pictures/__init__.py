"""Pictures of trained models and of their data, as matplotlib figures."""

from hpc.results.pictures.boundary import decision_boundary
from hpc.results.pictures.confusion_matrix import confusion
from hpc.results.pictures.curves import learning_curves
from hpc.results.pictures.excitation import filters
from hpc.results.pictures.sheets import most_wrong, samples, wrong_order
from hpc.results.plots.base import FORMATS, save

__all__ = [
    "FORMATS",
    "confusion",
    "decision_boundary",
    "filters",
    "learning_curves",
    "most_wrong",
    "samples",
    "save",
    "wrong_order",
]
