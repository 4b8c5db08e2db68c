"""Independent draws from the space."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from hpc.sweeps.space import Dimension, setting_at

MAX_REPEATS = 10_000
"""Draws in a row that bring nothing new, after which the search ends: a space has no further setting."""


def unit(seed: int, draw: int, name: str) -> float:
    """A number in [0, 1) of a stream that each name has for itself."""
    return random.Random(f"{seed}/{draw}/{name}").random()


def different(
    space: Mapping[str, Dimension], units: Iterable[Mapping[str, float]], trials: int | None
) -> Iterator[dict[str, Any]]:
    """Yield so many different settings; fewer where a space has no more.

    Args:
        space: of the sweep.
        units: for each draw a number in [0, 1) for every name.
        trials: how many settings.
    """
    seen: set[str] = set()
    repeats = 0
    for drawn in units:
        if len(seen) == trials or repeats > MAX_REPEATS:
            return
        found = setting_at(space, drawn)
        repeats += 1
        if repr(found) not in seen:
            seen.add(repr(found))
            repeats = 0
            yield found


class Random:
    """Independent draws; a setting that has come before is drawn again.

    Each value has a stream of its own, made from the search's seed, the number of the draw and
    the name, so one parameter more leaves the others as they were. Python promises that
    ``random.Random(text).random()`` never changes between versions; NumPy's generators do not.
    """

    needs_trials: ClassVar[bool] = True

    def settings(
        self, space: Mapping[str, Dimension], trials: int | None, seed: int
    ) -> Iterator[dict[str, Any]]:
        """Yield so many different settings."""
        units = ({name: unit(seed, draw, name) for name in space} for draw in itertools.count())
        return different(space, units, trials)

    def problem(self, dimension: Dimension) -> str | None:
        """Why this search can't use the dimension, or None."""
        return None
