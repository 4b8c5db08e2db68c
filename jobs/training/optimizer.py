"""Gradients summed over all ranks, before an optimizer applies them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpc.jobs.collectives.base import Compression
from hpc.jobs.collectives import World


def reduced(gradients: Sequence[Any], world: World, compression: Compression = "none") -> list[Any]:
    """The sums of gradients over all ranks, for the user's own optimizer to apply.

    ``hvd.DistributedOptimizer`` does nothing under Keras 3, without a word: it hooks
    ``compute_gradients``, and Keras 3 calls ``apply``. Another optimizer made from the config of the
    user's would lose what its config does not say, as weights that are exempt from decay. So gradients
    are reduced before the optimizer sees them, and it stays what it is.

    It is a sum, not an average: each rank's loss is its share of the loss of the global batch,
    so that unequal shares, of a last and smaller batch, count for what they are.

    Args:
        gradients: of this rank, one for each variable; None for variables without, the same on all
            ranks. Sparse ones (``IndexedSlices``) become dense.
        world: the ranks that train together; with one, gradients are returned as they are.
        compression: of gradients on their way.
    """
    if world.size == 1:
        return list(gradients)
    import tensorflow as tf

    def total(these: list[Any]) -> list[Any]:
        return world.sum(these, "gradients", compression)

    places = [place for place, gradient in enumerate(gradients) if gradient is not None]
    dense = [tf.convert_to_tensor(gradients[place]) for place in places]
    if world.clock is None:
        sums = total(dense)
    else:
        sums = world.clock.timed("collective", lambda *these: total(list(these)), *dense)
    found = list(gradients)
    for place, one in zip(places, sums, strict=True):
        found[place] = one
    return found
