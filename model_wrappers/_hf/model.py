"""Any picture-and-text model of transformers, through its own classes (AutoModelForImageTextToText, AutoProcessor).

The prompt comes from the checkpoint's own chat template, with the picture before the question, preprocessing from its
own processor, and logits from its own forward pass. Differences between families are in ``_hf.families``. Every model,
also one of a family that is not listed there, is checked against ``_hf.contract`` and refused if it fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from packaging.version import Version
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
)
from transformers import __version__ as transformers_version

from sepm_eval.backbone.architecture import NOT_SWITCHABLE, POSITIONS
from sepm_eval.backbone.checkpoints import Checkpoint, find_checkpoint, peek_checkpoint
from sepm_eval.backbone.interface import Cut, Prune, Reading, Shares, VisualTokens, Written
from sepm_eval.backbone.writing import Caches, texts
from sepm_eval.model_wrappers._hf.contract import check, own_reading
from sepm_eval.model_wrappers._hf.decoder import Decoder
from sepm_eval.model_wrappers._hf.families import FAMILIES, TRANSFORMERS, Family, family_of
from sepm_eval.model_wrappers._hf.pictures import Pictures, image_options, tiles
from sepm_eval.model_wrappers._hf.prompts import Prompts
from sepm_eval.model_wrappers._hf.reading import FamilyReading
from sepm_eval.model_wrappers._loading import load_model, named_faults
from sepm_eval.model_wrappers._placement import Loading, settle

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


class Hf:
    """A model of transformers behind the ``Backbone`` interface, whose calls are described there."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        prompts: Prompts,
        pictures: Pictures,
        decoder: Decoder,
        settings: dict[str, str],
        supports: frozenset[str],
    ) -> None:
        self.name, self.revision = checkpoint.name, checkpoint.revision
        self.settings, self.supports = settings, supports
        self._prompts, self._pictures, self._decoder = prompts, pictures, decoder
        self._letter_ids: dict[str, list[int]] = {}  # remembered, because every question needs them

    def prepare(self, image: Image) -> int:
        """See ``Backbone.prepare``."""
        return self._pictures.prepare(image)

    def see(self, images: Sequence[Image], side: float = 1.0, tower: bool = False) -> VisualTokens:
        """See ``Backbone.see``; ``tower`` is refused, because families differ in what their towers have."""
        if tower:
            raise ValueError(f"{self.name}: of hf models, what the vision tower makes before the projector is not read")
        return VisualTokens(self._pictures.see(images, side))

    def read(
        self,
        prompts: Sequence[str | Sequence[str]],
        visual: VisualTokens | None,
        *,
        keep: Sequence[Tensor] | None = None,
        probe: str | Sequence[str] | None = None,
        probe_layers: str = "last",
        prune: Cut | Prune | None = None,
        prefix: Reading | None = None,
        shares: Shares = "picture",
        begun: Sequence[int] = (),
    ) -> FamilyReading:
        """See ``Backbone.read``."""
        if prune is not None:
            if visual is None or keep is not None or probe is not None or prefix is not None:
                raise ValueError("prune needs a picture, and goes without keep, probe and prefix")
            if "prune" not in self.supports:
                raise ValueError(
                    f"{self.name}: visual tokens cannot be removed between its layers, because not all of them are "
                    "plain causal attention"
                )
        if prefix is not None and (visual is None or "reuse" not in self.supports):
            raise ValueError(
                f"{self.name}: prefix needs a picture, and a model that can reuse a reading (this one supports "
                f"{sorted(self.supports)})"
            )
        if visual is not None:
            if len(prompts) != len(visual.pictures):
                raise ValueError(f"{len(prompts)} prompts for {len(visual.pictures)} pictures; give one a picture")
            visual.check_keep(keep)
        elif keep is not None:
            raise ValueError("keep needs pictures")
        phrases = [probe] * len(prompts) if probe is None or isinstance(probe, str) else probe
        pictures = None if visual is None else visual.pictures
        encoded = [
            self._prompts.encode(turns, None if pictures is None else pictures[i].more["expansion"], phrases[i], begun)
            for i, turns in enumerate(prompts)
        ]
        if prune is not None and pictures is not None:
            return self._decoder.read_pruned(encoded, pictures, prune)
        layers = None if probe is None else self._decoder.probed_layers(probe_layers)
        if prefix is not None and not isinstance(prefix, FamilyReading):
            raise ValueError("prefix is a reading of another kind of model")
        return self._decoder.read(encoded, pictures, keep, layers, prefix, shares)

    def write(
        self, reading: Reading, max_new_tokens: int, rows: Sequence[int] | None = None, *, tails: bool = False
    ) -> list[Written]:
        """See ``Backbone.write``."""
        assert isinstance(reading, FamilyReading)  # this backbone makes no others
        caches: Caches | None = {} if tails else None
        written = self._decoder.write(reading, max_new_tokens, rows, caches)
        return texts(written, self._prompts.decode, caches)

    def letter_ids(self, letters: str) -> list[int]:
        """See ``Backbone.letter_ids``.

        Raises:
            ValueError: a letter after the prompt is not a single token.
        """
        if letters not in self._letter_ids:
            self._letter_ids[letters] = self._prompts.letter_ids(letters)
        return self._letter_ids[letters]

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """See ``Backbone.answer_ids``."""
        return self._prompts.answer_ids(texts)


def load(
    pretrained: str,
    *,
    positions: str,
    tiling: bool,
    min_pixels: int | None,
    max_pixels: int | None,
    **placement: Any,
) -> Hf:
    """See ``load`` in ``hf.py``; ``placement`` has the keyword arguments of ``settle``."""
    limits = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    checkpoint = find_checkpoint(pretrained)
    family, config = _kind(checkpoint)
    renumbers = _renumbers(checkpoint.name, config, positions)
    loading = settle([checkpoint.folder], checkpoint.config(), **placement)
    if loading.attention == "flash_attention_2" and family.reads_prompt_both_ways:
        raise ValueError(
            f"{checkpoint.name} reads prompts both ways, which attn_implementation=flash_attention_2 cannot be told: "
            "use sdpa"
        )
    processor = _processor(checkpoint)
    options = image_options(checkpoint.name, processor, tiling=tiling, limits=limits)
    prompts = Prompts(checkpoint.name, processor, config.image_token_id)
    model = _model(checkpoint, config, loading)
    pictures = Pictures(checkpoint.name, model, processor, family, options)
    own = own_reading(model, prompts, options)
    decoder = Decoder(model, family, loading.attention or "sdpa", renumbers=renumbers, stop_ids=_stop_ids(model))
    check(checkpoint.name, prompts, pictures, decoder, own)
    settings = {
        **loading.settings,
        **_settings(decoder, prompts, tiling),
        **{name: str(limit) for name, limit in limits.items() if limit is not None},
    }
    return Hf(checkpoint, prompts, pictures, decoder, settings, _supports(config, family))


def _settings(decoder: Decoder, prompts: Prompts, tiling: bool) -> dict[str, str]:
    """The settings that determine an answer besides checkpoint, question and loading."""
    processor = prompts.processor
    return {
        "template": prompts.around("{question}"),
        "positions": "closed" if decoder.renumbers else "kept",
        "tiling": str(tiling).lower() if tiles(processor) else NOT_SWITCHABLE,
        "processor": _resizer(processor.image_processor),
        "probed_layer": str(decoder.probed_layers("last")[0]),
    }


def _resizer(image_processor: Any) -> str:
    """The class of an image processor, with the version of torchvision if it computes with torchvision."""
    name = type(image_processor).__name__
    by_torchvision = any(one.__name__ == "TorchvisionBackend" for one in type(image_processor).__mro__)
    return f"{name}, torchvision {version('torchvision')}" if by_torchvision else name


def supported(pretrained: str, options: Mapping[str, Any]) -> frozenset[str]:
    """See ``supported`` in ``hf.py``."""
    with named_faults("hf", pretrained):
        checkpoint = peek_checkpoint(pretrained)
        family, config = _kind(checkpoint)
        _renumbers(checkpoint.name, config, options.get("positions", "auto"))
        return _supports(config, family)


def _kind(checkpoint: Checkpoint) -> tuple[Family, Any]:
    """The family of a checkpoint and its configuration as a transformers object; refused models raise an error."""
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
        found |= {"prune", "reuse"}
    return frozenset(found)


def _renumbers(name: str, config: Any, positions: str) -> bool | None:
    """Whether positions are renumbered without gaps when tokens are dropped; None: the default of the model.

    Raises:
        ValueError: ``positions`` is not a known word, or the model's positions are places in the picture, which cannot
            be renumbered.
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
    """Refuse a model whose class does not accept visual features in the place of pixels.

    Raises:
        ValueError: the class does not, perhaps because the installed transformers is too old.
    """
    found = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    if "mm_encoder_outputs" not in inspect.signature(found.forward).parameters:
        why = "its forward pass takes no visual features in the place of pixels, so that none could be dropped"
        if Version(transformers_version) < Version(TRANSFORMERS):
            why = f"transformers {transformers_version} is installed, and hf models need {TRANSFORMERS} or newer"
        raise ValueError(f"{name} (model_type={config.model_type!r}) cannot be loaded as hf: {why}")


def _processor(checkpoint: Checkpoint) -> Any:
    try:
        processor = AutoProcessor.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise ValueError(
            f"{checkpoint.name} cannot be loaded as hf: its processor or tokenizer needs program code from its own "
            "repository, which is never run; look for a version of it converted for transformers"
        ) from error
    lacking = [part for part in ("image_processor", "tokenizer", "image_token") if not hasattr(processor, part)]
    if lacking:
        raise ValueError(f"{checkpoint.name}: its processor is a {type(processor).__name__} without {lacking}")
    return processor


def _model(checkpoint: Checkpoint, config: Any, loading: Loading) -> Any:
    """Load the model; a checkpoint may hold parts that transformers' class does not have, such as a draft head.

    At first the model has the attention kernel that its class chooses, because not every class accepts every kernel.
    The contract compares against this kernel, so one that is wrong for a family is noticed: FlashAttention, for
    example, cannot let the tokens of a picture see later ones.
    """
    folders, loading = [checkpoint.folder], replace(loading, attention=None)
    model = load_model(AutoModelForImageTextToText, checkpoint.name, config, folders, loading, leaves_out=True)
    return model.eval().requires_grad_(False)


def _stop_ids(model: Any) -> list[int]:
    """The tokens at which ``generate`` stops."""
    found = model.generation_config.eos_token_id
    if found is None:
        found = model.config.get_text_config().eos_token_id
    return [] if found is None else [found] if isinstance(found, int) else list(found)
