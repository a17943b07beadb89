"""Conversation templates, byte for byte those of the originals, as text before and after the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """Text around the user's turn; with an image, the image stands between ``before`` and a line break.

    Attributes:
        before: what stands before the image or the user's text.
        after: what stands after the user's text; the answer follows.
        lead: what stands between ``after`` and the letter of an answer, which is part of the letter's token.
        again: in a dialogue, what stands between the model's answer and the user's next turn.
        stop: special token at the start of ``again``. The original tokenises the text after it separately, without the
            space that Llama's tokenizer puts before a text; "" for a tokenizer that puts none.
    """

    before: str
    after: str
    lead: str
    again: str
    stop: str = ""

    def around(self, turns: str | Sequence[str], *, image: bool) -> tuple[str, str]:
        """The text before and after the image; without an image, the whole text and an empty one.

        Args:
            turns: the user's turn, or those of a dialogue: user, model, user, ...
            image: whether there is an image, in front of the first turn.

        Raises:
            ValueError: the last turn is not the user's.
        """
        spoken = [turns] if isinstance(turns, str) else list(turns)
        if len(spoken) % 2 == 0:
            raise ValueError(
                f"a dialogue of {len(spoken)} turns cannot be answered: its turns are the user's, the model's, the "
                "user's ..., and the last is the user's"
            )
        text = spoken[0]
        for answer, question in zip(spoken[1::2], spoken[2::2], strict=True):
            text += f"{self.after}{self.lead}{answer}{self.again}{question}"
        if image:
            return self.before, f"\n{text}{self.after}"
        return f"{self.before}{text}{self.after}", ""


VICUNA_V1 = Template(  # haotian-liu/LLaVA, llava/conversation.py, conv_vicuna_v1; VILA's vicuna_v1 is the same
    before=(
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: "
    ),
    after=" ASSISTANT:",
    lead=" ",
    again="</s>USER: ",
    stop="</s>",
)

_LLAMA_3_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)


def _llama_3(end: str, answerer: str) -> Template:
    return Template(
        before=(
            f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{_LLAMA_3_SYSTEM}{end}"
            "<|start_header_id|>user<|end_header_id|>\n\n"
        ),
        after=f"{end}<|start_header_id|>{answerer}<|end_header_id|>\n\n",
        lead="",
        again=f"{end}<|start_header_id|>user<|end_header_id|>\n\n",
    )


# NVlabs/VILA, llava/conversation.py, llama_3. Until August 2024 the answer's header says "system" (sic).
LLAMA_3_MAY2024 = _llama_3("<|end_of_text|>", "system")
LLAMA_3_AUG2024 = _llama_3("<|eot_id|>", "assistant")
