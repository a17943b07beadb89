"""What must be true of a model before it is used: checked on a small picture when it is loaded, whatever its family.

A family that nobody has tried may differ in a way that raises no error but changes every answer. So a reading of this
backbone is compared with the model's own forward pass on pixels, and a reading without some visual tokens is compared
with one in which they are masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sepm_eval.backbone.memory import computes_on
from sepm_eval.model_wrappers._hf.decoder import Decoder
from sepm_eval.model_wrappers._hf.pictures import Pictures
from sepm_eval.model_wrappers._hf.prompts import Prompts

_QUESTION = "What do you feel?"


def tolerance(dtype: torch.dtype) -> float:
    """How much two readings of the same input may differ (see ``difference``) in a model of this dtype."""
    return 1e-3 if dtype == torch.float32 else 0.1


def difference(ours: Tensor, own: Tensor) -> float:
    """How far logits, [B, V], are from others: root mean square difference, in standard deviations of ``own``."""
    return ((ours - own).square().mean().sqrt() / own.std().clamp(min=1e-6)).item()


def masking_is_removing(decoder: Decoder, length: int) -> bool:
    """Whether masking tokens in a prompt of this length has the same result as removing them.

    The results differ if the prompt is longer than an attention window, which counts masked tokens, or if a layer is
    recurrent, because it processes masked tokens too. The answer is known after the first reading.
    """
    if any(window is not None and window < length for window in decoder.windows.values()):
        return False
    return len(decoder.windows) == decoder.model.config.get_text_config().num_hidden_layers


def own_reading(model: Any, prompts: Prompts, options: Mapping[str, Any]) -> tuple[list[int], Tensor]:
    """Token ids and logits, [1, V], of the model's own forward pass on the small picture, with its own processor.

    Call it before a ``Decoder`` takes over the model, because the decoder's attention function may not suit the model.
    """
    inputs = prompts.own_inputs(_QUESTION, _picture(), options)
    return inputs["input_ids"][0].tolist(), _own_logits(model, inputs)


def check(name: str, prompts: Prompts, pictures: Pictures, decoder: Decoder, own: tuple[list[int], Tensor]) -> None:
    """Check that a loaded model fulfils the contract.

    Args:
        name: the checkpoint, for errors.
        prompts: its prompts.
        pictures: its vision side.
        decoder: its language model.
        own: the result of ``own_reading``.

    Raises:
        ValueError: the processor makes other tokens of the prompt, the places of the visual tokens do not match them, a
            reading differs from the model's own, no layer uses the registered attention function, or leaving out visual
            tokens differs from masking them.
    """
    (seen,) = pictures.see([_picture()])
    prompt = prompts.encode(_QUESTION, seen.more["expansion"], None)
    ids, logits = own
    if ids != prompt.ids.tolist():
        raise ValueError(
            f"{name}: its processor tokenises a prompt differently from its template, tokenizer and placeholder by "
            "themselves; this family needs code of its own"
        )
    if len(seen.cells) != len(seen.features):
        raise ValueError(f"{name}: {len(seen.features)} visual tokens, but places for {len(seen.cells)}")
    reading = decoder.read([prompt], [seen], None, None)
    most = tolerance(decoder.model.dtype)
    _compare(name, "what is read of a picture", reading.logits, logits, most)
    if not decoder.windows:
        raise ValueError(f"{name}: no layer of its language model uses the attention function it was given")
    keep = (torch.arange(len(seen.features)) % 3 != 1) | seen.separators.cpu()
    if not masking_is_removing(decoder, len(prompt.ids)):
        return
    dropped = decoder.read([prompt], [seen], [keep], None)
    masked = decoder.read_masked(prompt, seen, keep)
    _compare(name, "what is read without some visual tokens", dropped.logits, masked, most)


def _picture() -> Image.Image:
    return Image.linear_gradient("L").resize((96, 64)).convert("RGB")


@torch.inference_mode()
def _own_logits(model: Any, inputs: dict[str, Any]) -> Tensor:
    """Logits of the last position, [1, V], of the model's own forward pass on its processor's output."""
    inner = model.model
    before, device = getattr(inner, "rope_deltas", None), computes_on(model.get_input_embeddings())
    given = {
        key: value.to(device, model.dtype) if value.is_floating_point() else value.to(device)
        for key, value in inputs.items()
        if isinstance(value, Tensor) and key != "labels"
    }
    try:
        return model(**given, use_cache=True, logits_to_keep=1).logits[:, -1].float().to(device)
    finally:
        if hasattr(inner, "rope_deltas"):
            inner.rope_deltas = before


def _compare(name: str, what: str, ours: Tensor, own: Tensor, most: float) -> None:
    """Refuse the model if two readings of the same input differ too much."""
    found = difference(ours, own)
    if not found < most:
        raise ValueError(
            f"{name}: {what} differs from the model's own by {found:.2g} standard deviations of its logits; this "
            "family needs code of its own"
        )
