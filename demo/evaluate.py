"""Measure a saved model on the shipped pictures, through the plain ``generate`` of ``transformers``.

Checks on the way that the folder loads without missing or unexpected weights, that each side of ``<image>`` gives the
same ids alone as in the whole prompt, that the chat template renders the prompt, and that every letter is one token.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from make_scenes import HERE
from PIL import Image
from questions import FULL, LETTERS, NEGATIVE, POSITIVE, PROMPT, kept_letters
from torch import Tensor
from transformers import AutoProcessor, LlavaForConditionalGeneration
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from sepm_eval.emotions import MIKELS, POLARITY
from sepm_eval.prompts import WORDINGS, coarse, fine

Item = dict[str, Any]
Question = Callable[[str], tuple[str, str]]


def named(emotion: str) -> str:
    """The letter of an emotion in the full list."""
    return next(letter for letter, name in FULL if name == MIKELS[emotion])


def questions() -> dict[str, Question]:
    """Every measured question: from a picture's emotion to the text and the right letter."""
    table: dict[str, Question] = {}
    for preset, wording in WORDINGS.items():

        def full(emotion: str, w=wording, **sentences: bool) -> tuple[str, str]:
            return fine(FULL, w, **sentences), named(emotion)

        def branch(emotion: str, w=wording, **sentences: bool) -> tuple[str, str]:
            return fine(kept_letters(emotion), w, **sentences), named(emotion)

        def polarity(emotion: str, w=wording, **sentences: bool) -> tuple[str, str]:
            return coarse(POSITIVE, NEGATIVE, w, **sentences), "A" if POLARITY[emotion] == "positive" else "B"

        table |= {
            f"{preset}: eight options": full,
            f"{preset}: eight options, focus": lambda e, f=full: f(e, foe=True),
            f"{preset}: eight options, focus, ambiguous": lambda e, f=full: f(e, foe=True, ambiguous=True),
            f"{preset}: polarity": polarity,
            f"{preset}: polarity, focus": lambda e, f=polarity: f(e, foe=True),
            f"{preset}: right half, focus": lambda e, f=branch: f(e, foe=True),
        }
    return table


def check_folder(folder: Path) -> tuple[LlavaForConditionalGeneration, Any]:
    """Load the model (float32) and its processor, and check what the package relies on."""
    model, report = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    wrong = {kind: names for kind, names in report.items() if names}
    if wrong:
        raise ValueError(f"weights do not fit: {wrong}")
    processor = AutoProcessor.from_pretrained(folder)
    tokenizer = processor.tokenizer
    image_id, slots = model.config.image_token_index, model.config.image_seq_length
    for question, _ in (ask("awe") for ask in questions().values()):
        prompt = PROMPT.format(question=question)
        left, right = (tokenizer(side).input_ids for side in prompt.split("<image>"))
        whole = processor(images=Image.new("RGB", (64, 48)), text=prompt).input_ids[0]
        if list(whole) != [*left, *[image_id] * slots, *right[1:]]:
            raise ValueError(f"the two ways to tokenise differ: {prompt!r}")
        turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
        if processor.apply_chat_template([turn], add_generation_prompt=True) != prompt:
            raise ValueError("the chat template does not render the prompt")
    for letter in LETTERS:
        *start, last = tokenizer(f"ASSISTANT: {letter}").input_ids
        if start != tokenizer("ASSISTANT:").input_ids or tokenizer.convert_ids_to_tokens(last) != f"▁{letter}":
            raise ValueError(f"{letter} is not one token")
    return model.eval(), processor


def answer(
    model: LlavaForConditionalGeneration, tokenizer: Any, pixels: Tensor, question: str, dropped: float
) -> list[str]:
    """Greedy answers to one question about many pictures; ``dropped`` is the share of image tokens taken out."""
    before, after = (tokenizer(side).input_ids for side in PROMPT.format(question=question).split("<image>"))
    slots = model.config.image_seq_length
    ids = torch.tensor([[*before, *[model.config.image_token_index] * slots, *after[1:]]]).repeat(len(pixels), 1)
    with torch.inference_mode():
        if dropped:
            kept = torch.randperm(slots)[: round(slots * (1 - dropped))].sort().values
            words = model.get_input_embeddings()
            seen = torch.stack(list(model.get_image_features(pixels).pooler_output))[:, kept]
            embeds = torch.cat([words(ids[:, : len(before)]), seen, words(ids[:, len(before) + slots :])], 1)
            new = model.generate(inputs_embeds=embeds, max_new_tokens=4, do_sample=False)
        else:
            new = model.generate(input_ids=ids, pixel_values=pixels, max_new_tokens=4, do_sample=False)[
                :, ids.shape[1] :
            ]
    return tokenizer.batch_decode(new, skip_special_tokens=True)


def accuracy(
    model: LlavaForConditionalGeneration,
    tokenizer: Any,
    pixels: Tensor,
    items: list[Item],
    ask: Question,
    dropped: float,
) -> dict[str, float]:
    """Share of right answers by half of the picture set."""
    asked = [ask(item["label"]) for item in items]
    right = torch.zeros(len(items))
    for question in sorted({text for text, _ in asked}):
        where = [i for i, (text, _) in enumerate(asked) if text == question]
        for part in torch.tensor(where).split(64):
            replies = answer(model, tokenizer, pixels[part], question, dropped)
            right[part] = torch.tensor([float(r.strip() == asked[i][1]) for i, r in zip(part, replies, strict=True)])
    seen = torch.tensor([item["seen"] for item in items])
    return {"seen": right[seen].mean().item(), "unseen": right[~seen].mean().item()}


def main() -> None:
    """Check, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = HERE.parent / "sepm_eval" / "demo"
    parser.add_argument("--model", type=Path, default=data / "model")
    parser.add_argument("--pictures", type=Path, default=data / "pictures")
    parser.add_argument("--dropped", type=float, default=0.2, help="share of image tokens missing in the last rows")
    args = parser.parse_args()
    torch.manual_seed(0)
    model, processor = check_folder(args.model)
    side = model.config.vision_config.image_size
    padding = LlavaImageProcessorPil(
        do_pad=True, size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    items = [json.loads(line) for line in (args.pictures / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    images = [Image.open(args.pictures / item["image"]).convert("RGB") for item in items]
    pixels = padding(images, return_tensors="pt").pixel_values
    table = questions()
    rows = [(name, ask, 0.0) for name, ask in table.items()]
    rows += [
        (f"{name}, {args.dropped:.0%} of image tokens missing", table[name], args.dropped)
        for name in ("paper: eight options", "paper: right half, focus")
    ]
    seen = sum(item["seen"] for item in items)
    print("| question | seen artwork | unseen artwork |\n|---|---|---|")
    print(f"| (pictures) | {seen} | {len(items) - seen} |")
    for name, ask, dropped in rows:
        share = accuracy(model, processor.tokenizer, pixels, items, ask, dropped)
        print(f"| {name} | {share['seen']:.1%} | {share['unseen']:.1%} |", flush=True)


if __name__ == "__main__":
    main()
