"""Figures as SVG elements for a page in light or dark."""

from __future__ import annotations

import io
import re
from hashlib import sha256
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from hpc.results.plots.base import GRID, INK, PAPER, any_glyph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VARIABLES = {INK: "--ink", GRID: "--grid", PAPER: "--paper"}
_COLOUR = re.compile("|".join(_VARIABLES), re.IGNORECASE)
_FONT = re.compile(r"font: (?:(\d+|bold) )?([\d.]+px) [^;]+")
_FAMILY = re.compile(r"font-family: [^;]+;? ?")
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(figure: Figure, prefix: str = "") -> str:
    """A figure as an ``<svg>`` element, to be put into a page.

    It is what matplotlib writes, but for what the page decides: its ground is transparent, its text is text
    in the font of the page, and ink, grid and paper are the CSS variables ``--ink``, ``--grid`` and
    ``--paper``. What has a ``gid`` keeps it as its id. The same figure gives the same text.

    Args:
        figure: as drawn.
        prefix: before every id, where a page has several charts of one kind.
    """
    import matplotlib

    target = io.StringIO()
    settings = matplotlib.rc_context({"svg.hashsalt": "results", "svg.fonttype": "none"})
    none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with settings, any_glyph():
        figure.savefig(target, format="svg", metadata=none, facecolor="none")
    text = _NOT_XML.sub("", target.getvalue())
    root = ElementTree.fromstring(text)
    own = prefix or f"c{sha256(text.encode()).hexdigest()[:6]}-"
    kept = {gid: prefix + gid for artist in figure.findobj() if (gid := artist.get_gid())}

    def adapted(name: str, value: str) -> str:
        if name == "id":
            return kept.get(value, own + value)
        if name == "href":
            return f"#{own}{value[1:]}" if value.startswith("#") else value  # else a picture, as data
        value = value.replace("url(#", f"url(#{own}")
        value = _COLOUR.sub(lambda found: f"var({_VARIABLES[found[0].upper()]})", value)
        return _FAMILY.sub("", _FONT.sub(_font, value))

    for element in root.iter():
        _drop_style(element)  # which would hold for the whole page
        element.tag = _local(element.tag)  # a page knows no namespaces
        entries = {_local(name): value for name, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update({name: adapted(name, value) for name, value in entries.items()})
    root.set("xmlns", "http://www.w3.org/2000/svg")
    root.set("style", "max-width:100%;height:auto;stroke-linejoin:round;stroke-linecap:butt")
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]


def _drop_style(element: ElementTree.Element) -> None:
    for child in [child for child in element if _local(child.tag) == "style"]:
        element.remove(child)


def _font(found: re.Match[str]) -> str:
    weight = f"; font-weight: {found[1]}" if found[1] else ""
    return f"font-size: {found[2]}{weight}"
