"""Optimizers that reduce gradients over all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from jobs.world import Compression, World


def distribute(
    optimizer: keras.optimizers.Optimizer, world: World, compression: Compression = "none"
) -> keras.optimizers.Optimizer:
    """The same optimizer, which sums gradients over all ranks before it applies them.

    ``hvd.DistributedOptimizer`` does nothing under Keras 3, without a word: it hooks
    ``compute_gradients``, and Keras 3 calls ``apply``. This hooks ``apply``.

    It is a sum, not an average: each rank's loss is its share of the loss of the global batch,
    so that unequal shares, of a last and smaller batch, count for what they are.

    Args:
        optimizer: of Keras, not yet used.
        world: of more than one rank; with one, the optimizer is returned as it is.
        compression: of gradients on their way.

    Returns:
        An optimizer of a subclass that bears the name of the class, so that a saved model loads
        where there is no Horovod.
    """
    if world.size == 1:
        return optimizer
    kind = type(optimizer)

    def total(gradients: list[Any]) -> list[Any]:
        if world.clock is None:
            return world.sum(gradients, "gradients", compression)
        summed: list[Any] = world.clock.timed(
            "collective", lambda *these: world.sum(list(these), "gradients", compression), *gradients
        )
        return summed

    class Distributed(kind):  # type: ignore[misc, valid-type]
        def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> Any:
            import tensorflow as tf

            places = [index for index, grad in enumerate(grads) if grad is not None]
            dense = [tf.convert_to_tensor(grads[index]) for index in places]  # no IndexedSlices
            reduced = list(grads)
            for index, grad in zip(places, total(dense), strict=True):
                reduced[index] = grad
            return super().apply(reduced, trainable_variables)

    Distributed.compression = compression
    Distributed.__name__ = kind.__name__
    Distributed.__qualname__ = kind.__qualname__
    Distributed.__module__ = kind.__module__
    return Distributed.from_config(optimizer.get_config())
