"""Sheets of images: samples, and those that a model misclassifies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

from hpc.results.pictures.arrays import as_classes, as_probabilities, check_at_least, scaled_images
from hpc.results.plots.base import arranged, blank


def most_wrong(x: Array, y: Array, probabilities: Array, count: int = 25, title: str = "") -> Figure:
    """The images that a model misclassifies with the most confidence, the worst first.

    Above each stand its class, the class it was given, and the probability it was given with.

    Args:
        x: images of shape (n, h, w), (n, h, w, 1), (n, h, w, 3), or (n, s²) for flat squares.
        y: their classes from 0, of shape (n,).
        probabilities: what the model gives them, of shape (n, k), or (n, 1) with that of class 1.
        count: how many at most.
        title: above the sheet.

    Raises:
        ValueError: the arrays have other shapes or lengths, ``y`` are not classes, or ``count``
            is less than 1.
    """
    import numpy as np

    check_at_least(1, count=count)
    images = scaled_images(x)
    y = as_classes(y, len(images))
    probabilities = as_probabilities(probabilities, len(y), y, "probabilities holds")
    order = wrong_order(y, probabilities)[:count]
    if not len(order):
        figure = blank(5.0, 2.0, title)
        figure.text(0.5, 0.5, f"None of the {len(y)} images is misclassified.", ha="center", va="center")
        return arranged(figure)
    given = np.argmax(probabilities, axis=1)
    captions = [f"{y[i]} → {given[i]}, {probabilities[i, given[i]]:.2f}" for i in order]
    return sheet_of(images[order], captions, title)


def wrong_order(y: Array, probabilities: Array) -> Array:
    """Indices of the misclassified samples, the one with the most probable wrong class first.

    Args:
        y: classes from 0, of shape (n,).
        probabilities: of shape (n, k), or (n, 1) with that of class 1 alone.

    Raises:
        ValueError: the lengths differ, ``y`` are not classes, or there are not enough columns.
    """
    import numpy as np

    y = as_classes(y, len(y))
    probabilities = as_probabilities(probabilities, len(y), y, "probabilities holds")
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != y)
    return wrong[np.argsort(-probabilities.max(axis=1)[wrong], kind="stable")]


def samples(x: Array, y: Array, count: int = 25, title: str = "") -> Figure:
    """The first images of a dataset, with their classes above them.

    Args:
        x: images of shape (n, h, w), (n, h, w, 1), (n, h, w, 3), or (n, s²) for flat squares.
        y: their classes from 0, of shape (n,).
        count: how many at most.
        title: above the sheet.

    Raises:
        ValueError: the arrays have other shapes or lengths or are empty, ``y`` are not classes,
            or ``count`` is less than 1.
    """
    check_at_least(1, count=count)
    images = scaled_images(x)
    y = as_classes(y, len(images))
    if not len(images):
        raise ValueError("x holds no images")
    return sheet_of(images[:count], [str(number) for number in y[:count]], title)


def sheet_of(images: Array, captions: Sequence[str], title: str) -> Figure:
    """Images from 0 (black) to 1 (white) in rows, as near to a square as they go."""
    across = math.ceil(math.sqrt(len(images)))
    down = math.ceil(len(images) / across)
    figure = blank(max(1.3 * across, 4.4), 1.5 * down, title)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True), 1):
        axes = figure.add_subplot(down, across, place)
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(caption, fontsize=9, pad=3)
        axes.set_axis_off()
    return arranged(figure)
