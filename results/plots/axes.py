"""What the figures of charts have in common: style, scales, notes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hpc.results.plots.base import GRID, INK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


WIDTH = 7.2  # inches; a page's column


MUTED = "#909090"  # of what stands behind, in light and dark


@contextmanager
def style() -> Iterator[None]:
    """What all charts look like. Texts of users hold no formulas."""
    import matplotlib

    settings = {
        "text.parse_math": False, "font.size": 9, "axes.titlesize": 9.5, "axes.labelsize": 9,
        "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "legend.fontsize": 8.5, "legend.frameon": False,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "axes.titlecolor": INK,
        "xtick.color": INK, "ytick.color": INK, "axes.facecolor": "none", "axes.linewidth": 0.8,
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
        "grid.color": GRID, "grid.linewidth": 0.8, "xtick.major.width": 0.8, "ytick.major.width": 0.8,
        "hatch.color": GRID, "hatch.linewidth": 0.8,
    }  # fmt: skip
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        yield


def add_note(figure: Figure, text: str) -> None:
    """Say below a figure what its marks are."""
    figure.supxlabel(text, fontsize=8)


def slant_labels(axes: Axes) -> None:
    """Turn the labels of the axis across, where they are too long to stand side by side."""
    axes.tick_params("x", rotation=35, rotation_mode="anchor")
    for text in axes.get_xticklabels():
        text.set_horizontalalignment("right")


def limits(values: Any, mode: str) -> tuple[float, float, bool]:
    """Ends of a scale of colours, and whether worse values lie beyond.

    A few that failed must not hide the rest: those further from the middle half than three times its range.
    """
    import numpy as np

    low, quarter, rest, high = np.quantile(values, [0, 0.25, 0.75, 1])
    far = 3 * (rest - quarter)
    if mode == "max" and far and low < quarter - far:
        return float(values[values >= quarter - far].min()), float(high), True
    if mode != "max" and far and high > rest + far:
        return float(low), float(values[values <= rest + far].max()), True
    return (float(low), float(high), False) if high > low else (float(low) - 0.5, float(low) + 0.5, False)


def shades(name: str, mode: str, first: float = 0.0, last: float = 1.0) -> Colormap:
    """A map of 48 colours, the better the brighter; of 50 or more a colour bar would be a bitmap."""
    import matplotlib
    import numpy as np
    from matplotlib.colors import ListedColormap

    colours = matplotlib.colormaps[name](np.linspace(first, last, 48))
    return ListedColormap(colours if mode == "max" else colours[::-1])


def panels_across(number: int) -> int:
    """How many panels stand side by side."""
    return number if number <= 3 else 3 if number in (5, 6, 9) else 4


def kind_of_hours(frame: pd.DataFrame) -> str:
    """The column of a bill that counts: of GPUs if there are any."""
    return next((kind for kind in ("gpu_hours", "core_hours") if (frame[kind] > 0).any()), "node_hours")
