"""Losses and metrics that can be those of lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpc.jobs.training import keras_private
from hpc.jobs.training.measures import make_metrics
from hpc.jobs.training.parts import is_by_sample
from hpc.models import Dataset

if TYPE_CHECKING:
    import keras
from hpc.jobs.training.pack.plans import PackError

LOSSES = (
    "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error", "huber", "log_cosh", "binary_crossentropy",
    "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy", "kl_divergence", "poisson", "hinge", "squared_hinge",
    "categorical_hinge", "cosine_similarity",
)  # fmt: skip
"""Losses of Keras that are one of each sample, whatever the others are."""


def check_measures(model: keras.Model, data: Dataset) -> None:
    """Make sure that the loss and the metrics of a model can be those of lanes.

    Raises:
        PackError: they can't.
    """
    make_metrics(model, data)
    metrics_of(model)
    loss_of(model)


def metrics_of(model: keras.Model) -> list[Any]:
    """The metrics of a model that has been compiled and has seen a sample.

    Raises:
        PackError: one is not the mean of a number for each sample.
    """
    import keras

    compiled = keras_private.compiled_metrics(model)
    found = list(compiled.metrics) if compiled is not None else []
    for metric in found:
        kind = type(metric)
        means = keras.metrics.MeanMetricWrapper
        if (
            not isinstance(metric, means)
            or any(getattr(kind, name) is not getattr(means, name) for name in ("update_state", "result"))
            or not is_by_sample(metric)
        ):
            raise PackError(f"the metric {metric.name} is no mean over samples")
    return found


def loss_of(model: keras.Model) -> tuple[Any, bool]:
    """The loss as a function that gives each sample's; and whether they are summed up.

    Raises:
        PackError: it is none of Keras' by sample.
    """
    import keras

    loss = keras.losses.get(model.loss) if isinstance(model.loss, str) else model.loss
    if not isinstance(loss, keras.losses.Loss):
        if not callable(loss):
            raise PackError("its loss is not one for one output")
        if loss.__name__ not in LOSSES:
            raise PackError(f"its loss {loss.__name__} may not be one of each sample")
        return keras_private.loss_of_function(loss), False
    more = keras_private.loss_arguments(loss)
    by_sample = more is not None and loss.fn.__name__ in LOSSES
    more = more or {}
    by_sample = by_sample and more.get("axis", -1) == -1 and more.get("ignore_class") is None
    if not by_sample or loss.reduction not in ("sum", "sum_over_batch_size"):
        raise PackError(f"its loss {type(loss).__name__} is not a mean or sum over samples")
    each = type(loss).from_config({**loss.get_config(), "reduction": None})
    return each, loss.reduction == "sum"
