"""What is tried: the sweep file, the space, the searches, and ready-made sweeps as YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
    from hpc.sweeps.document import Document, SweepError, read
    from hpc.sweeps.groups import Folds, Objective, Search
    from hpc.sweeps.loading import load, load_stored, parse
    from hpc.sweeps.modes import SIZES
    from hpc.sweeps.rules import size_problems
    from hpc.sweeps.searches import ADAPTIVE, SEARCHES
    from hpc.sweeps.space import Choices, Range
    from hpc.sweeps.spec import Sweep
    from hpc.sweeps.text import did_you_mean
    from hpc.sweeps.trial import Trial
    from hpc.sweeps.trials import SHARED, callback_functions, is_function

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
    "callback_functions",
    "did_you_mean",
    "is_function",
    "load",
    "load_stored",
    "parse",
    "read",
    "size_problems",
]


__getattr__ = lazily(
    __name__,
    {
        "document": ["Document", "SweepError", "read"],
        "groups": ["Folds", "Objective", "Search"],
        "loading": ["load", "load_stored", "parse"],
        "modes": ["SIZES"],
        "rules": ["size_problems"],
        "searches": ["ADAPTIVE", "SEARCHES"],
        "space": ["Choices", "Range"],
        "spec": ["Sweep"],
        "text": ["did_you_mean"],
        "trial": ["Trial"],
        "trials": ["SHARED", "callback_functions", "is_function"],
    },
)


if __name__ != "hpc.sweeps":  # where the checkout's own folder is on the path
    raise ImportError("sweeps is a part of hpc here: import hpc.sweeps")
