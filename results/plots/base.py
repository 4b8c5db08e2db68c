"""What charts and pictures have in common: colours, figures, files.

Figures are matplotlib's, held by no window and no global state. Colours are those that people who are
colour-blind can tell apart (M. Okabe and K. Ito, "Color Universal Design", 2008). matplotlib is imported
where it is used."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.results.store import replacing

if TYPE_CHECKING:
    from typing import TypeAlias

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]


FORMATS = ("png", "svg", "pdf")


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
"""Of Okabe and Ito, the easiest to see on white first."""


INK, GRID, PAPER = "#333333", "#E5E5E5", "#FFFFFE"
"""Of text and axes, of lines to read values by, and of the ground: white, but for a page to know it from
a white that has to stay one."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file whose suffix says the format; it is there whole or not at all.

    The same figure gives the same bytes. Text stays text in SVG, and PNG has 150 dots per inch.

    Args:
        figure: as drawn.
        path: ends with ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        ValueError: it has another suffix.
        OSError: it can't be written.
    """
    import matplotlib

    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        known = ", ".join(f".{form}" for form in FORMATS)
        raise ValueError(f"{path.name!r} has no suffix of a picture; there are {known}")
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    settings = matplotlib.rc_context({"svg.hashsalt": "results", "svg.fonttype": "none"})
    with settings, any_glyph(), replacing(path) as scratch:
        figure.savefig(scratch, format=form, dpi=150, metadata=metadata)


def blank(width: float, height: float, title: str) -> Figure:
    """An empty figure, in inches, to which a title adds as many lines as it needs."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    lines = textwrap.wrap(title, int(width * 9))
    figure = Figure(figsize=(width, height + 0.25 * len(lines)), facecolor="white", layout=layout)
    if lines:
        figure.suptitle("\n".join(lines), fontsize=12, parse_math=False)
    return figure


def arranged(figure: Figure) -> Figure:
    """A figure whose parts have their places for good.

    Constrained layout moves them by a hair at every drawing; the same picture would be another file.
    """
    with any_glyph():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


@contextmanager
def any_glyph() -> Iterator[None]:
    """Hold back matplotlib's warning of letters that its font lacks; it draws boxes for them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield


def ink_on(red: float, green: float, blue: float) -> str:
    """Black or white, whichever is easier to read on a colour (WCAG 2.2, contrast ratio)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "white"
