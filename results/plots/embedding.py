"""Figures as SVG elements for a page in light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from hpc.results.plots.base import GRID, INK, PAPER, any_glyph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VARIABLES = {INK: "--ink", GRID: "--grid", PAPER: "--paper"}
_COLOUR = re.compile("|".join(_VARIABLES), re.IGNORECASE)
_DECIMALS = re.compile(r"-?\d+\.\d+")
_FONT = re.compile(r"font: (?:(\d+|bold) )?([\d.]+px) [^;]+")
_FAMILY = re.compile(r"font-family: [^;]+;? ?")
_REFERENCE = re.compile(r"url\(#([^()]+)\)")
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(figure: Figure, prefix: str = "") -> str:
    """A figure as an ``<svg>`` element, to be put into a page.

    Its ground is transparent, its text is text in the font of the page, and ink, grid and paper are the
    CSS variables ``--ink``, ``--grid`` and ``--paper``. Numbers have two decimals. What has a ``gid`` keeps
    it as its id. The same figure gives the same text.

    Args:
        figure: as drawn.
        prefix: before every id, where a page has several charts of one kind.
    """
    import matplotlib

    target = io.StringIO()
    settings = matplotlib.rc_context({"svg.hashsalt": "results", "svg.fonttype": "none"})
    with settings, any_glyph():
        figure.savefig(target, format="svg", metadata={"Date": None}, facecolor="none")
    text = _NOT_XML.sub("", target.getvalue())
    root = ElementTree.fromstring(text)
    own = prefix or f"c{sha256(text.encode()).hexdigest()[:6]}-"
    named = set(_REFERENCE.findall(text)) | set(re.findall('xlink:href="#([^"]+)"', text))
    gids = [gid for artist in figure.findobj() if (gid := artist.get_gid())]
    ids = {name: own + name for name in named} | {name: prefix + name for name in gids}
    for parent in list(root.iter()):
        for child in list(parent):
            name = child.tag.rpartition("}")[2]
            if name in ("metadata", "style") or (name in ("g", "defs") and not len(child)):
                parent.remove(child)
    return _written(root, ids)


def _written(root: ElementTree.Element, ids: dict[str, str]) -> str:
    """As text, without namespaces, spaces between elements, and ids that nothing names."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = dict(_short(element.attrib, ids))
        element.attrib.clear()
        element.attrib.update(attributes)
        element.tail = None
        if element.tag not in ("text", "tspan"):
            element.text = None
    root.attrib.update(
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "style": "max-width:100%;height:auto;stroke-linejoin:round;stroke-linecap:butt",
        }
    )
    return ElementTree.tostring(root, encoding="unicode")


def _short(attributes: dict[str, str], ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Attributes as they go into the page."""
    for name, value in attributes.items():
        name = name.rpartition("}")[2]  # xlink:href is href today
        if name == "id":
            if value in ids:
                yield name, ids[value]
        elif name == "href" and value.startswith("#"):
            yield name, f"#{ids[value[1:]]}"
        elif name == "href":
            yield name, value  # a picture, as data
        elif name != "version":
            value = _REFERENCE.sub(lambda found: f"url(#{ids[found[1]]})", value)
            value = _COLOUR.sub(lambda found: f"var({_VARIABLES[found[0].upper()]})", value)
            value = _FAMILY.sub("", _FONT.sub(_font, value))
            value = _DECIMALS.sub(_rounded, value)
            if name in ("d", "style"):
                value = " ".join(value.split()).replace("; ", ";").replace(": ", ":")
            if name == "d":
                value = re.sub(r" ?([A-Za-z]) ?", r"\1", value)
            yield name, value


def _rounded(found: re.Match[str]) -> str:
    text = f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _font(found: re.Match[str]) -> str:
    weight = f";font-weight:{found[1]}" if found[1] else ""
    return f"font-size:{found[2]}{weight}"
