"""Loading a picture-and-text model of transformers, and what is known of it before."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from packaging.version import Version
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
)
from transformers import __version__ as transformers_version

from sepm_eval.backbone.checkpoints import Checkpoint, find_checkpoint, peek_checkpoint
from sepm_eval.backbone.weights import whole_files
from sepm_eval.model_wrappers._hf.backbone import Hf
from sepm_eval.model_wrappers._hf.contract import check, own_reading
from sepm_eval.model_wrappers._hf.decoder import Decoder
from sepm_eval.model_wrappers._hf.families import FAMILIES, TRANSFORMERS, Family, family_of
from sepm_eval.model_wrappers._hf.pictures import Pictures, image_options, tiles
from sepm_eval.model_wrappers._hf.prompts import Prompts
from sepm_eval.model_wrappers._loading import check_complete, check_size, named_faults, pick_device, pick_dtype

POSITIONS = ("auto", "kept", "closed")


def load(
    pretrained: str, *, device: str, dtype: str, positions: str, tiling: bool, limits: Mapping[str, int | None]
) -> Hf:
    """See ``hf.load``; limits: min_pixels and max_pixels."""
    checkpoint = find_checkpoint(pretrained)
    family, config = _kind(checkpoint)
    closes_up = _closes_up(checkpoint.name, config, positions)
    place = pick_device(device)
    kind = pick_dtype(dtype, place, checkpoint.config())
    processor = _processor(checkpoint)
    options = image_options(checkpoint.name, processor, tiling=tiling, limits=limits)
    model = _model(checkpoint, config, kind).to(place)
    prompts = Prompts(checkpoint.name, processor, config.image_token_id)
    pictures = Pictures(checkpoint.name, model, processor, family, options)
    own = own_reading(model, prompts, options)
    decoder = Decoder(model, family, closes_up=closes_up, stop_ids=_stop_ids(model))
    check(checkpoint.name, prompts, pictures, decoder, own)
    settings = {
        **_settings(decoder, prompts, tiling),
        **{name: str(limit) for name, limit in limits.items() if limit is not None},
    }
    return Hf(checkpoint, prompts, pictures, decoder, settings, _supports(config, family))


def supported(pretrained: str, options: Mapping[str, Any]) -> frozenset[str]:
    """See ``hf.supported``."""
    with named_faults("hf", pretrained):
        checkpoint = peek_checkpoint(pretrained)
        family, config = _kind(checkpoint)
        _closes_up(checkpoint.name, config, options.get("positions", "auto"))
        return _supports(config, family)


def _settings(decoder: Decoder, prompts: Prompts, tiling: bool) -> dict[str, str]:
    """What decides an answer beside checkpoint and question; some templates put the day's date into the prompt."""
    processor = prompts.processor
    return {
        "dtype": str(decoder.model.dtype).removeprefix("torch."),
        "template": prompts.render("{question}", image=True),
        "positions": "closed" if decoder.closes_up else "kept",
        "tiling": str(tiling).lower() if tiles(processor) else "not switchable",
        "processor": type(processor.image_processor).__name__,
        "probed_layer": str(decoder.probed_layers("last")[0]),
        "attention": "sdpa",
    }


def _kind(checkpoint: Checkpoint) -> tuple[Family, Any]:
    """The family of a checkpoint and its configuration as transformers holds it, unless it is refused."""
    family = family_of(checkpoint.config(), checkpoint.name)
    config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
    _check_class(checkpoint.name, config)
    return family, config


def _supports(config: Any, family: Family) -> frozenset[str]:
    found = {"probe", "keep"}
    if family.resizes:
        found.add("resize")
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or [])
    if not kinds and getattr(text, "sliding_window", None) is not None:
        kinds = {"sliding_attention"}
    if config.model_type in FAMILIES and kinds <= {"full_attention"} and not family.reads_prompt_both_ways:
        found.add("reuse")
    return frozenset(found)


def _closes_up(name: str, config: Any, positions: str) -> bool | None:
    """Whether positions close up; None is for the model to say.

    Raises:
        ValueError: no such word, or a model whose positions are places in the picture, which cannot close up.
    """
    if positions not in POSITIONS:
        raise ValueError(f"positions={positions!r}: use one of {POSITIONS}")
    if positions == "closed" and "mrope_section" in str(config.get_text_config().to_dict()):
        raise ValueError(
            f"{name}: positions=closed is not possible, because the position of a visual token is its place in the "
            "picture (M-RoPE); use kept"
        )
    return None if positions == "auto" else positions == "closed"


def _check_class(name: str, config: Any) -> None:
    """Refuse a model that cannot be given features in the place of pixels.

    Raises:
        ValueError: it is one, or the installed transformers is too old.
    """
    found = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    if "mm_encoder_outputs" not in inspect.signature(found.forward).parameters:
        why = "its forward pass takes no visual features in the place of pixels, so that none could be dropped"
        if Version(transformers_version) < Version(TRANSFORMERS):
            why = f"transformers {transformers_version} is installed, and hf models need {TRANSFORMERS} or newer"
        raise ValueError(f"{name} (model_type={config.model_type!r}) cannot be loaded as hf: {why}")


def _processor(checkpoint: Checkpoint) -> Any:
    processor = AutoProcessor.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
    lacking = [part for part in ("image_processor", "tokenizer", "image_token") if not hasattr(processor, part)]
    if lacking:
        raise ValueError(f"{checkpoint.name}: its processor is a {type(processor).__name__} without {lacking}")
    return processor


def _model(checkpoint: Checkpoint, config: Any, dtype: torch.dtype) -> Any:
    build = functools.partial(AutoModelForImageTextToText.from_config, config, trust_remote_code=False)
    check_size(checkpoint.name, config, build, [checkpoint.folder])
    with whole_files(checkpoint.folder):
        model, info = AutoModelForImageTextToText.from_pretrained(
            checkpoint.folder,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    info["unexpected_keys"] = []  # releases carry parts that transformers' class leaves out, such as a draft head
    check_complete(checkpoint.name, info)
    return model.eval().requires_grad_(False)


def _stop_ids(model: Any) -> list[int]:
    """The tokens at which ``generate`` stops."""
    found = model.generation_config.eos_token_id
    if found is None:
        found = model.config.get_text_config().eos_token_id
    return [] if found is None else [found] if isinstance(found, int) else list(found)
