"""SEPM as its public code runs it, re-created on a backbone's own weights, as the baseline for our speed.

It answers one picture at a time. Attention is eager in every layer, and all attention maps are returned. Each answer
comes from ``generate()``, with the logits of every position, as in transformers 4.37.2, to which the public code is
pinned. The picture is encoded in each stage. Prompts and dropped tokens are the same as in ``sepm_eval``, so answers
can be compared. An answer ends after the letter, so each stage generates two tokens.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from sepm_eval import Question, prompts
from sepm_eval.methods.common import MAX_NEW_TOKENS
from sepm_eval.methods.selection import count_to_drop
from sepm_eval.model_wrappers._image_first import preprocess
from sepm_eval.model_wrappers._llava import Llava


class Recipe:
    """The recipe on the weights of a ``Llava``, which both share."""

    def __init__(self, backbone: Llava, alpha: float = 0.1, beta: float = 0.2) -> None:
        self._backbone, self._alpha, self._beta = backbone, alpha, beta
        self._stop_ids = backbone._language_model.stop_ids
        original = backbone._model
        config = copy.deepcopy(original.config)
        with torch.device("meta"):
            self._model = LlavaForConditionalGeneration(config).eval()
        self._model.load_state_dict(original.state_dict(), assign=True)
        for ours, theirs in zip(self._model.modules(), original.modules(), strict=True):
            for name, buffer in theirs.named_buffers(recurse=False):  # buffers that are in no state dict
                setattr(ours, name, buffer)
        self._model.set_attn_implementation("eager")

    @torch.inference_mode()
    def answer(self, question: Question) -> tuple[str, list[int]]:
        """The text of the answer, and the indices of the visual tokens that were dropped."""
        names = dict(zip(question.labels, question.names, strict=True))
        groups = [[names[label] for label in question.of_polarity(side)] for side in ("positive", "negative")]
        wording = prompts.WORDINGS["paper"]
        coarse = prompts.coarse(*groups, wording, foe=True)
        tokens = self._backbone._tokenise(coarse, image=True, probe=wording.probe)
        features = self._see(question)
        out = self._generate(tokens.before, features, tokens.after, output_attentions=True, output_logits=True)
        known = self._backbone._tokenizer.vocab_size
        pair = out.logits[0][0, :known].float().softmax(-1)[self._backbone.letter_ids("AB")]
        sure = pair.var(correction=0) > self._alpha
        labels = question.of_polarity("positive" if pair[0] >= pair[1] else "negative") if sure else None
        start = len(tokens.before)
        rows = [start + len(features) + place for place in tokens.probed]
        attention = out.attentions[0][-1][0].mean(0)[rows, start : start + len(features)].mean(0)
        dropped = attention.argsort(stable=True)[: count_to_drop(self._beta, len(features))]
        keep = torch.ones(len(features), dtype=torch.bool, device=features.device)
        keep[dropped] = False
        fine = prompts.fine(question.options(labels), wording, foe=True, ambiguous=not sure)
        tokens = self._backbone._tokenise(fine, image=True, probe=None)
        out = self._generate(tokens.before, self._see(question)[keep], tokens.after, output_attentions=True)
        written = [token for token in out.sequences[0].tolist() if token not in self._stop_ids]
        return self._backbone._tokenizer.decode(written).strip(), sorted(dropped.tolist())

    def _see(self, question: Question) -> Tensor:
        vision = self._model.config.vision_config
        pixels = preprocess(self._backbone._processor, [question.image], vision.image_size, vision.patch_size, 1.0)
        pixels = pixels.to(self._model.device, self._model.dtype)
        return self._model.get_image_features(pixels).pooler_output[0]

    def _generate(self, before: list[int], features: Tensor, after: list[int], **more: bool):
        ids = torch.tensor(before + after, device=features.device)
        text = self._model.get_input_embeddings()(ids)
        embedded = torch.cat([text[: len(before)], features.to(text.dtype), text[len(before) :]])[None]
        return self._model.generate(
            inputs_embeds=embedded,
            attention_mask=torch.ones(embedded.shape[:2], dtype=torch.long, device=features.device),
            max_new_tokens=MAX_NEW_TOKENS,
            eos_token_id=self._stop_ids,
            logits_to_keep=0,  # 0 means every position
            do_sample=False,
            pad_token_id=0,
            return_dict_in_generate=True,
            **more,
        )
