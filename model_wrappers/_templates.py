"""Conversation templates, byte for byte, as text before and after the image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """Text around the user's turn; with an image, the image stands between ``before`` and a line break."""

    before: str
    after: str

    def around(self, text: str, *, image: bool) -> tuple[str, str]:
        """The pieces before and after the image; without an image, one piece and an empty one."""
        if image:
            return self.before, f"\n{text}{self.after}"
        return f"{self.before}{text}{self.after}", ""


VICUNA_V1 = Template(  # haotian-liu/LLaVA, llava/conversation.py, conv_vicuna_v1; VILA's vicuna_v1 is the same
    before=(
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: "
    ),
    after=" ASSISTANT:",
)
