"""Checks of the arrays that pictures are made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]


def image_shape(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """(h, w) or (h, w, 3) of what has this shape; None if it is no image."""
    if len(shape) == 1 and shape[0] > 1 and math.isqrt(shape[0]) ** 2 == shape[0]:
        return (math.isqrt(shape[0]),) * 2
    if len(shape) == 3 and shape[2] in (1, 3):
        return shape if shape[2] == 3 else shape[:2]
    return shape if len(shape) == 2 else None


def as_images(x: Array) -> Array:
    """As (n, h, w) or (n, h, w, 3)."""
    import numpy as np

    x = np.asarray(x)
    shape = image_shape(x.shape[1:])
    if shape is None:
        raise ValueError(
            f"x has to be images, of shape (n, h, w), (n, h, w, 1), (n, h, w, 3) or (n, s²), "
            f"but it has shape {x.shape}"
        )
    return x.reshape(len(x), *shape)


def scaled_images(x: Array) -> Array:
    """Images, from 0 for the least value of all to 1 for the largest."""
    import numpy as np

    images = as_images(x).astype("float32")
    if not np.isfinite(images).all():
        raise ValueError("x holds values that are not finite")
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 1.0)
    return (images - low) / (high - low if high > low else 1.0)


def as_classes(y: Array, count: int) -> Array:
    """As whole numbers of shape (n,)."""
    import numpy as np

    y = np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != (count,):
        raise ValueError(f"y has to be one class for each of {count} samples, but it has shape {y.shape}")
    whole = (y >= 0) & (y < np.inf) & (y == np.floor(y)) if y.dtype.kind in "biuf" else np.zeros(count, bool)
    if not whole.all():
        wrong = y[~whole].tolist()[0]
        raise ValueError(f"y has to be class numbers, whole and from 0, but it holds {wrong!r}")
    return y.astype("int64")


def as_probabilities(values: Array, count: int, y: Array, whose: str) -> Array:
    """As (n, k) with k of at least 2, and enough for the classes in ``y``."""
    import numpy as np

    values = np.asarray(values)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != count or not values.shape[1]:
        raise ValueError(
            f"{whose} an array of shape {values.shape}; it has to be ({count}, k) for k classes, "
            f"or ({count}, 1) for the probability of class 1"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{whose} values that are not finite")
    values = np.concatenate([1 - values, values], axis=1) if values.shape[1] == 1 else values
    if len(y) and y.max() >= values.shape[1]:
        raise ValueError(f"{whose} probabilities of {values.shape[1]} classes, but y holds class {y.max()}")
    return values


def check_at_least(least: int, **values: int) -> None:
    """Raise ``ValueError`` if a value is less than ``least``."""
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} has to be at least {least}, but it is {value}")
