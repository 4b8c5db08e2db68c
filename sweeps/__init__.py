"""What is tried: the sweep file, the space, the searches, and ready-made sweeps as YAML."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_PLACES = {
    "Document": "document",
    "SweepError": "document",
    "read": "document",
    "load": "loading",
    "load_stored": "loading",
    "parse": "loading",
    "SIZES": "modes",
    "size_problems": "rules",
    "ADAPTIVE": "searches",
    "SEARCHES": "searches",
    "Choices": "space",
    "Range": "space",
    "Folds": "spec",
    "Objective": "spec",
    "Search": "spec",
    "Sweep": "spec",
    "did_you_mean": "text",
    "Trial": "trial",
    "SHARED": "trials",
}


def __getattr__(name: str) -> Any:
    """Load the part that is asked for: who only needs the words of messages loads no pydantic."""
    if name not in _PLACES:
        raise AttributeError(f"module 'hpc.sweeps' has no attribute {name!r}")
    found = getattr(import_module(f"hpc.sweeps.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


if __name__ != "hpc.sweeps":  # where the checkout's own folder is on the path
    raise ImportError("sweeps is a part of hpc here: import hpc.sweeps")
