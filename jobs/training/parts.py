"""Which trainings can be carried out in parts: each batch by several ranks, or one part after another.

The loss of a batch is then put together from those of its parts, and so are metrics. That is right for
what is a mean or a sum over samples, and silently wrong for anything else: a loss that compares the
samples of a batch with each other, a metric that keeps a maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.options import OWN_FUNCTIONS
from hpc.jobs.training import keras_private
from hpc.jobs.training.fingerprint import is_of_a_library
from hpc.models import Split

if TYPE_CHECKING:
    import keras

OWN_STEPS = (
    "train_step", "test_step", "fit", "evaluate", "make_train_function", "make_test_function",
    "compute_metrics",
)  # fmt: skip
"""Methods that Keras' ``fit`` goes through, or whose result it records, and this project's loops don't."""
MEANS = (
    "Mean", "MeanMetricWrapper", "Accuracy", "BinaryAccuracy", "CategoricalAccuracy",
    "SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy",
    "ConcordanceCorrelation", "PearsonCorrelation", "CategoricalHinge", "Hinge", "SquaredHinge",
    "BinaryCrossentropy", "CategoricalCrossentropy", "KLDivergence", "Poisson",
    "SparseCategoricalCrossentropy", "CosineSimilarity", "LogCoshError", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError",
)  # fmt: skip
"""Metrics of Keras that are means over samples, if what they are a mean of is a number for each sample."""
COUNTS = (
    "AUC", "FalseNegatives", "FalsePositives", "Precision", "PrecisionAtRecall", "Recall",
    "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity", "TrueNegatives",
    "TruePositives", "F1Score", "FBetaScore", "BinaryIoU", "IoU", "MeanIoU", "OneHotIoU",
    "OneHotMeanIoU", "Sum", "R2Score", "RootMeanSquaredError",
)  # fmt: skip
"""Metrics of Keras all of whose variables are sums over samples."""
OF_BATCHES = ("dice", "tversky", "circle", "ctc")
"""Functions of Keras that compare all samples of a batch with each other."""
ALONE = "train it on one rank (--ranks 1), without accumulate_steps"
CHECKED_SAMPLES = 64
"""Samples by which it is checked whether a loss can be put together from parts."""


def own_steps(model: keras.Model) -> list[str]:
    """The methods of a model that Keras' ``fit`` goes by, and this project's loops don't."""
    import keras

    return [
        name
        for name in OWN_STEPS
        if name in vars(model) or getattr(type(model), name) is not getattr(keras.Model, name)
    ]


def refuse_own_steps(model: keras.Model) -> None:
    """Make sure that ``fit`` of a model would do what this project's loops do.

    Raises:
        ValueError: it has steps of its own, which would not be called.
    """
    own = own_steps(model)
    if own:
        raise ValueError(
            f"{type(model).__name__} has a {own[0]} of its own, which hpc-sweeps would not go by; give it an "
            "ordinary call(), a loss and metrics instead"
        )


def whole_batch_metrics(model: keras.Model) -> list[str]:
    """Names of the metrics that have to see whole batches.

    Those of Keras add up over parts of a batch. Of all others that can't be known.

    Args:
        model: compiled, its metrics made.
    """
    compiled = keras_private.compiled_metrics(model)
    return [metric.name for metric in (compiled.metrics if compiled else []) if not adds_up(metric)]


def adds_up(metric: Any) -> bool:
    """Whether a metric is one of Keras whose variables are sums over samples."""
    import keras

    kind = type(metric)
    if kind is not getattr(keras.metrics, kind.__name__, None):
        return False
    if isinstance(metric, keras.metrics.MeanMetricWrapper):
        return kind.__name__ in MEANS and is_by_sample(metric)
    return kind.__name__ in (*MEANS, *COUNTS)


def is_by_sample(metric: Any) -> bool:
    """Whether what a metric is a mean of is a function of Keras', over the last axis of each sample."""
    function, further = keras_private.metric_function(metric)
    if not isinstance(function, FunctionType):  # an object of a loss, say
        return False
    if function.__name__ in OF_BATCHES:
        return False
    is_known = function in OWN_FUNCTIONS or is_of_a_library(function)
    return bool(is_known and further.get("axis", -1) == -1)


def check_parts(model: keras.Model, parts: int, ranks: int) -> list[str]:
    """Make sure that a model's metrics can be had where batches are taken in parts.

    Args:
        model: compiled, its metrics made.
        parts: of each batch, over all ranks.
        ranks: that train together.

    Returns:
        Names of the metrics for which what the ranks have predicted must be put together.

    Raises:
        ValueError: a metric can't be had so.
    """
    whole = whole_batch_metrics(model)
    if parts > ranks and whole:
        raise ValueError(
            f"the metric {whole[0]} is not of Keras, and may depend on which samples come together; "
            "accumulate_steps takes batches in parts: leave out one of them"
        )
    compiled = keras_private.compiled_metrics(model)
    known = {id(metric) for metric in (compiled.metrics if compiled else [])}
    trackers = {id(keras_private.loss_tracker(model)), id(compiled)}
    kept = [one for one in model.metrics if id(one) not in known | trackers]
    if kept:
        raise ValueError(
            f"{type(model).__name__} keeps the metric {kept[0].name} by itself, and it can't be known how "
            f"those of {parts} parts of a batch make up that of the whole; hand it to compile(metrics=…), or "
            f"{ALONE}"
        )
    return whole


def normalizes(model: keras.Model) -> bool:
    """Whether a model has batch normalisation, which sees the samples of a part in training."""
    import keras

    known = keras.layers.BatchNormalization
    return any(isinstance(layer, known) for layer in keras_private.layers_of(model))


def check_layers(model: keras.Model, ranks: int, parts: int) -> None:
    """Make sure that no layer does otherwise where batches are taken in parts.

    Args:
        model: that is trained.
        ranks: that train together.
        parts: in which each takes its share of a batch, one after the other.

    Raises:
        ValueError: one does.
    """
    import keras

    for layer in keras_private.layers_of(model):
        if ranks > 1 and getattr(layer, "synchronized", False):
            raise ValueError(
                f"{layer.name} is a BatchNormalization(synchronized=True), and ranks do not synchronize "
                "statistics in a step; leave synchronized out (each rank then sees its own samples), or "
                "train it on one rank"
            )
        if parts > 1 and isinstance(layer, keras.layers.SpectralNormalization):
            raise ValueError(
                f"{layer.name} takes a step of its own each time it is called, and accumulate_steps calls it "
                f"{parts} times a step; leave out one of them"
            )


def check_loss(
    model: keras.Model,
    split: Split,
    batch_size: int,
    parts: int,
    whole: Callable[[Any, Any], Any],
    part: Callable[[Any, Any, float], Any],
) -> None:
    """Make sure that a model's loss can be put together from those of parts of a batch.

    Both are computed for some samples, and compared.

    Args:
        model: that is trained.
        split: of the training samples.
        batch_size: samples per step.
        parts: of each batch.
        whole: gives the loss of inputs and targets.
        part: likewise, what is added up for a share of a batch.

    Raises:
        ValueError: they differ.
    """
    import tensorflow as tf

    size = min(batch_size, CHECKED_SAMPLES, len(split))
    rows = np.random.default_rng(0).permutation(len(split))[:size]

    def of(some: Any) -> tuple[Any, Any]:
        return tuple(
            tf.nest.map_structure(lambda array: tf.constant(array[some]), values)
            for values in (split.x, split.y)
        )

    cuts = [size * index // parts for index in range(parts + 1)]
    pieces = [rows[low:high] for low, high in pairwise(cuts)]
    wanted = float(whole(*of(rows)))
    if float(whole(*of(rows))) != wanted:  # a model that draws random numbers, as dropout, can't be compared
        return
    found = sum(float(part(*of(piece if len(piece) else rows[:1]), len(piece) / size)) for piece in pieces)
    tolerance = 1e-2 if "16" in str(model.compute_dtype) else 1e-4
    if abs(found - wanted) > tolerance * max(abs(wanted), 1e-3):
        raise ValueError(
            f"the loss of {size} samples at once is {wanted:.6g}, put together from {parts} parts of them "
            f"{found:.6g}: it depends on which samples come together, so that parts of a batch would train "
            f"something else than the whole; {ALONE}"
        )


def names_of(name: str, shape: Sequence[int]) -> list[str]:
    """Names under which a metric of such a shape is recorded: one for each number."""
    if not len(shape):
        return [name]
    return [f"{name}_{'_'.join(map(str, place))}" for place in np.ndindex(*shape)]
