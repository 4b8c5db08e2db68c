"""TensorFlow's profiler around a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from hpc.jobs.training.base import Epoch, EpochDecision, Lane


@contextmanager
def profiled(lanes: Sequence[Lane], epochs: int, folder: str) -> Iterator[list[Lane]]:
    """Have TensorFlow write a profile of the second epoch, or of the only one.

    The first epoch is left out where there are others: it traces graphs and fills caches.

    Args:
        lanes: to train.
        epochs: that they train.
        folder: to write to, as TensorBoard reads it; nothing is written if it is empty.

    Yields:
        The lanes to train instead.
    """
    if not folder:
        yield list(lanes)
        return
    import tensorflow as tf

    profiler = tf.profiler.experimental
    is_on = False

    def start() -> None:
        nonlocal is_on
        profiler.start(folder)
        is_on = True

    def stop() -> None:
        nonlocal is_on
        if is_on:
            is_on = False
            profiler.stop()

    first, *others = lanes

    def on_epoch(epoch: Epoch) -> EpochDecision | None:
        stop()
        decision = first.on_epoch(epoch)
        if epoch.number == 1 and epochs > 1:
            start()
        return decision

    if epochs == 1:
        start()
    try:
        yield [replace(first, on_epoch=on_epoch), *others]
    finally:
        stop()
