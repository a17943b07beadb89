"""Train the demonstration's LLaVA from nothing, on a CPU, and save it in the layout of the public checkpoints.

Two stages, as for the real ones. First the vision tower alone: every patch says which emotion's face covers it, or
none. Then projector and language model on multiple-choice questions, several about each picture, the tower frozen. In
part of the batches a random fifth of the image tokens is missing and the rest close up, so that the model stands the
pruning of SEPM.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from layout import save_model
from make_scenes import HERE, IMAGE_SIZE, PATCH_SIZE
from packing import pack
from questions import EMOTIONS, LETTERS, PROMPT, ask, corpus
from tokenizer import train_tokenizer
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

IGNORE = -100
NO_FACE = len(EMOTIONS)
DROPPED = 0.2
PICTURES, QUESTIONS = 20, 4
SUMMARY_LAYER = 2


@dataclass(frozen=True)
class Scenes:
    """The training scenes of ``make_scenes.py``."""

    images: np.ndarray
    labels: np.ndarray
    cover: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> "Scenes":
        """Read the three arrays."""
        return cls(*(np.load(folder / f"{name}.npy") for name in ("images", "labels", "cover")))

    def pixels(self, picked: np.ndarray, rng: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        """Normalised pixels and face cover of some scenes; with ``rng`` mirrored and recoloured at random."""
        images = torch.from_numpy(self.images[picked]).permute(0, 3, 1, 2).float() / 255
        side = IMAGE_SIZE // PATCH_SIZE
        cover = torch.from_numpy(self.cover[picked]).float().view(-1, side, side) / 255
        if rng is not None:
            if rng.random() < 0.5:
                images, cover = images.flip(-1), cover.flip(-1)
            gain = torch.from_numpy(np.exp(rng.normal(0, 0.15, (len(picked), 3, 1, 1)))).float()
            shift = torch.from_numpy(rng.normal(0, 0.08, (len(picked), 3, 1, 1))).float()
            images = (images * gain + shift).clamp(0, 1)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        return (images - mean) / std, cover.flatten(1)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    """Plain attention in bfloat16: several times faster on a CPU, at these sizes, than the ready-made ones."""
    with torch.autocast("cpu", enabled=False):
        query, key, value = (x.to(torch.bfloat16) for x in (query * scaling, key, value))
        scores = query @ key.transpose(2, 3)
        if attention_mask is not None:
            scores += attention_mask
        mixed = scores.softmax(-1) @ value
    return mixed.transpose(1, 2).contiguous(), None


def build(tokenizer: Tokenizer) -> LlavaForConditionalGeneration:
    """An untrained model of about five million parameters that fits the tokenizer."""
    image, pad = (tokenizer.token_to_id(token) for token in ("<image>", "<pad>"))
    vocabulary = -(-tokenizer.get_vocab_size() // 64) * 64
    vision = CLIPVisionConfig(
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        projection_dim=192,
    )
    text = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=pad,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image,
        image_seq_length=(IMAGE_SIZE // PATCH_SIZE) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        pad_token_id=pad,
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config)
    AttentionInterface.register("plain_bfloat16", attention)
    model.set_attn_implementation("plain_bfloat16")
    return model


def patches(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """What LLaVA takes from the tower: the last but one layer, without the class token."""
    return model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]


def fit(
    name: str, parameters: list[nn.Parameter], rate: float, steps: int, loss_of: Callable[[], tuple[Tensor, float]]
) -> None:
    """AdamW with warm-up and cosine decay."""
    optimiser = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.03)
    begin, right = time.monotonic(), 0.0
    for step in range(steps):
        cosine = 0.02 + 0.98 * np.cos(step / steps * np.pi / 2) ** 2
        optimiser.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 200) * cosine
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, accuracy = loss_of()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        right = 0.98 * right + 0.02 * accuracy
        if step % 100 == 99:
            minutes = (time.monotonic() - begin) / 60
            print(f"{name} {step + 1}/{steps} {minutes:.1f} min loss {loss.item():.3f} right {right:.3f}", flush=True)


def train_tower(model: LlavaForConditionalGeneration, scenes: Scenes, rng: np.random.Generator, steps: int) -> None:
    """Stage 1: a linear head on the patches names the emotion of the face there."""
    head = nn.Linear(model.config.vision_config.hidden_size, NO_FACE + 1)
    weight = torch.ones(NO_FACE + 1)
    weight[NO_FACE] = 0.3

    def loss_of() -> tuple[Tensor, float]:
        picked = rng.integers(0, len(scenes.labels), 96)
        labels = torch.from_numpy(scenes.labels[picked])
        pixels, cover = scenes.pixels(picked, rng)
        logits = head(patches(model, pixels)).float()
        target = torch.where(cover > 0.4, labels[:, None], torch.where(cover < 0.1, NO_FACE, IGNORE))
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), weight, ignore_index=IGNORE)
        vote = logits.softmax(-1)[..., :NO_FACE].sum(1).argmax(-1)
        return loss, (vote == labels).float().mean().item()

    learnt = [*model.model.vision_tower.parameters(), *head.parameters()]
    fit("tower", learnt, 1e-3, steps, loss_of)


def visual_tokens(model: LlavaForConditionalGeneration, pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """What the language model reads of pictures; in three of ten batches a random fifth of the tokens is missing."""
    with torch.no_grad():
        seen = patches(model, pixels)
    seen = model.model.multi_modal_projector(seen)
    if rng.random() < 0.3:
        kept = np.sort(rng.permutation(seen.shape[1])[: round(seen.shape[1] * (1 - DROPPED))])
        seen = seen[:, torch.from_numpy(kept)]
    return seen


def train_language(
    model: LlavaForConditionalGeneration, tokenizer: Tokenizer, scenes: Scenes, rng: np.random.Generator, steps: int
) -> None:
    """Stage 2: answer questions about the scenes; the tower stays as it is.

    A linear head that is thrown away afterwards also asks the first token after the picture, in an early layer, for
    the emotion, so that the language model looks for the faces from the start.
    """
    language = model.model.language_model
    image, pad, end = (tokenizer.token_to_id(token) for token in ("<image>", "<pad>", "</s>"))
    letter_ids = {letter: tokenizer.token_to_id(f"▁{letter}") for letter in LETTERS}
    before = tokenizer.encode(PROMPT).ids.index(image)
    head = nn.Linear(model.config.text_config.hidden_size, len(EMOTIONS))
    body = [parameter for name, parameter in model.named_parameters() if "vision_tower" not in name]
    learnt = [*body, *head.parameters()]

    def loss_of() -> tuple[Tensor, float]:
        picked = rng.integers(0, len(scenes.labels), PICTURES)
        seen = visual_tokens(model, scenes.pixels(picked, rng)[0], rng)
        asked = [[ask(rng, EMOTIONS[label]) for _ in range(QUESTIONS)] for label in scenes.labels[picked]]
        prompts = [[tokenizer.encode(PROMPT.format(question=text)).ids for text, _ in row] for row in asked]
        batch = pack(
            [*prompts[0][0][:before], *[image] * seen.shape[1]],
            [[ids[before + 1 :] for ids in row] for row in prompts],
            [[letter_ids[letter] for _, letter in row] for row in asked],
            pad,
        )
        words = language.embed_tokens(batch.ids)
        inputs = torch.cat([words[:, :before], seen.to(words.dtype), words[:, before + seen.shape[1] :]], 1)
        layers = language(
            inputs_embeds=inputs,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            use_cache=False,
            output_hidden_states=True,
        ).hidden_states
        hidden, summary = layers[-1], head(layers[SUMMARY_LAYER][:, before + seen.shape[1]]).float()
        row = torch.arange(len(picked))[:, None]
        letter = model.lm_head(hidden[row, batch.asked_at]).float().flatten(0, 1)
        stop = model.lm_head(hidden[row, batch.asked_at + 1]).float().flatten(0, 1)
        answers = batch.answers.flatten()
        loss = F.cross_entropy(letter, answers) + 0.1 * F.cross_entropy(stop, torch.full_like(answers, end))
        loss = loss + 0.5 * F.cross_entropy(summary, torch.from_numpy(scenes.labels[picked]))
        return loss, (letter.argmax(-1) == answers).float().mean().item()

    fit("language", learnt, 1.5e-3, steps, loss_of)


def main() -> None:
    """Run the stages and save the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "artwork", help="scenes; results of stages, not repeated")
    parser.add_argument("--out", type=Path, default=HERE.parent / "sepm_eval" / "demo" / "model")
    parser.add_argument("--steps", type=int, nargs=2, default=(1400, 1600), help="of the two stages")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    scenes = Scenes.load(args.work / "scenes")
    tokenizer = train_tokenizer(corpus(np.random.default_rng([args.seed, 0]), 3000), 800)
    torch.manual_seed(args.seed)
    model = build(tokenizer)
    print(f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.2f} million parameters")
    for stage, steps in enumerate(args.steps, start=1):
        result = args.work / f"stage{stage}.pt"
        if result.exists():
            model.load_state_dict(torch.load(result, weights_only=True))
            continue
        rng = np.random.default_rng([args.seed, stage])
        if stage == 1:
            train_tower(model, scenes, rng, steps)
        else:
            train_language(model, tokenizer, scenes, rng, steps)
        torch.save(model.state_dict(), result)
    save_model(model, tokenizer, args.out)


if __name__ == "__main__":
    main()
