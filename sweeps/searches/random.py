"""Independent draws from the space."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from sweeps.space import Dimension


class Random:
    """Independent draws; a point that has come before is drawn again.

    Each value has a stream of its own, made from the search's seed, the number of the draw and
    the name, so one parameter more leaves the others as they were. Python promises that
    ``random.Random(text).random()`` never changes between versions; NumPy's generators do not.
    """

    needs_trials: ClassVar[bool] = True

    def points(
        self, space: Mapping[str, Dimension], trials: int | None, seed: int
    ) -> Iterator[dict[str, Any]]:
        """So many different points."""
        seen: set[str] = set()
        for draw in itertools.count():
            if len(seen) == trials:
                return
            point = {
                name: dimension.draw(random.Random(f"{seed}/{draw}/{name}").random())
                for name, dimension in space.items()
            }
            if repr(point) not in seen:
                seen.add(repr(point))
                yield point

    def problem(self, dimension: Dimension) -> str | None:
        """Why this search can't use the dimension, or None."""
        return None
