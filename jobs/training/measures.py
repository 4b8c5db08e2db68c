"""Measures of a loop beside the loss: metrics of Keras, and a confusion matrix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.models import Dataset

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

MAX_CLASSES = 100
"""With more classes, no confusion matrix is counted."""


def counted_classes(data: Dataset) -> int:
    """The number of classes of the confusion matrix that is counted; 0 for none."""
    return data.num_classes if data.num_classes and data.num_classes <= MAX_CLASSES else 0


def make_metrics(model: keras.Model, data: Dataset) -> None:
    """Make the variables of the metrics, which Keras does when it sees the first sample.

    TensorFlow traces a graph twice if variables are made while it is traced.
    """
    import tensorflow as tf

    x, y = (tf.nest.map_structure(lambda v: tf.constant(v[:1]), v) for v in (data.train.x, data.train.y))
    with unchanged(model):
        model.compute_metrics(x, y, model(x, training=False))


@contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    """Put back what a model changes when it is called: random states, statistics, counters of the user's."""
    trained = {id(variable) for variable in model.trainable_variables}
    kept = [variable for variable in model.variables if id(variable) not in trained]
    before = [np.array(variable) for variable in kept]
    try:
        yield
    finally:
        for variable, value in zip(kept, before, strict=True):
            variable.assign(value)


def confused(y: Any, y_pred: Any, classes: int) -> tf.Tensor | None:
    """The cell of each sample in a confusion matrix (true class, predicted class), counted by rows.

    None unless the model has one output for each class, or a single one for two.
    """
    import tensorflow as tf

    if not classes or not tf.is_tensor(y_pred) or len(y_pred.shape) != 2:
        return None
    if y_pred.shape[-1] == 1:
        taken = tf.cast(y_pred[:, 0] > 0.5, tf.int32)
    elif y_pred.shape[-1] == classes:
        taken = tf.argmax(y_pred, axis=-1, output_type=tf.int32)
    else:
        return None
    if len(y.shape) == 2 and y.shape[-1] > 1:
        y = tf.argmax(y, axis=-1, output_type=tf.int32)
    return tf.cast(tf.reshape(y, (-1,)), tf.int32) * classes + taken
