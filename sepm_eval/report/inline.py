"""A figure as part of a page: its points can be links, and the page's policy need admit no further styles."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias
from xml.etree import ElementTree

from sepm_eval.report.figures import Figure

ItemLink: TypeAlias = "Callable[[Mapping[str, str]], str]"
"""Gives the address of the page that shows certain items (see ``table.items_of``); "" if there is none."""

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_POINT = re.compile(r"items-(\d+)")


def inline_svg(figure: Figure, link: ItemLink) -> str:
    """A figure's SVG as it may stand in an HTML page.

    What matplotlib writes into ``style`` attributes, which the page's policy forbids, becomes attributes of their own.

    Args:
        figure: the figure.
        link: where the items behind a point are shown.

    Returns:
        One ``<svg>`` element.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(figure.svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}style" or child.tag.endswith("metadata"):
                parent.remove(child)
    for element in root.iter():
        for part in element.attrib.pop("style", "").split(";"):
            name, _, value = part.partition(":")
            if value:
                element.set(name.strip(), value.strip())
    _link_points(root, figure, link)
    for element in root.iter(f"{{{_SVG}}}g"):
        element.attrib.pop("id", None)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    width = float(root.get("viewBox", "0 0 600 0").split()[2])
    root.attrib |= {"role": "group", "aria-label": figure.caption, "class": "wide" if width > 400 else "narrow"}
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # what matplotlib's style sheet says of all
    return ElementTree.tostring(root, encoding="unicode")


def _link_points(root: ElementTree.Element, figure: Figure, link: ItemLink) -> None:
    """Put each point that has items into a link to them."""
    for parent in list(root.iter()):
        for place, child in enumerate(list(parent)):
            point = _POINT.fullmatch(child.get("id", ""))
            if point is None:
                continue
            about = figure.items[int(point[1])]
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = ", ".join(
                about[key] for key in ("label", "confidence", "method", "model", "column") if key in about
            )
            child.insert(0, title)
            if address := link(about):
                anchor = ElementTree.Element(f"{{{_SVG}}}a", {"href": address, "aria-label": title.text})
                anchor.append(child)
                parent[place] = anchor
