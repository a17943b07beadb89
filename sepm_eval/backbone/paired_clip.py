"""The CLIP model that a vision tower comes from: its text tower, and the projections into CLIP's common space."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPConfig, CLIPTextModelWithProjection

from sepm_eval.backbone.checkpoints import Checkpoint, find_checkpoint
from sepm_eval.backbone.weights import read_weights

_TEXT = ("text_model.", "text_projection.")
_VISION = ("vision_model.post_layernorm.weight", "vision_model.post_layernorm.bias", "visual_projection.weight")


class PairedClip:
    """Embeds texts and a vision tower's features in CLIP's common space, of width P, in float32."""

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        """Load the parts that are needed: the text tower, and the last norm and the projection of the vision half.

        Raises:
            ValueError: the checkpoint is not a CLIP, or its weights are incomplete or damaged.
            FileNotFoundError: the checkpoint has no tokenizer.
        """
        self.name, config = checkpoint.name, checkpoint.config()
        if config.get("model_type") != "clip":
            raise ValueError(
                f"clip={self.name}: its config.json says model_type={config.get('model_type')!r}, not clip"
            )
        clip = CLIPConfig.from_pretrained(checkpoint.folder, local_files_only=True)
        weights = read_weights(checkpoint.folder, torch.float32)
        lacking = [name for name in _VISION if name not in weights]
        if lacking:
            raise ValueError(f"clip={self.name} has no weights {lacking}; give a whole CLIP, not one of its towers")
        self._norm, self._shift, self._projection = (weights[name].to(device, torch.float32) for name in _VISION)
        self._epsilon = clip.vision_config.layer_norm_eps
        clip.text_config.projection_dim = clip.projection_dim
        self._text, info = CLIPTextModelWithProjection.from_pretrained(
            None,
            config=clip.text_config,
            state_dict={key: one for key, one in weights.items() if key.startswith(_TEXT)},
            dtype=torch.float32,
            output_loading_info=True,
        )
        if info["missing_keys"] or info["mismatched_keys"]:
            raise ValueError(f"clip={self.name}: the weights of its text tower are incomplete or of another size")
        self._text.eval().requires_grad_(False).to(device)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False
        )

    def ids(self, text: str) -> list[int]:
        """Token ids of a whole text, between one BOS and one EOS."""
        return list(self._tokenizer(text, verbose=False)["input_ids"])

    @torch.inference_mode()
    def of_text(self, text: str) -> Tensor:
        """Embed a text, [segments, P].

        A text longer than the tower's 77 positions is not truncated: its ids are split into segments of that length,
        the last one padded with zeros that are masked out, and every segment is embedded on its own.
        """
        ids, length = self.ids(text), self._text.config.max_position_embeddings
        rows = -(-len(ids) // length)
        tokens = torch.zeros(rows * length, dtype=torch.long)
        tokens[: len(ids)] = torch.tensor(ids)
        mask = torch.arange(rows * length) < len(ids)
        place = self._projection.device
        tokens, mask = (one.view(rows, length).to(place) for one in (tokens, mask.long()))
        return self._text(input_ids=tokens, attention_mask=mask).text_embeds

    @torch.inference_mode()
    def of_features(self, features: Tensor) -> Tensor:
        """Embed a vision tower's features, [n, C] -> [n, P].

        Raises:
            ValueError: the features do not have the width of this CLIP's vision tower.
        """
        width = len(self._norm)
        if features.shape[-1] != width:
            raise ValueError(
                f"clip={self.name} does not belong to this model's vision tower, which gives features of width "
                f"{features.shape[-1]}, and this CLIP's {width}; give the CLIP that the tower was taken from"
            )
        features = features.to(self._norm.device, torch.float32)
        normed = nn.functional.layer_norm(features, (width,), self._norm, self._shift, self._epsilon)
        return normed @ self._projection.mT


@functools.lru_cache(maxsize=1)
def paired_clip(clip: str, device: str) -> PairedClip:
    """Load the CLIP of a folder or hub id; the last one used is cached.

    Args:
        clip: see ``find_checkpoint``.
        device: where it computes.

    Raises:
        FileNotFoundError: see ``find_checkpoint``.
        ValueError: see ``PairedClip``.
    """
    return PairedClip(find_checkpoint(clip), device)
