"""Every combination of the choices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from hpc.sweeps.expression import holds
from hpc.sweeps.space import Choices, Dimension


class Grid:
    """Every combination of the choices, in the order of the file, the last name fastest."""

    needs_trials: ClassVar[bool] = False

    def settings(
        self, space: Mapping[str, Dimension], trials: int | None, seed: int
    ) -> Iterator[dict[str, Any]]:
        """Every combination; no number of trials limits them."""
        if not any(dimension.when for dimension in space.values()):
            for values in itertools.product(*(dimension.ends() for dimension in space.values())):
                yield dict(zip(space, values, strict=True))
            return
        found: list[dict[str, Any]] = [{}]
        for name, dimension in space.items():
            found = [
                {**begun, name: value} if is_there else begun
                for begun in found
                for is_there in [not dimension.when or holds(dimension.when, begun)]
                for value in (dimension.ends() if is_there else (None,))
            ]
        yield from found

    def problem(self, dimension: Dimension) -> str | None:
        """Why this search can't use the dimension, or None."""
        if isinstance(dimension, Choices):
            return None
        return (
            f"a grid needs a list of choices, but got a range from {dimension.low} to "
            f"{dimension.high}; write a list, or search: {{method: random, trials: 20}}"
        )
