"""All of Keras that this project touches and Keras calls private, in one place.

Read in Keras 3.15 (``keras/src``). When a later version moves one of these, tests/jobs/test_private.py says
which. Names that :mod:`hpc.jobs.training.fingerprint` walks past are not called here: they are only text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

RESULTS = "_get_metrics_result_or_logs"
"""The method by which ``fit`` and ``evaluate`` ask a model for what was measured, once after all steps."""


def layers_of(model: keras.Model, *, itself: bool = True) -> list[Any]:
    """A model and all layers in it, however deep (``Layer._flatten_layers``)."""
    return list(model._flatten_layers(include_self=itself))


def compiled_metrics(model: keras.Model) -> Any:
    """The container of the metrics of ``compile``, or None (``Trainer._compile_metrics``)."""
    return model._compile_metrics


def loss_tracker(model: keras.Model) -> Any:
    """The metric that keeps the loss, or None (``Trainer._loss_tracker``)."""
    return model._loss_tracker


def loss_of(model: keras.Model, x: Any, y: Any, y_pred: Any, weight: Any) -> Any:
    """The loss of a batch, also of a ``compute_loss`` without ``training`` (``Trainer._compute_loss``)."""
    return model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weight, training=False)


def loss_weights(model: keras.Model) -> Any:
    """``loss_weights`` of ``compile``, or None (``CompileLoss._user_loss_weights``)."""
    compiled = model._compile_loss
    return None if compiled is None else compiled._user_loss_weights


def metric_function(metric: Any) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    """The function whose mean a ``MeanMetricWrapper`` takes, and its arguments (``_fn``, ``_fn_kwargs``)."""
    return metric._fn, metric._fn_kwargs


def loss_of_function(function: Callable[..., Any]) -> Any:
    """A function of a sample's loss as a loss that gives one for each sample (``LossFunctionWrapper``)."""
    from keras.src.losses.losses import LossFunctionWrapper

    return LossFunctionWrapper(function, reduction=None)


def loss_arguments(loss: Any) -> Mapping[str, Any] | None:
    """Further arguments of a loss that wraps a function, ``loss.fn``; None of any other (``_fn_kwargs``)."""
    from keras.src.losses.losses import LossFunctionWrapper

    return loss._fn_kwargs if isinstance(loss, LossFunctionWrapper) else None


def learning_rate(optimizer: Any) -> Any:
    """The variable that holds the learning rate, or the schedule (``Optimizer._learning_rate``)."""
    return optimizer._learning_rate


def index_of(optimizer: Any, variable: Any) -> int:
    """The place of a weight among those of an optimizer (``Optimizer._get_variable_index``)."""
    found: int = optimizer._get_variable_index(variable)
    return found


def key_of(optimizer: Any, variable: Any) -> Any:
    """By what an optimizer keeps a weight that is exempt from decay (``Optimizer._var_key``)."""
    return optimizer._var_key(variable)


def adam_moments(optimizer: Any, variable: Any) -> tuple[Any, Any]:
    """Adam's first and second moments of a weight (``_momentums``, ``_velocities``)."""
    index = index_of(optimizer, variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def momentums(optimizer: Any) -> Any:
    """The first moments of an optimizer that has some, or None (``_momentums``)."""
    return getattr(optimizer, "_momentums", None)


def mask_of(tensor: Any) -> Any:
    """The mask that layers have left on a tensor, or None (``_keras_mask``)."""
    return getattr(tensor, "_keras_mask", None)


def put_mask(tensor: Any, mask: Any) -> None:
    """Leave a mask on a tensor, by which metrics leave samples out (``_keras_mask``)."""
    tensor._keras_mask = mask


def forget_names_and_seed() -> None:
    """Count the names of layers from the beginning, and forget the global generator of seeds.

    As ``clear_session`` does, which throws graphs away, too.
    """
    from keras.src.backend.common.global_state import set_global_attribute
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
    from keras.src.utils.naming import reset_uids

    reset_uids()
    set_global_attribute(GLOBAL_SEED_GENERATOR, None)


def global_seed_generator(*, make: bool = False) -> Any:
    """The generator of random numbers that nobody gave a seed (``keras.random``), or None.

    Args:
        make: whether to make it where there is none.
    """
    from keras.src.backend.common.global_state import get_global_attribute
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR, global_seed_generator

    return global_seed_generator() if make else get_global_attribute(GLOBAL_SEED_GENERATOR)


def adapter_of(x: Any, y: Any, weight: Any, **options: Any) -> Any:
    """What ``fit`` makes of its data (``keras.src.trainers.data_adapters.get_data_adapter``)."""
    from keras.src.trainers.data_adapters import get_data_adapter

    return get_data_adapter(x, y, weight, **options)


def feed(inner: Any, pipeline: Any) -> Any:
    """An adapter, which ``fit`` takes as it is, that gives another pipeline than the one that it wraps.

    Args:
        inner: of :func:`adapter_of`.
        pipeline: what ``iter`` gives an iterator of ``tf.data`` for.
    """
    from keras.src.trainers.data_adapters.data_adapter import DataAdapter

    class Feed(DataAdapter):  # type: ignore[misc]
        num_batches = property(lambda self: inner.num_batches)
        batch_size = property(lambda self: inner.batch_size)
        has_partial_batch = property(lambda self: inner.has_partial_batch)
        partial_batch_size = property(lambda self: inner.partial_batch_size)

        def get_tf_dataset(self) -> Any:
            return pipeline

        def on_epoch_begin(self) -> None:
            inner.on_epoch_begin()

        def on_epoch_end(self) -> None:
            inner.on_epoch_end()

    return Feed()
