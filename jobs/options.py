"""How a model is trained: the hyperparameters that belong to the training, not to the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models import Parameter

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
    "r2_score", "auc", "precision", "recall", "cosine_similarity",
]  # fmt: skip

METRICS = {
    "root_mean_squared_error": "RootMeanSquaredError",
    "r2_score": "R2Score",
    "auc": "AUC",
    "precision": "Precision",
    "recall": "Recall",
    "cosine_similarity": "CosineSimilarity",
}


class Options(BaseModel):
    """Hyperparameters of the training; a sweep gives them under ``space`` or ``fixed``.

    Attributes:
        epochs: passes over the training data.
        batch_size: samples per step, over all ranks together.
        optimizer: a Keras optimizer by its lower-case name.
        learning_rate: of the optimizer; Keras' default for it unless given.
        momentum: for sgd and rmsprop.
        weight_decay: decoupled, as Keras' optimizers take it.
        clip_norm: gradients are scaled down to this global norm.
        loss: a Keras loss; auto is sparse_categorical_crossentropy where targets are classes
            and mean_squared_error where they are numbers.
        metrics: of Keras; auto is accuracy where targets are classes, else mean_absolute_error.
        shuffle: whether each epoch has an order of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    epochs: Annotated[int, Field(ge=1, description="a whole number of at least 1")] = 10
    batch_size: Annotated[int, Field(ge=1, description="a whole number of at least 1")] = 32
    optimizer: Optimizer = "adam"
    learning_rate: Annotated[float, Field(gt=0, description="a number above 0")] | None = None
    momentum: Annotated[
        float, Field(ge=0, lt=1, description="a number from 0 up to, but not including, 1")
    ] = 0.0
    weight_decay: Annotated[float, Field(ge=0, description="a number of at least 0")] = 0.0
    clip_norm: Annotated[float, Field(gt=0, description="a number above 0")] | None = None
    loss: Loss = "auto"
    metrics: Annotated[
        Literal["auto"] | list[Metric],
        Field(description=f"auto, or a list with some of {', '.join(Metric.__args__)}"),
    ] = "auto"
    shuffle: bool = True


PARAMETERS: dict[str, Parameter] = {
    name: Parameter(
        name,
        default=field.default,
        type=Annotated[field.annotation, field] if field.description else field.annotation,
    )
    for name, field in Options.model_fields.items()
}
"""The options by name, to be checked one by one."""

COMPILED = (
    "optimizer", "learning_rate", "momentum", "weight_decay", "clip_norm", "loss", "metrics",
)  # fmt: skip
"""Options that go into compiling a model, of no effect on one that is compiled already."""

TAKES_MOMENTUM = ("sgd", "rmsprop")


def options(params: Mapping[str, Any]) -> Options:
    """The training options among the hyperparameters of a trial."""
    return Options(**{name: value for name, value in params.items() if name in PARAMETERS})


def metric_names(options: Options, *, classes: bool) -> list[str]:
    """Names under which the metrics of a training are recorded, ``loss`` included."""
    names = ["loss", *_metrics(options, classes)]
    return names + [f"val_{name}" for name in names]


def compile_model(model: keras.Model, options: Options, *, classes: bool) -> None:
    """Compile a model as the options say.

    Args:
        model: built, not compiled.
        options: of the training.
        classes: whether the targets are class numbers.
    """
    import keras

    loss = options.loss
    if loss == "auto":
        loss = "sparse_categorical_crossentropy" if classes else "mean_squared_error"
    metrics = [
        getattr(keras.metrics, METRICS[name])(name=name) if name in METRICS else name
        for name in _metrics(options, classes)
    ]
    # XLA has no kernels of Horovod's operations, and Keras turns it on where there is a GPU.
    model.compile(_optimizer(options), loss, metrics=metrics, jit_compile=False)


def _metrics(options: Options, classes: bool) -> list[str]:
    if options.metrics != "auto":
        return list(options.metrics)
    return ["accuracy"] if classes else ["mean_absolute_error"]


def _optimizer(options: Options) -> keras.optimizers.Optimizer:
    import keras

    config: dict[str, Any] = {}
    if options.learning_rate is not None:
        config["learning_rate"] = options.learning_rate
    if options.optimizer in TAKES_MOMENTUM and options.momentum:
        config["momentum"] = options.momentum
    if options.weight_decay:
        config["weight_decay"] = options.weight_decay
    if options.clip_norm is not None:
        config["global_clipnorm"] = options.clip_norm
    return keras.optimizers.get({"class_name": options.optimizer, "config": config})
