"""Backbones with random weights, made in code: the shapes of a checkpoint in the library's own wrappers.

Speed does not depend on the values of the weights, except through the length of answers. The answers of a trained model
are letters. To get the same here, the output layer can give only the letters B to H, and the end after a letter. The
tokenizer splits by word and punctuation, which comes close to the lengths of Llama's tokenizer.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaImageProcessorPil,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from sepm_eval import Question, prompts
from sepm_eval.backbone.checkpoints import Checkpoint
from sepm_eval.backbone.geometry import Decoder, Geometry, Tower
from sepm_eval.backbone.tokenizers import JsonTokenizer
from sepm_eval.datasets import find_benchmarks
from sepm_eval.emotions import MIKELS
from sepm_eval.images import open_image
from sepm_eval.model_wrappers import find_backbone
from sepm_eval.model_wrappers._llava import Llava
from sepm_eval.model_wrappers._templates import LLAMA_3_MAY2024, VICUNA_V1
from sepm_eval.model_wrappers._vila import Projector, Vila

# LLaVA-1.5-7B scaled to two CPU cores: it keeps the 576 visual tokens and about the tower's share of the work (4 %).
CPU = Geometry(Tower(336, 14, 256, 1024, 6, class_token=True), Decoder(1024, 2752, 8, 16, 16, 64, 4096))
# Tiny shapes, for the same code in milliseconds.
TINY = {
    "llava": Geometry(Tower(56, 14, 32, 64, 2, class_token=True), Decoder(64, 96, 3, 4, 4, 16, 512)),
    "vila": Geometry(Tower(70, 14, 32, 64, 2, class_token=False), Decoder(64, 96, 3, 4, 2, 16, 512), merge=2),
}
FULL = {name: find_backbone(name).checkpoints[0].geometry for name in ("llava", "vila")}  # 7B, 8B
UNUSED = "<unused>"


def demo_questions(count: int) -> list[Question]:
    """Questions about demo pictures, evenly spaced in the benchmark's list, with EmoSet's options."""
    benchmark = find_benchmarks()["emotion_demo"]
    names = tuple(benchmark.names), tuple(benchmark.names.values())
    items = benchmark.items()
    return [Question(open_image(item.path), *names) for item in items[:: max(len(items) // count, 1)][:count]]


def build(
    family: str, geometry: Geometry, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> Llava | Vila:
    """Build a backbone of these shapes, its weights drawn on the device.

    Args:
        family: "llava" or "vila".
        geometry: the shapes.
        device: a torch device.
        dtype: dtype of the weights.
        seed: the random seed of the weights.
    """
    torch.manual_seed(seed)
    tokenizer = _tokenizer(geometry.decoder.vocabulary)
    checkpoint = Checkpoint(f"random {family}", Path(), f"seed-{seed}")
    settings = {"dtype": str(dtype).removeprefix("torch."), "positions": "closed"}
    side = geometry.tower.side
    with torch.device(device):
        if family == "llava":
            config = LlavaConfig(
                vision_config=CLIPVisionConfig(**_vision(geometry.tower)),
                text_config=LlamaConfig(**_text(geometry.decoder)),
                image_token_index=geometry.decoder.vocabulary - 1,
            )
            model = LlavaForConditionalGeneration._from_config(config, dtype=dtype)
            processor = LlavaImageProcessorPil(
                do_pad=True, size={"shortest_edge": side}, crop_size={"height": side, "width": side}
            )
            settings |= {"template": "vicuna_v1", "image_aspect_ratio": "pad"}
            return _speak_in_letters(Llava(checkpoint, model, tokenizer, processor, settings))
        vision = SiglipVisionConfig(**_vision(geometry.tower))
        vision.vision_use_head = False  # as in the wrapper
        tower = SiglipVisionModel._from_config(vision, dtype=dtype)
        llm = LlamaForCausalLM._from_config(LlamaConfig(**_text(geometry.decoder)), dtype=dtype)
        projector = Projector(geometry.tower.width, geometry.decoder.width).to(dtype)
    processor = SiglipImageProcessorPil(size={"height": side, "width": side})
    settings |= {"template": "may2024", "image_aspect_ratio": "resize"}
    return _speak_in_letters(Vila(checkpoint, (tower, projector, llm), tokenizer, processor, settings))


def _text(decoder: Decoder) -> dict[str, int]:
    return {
        "hidden_size": decoder.width,
        "intermediate_size": decoder.intermediate,
        "num_hidden_layers": decoder.layers,
        "num_attention_heads": decoder.heads,
        "num_key_value_heads": decoder.kv_heads,
        "head_dim": decoder.head_width,
        "vocab_size": decoder.vocabulary,
        "max_position_embeddings": 4096,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }


def _vision(tower: Tower) -> dict[str, int]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.intermediate,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": max(tower.width // 64, 2),
        "image_size": tower.side,
        "patch_size": tower.patch,
    }


def _speak_in_letters(backbone: Llava | Vila) -> Llava | Vila:
    """Make every answer a letter, with the end right behind it."""
    model = backbone._language_model
    letters, embeddings = backbone.letter_ids("BCDEFGH"), model.decoder.get_input_embeddings()
    letter_head(model.head, embeddings, letters, model.stop_ids[0])
    return backbone


def letter_head(head: nn.Module, embeddings: nn.Module, letters: list[int], stop: int) -> None:
    """Make an output layer give only some letters, and the end after a letter.

    The embeddings of the letters all have one direction and are so long that no layer turns the hidden state away from
    it; for that direction, the output layer gives the end.
    """
    weight, embedding = head.weight, embeddings.weight
    rows = torch.tensor(letters, device=weight.device)
    with torch.no_grad():
        weight.zero_()
        directions = torch.randn(len(rows), weight.shape[1], device=weight.device) / 4
        directions[1::2] = -directions[:-1:2]  # one of two opposite letters has a logit above 0; others have 0
        weight[rows] = directions.to(weight.dtype)
        weight[rows, 0] = 0
        weight[stop, 0] = 1 / 16  # above 0 after a letter, where letters give 0; elsewhere below the best letter
        embedding[rows] = 0
        embedding[rows, 0] = 1000 * max(weight.shape[1] / 1024, 1) ** 2  # what layers add grows with their width


@cache
def _tokenizer(size: int) -> JsonTokenizer:
    """Make a tokenizer of our prompts' words, punctuation and line breaks; the rest of the vocabulary is unused."""
    wording = prompts.WORDINGS["paper"]
    names = list(MIKELS.values())
    options = list(zip(prompts.letters(8), names, strict=True))
    asked = [
        prompts.fine(options, wording, foe=True, ambiguous=True),
        prompts.coarse(names[:4], names[4:], wording, foe=True),
    ]
    pieces = pre_tokenizers.Split(Regex(r"<\|[a-z_]+\|>|\n\n| ?[A-Za-z]+| ?[^A-Za-z\s]|\s"), behavior="isolated")
    words = ["<s>", "</s>", "<unk>"]
    for template in (VICUNA_V1, LLAMA_3_MAY2024):
        for question in asked:
            text = "".join(template.around(question, image=False))
            words += [word for word, _ in pieces.pre_tokenize_str("\n" + text)]
    words += [f"{space}{letter}" for space in ("", " ") for letter in prompts.letters(8)]
    words = list(dict.fromkeys(words))
    words += [f"{UNUSED}{number}" for number in range(size - len(words) - 1)]  # the last one stands for a picture
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pieces
    tokenizer.decoder = decoders.Fuse()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(f"{folder}/tokenizer.json")
        return JsonTokenizer(Path(folder) / "tokenizer.json")
