"""The shape of a pack, by which its graphs are told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
from hpc.jobs.training.pack.plans import PackError, Plan


@dataclass(frozen=True)
class Shape:
    """Everything that the graphs of a pack depend on, but the shapes of its lanes.

    Attributes:
        lanes: how many.
        orders: in how many orders they see the samples: one, or one for each.
        dropout: before which dense layers there is dropout; whether all lanes draw the same numbers.
        penalized: which dense layers have a penalty on their kernels.
        decays: whether there is decay of weights.
        clips: whether gradients are clipped.
    """

    lanes: int
    orders: int
    dropout: tuple[tuple[int, bool], ...]
    penalized: tuple[bool, ...]
    decays: bool
    clips: bool

    @staticmethod
    def of(plans: Sequence[Plan], seeds: Sequence[int]) -> Shape:
        """The shape of a pack of these lanes.

        Raises:
            PackError: they have not the same shapes.
        """
        if len({one.shapes for one in plans}) > 1:
            raise PackError("they differ in more than numbers")
        places = sorted({place for one in plans for place in one.dropout})
        return Shape(
            lanes=len(plans),
            orders=len(plans) if len(set(seeds)) > 1 else 1,
            dropout=tuple((place, _draws_the_same(plans, place)) for place in places),
            penalized=tuple(
                any(sum(one.penalties[layer]) for one in plans) for layer in range(len(plans[0].dense))
            ),
            decays=any(one.weight_decay for one in plans),
            clips=any(one.clip_norm < math.inf for one in plans),
        )


def _draws_the_same(plans: Sequence[Plan], place: int) -> bool:
    return len({one.drop_states[place].tobytes() for one in plans if place in one.drop_states}) == 1
