"""Embed a figure in an HTML page as SVG, with links on its points and without inline styles, which the page forbids."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias
from xml.etree import ElementTree

from sepm_eval.report.figures import Figure

ItemLink: TypeAlias = "Callable[[Mapping[str, str]], str]"
"""A function from items (see ``table.items_of``) to the address of the page that shows them; "" if there is none."""

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_POINT = re.compile(r"items-(\d+)")


def inline_svg(figure: Figure, link: ItemLink) -> str:
    """Turn a figure's SVG into an element of an HTML page.

    matplotlib writes properties into ``style`` attributes, which the content security policy of the page forbids. Each
    property becomes an attribute of its own.

    Args:
        figure: the figure.
        link: gives the address at which the items behind a point are shown.

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
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # matplotlib's style sheet sets these for all
    return ElementTree.tostring(root, encoding="unicode")


def _link_points(root: ElementTree.Element, figure: Figure, link: ItemLink) -> None:
    """Wrap each point that has items in a link to them."""
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
