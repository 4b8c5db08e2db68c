"""Confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

from hpc.results.plots.base import COLOURS, arranged, blank, ink_on

_NUMBERED = 20  # classes up to which a confusion matrix has room for its numbers


def confusion(matrix: Sequence[Sequence[int]], title: str = "") -> Figure:
    """A confusion matrix: how many samples of each class were given each class.

    Args:
        matrix: counts, k rows of k columns; rows are the true classes, columns the predicted ones.
        title: above the picture.

    Raises:
        ValueError: it is no square of counts.
    """
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    sizes = sorted({len(row) for row in matrix})
    if sizes != [len(matrix)] or not sizes[0]:
        wide = " or ".join(map(str, sizes)) or "no"
        raise ValueError(f"a confusion matrix is square, but this has {len(matrix)} rows of {wide} columns")
    counts = np.asarray(matrix)
    if counts.dtype.kind not in "iu" or counts.min() < 0:
        raise ValueError(f"a confusion matrix holds counts, but this holds {counts.min()} ({counts.dtype})")
    classes = len(counts)
    side = min(max(0.5 * classes + 1.6, 3.6), 10.0)
    numbered = classes <= _NUMBERED
    figure = blank(side if numbered else side + 1.2, side, title)
    axes = figure.add_subplot()
    shades = LinearSegmentedColormap.from_list("counts", ["#FFFFFF", COLOURS[0], "#00304B"])
    image = axes.imshow(counts, cmap=shades, vmin=0, vmax=max(int(counts.max()), 1), interpolation="nearest")
    axes.set(xlabel="predicted class", ylabel="true class")
    if numbered:
        axes.set(xticks=range(classes), yticks=range(classes))
        digits = len(str(counts.max()))
        size = min(10.0, 80 * side / classes / digits)
        ground = np.asarray(shades(image.norm(counts)))
        for row, column in np.ndindex(counts.shape):
            ink = ink_on(*ground[row, column, :3])
            axes.text(
                column, row, str(counts[row, column]), color=ink, ha="center", va="center", fontsize=size
            )
    else:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        figure.colorbar(image, ax=axes, label="samples")
    axes.spines[:].set_color("#BBBBBB")
    axes.tick_params(color="#BBBBBB")
    return arranged(figure)
