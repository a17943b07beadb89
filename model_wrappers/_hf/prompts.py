"""From a user's turns to token ids, with the checkpoint's own chat template and processor, and the picture in place."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sepm_eval.backbone.tokenizers import as_text, last_tokens, overlapping, tokens_behind

_OPEN_THOUGHT = re.compile(r"<think(ing)?>\s*$", re.IGNORECASE)
_NO_DATE = "{%- macro strftime_now(form) -%}{{ form }}{%- endmacro %}"
_UNIT = Image.new("RGB", (32, 32))  # stands for the picture where a processor only checks whether there is one


@dataclass(frozen=True)
class Prompt:
    """One tokenised prompt.

    Attributes:
        ids: [L], token ids, with one placeholder for each visual token.
        slots: [L] bool, which of them are visual tokens.
        probed: indices of the tokens whose attention is read.
        text: the prompt as the chat template renders it, with one placeholder for the picture.
        begun: number of tokens at the end that are the beginning of the answer.
    """

    ids: Tensor
    slots: Tensor
    probed: list[int]
    text: str
    begun: int = 0


class Prompts:
    """Renders and tokenises prompts of one checkpoint."""

    def __init__(self, name: str, processor: Any, image_token_id: int) -> None:
        """Take over a processor.

        Args:
            name: the checkpoint, for errors.
            processor: a processor of transformers.
            image_token_id: the id that stands for visual tokens.

        Raises:
            ValueError: the processor has no chat template, its tokenizer does not say which characters a token covers
                or lacks the placeholder, the prompt makes the model think before it answers, or letters are not
                single tokens.
        """
        self._name, self.processor, self._image_token_id = name, processor, image_token_id
        self._lock = threading.Lock()  # a tokenizer written in Rust must not be used by two threads at once
        found = getattr(processor, "chat_template", None)
        self._template = (found.get("default") if isinstance(found, dict) else found) or ""  # several come by name
        if not self._template:
            raise ValueError(f"{name}: its processor has no chat template, so nobody knows how to ask it a question")
        if not getattr(processor.tokenizer, "is_fast", False):
            raise ValueError(f"{name}: its tokenizer does not say which characters a token covers (no tokenizer.json)")
        if image_token_id >= len(processor.tokenizer):
            raise ValueError(
                f"{name}: its config.json gives visual tokens the id {image_token_id}, and its tokenizer has only "
                f"{len(processor.tokenizer)} tokens; tokenizer.json is missing or of another checkpoint"
            )
        thinks = "enable_thinking" in self._template
        self.template_options: dict[str, Any] = {"enable_thinking": False} if thinks else {}
        if _OPEN_THOUGHT.search(self.render("A", image=True)):
            raise ValueError(
                f"{name} always thinks before it answers (its chat template opens a thought even with "
                "enable_thinking=False), so its first token is no option letter"
            )
        self.letter_ids("AB")  # fails here, before weights are loaded, if a letter is not a single token

    @cached_property
    def _special(self) -> set[str]:
        """The tokenizer's special tokens as text, and the placeholder."""
        tokens = self.processor.tokenizer.added_tokens_decoder.values()
        return {token.content for token in tokens if token.special} | {self.processor.image_token}

    def around(self, text: str) -> str:
        """The whole prompt of a question with a picture; today's date, if it is in there, is replaced by its format."""
        return self.render(text, image=True, chat_template=_NO_DATE + self._template)

    def render(self, turns: str | Sequence[str], *, image: bool, answer: str | None = None, **changed: str) -> str:
        """The whole prompt as text, with one placeholder for the picture.

        Args:
            turns: the user's turn, or those of a dialogue that begins and ends with the user's.
            image: whether a picture stands before the first turn.
            answer: the model's answer, which is added after the turns; None: the prompt ends where the answer starts.
            changed: ``chat_template``, to use another one than the checkpoint's own.
        """
        said = [turns] if isinstance(turns, str) else list(turns)
        said += [] if answer is None else [answer]
        messages = [
            {"role": "assistant" if index % 2 else "user", "content": [{"type": "text", "text": text}]}
            for index, text in enumerate(said)
        ]
        if image:
            messages[0]["content"] = [{"type": "image"}, *messages[0]["content"]]
        return self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=answer is None, **self.template_options, **changed
        )

    def encode(
        self, turns: str | Sequence[str], expansion: str | None, probe: str | None, begun: Sequence[int] = ()
    ) -> Prompt:
        """Tokenise a prompt.

        Args:
            turns: the user's turn, or those of a dialogue.
            expansion: the text that the processor puts in the place of the picture; None for a prompt without one.
            probe: a phrase of the last turn whose tokens are wanted.
            begun: token ids with which the answer begins.

        Raises:
            ValueError: the prompt does not contain the phrase, or not exactly one placeholder for its picture.
        """
        last = turns if isinstance(turns, str) else turns[-1]
        rendered = self.render(as_text(turns, self._special), image=expansion is not None)
        whole, after = rendered, 0
        if expansion is not None:
            whole = self._expand(rendered, expansion)
            after = whole.rindex(expansion) + len(expansion)
        ids, spans = self._tokenise(whole)
        probed = []
        if probe is not None:
            start = whole.find(probe, max(whole.rfind(last.strip()), after))
            if start < 0 or probe not in last:
                raise ValueError(f"the prompt does not hold the probe {probe!r}: {last!r}")
            probed = overlapping(spans, start, start + len(probe))
        tokens = torch.tensor([*ids, *begun])
        return Prompt(tokens, tokens == self._image_token_id, probed, rendered, len(begun))

    def _expand(self, rendered: str, expansion: str) -> str:
        """Replace the placeholder, and do whatever else the processor does to a prompt with a picture."""
        placeholder = self.processor.image_token
        found = rendered.count(placeholder)
        if found != 1:
            who = "the question must not spell it" if found else "its chat template does not put it for a picture"
            raise ValueError(
                f"{self._name}: the prompt of one picture holds the placeholder {placeholder!r} {found} times; "
                f"{who}: {rendered!r}"
            )
        _, texts, *_ = self.processor.prepare_inputs_layout(images=[_UNIT], text=[rendered])
        (whole,), _ = self.processor.get_text_with_replacements(list(texts), images_replacements=[expansion])
        return whole

    def _tokenise(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and character spans; a text that begins with the tokenizer's BOS token gets no second one."""
        tokenizer = self.processor.tokenizer
        bos = tokenizer.bos_token
        with self._lock:
            found = tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)), return_offsets_mapping=True)
        return found["input_ids"], found["offset_mapping"]

    def letter_ids(self, letters: str) -> list[int]:
        """See ``Backbone.letter_ids``.

        Raises:
            ValueError: a letter after the prompt is not a single token.
        """
        prompt, before, answers = self._answers(letters)
        return last_tokens(self._name, prompt[-20:], letters, before, answers)

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """See ``Backbone.answer_ids``."""
        prompt, before, answers = self._answers(texts)
        return tokens_behind(self._name, prompt[-20:], texts, before, answers)

    def _answers(self, texts: Iterable[str]) -> tuple[str, list[int], list[list[int]]]:
        """A prompt, its token ids, and for each text the token ids of the prompt followed by the text as its answer."""
        rendered = self.render("A", image=True)
        prompt = self._expand(rendered, self.processor.image_token)
        before, _ = self._tokenise(prompt)
        lead = self._lead(rendered, prompt, before)
        return prompt, before, [self._tokenise(f"{prompt}{lead}{text}")[0] for text in texts]

    def _lead(self, rendered: str, prompt: str, ids: Sequence[int]) -> str:
        """What separates the prompt from an answer: a space, or nothing.

        The template shows it if it puts an answer directly after the prompt. If it does not (it leaves the think block
        out of a finished turn, or the processor ends the prompt differently), there is a space after a visible
        character, and nothing after a space or a special token.
        """
        answered = self.render("A", image=True, answer="A")
        if answered.startswith(rendered) and prompt[-1:] == rendered[-1:]:
            between = answered[len(rendered) :].split("A", 1)[0]
            if between in ("", " "):
                return between
        special = ids[-1] in self.processor.tokenizer.all_special_ids
        return "" if special or prompt[-1:].isspace() else " "

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer's tokens."""
        with self._lock:
            return self.processor.tokenizer.decode(list(ids), skip_special_tokens=True).strip()

    def own_inputs(self, text: str, image: Image.Image, options: Mapping[str, Any]) -> dict[str, Any]:
        """The model inputs that the processor itself makes from a prompt and its picture, in one call."""
        content = [{"type": "image", "image": image}, {"type": "text", "text": text}]
        with self._lock:
            return dict(
                self.processor.apply_chat_template(
                    [{"role": "user", "content": content}],
                    tokenize=True,
                    return_dict=True,
                    return_tensors="pt",
                    add_generation_prompt=True,
                    processor_kwargs={"images_kwargs": dict(options)},
                    **self.template_options,
                )
            )
