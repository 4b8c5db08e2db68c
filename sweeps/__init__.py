"""What is tried: the sweep file, the space, the searches, and ready-made sweeps as YAML."""

from sweeps.document import Document, SweepError, did_you_mean, read
from sweeps.modes import SIZES
from sweeps.searches import ADAPTIVE, SEARCHES
from sweeps.space import Choices, Range
from sweeps.sweep import SHARED, Folds, Objective, Search, Sweep, load, load_stored, parse, size_problems
from sweeps.trial import Trial

__all__ = [
    "ADAPTIVE",
    "SEARCHES",
    "SHARED",
    "SIZES",
    "Choices",
    "Document",
    "Folds",
    "Objective",
    "Range",
    "Search",
    "Sweep",
    "SweepError",
    "Trial",
    "did_you_mean",
    "load",
    "load_stored",
    "parse",
    "read",
    "size_problems",
]
