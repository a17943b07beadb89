"""Token ids of a text with their character spans, from a tokenizer.json or a bare tokenizer.model.

Prompts are tokenised in pieces around the image, as in the original LLaVA and VILA code. The character spans are needed
because a probe names its tokens by a phrase. The two libraries behind transformers' tokenizer classes are used
directly: a class may rebuild itself from ``legacy`` and lose the space token after the image, and a folder with a bare
tokenizer.model does not load through transformers with the protobuf version that lmms-eval installs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Protocol

_TRIAL = "A: What do you feel?\n"
_BYTE = re.compile(r"^<0x[0-9A-F]{2}>$")


class Tokenizer(Protocol):
    """Tokenises a piece of text. Special tokens are neither added nor shown."""

    vocab_size: int
    """Size of the vocabulary the model was trained with, without tokens added later for images or padding."""
    largest_id: int
    """Largest id of that vocabulary; the model must have an embedding for it."""
    adds_bos: bool
    """Whether the original tokenizer puts a BOS token before every text."""

    @property
    def special(self) -> frozenset[str]:
        """The special tokens as text, such as "</s>"."""

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids of a text and, for each, the span of characters it covers."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids."""

    def id_of(self, token: str) -> int | None:
        """The id of a token by its name; None if there is no such token."""


class JsonTokenizer:
    """A tokenizer.json, read by the ``tokenizers`` library."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as Library

        self._library = Library.from_file(str(path))
        self._library.no_truncation()  # transformers, and so the original code, ignores both settings of the file
        self._library.no_padding()
        self.vocab_size = self._library.get_vocab_size(with_added_tokens=False)
        self.largest_id = max(self._library.get_vocab(with_added_tokens=False).values(), default=-1)
        plain, whole = (self._library.encode("a", add_special_tokens=special).ids for special in (False, True))
        self.adds_bos = len(whole) > len(plain) and whole[-len(plain) :] == plain

    @cached_property
    def special(self) -> frozenset[str]:
        """See ``Tokenizer``."""
        return frozenset(one.content for one in self._library.get_added_tokens_decoder().values() if one.special)

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """See ``Tokenizer``."""
        encoding = self._library.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: Sequence[int]) -> str:
        """See ``Tokenizer``."""
        return self._library.decode(list(ids), skip_special_tokens=True)

    def id_of(self, token: str) -> int | None:
        """See ``Tokenizer``."""
        return self._library.token_to_id(token)


class SentencePieceTokenizer:
    """A tokenizer.model, read by the ``sentencepiece`` library."""

    def __init__(self, path: Path) -> None:
        from sentencepiece import SentencePieceProcessor

        self._library = SentencePieceProcessor(model_file=str(path))
        self.vocab_size = self._library.get_piece_size()
        self.largest_id = self.vocab_size - 1
        self.adds_bos = True  # Llama's does; a bare tokenizer.model does not say

    @cached_property
    def special(self) -> frozenset[str]:
        """See ``Tokenizer``."""
        return frozenset(self._library.id_to_piece(i) for i in range(self.vocab_size) if self._is_special(i))

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """See ``Tokenizer``."""
        if not text:
            return [], []
        ids = self._library.encode(text)
        return ids, _spans(text, [self._library.id_to_piece(i) for i in ids])

    def decode(self, ids: Sequence[int]) -> str:
        """See ``Tokenizer``."""
        return self._library.decode([i for i in ids if i < self.vocab_size and not self._is_special(i)])

    def _is_special(self, token: int) -> bool:
        """Whether the original tokenizer counts a token as special: <s>, </s> and <unk>."""
        return bool(self._library.is_control(token) or self._library.is_unknown(token))

    def id_of(self, token: str) -> int | None:
        """See ``Tokenizer``."""
        found = self._library.piece_to_id(token)
        return None if found == self._library.unk_id() else found


def _spans(text: str, pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Character spans of SentencePiece pieces in their text (the library's own spans need protobuf).

    Llama's tokenizer puts a space before the text and changes nothing: the pieces' bytes are the space and the text's.

    Raises:
        ValueError: the pieces do not spell the text, so this tokenizer normalises it.
    """
    spelt = [bytes([int(p[3:5], 16)]) if _BYTE.match(p) else p.replace("\u2581", " ").encode() for p in pieces]
    if b"".join(spelt) != b" " + text.encode():
        raise ValueError(f"this tokenizer.model changes the text {text!r} before it splits it; Llama's does not")
    ends = list(accumulate(len(piece) for piece in spelt))
    character = [-1, *(i for i, char in enumerate(text) for _ in char.encode()), len(text)]
    return [
        (max(character[end - len(piece)], 0), character[end - 1] + 1) for end, piece in zip(ends, spelt, strict=True)
    ]


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder.

    Raises:
        FileNotFoundError: the folder holds neither file.
        ValueError: the file is damaged.
    """
    readers: dict[str, type[JsonTokenizer | SentencePieceTokenizer]] = {
        "tokenizer.json": JsonTokenizer,
        "tokenizer.model": SentencePieceTokenizer,
    }
    for name, reader in readers.items():
        path = folder / name
        if path.is_file():
            try:
                tokenizer = reader(path)
                if not tokenizer.decode(tokenizer.encode(_TRIAL)[0]):
                    raise ValueError(f"it encodes {_TRIAL!r} to no tokens")
                return tokenizer
            except (
                BaseException
            ) as error:  # tokenizers raises no narrower class, and where Rust panics not even Exception
                if not (isinstance(error, Exception) or is_rust_panic(error)):
                    raise
                raise ValueError(f"{path} is not a whole tokenizer ({error}): download it again") from error
    raise FileNotFoundError(f"{folder} holds neither tokenizer.json nor tokenizer.model: the checkpoint is incomplete")


def is_rust_panic(error: BaseException) -> bool:
    """Whether an error is a panic in a library written in Rust, which is no ``Exception``."""
    return type(error).__module__ == "pyo3_runtime"


def as_text(turns: str | Sequence[str], special: Iterable[str]) -> str | list[str]:
    """Remove the spellings of special tokens from the model's turns of a dialogue.

    If a model writes one, perhaps read in a picture, a tokenizer would mistake it for the end of a turn or a picture.

    Args:
        turns: the user's turn, which is not changed, or user, model, user, ...
        special: the special tokens as text.
    """
    if isinstance(turns, str):
        return turns
    found = list(turns)
    pattern = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")
    for place in range(1, len(found), 2):
        while pattern.search(found[place]):  # the text that is left may spell one again
            found[place] = pattern.sub("", found[place])
    return found


def encode_further(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids and spans of a text after a special token, where the original Llama tokenizer puts no space before it.

    The original is transformers' slow class with ``legacy=False``, which LLaVA-1.5 and VILA's Vicuna models use.

    Raises:
        ValueError: the tokenizer merges a line break before the text with the text.
    """
    lead, _ = tokenizer.encode("\n")
    ids, spans = tokenizer.encode(f"\n{text}")
    if ids[: len(lead)] != lead:
        raise ValueError(f"the tokenizer joins a line break to what follows it: {text[:40]!r}")
    return ids[len(lead) :], [(start - 1, end - 1) for start, end in spans[len(lead) :]]


def last_tokens(
    name: str, ending: str, letters: str, before: Sequence[int], answers: Sequence[Sequence[int]]
) -> list[int]:
    """The token id of each letter when it follows a prompt.

    Args:
        name: the checkpoint's name, for error messages.
        ending: how the prompt ends, for error messages.
        letters: the letters.
        before: token ids of the prompt.
        answers: for each letter, token ids of the prompt followed by the letter as its answer.

    Raises:
        ValueError: a letter is not a single token there, or two letters have the same token.
    """
    found = []
    for letter, ids in zip(letters, answers, strict=True):
        if list(ids[:-1]) != list(before):
            raise ValueError(
                f"{name}: after {ending!r} the tokenizer writes {letter!r} as {list(ids[len(before) :])}; "
                "its probability can only be read if it is one token"
            )
        found.append(ids[-1])
    if len(set(found)) != len(found):
        raise ValueError(f"{name}: the tokenizer does not tell the answers {letters!r} apart (ids {found})")
    return found


def tokens_behind(
    name: str, ending: str, texts: Sequence[str], before: Sequence[int], answers: Sequence[Sequence[int]]
) -> list[list[int]]:
    """The token ids of each text when it follows a prompt; arguments as for ``last_tokens``.

    Raises:
        ValueError: the tokenizer merges the end of the prompt and the start of a text into one token.
    """
    for text, ids in zip(texts, answers, strict=True):
        if list(ids[: len(before)]) != list(before):
            raise ValueError(f"{name}: the tokenizer joins {ending!r} to the answer {text!r} behind it")
    return [list(ids[len(before) :]) for ids in answers]


def overlapping(offsets: Sequence[tuple[int, int]], start: int, end: int) -> list[int]:
    """Indices of the tokens that share a character with text[start:end]."""
    return [i for i, (first, last) in enumerate(offsets) if first < end and last > start]
