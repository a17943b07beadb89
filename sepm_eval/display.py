"""How an answer looks in a notebook: a small piece of HTML in which all text of the model is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_BAR = 160  # length of the bar of probability 1, in pixels
_THUMBNAIL = 224  # longer side of a thumbnail, in pixels


def answer_html(
    label: str | None,
    text: str,
    probabilities: Mapping[str, float],
    facts: Sequence[tuple[str, str]],
    pictures: Sequence[Image] = (),
) -> str:
    """Show an answer as HTML.

    Args:
        label: the emotion answered; None is shown as "unparsed".
        text: what the model wrote.
        probabilities: the probability of each label, from 0 to 1; each is shown with a bar.
        facts: pairs of a name and a value, shown below the probabilities.
        pictures: pictures shown first, side by side, as thumbnails.

    Returns:
        One ``<div>`` with inline styles, so that it looks the same in every notebook.
    """
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{share:.4f}</td><td>{_bar(share, name == label)}</td></tr>"
        for name, share in probabilities.items()
    )
    more = "".join(f"<tr><td>{escape(name)}</td><td colspan='2'>{escape(value)}</td></tr>" for name, value in facts)
    return (
        f"<div>{''.join(map(_thumbnail, pictures))}"
        f"<p><b>{escape(label or 'unparsed')}</b> <code>{escape(repr(text))}</code></p>"
        f"<table><tbody>{rows}{more}</tbody></table></div>"
    )


def _bar(share: float, chosen: bool) -> str:
    width = round(_BAR * min(max(share, 0.0), 1.0))
    colour = "#2a6fbb" if chosen else "#9aa7b4"
    return f"<div style='width:{width}px;height:0.8em;background:{colour}'></div>"


def _thumbnail(picture: Image) -> str:
    small = picture.convert("RGB")
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f"<img style='display:inline-block;margin-right:8px' alt='' src='data:image/png;base64,{data}'>"
