"""The cost of an answer in floating-point operations, from a backbone's shapes and what a method asks of it.

Multiplications and additions of matrix products, convolutions and attention are counted, as torch's
``FlopCounterMode`` counts them (two per multiply-add; attention over the full square, not the causal half); a test
compares the two. Nothing here needs torch or a checkpoint, so the cost of a run can be computed before it starts:

    geometry = known_checkpoint("llava-1.5-7b").geometry  # from sepm_eval.model_wrappers
    text = Text(before=35, after=(82, 57))  # in tokens
    price = flops(geometry, get_method("sepm", reuse=True).work(geometry, text))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sepm_eval.backbone.geometry import CHUNK, Decoder, Encoder, Recurrent
from sepm_eval.backbone.geometry import Geometry as Geometry


@dataclass(frozen=True)
class Text:
    """Numbers of text tokens in the prompts of one answer.

    Attributes:
        before: tokens before the picture, in every prompt.
        after: tokens after the picture, for each prompt in the order in which they are read.
        probed: tokens of the phrase whose attention is read, if the method probes a phrase.
        shared: number of equal tokens with which the texts after the picture begin in the first two prompts.
    """

    before: int
    after: tuple[int, ...]
    probed: int = 0
    shared: int = 0


@dataclass(frozen=True)
class Read:
    """One prompt that the decoder reads, as far as its cost depends on it.

    Attributes:
        tokens: number of tokens that are read.
        cached: number of tokens before them that are in the cache and not read again.
        probed: number of tokens whose attention is read.
        layers: number of layers in which it is read, the last layer being one of them.
        written: number of tokens written after the prompt; the last of them is not read.
        left: (layer, tokens) where visual tokens are pruned: so many of the prompt's tokens are left after this layer.
    """

    tokens: int
    cached: int = 0
    probed: int = 0
    left: tuple[tuple[int, int], ...] = ()
    layers: int = 1
    written: int = 0


@dataclass(frozen=True)
class Work:
    """All work of a backbone for one answer, if the answer is a letter.

    After the last prompt the letter itself is read, because only then can the model stop: one more token. The further
    tokens of a longer answer are not counted, so the cost of a chain of thought is too low.

    Attributes:
        looks: the share of the tower's usual side, for each time that a picture is encoded.
        reads: the prompts that are read.
        answers: False if no answer is written, because it is taken from the last prompt's probabilities.
    """

    looks: tuple[float, ...]
    reads: tuple[Read, ...]
    answers: bool = True

    @property
    def prefill_tokens(self) -> int:
        """Number of tokens that go through the decoder's first layer."""
        return sum(read.tokens for read in self.reads)


def common_start(one: Sequence[object], other: Sequence[object]) -> int:
    """The number of equal tokens, or characters, with which two texts begin."""
    differs = (place for place, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    return next(differs, min(len(one), len(other)))


def one_reading(geometry: Geometry, text: Text) -> Work:
    """The work of reading one prompt with the whole picture in it."""
    return Work((1.0,), (Read(text.before + geometry.visual_tokens() + text.after[0]),))


def flops(geometry: Geometry, wanted: Work) -> int:
    """Floating-point operations of one answer that is a letter."""
    return prefill(geometry, wanted) + writing(geometry, wanted, 1)


def prefill(geometry: Geometry, wanted: Work) -> int:
    """Operations up to an answer's first token: encoding the picture, reading the prompts, writing between them."""
    looks = sum(_look(geometry, side) for side in wanted.looks)
    reads = sum(_read(geometry.decoder, read) for read in wanted.reads)
    between = sum(_step(geometry.decoder, read, more) for read in wanted.reads for more in range(read.written - 1))
    return looks + reads + between


def writing(geometry: Geometry, wanted: Work, tokens: int) -> int:
    """Operations of reading ``tokens`` tokens of the answer after the last prompt, one by one; 0 if none is written."""
    if not wanted.answers:
        return 0
    return sum(_step(geometry.decoder, wanted.reads[-1], written) for written in range(tokens))


def _look(geometry: Geometry, side: float) -> int:
    """Operations of the vision tower and the projector, for one picture."""
    tower, width = geometry.tower, geometry.decoder.width
    if isinstance(tower, Encoder):  # a smaller picture costs in proportion to its tokens
        return 2 * round(tower.multiply_adds * geometry.visual_tokens(side) / tower.tokens)
    patches = max(round(tower.side // tower.patch * side), 1) ** 2
    tokens = patches + tower.class_token
    embed = patches * tower.width * 3 * tower.patch**2
    layer = tokens * (4 * tower.width**2 + 2 * tower.width * tower.intermediate) + 2 * tokens**2 * tower.width
    joined = tower.width * geometry.merge**2
    project = geometry.visual_tokens(side) * (joined * width + width**2)
    return 2 * (embed + (tower.layers - 1) * layer + project)


def _read(decoder: Decoder, read: Read) -> int:
    """Operations of one prompt in the decoder, with the logits of its last position.

    A spared last layer is computed for one position: the others only get keys and values there (see ``last_layer.py``),
    and the probed ones queries. If tokens are pruned after the last layer, it is computed for all positions.
    """
    attended = decoder.heads * decoder.head_width
    total, tokens, left = 0, read.tokens, dict(read.left)
    for layer in range(decoder.layers):
        seen = read.cached + tokens
        last = layer == decoder.layers - 1
        alone = last and decoder.spared == "layer" and layer not in left
        if alone:
            total += _layer(decoder, layer, tokens + 1, 1, seen)  # the layer projects its one position again
        else:
            total += _layer(decoder, layer, tokens, tokens, seen)
            total -= (tokens - 1) * _mlp(decoder, layer) if last and decoder.spared == "mlp" else 0
        tokens = left.get(layer, tokens)
    seen = read.cached + read.tokens
    scores = seen * (attended + 1)  # and their mean
    again = decoder.width * attended if decoder.spared == "layer" else 0  # the last layer's queries
    probe = read.probed * (again + read.layers * scores)
    return 2 * (total + probe + decoder.width * decoder.vocabulary)


def _step(decoder: Decoder, read: Read, written: int = 0) -> int:
    """Operations of one decoding step with its logits; the token sees what each layer still holds of what was read."""
    total, tokens, left = 0, read.tokens, dict(read.left)
    windows = decoder.windows or (None,) * decoder.layers
    for layer, window in enumerate(windows):
        seen = read.cached + tokens + written + 1
        total += _layer(decoder, layer, 1, 1, seen if window is None else min(seen, window))
        tokens = left.get(layer, tokens)
    return 2 * (total + decoder.width * decoder.vocabulary)


def _layer(decoder: Decoder, index: int, cached: int, rows: int, seen: int) -> int:
    """Multiply-adds of a layer: keys and values of ``cached`` tokens, all else of ``rows`` tokens that see ``seen``."""
    recurrent, attended = decoder.recurrent, decoder.heads * decoder.head_width
    if recurrent is not None and index in recurrent.layers:
        return _remembered(decoder, recurrent, rows) + rows * _mlp(decoder, index)
    to_cache = 2 * decoder.width * decoder.kv_heads * decoder.head_width
    around = (3 if decoder.gated else 2) * decoder.width * attended  # projections: queries, output, the gate if any
    return cached * to_cache + rows * (around + 2 * seen * attended + _mlp(decoder, index))


def _mlp(decoder: Decoder, index: int) -> int:
    """Multiply-adds of one token's MLP, or of its experts."""
    experts = decoder.experts
    if experts is None or index < experts.first:
        return 3 * decoder.width * decoder.intermediate
    inner = experts.active * experts.intermediate + experts.shared
    return decoder.width * (3 * inner + experts.count + experts.gated)


def _remembered(decoder: Decoder, kind: Recurrent, rows: int) -> int:
    """Multiply-adds of a recurrent layer without its MLP; a single token is not computed in a chunk."""
    keys, values = kind.key_heads * kind.key_width, kind.value_heads * kind.value_width
    mixed = 2 * keys + values
    project = rows * decoder.width * (mixed + 2 * values + 2 * kind.value_heads)
    if rows == 1:
        return project + 2 * mixed * kind.kernel
    convolve = (max(rows, kind.kernel) + kind.kernel - 1) * mixed * kind.kernel  # padded on both sides
    chunk = CHUNK**2 * (2 * kind.key_width + kind.value_width) + 3 * CHUNK * kind.key_width * kind.value_width
    return project + convolve + -(-rows // CHUNK) * kind.value_heads * chunk
