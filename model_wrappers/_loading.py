"""What every loader does: fill a model with weights, check that weights and preprocessor fit, explain errors."""

from __future__ import annotations

import logging
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.hooks import remove_hook_from_module
from accelerate.utils import set_module_tensor_to_device
from torch import Tensor, nn
from transformers.image_utils import PILImageResampling

from sepm_eval.backbone.memory import computes_on, is_out_of_memory
from sepm_eval.backbone.shards import weight_files
from sepm_eval.backbone.tokenizers import is_rust_panic
from sepm_eval.backbone.weights import whole_files
from sepm_eval.model_wrappers._memory import NotEnoughMemory, lack_on_map, spell_out
from sepm_eval.model_wrappers._placement import Loading

logger = logging.getLogger(__name__)

_MOST_LAYERS = 1000


@contextmanager
def named_faults(name: str, pretrained: str) -> Iterator[None]:
    """Turn whatever libraries raise while they load a damaged checkpoint into an error that names the checkpoint.

    Libraries raise nearly anything, and those written in Rust a ``PanicException``, which is no ``Exception``. Errors
    about memory, and exceptions that end the process, pass through unchanged.

    Args:
        name: the architecture.
        pretrained: the checkpoint as the user named it.

    Raises:
        ValueError: the checkpoint cannot be loaded.
        FileNotFoundError: a part of it is missing.
    """
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, Exception) or is_rust_panic(error)) or is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:600] or type(error).__name__
        if type(error) in (ValueError, FileNotFoundError) and pretrained in str(error):
            raise
        if not isinstance(error, (ValueError, OSError)):
            reason = f"{type(error).__name__}: {reason}"
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f"{pretrained} cannot be loaded as {name}: {reason}") from error


def load_model(
    kind: Any,
    what: str,
    config: Any,
    folders: Sequence[Path],
    loading: Loading,
    weights: Callable[[], dict[str, Tensor]] | None = None,
    unread: str | None = None,
    leaves_out: bool = False,
) -> Any:
    """Load a transformers model: build it on the meta device, then put its weights into their places, one by one.

    If a model is quantised, modules outside its decoder are not; ``loading.quantization`` is changed to name them. The
    files are memory-mapped. On a CPU, a weight that is stored in the wanted dtype stays mapped; any other weight is
    cast and moved by itself. So the model is never held in memory twice.

    Args:
        kind: a model class, or an Auto class.
        what: the checkpoint's name.
        config: the configuration, as a transformers object.
        folders: all folders with its weights. transformers loads from the first one, unless ``weights`` is given.
        loading: how it is to be loaded.
        weights: returns the tensors by the model's own names, for layouts that transformers does not know.
        unread: a module that is left out on purpose; its weights may be in the files.
        leaves_out: whether the files may hold more weights than the model uses.

    Raises:
        ValueError: the model does not match the files, or weights are missing or do not fit.
        NotEnoughMemory: ``loading`` puts more weights on a device than fit there.
    """
    known = {} if isinstance(kind, type) and issubclass(kind, nn.Module) else {"trust_remote_code": False}
    model = check_size(what, config, lambda: kind.from_config(config, **known) if known else kind(config), folders)
    loading, aside = _by_modules(what, model, loading), None
    if loading.device_map is not None:  # holds offloaded weights that transformers cannot read from the files again
        aside = tempfile.TemporaryDirectory(prefix="sepm_eval_offload_")
    source = {"local_files_only": True, **known} if weights is None else {"state_dict": weights()}
    with whole_files(folders[0]):
        model, info = kind.from_pretrained(
            folders[0] if weights is None else None,
            config=config,
            output_loading_info=True,
            **source,
            **_arguments(loading, None if aside is None else aside.name),
        )
    check_complete(what, {**info, "unexpected_keys": []} if leaves_out else info, unread)
    if aside is not None:
        weakref.finalize(model, aside.cleanup)
        tell_of_disk(what, model)
        keep_positions(model)
    return model


def _by_modules(what: str, model: Any, loading: Loading) -> Loading:
    """Add to ``loading`` what depends on the names of a model's modules: their places, and which are not quantised."""
    if isinstance(loading.device_map, dict):
        check_map(what, model, loading.device_map, loading.bytes_a_number)
        loading = loading.on(spell_out(model, loading.device_map))
    return loading if loading.quantization is None else loading.sparing(*outside_decoder(model))


def _arguments(loading: Loading, offload_folder: str | None) -> dict[str, Any]:
    """``loading`` as arguments of ``from_pretrained``."""
    more = {
        "dtype": loading.dtype,
        "offload_folder": offload_folder,
        "attn_implementation": loading.attention,
        "quantization_config": loading.quantization,
    }
    return {**loading.placed(), **{name: value for name, value in more.items() if value is not None}}


def outside_decoder(model: Any) -> list[str]:
    """Names of the largest modules outside a model's decoder: vision tower, projector, output layer.

    Args:
        model: a transformers model; its tensors may be on the meta device.
    """
    decoder = model.get_decoder()

    def around(module: nn.Module, front: str) -> Iterator[str]:
        for name, child in module.named_children():
            if child is decoder:
                continue
            if any(part is decoder for part in child.modules()):
                yield from around(child, f"{front}{name}.")
            else:
                yield f"{front}{name}"

    return list(around(model, ""))


def check_size(what: str, config: Any, build: Callable[[], nn.Module], folders: Sequence[Path]) -> nn.Module:
    """Build a model on the meta device, where it needs no memory, and refuse it if its files are too small for it.

    Every weight takes at least a byte (half a byte in a quantised checkpoint), so a model cannot have more weights than
    its files have bytes.

    Args:
        what: the checkpoint's name.
        config: the configuration, as a transformers object.
        build: makes the model; called with the meta device as the default.
        folders: where its weights are.

    Returns:
        The model, on the meta device.

    Raises:
        ValueError: the model is larger than the files, or its number of layers is impossible.
    """
    for part in (config, *(getattr(config, key, None) for key in ("text_config", "vision_config"))):
        layers = getattr(part, "num_hidden_layers", 1)
        if not isinstance(layers, int) or not 0 < layers <= _MOST_LAYERS:
            raise ValueError(
                f"{what}: its config.json says num_hidden_layers={layers!r}; allowed are 1 to {_MOST_LAYERS}"
            )
    with torch.device("meta"):
        model = build()
    wanted = sum(weight.numel() for weight in model.parameters())
    held = sum(path.stat().st_size for folder in folders for path in weight_files(folder))
    if getattr(config, "quantization_config", None):
        held *= 2  # two weights of four bits in a byte
    if wanted > held:
        raise ValueError(
            f"{what}: its config.json describes a model of {wanted} weights, but its files have only {held} bytes; "
            "one of them is damaged or belongs to another checkpoint"
        )
    return model


def check_map(what: str, model: nn.Module, device_map: Mapping[str, str], bytes_a_number: float) -> None:
    """Refuse a user's device map that names an unknown module, leaves weights without a place, or does not fit.

    Args:
        what: the checkpoint's name.
        model: the model; its tensors may be on the meta device.
        device_map: the place of each module, by its name.
        bytes_a_number: bytes per weight in memory.

    Raises:
        ValueError: a name belongs to no module, or weights have no place.
        NotEnoughMemory: a place has too little memory.
    """
    modules = [name for name, _ in model.named_modules()]
    if unknown := [name for name in device_map if name not in modules]:
        near = [name for name in modules if name.count(".") <= 1 and name]
        raise ValueError(f"{what}: device_map names {unknown[:4]}, which are no modules of the model; it has {near}")
    left = [
        name
        for name, _ in model.named_parameters()
        if not any(not key or name.startswith(f"{key}.") for key in device_map)
    ]
    if left:
        raise ValueError(f'{what}: device_map gives no place to {left[:4]}; "" stands for all that is not named')
    if lack := lack_on_map(model, device_map, bytes_a_number):
        raise NotEnoughMemory(f"{what} cannot be loaded: {lack}")


def keep_positions(model: nn.Module) -> None:
    """Keep a vision tower's position embeddings on its device, even if the tower's weights are offloaded.

    Offloaded weights are fetched when their module is called, but some towers read the table of positions without a
    call, and others do so for smaller pictures.
    """
    for tower in model.modules():
        table = getattr(tower, "position_embedding", None)
        if isinstance(table, nn.Embedding) and table.weight.device.type == "meta":
            hook: Any = table._hf_hook
            place, weight = computes_on(table), hook.weights_map["weight"]
            remove_hook_from_module(table)
            set_module_tensor_to_device(table, "weight", place, weight)


def tell_of_disk(what: str, model: Any) -> None:
    """Log a warning if modules were put on disk, because they are read from there at every step.

    Raises:
        NotEnoughMemory: the whole model is on disk and nothing fetches it, as in older releases of transformers.
    """
    places = getattr(model, "hf_device_map", {})
    aside = [name for name, place in places.items() if place == "disk"]
    if aside and not any(hasattr(module, "_hf_hook") for module in model.modules()):
        raise NotEnoughMemory(f"{what} cannot be loaded: max_memory leaves no part of it in memory; allow more")
    if aside:
        logger.warning("%s: %d of %d parts are on disk and read again at every step", what, len(aside), len(places))


def check_processor(where: Path, processor: Any) -> None:
    """Refuse an image processor that prepares pictures as neither LLaVA-1.5 nor VILA does.

    Sizes are not checked: loaders set those of the tower.

    Args:
        where: the folder whose preprocessor_config.json was read.
        processor: a Pillow-backed image processor of transformers.

    Raises:
        ValueError: a value that no such model has, such as a mean outside 0 to 1, or a standard deviation outside 0.01
            to 1.
    """

    def three(values: Any, least: float, most: float) -> bool:
        """Whether ``values`` is one number from ``least`` to ``most`` per channel; NaN lies in no range."""
        return (
            isinstance(values, (list, tuple))
            and len(values) == 3
            and all(type(value) in (int, float) and least <= value <= most for value in values)
        )

    wanted = {
        "image_mean": (three(processor.image_mean, 0, 1), "three numbers from 0 to 1"),
        "image_std": (three(processor.image_std, 0.01, 1), "three numbers from 0.01 to 1"),
        "rescale_factor": (_is_close(processor.rescale_factor, 1 / 255), "1/255"),
        "resample": (processor.resample == PILImageResampling.BICUBIC, "3 (bicubic)"),
        **{key: (getattr(processor, key) is True, "true") for key in ("do_resize", "do_rescale", "do_normalize")},
    }
    for key, (fits, allowed) in wanted.items():
        if not fits:
            raise ValueError(
                f"the preprocessor of {where} says {key}={getattr(processor, key)!r}, which neither LLaVA-1.5 nor VILA "
                f"does; allowed is {allowed}. Its preprocessor_config.json is damaged or belongs to another model"
            )


def _is_close(value: Any, wanted: float) -> bool:
    return type(value) in (int, float) and abs(value - wanted) < 1e-9


# Buffers that older releases of transformers saved although they follow from the configuration.
_DERIVED = (".position_ids", ".rotary_emb.inv_freq")


def check_complete(what: str, info: dict[str, Any], unread: str | None = None) -> None:
    """Refuse a checkpoint whose weights do not all fit the model, which would still answer, but with random layers.

    info: transformers' loading info; unread: a module that is left out on purpose.
    """
    found = {key: sorted(map(str, names)) for key, names in info.items() if key.endswith("_keys")}
    found["unexpected_keys"] = [
        name
        for name in found.get("unexpected_keys", [])
        if not name.endswith(_DERIVED) and unread not in name.split(".")
    ]
    problems = {key: names[:4] for key, names in found.items() if names}
    if problems:
        raise ValueError(
            f"{what}: the weights do not fit the model ({problems}); the checkpoint is incomplete or of another kind"
        )
