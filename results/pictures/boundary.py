"""The decision boundary of a model on points of the plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

from hpc.results.pictures.arrays import as_classes, as_probabilities
from hpc.results.plots.base import COLOURS, INK, arranged, blank

_MARKERS = ("o", "s", "^", "D")  # of the first eight classes, of the next eight, …


_GRID = 200  # predictions along each side of a decision boundary


def decision_boundary(predict: Callable[[Array], Array], x: Array, y: Array, title: str = "") -> Figure:
    """The classes that a model gives to the points of the plane, and the samples upon them.

    With two classes the shading is the probability of class 1 and the line is where it is 0.5;
    with more, each region has the colour of its most probable class.

    Args:
        predict: takes points of shape (m, 2), float32, and returns probabilities of shape (m, k),
            or (m, 1) with that of class 1 alone.
        x: samples, of shape (n, 2).
        y: their classes from 0, of shape (n,).
        title: above the picture.

    Raises:
        ValueError: ``x`` are not points in the plane, ``y`` are not classes, or what ``predict``
            returns are not probabilities of them.
    """
    import numpy as np

    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise ValueError(f"x has to be points in the plane, of shape (n, 2), but it has shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("x holds values that are not finite")
    y = as_classes(y, len(x))
    low, high = x.min(axis=0), x.max(axis=0)
    margin = np.where(high > low, 0.08 * (high - low), 0.5)
    low, high = low - margin, high + margin
    half = (high - low) / _GRID / 2
    across, up = (np.linspace(low[i] + half[i], high[i] - half[i], _GRID) for i in (0, 1))
    points = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype("float32")
    probabilities = as_probabilities(predict(points), len(points), y, "predict gives")
    probabilities = probabilities.reshape(_GRID, _GRID, -1)

    figure = blank(6.4, 5.4, title)
    axes = figure.add_subplot()
    classes = probabilities.shape[2]
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    if classes == 2:
        _shade(axes, probabilities[:, :, 1], extent)
    else:
        _regions(axes, probabilities, extent)
    for number in range(classes):
        axes.scatter(
            x[y == number, 0], x[y == number, 1], s=26, color=_colour(number),
            marker=_MARKERS[number // 8 % 4], edgecolors="white", linewidths=0.6, label=f"class {number}",
        )  # fmt: skip
    axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="feature 1", ylabel="feature 2")
    figure.legend(loc="outside lower center", ncols=min(classes, 5), handletextpad=0.1, frameon=False)
    return arranged(figure)


def _shade(axes: Axes, probability: Array, extent: tuple[float, float, float, float]) -> None:
    """The probability of class 1 from 0 (its rival's colour) to 1, with the line at 0.5."""
    from matplotlib.colors import LinearSegmentedColormap

    tints = [_tint(COLOURS[0], 0.45), "#FFFFFF", _tint(COLOURS[1], 0.45)]
    image = axes.imshow(
        probability, cmap=LinearSegmentedColormap.from_list("two", tints), vmin=0, vmax=1,
        extent=extent, origin="lower", aspect="auto", interpolation="bilinear",
    )  # fmt: skip
    axes.contour(probability, levels=[0.5], colors=INK, linewidths=1.5, extent=extent, origin="lower")
    bar = axes.figure.colorbar(image, ax=axes, label="probability of class 1", ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.outline.set_visible(False)


def _regions(axes: Axes, probabilities: Array, extent: tuple[float, float, float, float]) -> None:
    """The most probable class everywhere, with lines where it changes."""
    import numpy as np
    from matplotlib.colors import ListedColormap

    classes = probabilities.shape[2]
    axes.imshow(
        probabilities.argmax(axis=2), cmap=ListedColormap([_tint(_colour(i), 0.3) for i in range(classes)]),
        vmin=-0.5, vmax=classes - 0.5, extent=extent, origin="lower", aspect="auto", interpolation="nearest",
    )  # fmt: skip
    for number in range(classes):
        lead = probabilities[:, :, number] - np.delete(probabilities, number, axis=2).max(axis=2)
        axes.contour(lead, levels=[0], colors=INK, linewidths=1, extent=extent, origin="lower")


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _tint(colour: str, share: float) -> str:
    """A colour on white, where it covers ``share``."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = (1 - share * (1 - part) for part in to_rgb(colour))
    return to_hex((red, green, blue))
