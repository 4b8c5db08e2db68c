"""Rows of tensors put together over ranks, inside a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpc.jobs.collectives import World

if TYPE_CHECKING:
    import tensorflow as tf


def rows_of_all(
    world: World, tensors: Sequence[tf.Tensor], count: tf.Tensor, before: Sequence[Any]
) -> list[tf.Tensor]:
    """The rows of all ranks, in the order of the ranks: a sum of what each has in its own place.

    Args:
        world: the ranks that train together.
        tensors: of shape (n, …), all of as many rows; also of truth values.
        count: rows of this rank that count, the first ones.
        before: what must be over before ranks meet: they have to meet in one order.
    """
    import tensorflow as tf

    count = tf.cast(count, tf.int32)
    with tf.control_dependencies(before):
        (counts,) = world.sum([tf.one_hot(world.rank, world.size, dtype=tf.int32) * count], "rows")
    first, total = tf.reduce_sum(counts[: world.rank]), tf.reduce_sum(counts)

    def placed(one: tf.Tensor) -> tf.Tensor:
        rest = [[first, total - first - count], *([[0, 0]] * (len(one.shape) - 1))]
        return tf.ensure_shape(tf.pad(one[:count], rest), (None, *one.shape[1:]))

    are_true = [one.dtype == tf.bool for one in tensors]
    sent = [tf.cast(one, tf.int32) if truth else one for one, truth in zip(tensors, are_true, strict=True)]
    with tf.control_dependencies([counts]):
        totals = world.sum([placed(one) for one in sent], "gathered")
    return [one > 0 if truth else one for one, truth in zip(totals, are_true, strict=True)]
