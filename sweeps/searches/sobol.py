"""Quasi-random settings, which cover the space more evenly than independent draws."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from hpc.sweeps.searches.random import different, unit
from hpc.sweeps.space import Dimension


class Sobol:
    """Points of Sobol's sequence, shifted by the seed; one that has come before is left out.

    Sources: I. M. Sobol, USSR Computational Mathematics 7(4), 1967; S. Joe, F. Y. Kuo, SIAM Journal on
    Scientific Computing 30(5), 2008, whose direction numbers scipy has; R. Cranley, T. N. L. Patterson, SIAM
    Journal on Numerical Analysis 13(6), 1976, for the shift. The sequence itself has no random numbers,
    so settings are the same with every version of the libraries.
    """

    needs_trials: ClassVar[bool] = True

    def settings(
        self, space: Mapping[str, Dimension], trials: int | None, seed: int
    ) -> Iterator[dict[str, Any]]:
        """Yield so many different settings."""
        from scipy.stats.qmc import Sobol as Sequence

        shifts = [unit(seed, -1, name) for name in space]
        sequence = Sequence(max(1, len(space)), scramble=False)

        def units() -> Iterator[dict[str, float]]:
            for drawn in itertools.count():
                # In powers of two, as the sequence is balanced: 1, 1, 2, 4, …
                for row in sequence.random(2 ** max(0, drawn - 1)):
                    yield {name: float((x + d) % 1.0) for name, x, d in zip(space, row, shifts, strict=False)}

        return different(space, units(), trials)

    def problem(self, dimension: Dimension) -> str | None:
        """Why this search can't use the dimension, or None."""
        return None
