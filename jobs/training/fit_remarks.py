"""What a person should know of a training by ``fit`` on several ranks: where N ranks are not one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hpc.jobs.training import keras_private
from hpc.jobs.training.measures import unchanged
from hpc.jobs.training.parts import normalizes, own_steps

if TYPE_CHECKING:
    import keras


def remarks(model: keras.Model, sample: Any, size: int, *, is_shard: bool) -> Iterator[str]:
    """What comes to something else on so many ranks than on one, a sentence each.

    Args:
        model: built.
        sample: a batch of all ranks, as the pipeline gives it.
        size: how many ranks train together.
        is_shard: whether each rank has samples of its own.
    """
    if is_shard:
        yield (
            f"the data's function asks for rank: each of {size} ranks takes steps of batch_size samples of "
            "its own, and gradients are averaged"
        )
    if normalizes(model):
        yield (
            f"batch normalization sees in each step the samples of one of {size} ranks; its moving "
            "statistics are averaged after each epoch"
        )
    own, name = own_steps(model), type(model).__name__
    if "train_step" in own:
        yield (
            f"{name} has a train_step of its own: each of {size} ranks takes it on its share of a batch, and "
            "gradients are averaged, as is what it returns and no metric keeps"
        )
    elif not is_shard:
        yield from _of_loss(model, sample, size)
    if "test_step" in own:
        yield (
            f"{name} has a test_step of its own: what it returns, and no metric keeps, is averaged over "
            f"{size} ranks, each with its share of a batch"
        )


def _of_loss(model: keras.Model, sample: Any, size: int) -> Iterator[str]:
    """Compare the loss of a batch with what those of its shares come to."""
    whole = again = parts = count = None
    with unchanged(model), suppress(Exception):  # what is wrong with it shows in fit
        count = _rows(sample)
        whole, again = _loss(model, sample, 0, count), _loss(model, sample, 0, count)
        cuts = [count * rank // size for rank in range(size + 1)]
        pairs = [(low, high) for low, high in pairwise(cuts) if high > low]
        parts = sum(_loss(model, sample, *pair) * (pair[1] - pair[0]) / count for pair in pairs)
    if whole is None or parts is None or whole != again:  # with random numbers it can't be compared
        return
    tolerance = 1e-2 if "16" in str(model.compute_dtype) else 1e-5
    if abs(parts - whole) > tolerance * max(abs(whole), 1e-3):
        yield (
            f"the loss of {count} samples is {whole:.6g}, and the mean of those of {size} ranks' shares of "
            f"them {parts:.6g}: it depends on which samples come together (masks of tokens, samples that are "
            f"compared), so that {size} ranks train something else than one"
        )


def _loss(model: keras.Model, sample: Any, low: int, high: int) -> float:
    import keras
    import tensorflow as tf

    part = tf.nest.map_structure(lambda one: one[low:high], sample)
    x, y, weight = keras.utils.unpack_x_y_sample_weight(part)
    return float(keras_private.loss_of(model, x, y, model(x, training=False), weight))


def _rows(sample: Any) -> int:
    import tensorflow as tf

    return int(tf.shape(tf.nest.flatten(sample)[0])[0])
