"""Write a model folder in the layout of the public llava-hf checkpoints."""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
    "{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}USER: {% elif message['role'] == 'assistant' %} ASSISTANT: {% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}"
    "{% if message['role'] == 'assistant' %}</s>{% elif message['role'] == 'system' %}{{ ' ' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


def image_settings(side: int) -> dict:
    """The image preprocessing as the public checkpoints state it: shortest edge and centre crop."""
    return {
        "crop_size": {"height": side, "width": side},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": OPENAI_CLIP_MEAN,
        "image_processor_type": "CLIPImageProcessor",
        "image_std": OPENAI_CLIP_STD,
        "processor_class": "LlavaProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": side},
    }


def tokenizer_settings() -> dict:
    """Special tokens and sides; the class reads ``tokenizer.json`` as it is, in every version of transformers."""
    return {
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "extra_special_tokens": {"image_token": "<image>"},
        "model_max_length": 1024,
        "pad_token": "<pad>",
        "padding_side": "left",
        "processor_class": "LlavaProcessor",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
    }


def write_json(path: Path, content: dict) -> None:
    """Write readable JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def save_model(model: LlavaForConditionalGeneration, tokenizer: Tokenizer, out: Path) -> None:
    """Save weights (float16), tokenizer, processor and chat template, replacing ``out`` file by file."""
    vision = model.config.vision_config
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model.to(torch.float16).save_pretrained(folder)
        tokenizer.save(str(folder / "tokenizer.json"))
        write_json(folder / "tokenizer_config.json", tokenizer_settings())
        write_json(
            folder / "generation_config.json",
            {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": model.config.pad_token_id, "do_sample": False},
        )
        write_json(folder / "preprocessor_config.json", image_settings(vision.image_size))
        write_json(
            folder / "processor_config.json",
            {
                "image_token": "<image>",
                "num_additional_image_tokens": 1,
                "patch_size": vision.patch_size,
                "processor_class": "LlavaProcessor",
                "vision_feature_select_strategy": "default",
            },
        )
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
        out.mkdir(parents=True, exist_ok=True)
        for file in sorted(folder.iterdir()):
            partial = out / f".{file.name}"
            shutil.copyfile(file, partial)
            partial.replace(out / file.name)
