"""What a model is trained and validated on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.reference import ModelError

Array = NDArray[Any]
Samples = Annotated[int, Field(ge=1, description="a number of samples, at least 1")]


@dataclass(frozen=True)
class Split:
    """Inputs ``x`` of shape (n, …) and targets ``y`` of shape (n,) or (n, …)."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)

    def first(self, n: int | None) -> Split:
        """The first ``n`` samples; all where ``n`` is None.

        Raises:
            ModelError: there are fewer than ``n``.
        """
        if n is not None and n > len(self):
            raise ModelError(f"{n} samples are asked for, but there are only {len(self)}")
        return self if n is None else Split(self.x[:n], self.y[:n])


@dataclass(frozen=True)
class Dataset:
    """Training and validation data, held in memory.

    Attributes:
        train: what the weights are fitted to.
        validation: what trials are compared by.
        num_classes: number of classes where the targets are class numbers from 0, else None.
    """

    train: Split
    validation: Split
    num_classes: int | None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.train.x.shape[1:])

    @property
    def output_size(self) -> int:
        """Width of a model's last layer: classes, or numbers to predict per sample."""
        return self.num_classes or int(np.prod(self.train.y.shape[1:], dtype=int))


def dataset(value: object, *, name: str = "the dataset") -> Dataset:
    """Make a :class:`Dataset` of what a function returned.

    Args:
        value: a Dataset, or ``((x_train, y_train), (x_validation, y_validation))`` of arrays.
            Whole-numbered targets of shape (n,) or (n, 1) are class numbers from 0, real-valued
            ones are numbers to predict.
        name: what to call it in messages.

    Raises:
        ModelError: another structure, no samples, unequal lengths or shapes, NaN or infinity.
    """
    if isinstance(value, Dataset):
        return value
    try:
        pairs: Any = value
        (x_train, y_train), (x_validation, y_validation) = pairs
    except (TypeError, ValueError):
        raise ModelError(
            f"{name} must return ((x_train, y_train), (x_validation, y_validation)), "
            f"but it returned {type(value).__name__}"
        ) from None
    train = _split(x_train, y_train, f"{name}, training part")
    validation = _split(x_validation, y_validation, f"{name}, validation part")
    if train.x.shape[1:] != validation.x.shape[1:] or train.y.shape[1:] != validation.y.shape[1:]:
        raise ModelError(
            f"{name}: training samples have shape {train.x.shape[1:]} and targets {train.y.shape[1:]}, "
            f"validation samples {validation.x.shape[1:]} and targets {validation.y.shape[1:]}"
        )
    classes = None
    if np.issubdtype(train.y.dtype, np.integer) and train.y.ndim == 1:
        least = min(train.y.min(), validation.y.min())
        if least < 0:
            raise ModelError(f"{name}: classes are counted from 0, but a target is {least}")
        classes = int(max(train.y.max(), validation.y.max())) + 1
    return Dataset(train, validation, classes)


def _split(x: object, y: object, name: str) -> Split:
    inputs, targets = np.asarray(x), np.asarray(y)
    if targets.dtype == bool:
        targets = targets.astype(np.int32)
    if targets.ndim == 2 and targets.shape[1] == 1 and np.issubdtype(targets.dtype, np.integer):
        targets = targets[:, 0]
    for what, array in (("x", inputs), ("y", targets)):
        if array.ndim == 0 or len(array) == 0:
            raise ModelError(f"{name}: {what} holds no samples (shape {array.shape})")
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
            raise ModelError(f"{name}: {what} holds {array.dtype}, not numbers")
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise ModelError(f"{name}: {what} holds NaN or infinity")
    if len(inputs) != len(targets):
        raise ModelError(f"{name}: x has {len(inputs)} samples, y has {len(targets)}")
    if np.issubdtype(inputs.dtype, np.floating):
        inputs = inputs.astype(np.float32, copy=False)
    if np.issubdtype(targets.dtype, np.floating):
        targets = targets.astype(np.float32, copy=False)
    return Split(inputs, targets)
