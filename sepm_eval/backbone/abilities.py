"""What a method may need of a backbone beyond plain ``see``, ``read`` and ``write``."""

from __future__ import annotations

MEANINGS = {
    "probe": "report attention",
    "keep": "read a picture without some of its visual tokens",
    "prune": "remove visual tokens between its layers",
    "reuse": "continue from an earlier reading of a picture",
    "resize": "look at a smaller picture",
    "class_token": "report the attention of a class token in its vision tower",
    "tower": "give its vision tower's features one to a visual token, of a tower that has a paired text tower",
}
"""Each ability in words, for messages."""

ABILITIES = frozenset(MEANINGS)
"""The names of all abilities (see ``Backbone.supports``)."""
