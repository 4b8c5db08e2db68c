"""The hyperparameters that belong to the training, not to the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hpc.jobs.collectives.base import Compression
from hpc.jobs.optimizers import optimizer_of
from hpc.models import Array, Dataset, Parameter, Split, parameters_of

if TYPE_CHECKING:
    import keras

Optimizer = Literal[
    "sgd", "rmsprop", "adam", "adamw", "adamax", "nadam", "adadelta", "adagrad", "ftrl", "lion"
]
Loss = Literal[
    "auto", "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy",
    "mean_squared_error", "mean_absolute_error", "mean_squared_logarithmic_error", "huber",
    "log_cosh", "poisson", "kl_divergence", "hinge", "squared_hinge", "categorical_hinge",
]  # fmt: skip
Metric = Literal[
    "accuracy", "sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy",
    "binary_accuracy", "mean_squared_error", "mean_absolute_error", "root_mean_squared_error",
    "r2_score", "auc", "precision", "recall", "cosine_similarity", "label_ranking_average_precision",
]  # fmt: skip
Schedule = Literal["constant", "cosine"]
Count = Annotated[Annotated[int, Field(ge=1)] | None, Field(description="a whole number of at least 1")]
Scale = Literal["none", "standard", "minmax", "center"]

METRICS = {
    "root_mean_squared_error": "RootMeanSquaredError",
    "r2_score": "R2Score",
    "auc": "AUC",
    "precision": "Precision",
    "recall": "Recall",
    "cosine_similarity": "CosineSimilarity",
}
TOP_K = ("sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy")
"""One metric: Keras has it for class numbers, and for one-hot vectors."""
OF_CLASS_NUMBERS = ("accuracy", "label_ranking_average_precision", *TOP_K)
"""Metrics that take class numbers as well; all others of classes are measured by their one-hot vectors."""
OF_LABELS = ("binary_accuracy", "auc", "precision", "recall", "label_ranking_average_precision", *TOP_K)
"""Metrics that mean something only where targets are zeros and ones."""
PACKAGE = "hpc_sweeps"
"""Under which Keras knows this project's functions."""
SPARSE = "sparse_categorical_crossentropy"


class Options(BaseModel):
    """Hyperparameters of the training; a sweep gives them under ``space`` or ``fixed``.

    Attributes:
        epochs: passes over the training data; 0 leaves the model as it begins.
        batch_size: samples per step, over all ranks together; full is all of them.
        optimizer: a Keras optimizer by its lower-case name.
        learning_rate: of the optimizer; Keras' default for it unless given.
        schedule: cosine lets the learning rate fall to 0 in the course of the training.
        warmup_epochs: in which it rises from 0 first, with cosine.
        momentum: for sgd and rmsprop.
        weight_decay: decoupled, as Keras' optimizers take it.
        clip_norm: gradients are scaled down to this global norm.
        accumulate_steps: parts in which each batch is taken, one after the other, for want of memory;
            their gradients are added up to those of the whole batch before the optimizer's step.
        compression: fp16 halves what ranks send each other: gradients are rounded to half precision.
        loss: a Keras loss; auto is sparse_categorical_crossentropy where targets are classes
            (binary_crossentropy for a model with one output) and mean_squared_error where they are
            numbers. Losses of probabilities or numbers see classes one-hot.
        metrics: of Keras; auto is accuracy where targets are classes, else mean_absolute_error. They see
            classes one-hot where they need that.
        patience: epochs without a better value of the objective after which a trial is finished; None trains
            all epochs.
        min_delta: by how much a value must be better to count as such for ``patience``.
        restore_best_weights: whether a trial ends with the weights of its best epoch by the objective.
        shuffle: whether each epoch has an order of its own.
        validation_freq: epochs from one validation and record to the next.
        scale: of the inputs, each feature by itself, fitted on the training samples: standard has
            mean 0 and variance 1, minmax lies in [0, 1], center has mean 0.
        dtype: of the weights and of all arithmetic.
        initial_weights: to begin with, in the order of Keras' ``set_weights``.
        class_weight: of each class in the loss, as ``fit`` takes them: a list by class, or a group by number.
        steps_per_epoch: steps that make an epoch of data that give batches.
        validation_steps: steps that are taken to measure them.
        validation_batch_size: samples that are measured at once; ``batch_size`` unless given.
        steps_per_execution: steps that one call of TensorFlow takes.
        jit_compile: whether to compile the model by XLA.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    epochs: Annotated[int, Field(ge=0, description="a whole number of at least 0")] = 10
    batch_size: Annotated[
        Annotated[int, Field(ge=1)] | Literal["full"],
        Field(description="a whole number of at least 1, or full"),
    ] = 32
    optimizer: Optimizer = "adam"
    learning_rate: Annotated[float, Field(gt=0, description="a number above 0")] | None = None
    schedule: Schedule = "constant"
    warmup_epochs: Annotated[float, Field(ge=0, description="a number of at least 0")] = 0.0
    momentum: Annotated[
        float, Field(ge=0, lt=1, description="a number from 0 up to, but not including, 1")
    ] = 0.0
    weight_decay: Annotated[float, Field(ge=0, description="a number of at least 0")] = 0.0
    clip_norm: Annotated[float, Field(gt=0, description="a number above 0")] | None = None
    accumulate_steps: Annotated[int, Field(ge=1, description="a whole number of at least 1")] = 1
    compression: Compression = "none"
    loss: Loss = "auto"
    metrics: Annotated[
        Literal["auto"] | list[Metric],
        Field(description=f"auto, or a list with some of {', '.join(Metric.__args__)}"),
    ] = "auto"
    patience: Annotated[int, Field(ge=1, description="a whole number of at least 1")] | None = None
    min_delta: Annotated[float, Field(ge=0, description="a number of at least 0")] = 0.0
    restore_best_weights: bool = False
    shuffle: bool = True
    validation_freq: Annotated[int, Field(ge=1, description="a whole number of at least 1")] = 1
    scale: Scale = "none"
    dtype: Literal["float32", "float64"] = "float32"
    initial_weights: Annotated[
        list[Any] | None, Field(description="a list of the arrays of the weights, as nested lists")
    ] = None
    class_weight: Annotated[
        list[float] | dict[str, float] | None,
        Field(description="a list of numbers, one for each class, or a group of them by the class's number"),
    ] = None
    steps_per_epoch: Count = None
    validation_steps: Count = None
    validation_batch_size: Count = None
    steps_per_execution: Count = None
    jit_compile: Annotated[bool | None, Field(description="true or false")] = None

    def steps(self, samples: int) -> int:
        """Steps per epoch over so many training samples."""
        return math.ceil(samples / self.global_batch(samples))

    def global_batch(self, samples: int) -> int:
        """Samples per step, of so many training samples."""
        return samples if self.batch_size == "full" else self.batch_size


PARAMETERS: dict[str, Parameter] = parameters_of(Options)
"""The options by name, to be checked one by one."""

COMPILED = (
    "optimizer", "learning_rate", "schedule", "warmup_epochs", "momentum", "weight_decay", "clip_norm",
    "loss", "metrics",
)  # fmt: skip
"""Options that go into compiling a model, of no effect on one that is compiled already."""

OF_FIT = (
    "class_weight", "steps_per_epoch", "validation_steps", "validation_batch_size", "steps_per_execution",
    "jit_compile",
)  # fmt: skip
"""Options that only Keras' own ``fit`` takes."""


def options(params: Mapping[str, Any]) -> Options:
    """The training options among the hyperparameters of a trial."""
    return Options(**{name: value for name, value in params.items() if name in PARAMETERS})


def metric_names(options: Options, *, classes: bool) -> list[str]:
    """Names under which the metrics of a training are recorded, ``loss`` included."""
    names = ["loss", *metrics_of(options, classes)]
    return names + [f"val_{name}" for name in names]


def loss_of(options: Options, model: keras.Model, num_classes: int | None) -> str:
    """The loss by its name, auto resolved; a metric that needs one-hot classes makes the loss take them."""
    if options.loss == "auto" and num_classes is None:
        return "mean_squared_error"
    if options.loss == "auto" and num_classes is not None and _is_binary(model, num_classes):
        return "binary_crossentropy"
    loss = SPARSE if options.loss == "auto" else options.loss
    needs_one_hot = not set(metrics_of(options, num_classes is not None)) <= set(OF_CLASS_NUMBERS)
    return "categorical_crossentropy" if loss == SPARSE and num_classes and needs_one_hot else loss


def targets(y: Array, options: Options, model: keras.Model, num_classes: int | None) -> Array:
    """Targets as the loss takes them.

    Args:
        y: class numbers of shape (n,), or numbers to predict, which stay as they are.
        options: of the training.
        model: whose output they are compared to.
        num_classes: None where numbers are predicted.

    Returns:
        Class numbers; or zeros and ones of shape (n, 1) for a model with one output for two
        classes, of shape (n, num_classes) for any loss but sparse_categorical_crossentropy.
    """
    if num_classes is None or loss_of(options, model, num_classes) == SPARSE:
        return y
    if _is_binary(model, num_classes):
        return y[:, None].astype(options.dtype)
    return np.eye(num_classes, dtype=options.dtype)[y]


def check_outputs(model: keras.Model, y: Array, loss: str, num_classes: int | None) -> None:
    """Make sure that outputs are compared to as many targets: Keras would repeat those without a word.

    Args:
        model: built.
        y: targets as :func:`targets` gives them.
        loss: by its name.
        num_classes: None where numbers are predicted.

    Raises:
        ValueError: there are more or fewer of them.
    """
    given = _output_shape(model)[1:]
    shape = tuple(size for size in given if isinstance(size, int))
    if shape != given:  # several outputs, or of any length
        return
    if num_classes is not None and loss == SPARSE:
        if shape and shape[-1] < num_classes:
            raise ValueError(
                f"the number of the model's outputs is {shape[-1]}, that of classes {num_classes}: too few"
            )
    elif math.prod(shape) != math.prod(y.shape[1:]):
        what = "targets" if num_classes is None else "classes"
        hint = "; if the targets are classes, say classes: true under data" if num_classes is None else ""
        raise ValueError(
            f"the number of the model's outputs is {math.prod(shape)}, that of {what} of a sample "
            f"{math.prod(y.shape[1:])}{hint}"
        )


def check_metrics(options: Options, y: Array, num_classes: int | None) -> None:
    """Make sure that the metrics mean something of the targets.

    Args:
        options: of the training.
        y: targets as :func:`targets` gives them.
        num_classes: None where numbers are predicted.

    Raises:
        ValueError: one needs zeros and ones, or several of them.
    """
    wanted = [name for name in metrics_of(options, num_classes is not None) if name in OF_LABELS]
    if num_classes is not None or not wanted:
        return
    other = y[(y != 0) & (y != 1)]
    if other.size:
        raise ValueError(
            f"{wanted[0]} is measured where targets are zeros and ones, but a number to predict is "
            f"{other[0]:g}; if the targets are classes, say classes: true under data"
        )
    several = [name for name in wanted if name in TOP_K]
    if several and math.prod(y.shape[1:]) == 1:
        raise ValueError(f"{several[0]} is measured of several outputs, but the targets are single numbers")


def _is_binary(model: keras.Model, num_classes: int) -> bool:
    return num_classes == 2 and _output_shape(model)[-1:] == (1,)


def _output_shape(model: keras.Model) -> tuple[int | None, ...]:
    """Of a model that has been built; a subclassed one tells it only when it is called."""
    import keras

    if hasattr(model, "output_shape"):
        return tuple(model.output_shape)
    output = model(keras.KerasTensor(model.get_build_config()["input_shape"]))
    return tuple(getattr(output, "shape", ()))


def make_ready(model: keras.Model, data: Dataset, options: Options) -> Dataset:
    """Compile a model that is not, give it the weights that it is to begin with, and fit the targets to it.

    Args:
        model: built.
        data: as the dataset gives them, scaled.
        options: of the training.

    Returns:
        The data as the model takes them.

    Raises:
        ValueError: the targets, the metrics or the weights don't fit.
    """
    if model.compiled:
        data = data.as_given()
    else:
        classes, parts = data.num_classes, data.parts().items()
        compile_model(model, options, num_classes=classes, samples=len(data.train))
        data = data.with_parts(
            {name: Split(part.x, targets(part.y, options, model, classes)) for name, part in parts}
        )
        check_metrics(options, data.train.y, classes)
        check_outputs(model, data.train.y, loss_of(options, model, classes), classes)
    if options.initial_weights is not None:
        begin_with(model, options.initial_weights)
    return data


def begin_with(model: keras.Model, weights: list[Any]) -> None:
    """Give a model the weights that it is to begin with.

    Raises:
        ValueError: they don't fit.
    """
    try:
        arrays = [np.asarray(values) for values in weights]
    except ValueError:
        raise ValueError("initial_weights don't fit: an array has rows of different lengths") from None
    wanted, given = ([tuple(array.shape) for array in group] for group in (model.weights, arrays))
    if wanted != given:
        raise ValueError(
            f"initial_weights don't fit: the model's weights have the shapes {', '.join(map(str, wanted))}, "
            f"not {', '.join(map(str, given))}"
        )
    model.set_weights(arrays)


def compile_model(model: keras.Model, options: Options, *, num_classes: int | None, samples: int) -> None:
    """Compile a model as the options say.

    Args:
        model: built, not compiled.
        options: of the training.
        num_classes: where the targets are class numbers, else None.
        samples: for training, which with the epochs give the length of a schedule.
    """

    loss = loss_of(options, model, num_classes)
    metrics = [metric_of(name, loss) for name in metrics_of(options, num_classes is not None)]
    # XLA has no kernels of Horovod's operations, and Keras turns it on where there is a GPU.
    optimizer = optimizer_of(options, options.steps(samples))
    model.compile(optimizer, loss, metrics=metrics, jit_compile=False)


def metric_of(name: str, loss: str) -> Any:
    """A metric as ``compile`` takes it, by the name that options have for it, beside a loss."""
    import keras

    if name in TOP_K and name != TOP_K[loss != SPARSE]:
        kind = "Sparse" if loss == SPARSE else ""
        return getattr(keras.metrics, f"{kind}TopKCategoricalAccuracy")(name=name)
    if name == "label_ranking_average_precision":
        # By its registered name a saved model is loaded again.
        known = keras.saving.register_keras_serializable(PACKAGE)(label_ranking_average_precision)
        return keras.metrics.MeanMetricWrapper(known, name=name)
    return getattr(keras.metrics, METRICS[name])(name=name) if name in METRICS else name


def label_ranking_average_precision(y: Any, scores: Any) -> Any:
    """Of the labels ranked as high as a true one, the share that are true; averaged over these.

    Args:
        y: classes of shape (n,) or (n, 1), or zeros and ones of shape (n, k).
        scores: of shape (n, k).

    Returns:
        Shape (n,), from 0 to 1; 1 for a sample without true labels.

    Source: G. Tsoumakas, I. Katakis, I. Vlahavas, Mining multi-label data, 2010, as
    ``sklearn.metrics.label_ranking_average_precision_score`` computes it.
    """
    from keras import ops

    width = scores.shape[-1]
    if len(y.shape) < 2 or (y.shape[-1] == 1 and width > 1):
        y = ops.one_hot(ops.cast(ops.reshape(y, (-1,)), "int32"), width)
    y = ops.cast(y, scores.dtype)
    above = ops.cast(scores[:, None, :] >= scores[:, :, None], scores.dtype)  # (n, label, others)
    share = ops.sum(above * y[:, None, :], axis=-1) / ops.sum(above, axis=-1)
    labels = ops.sum(y, axis=-1)
    return ops.where(labels > 0, ops.sum(share * y, axis=-1) / ops.maximum(labels, 1), 1)


OWN_FUNCTIONS = (label_ranking_average_precision,)
"""Functions of this project that models may have: they always compute the same."""


def metrics_of(options: Options, classes: bool) -> list[str]:
    """The metrics by the names that options have for them, auto resolved."""
    if options.metrics != "auto":
        return list(options.metrics)
    return ["accuracy"] if classes else ["mean_absolute_error"]
