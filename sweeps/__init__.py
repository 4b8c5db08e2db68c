"""What is tried: the sweep file, the space, the searches, and ready-made sweeps as YAML."""

from hpc.sweeps.document import Document, SweepError, read
from hpc.sweeps.loading import load, load_stored, parse
from hpc.sweeps.modes import SIZES
from hpc.sweeps.rules import size_problems
from hpc.sweeps.searches import ADAPTIVE, SEARCHES
from hpc.sweeps.space import Choices, Range
from hpc.sweeps.spec import Folds, Objective, Search, Sweep
from hpc.sweeps.text import did_you_mean
from hpc.sweeps.trial import Trial
from hpc.sweeps.trials import SHARED

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

if __name__ != "hpc.sweeps":  # where the checkout's own folder is on the path
    raise ImportError("sweeps is a part of hpc here: import hpc.sweeps")
