"""The searches, which choose the settings of a sweep, one file each.

A static search is a class with ``settings(space, trials, seed)``, a pure function: every worker gets the
same settings without coordination.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

from hpc.sweeps.searches.grid import Grid
from hpc.sweeps.searches.random import Random
from hpc.sweeps.searches.sobol import Sobol
from hpc.sweeps.space import Dimension


class StaticSearch(Protocol):
    """A search whose settings are all known in advance.

    Attributes:
        needs_trials: whether the number of settings has to be given (``trials``).
    """

    needs_trials: ClassVar[bool]

    def settings(
        self, space: Mapping[str, Dimension], trials: int | None, seed: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the settings, values by name; the same at every call."""

    def problem(self, dimension: Dimension) -> str | None:
        """Why this search can't use the dimension, or None."""


SEARCHES: dict[str, StaticSearch] = {"grid": Grid(), "random": Random(), "qmc": Sobol()}
"""Static searches by name."""

ADAPTIVE = {
    "tpe": "A tree-structured Parzen estimator: draws near to what was good. The one to begin with.",
    "gp": "A Gaussian process with expected improvement: for few trials that each take long.",
    "cmaes": "CMA-ES, an evolution strategy: for many trials over real numbers.",
}
"""Adaptive searches by name, each with a description; see ``sweeps.searches.samplers``."""
SAMPLER_OPTIONS: dict[str, tuple[str, ...]] = {
    "tpe": ("n_startup_trials", "n_ei_candidates", "multivariate", "group", "constant_liar"),
    "gp": ("n_startup_trials", "n_candidates"),
    "cmaes": (
        "n_startup_trials", "sigma0", "popsize", "with_margin", "use_separable_cma",
        "consider_pruned_trials",
    ),
}  # fmt: skip
"""Parameters of each adaptive search, by Optuna's names; our own Gaussian process adds ``n_candidates``."""
