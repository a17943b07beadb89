"""Checks of a VLMEvalKit command line: which models and data sets are ours, and whether all names are known.

VLMEvalKit is imported only inside functions that are called after it has been imported anyway.
"""

from __future__ import annotations

import argparse
import difflib
import json
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sepm_eval.datasets import find_benchmarks
from sepm_eval.methods import method_names
from sepm_eval.model_wrappers import find_backbones

logger = logging.getLogger(__name__)


class BadArguments(ValueError):
    """The command line or the installation of VLMEvalKit cannot work; the message says what to change."""


def data_sets() -> list[str]:
    """Names of our data sets: the benchmarks that ask the same question of every picture."""
    return [one.table_name for one in find_benchmarks().values() if not one.own_questions]


def checkpoints() -> dict[str, tuple[str, str]]:
    """By the end of a model entry's name, such as llava_v1.5_7b, the backbone and the checkpoint.

    A backbone that lists no checkpoints is named by itself and has its usual checkpoint.

    Raises:
        BadArguments: two backbones give the same name to a checkpoint.
    """
    found: dict[str, tuple[str, str]] = {}
    for backbone, architecture in find_backbones():
        if isinstance(architecture, ValueError):
            logger.warning("VLMEvalKit has no models of the backbone %s: %s", backbone, architecture)
            continue
        usual = architecture.default_checkpoint()
        named = {known.entry: known.pretrained for known in architecture.checkpoints}
        for entry, pretrained in (named or ({backbone: usual} if usual else {})).items():
            if entry in found:
                raise BadArguments(
                    f"two backbones, {found[entry][0]} and {backbone}, call a checkpoint {entry!r}: uninstall the "
                    "package of one of them"
                )
            found[entry] = (backbone, pretrained)
    return found


def model_entries() -> dict[str, dict[str, Any]]:
    """By name, the model entries (every method on every checkpoint) with the arguments of ``SepmEvalModel``."""
    known = checkpoints()
    return {
        f"{method}_{name}": {"backbone": backbone, "pretrained": pretrained, "method": method}
        for method in method_names()
        for name, (backbone, pretrained) in known.items()
    }


def refuse_misspelt(arguments: Sequence[str]) -> None:
    """Refuse names of our data sets with wrong capitals before VLMEvalKit is imported, which takes seconds.

    Raises:
        BadArguments: a name after --data differs from one of ours only in upper and lower case.
    """
    known = {name.lower(): name for name in data_sets()}
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--data", nargs="*", default=[])
    for written in options.parse_known_args(list(arguments))[0].data:
        ours = known.get(written.lower(), written)
        if ours != written:
            raise BadArguments(f"unknown data set {written!r}: write {ours}")


def models_and_sets(wanted: Any) -> tuple[dict[str, dict[str, Any] | None], dict[str, str | None]]:
    """The models and data sets of a run, checked for faults that VLMEvalKit would find only in the middle of the run.

    Args:
        wanted: VLMEvalKit's parsed command line.

    Returns:
        By the model's name its arguments, and by the data set's name its name among ours; each is None if the model or
        data set is not ours.

    Raises:
        BadArguments: a name is unknown or missing, or an option cannot work.
    """
    limit = getattr(wanted, "limit", None)
    if limit is not None and not 1 <= limit <= sys.maxsize:
        raise BadArguments(f"--limit {limit}: give a number from 1 to {sys.maxsize}, or leave it out")
    entries = model_entries()
    if wanted.config is not None:
        return _from_config(Path(wanted.config), entries)
    if not wanted.data or not wanted.model:
        raise BadArguments("name data sets after --data and models after --model, or a file after --config")
    from vlmeval.config import supported_VLM

    unknown = [] if wanted.base_url else [name for name in wanted.model if name not in supported_VLM]
    if unknown:
        close = difflib.get_close_matches(unknown[0], supported_VLM, cutoff=0.5)
        raise BadArguments(
            f"unknown models {unknown}: ours are a method ({', '.join(method_names())}), an underscore and one of "
            f"{', '.join(checkpoints())}; VLMEvalKit has its own. Close to {unknown[0]!r}: {', '.join(close) or 'none'}"
        )
    ours = [name for name in wanted.model if name in entries]
    if wanted.api_mode and ours:
        raise BadArguments(f"--api-mode asks servers in parallel; {', '.join(ours)} run in this process: leave it out")
    _check_sets(wanted.data)
    tables = set(data_sets())
    return (
        {name: None if wanted.base_url else entries.get(name) for name in wanted.model},
        {name: name if name in tables else None for name in wanted.data},
    )


def _from_config(
    path: Path, entries: dict[str, dict[str, Any]]
) -> tuple[dict[str, dict[str, Any] | None], dict[str, str | None]]:
    """The result of ``models_and_sets`` for a file that was given by VLMEvalKit's --config."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found = {name: dict(told) for name, told in config["model"].items()}
        sets = {name: dict(told) for name, told in config["data"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadArguments(f"{path} is not a file for --config, with the tables model and data ({error!r})") from error
    models: dict[str, dict[str, Any] | None] = {}
    for name, told in found.items():
        named = told.pop("class", None)
        ours = {} if named == "SepmEvalModel" else entries.get(name) if named is None else None
        models[name] = None if ours is None else {**ours, **told}
    tables = {name: told.get("dataset") if told.get("class") == "EmotionMCQ" else None for name, told in sets.items()}
    for name, ours in tables.items():
        if ours not in (None, name):
            raise BadArguments(f"{path}: the data set {ours} stands as {name!r}, but VLMEvalKit names files by both")
    return models, tables


def _check_sets(names: Sequence[str]) -> None:
    """Refuse unknown names of data sets, which VLMEvalKit would skip late, after it has built everything else.

    Raises:
        BadArguments: a name is unknown.
    """
    import vlmeval.dataset
    from vlmeval.dataset.video_dataset_config import supported_video_datasets
    from vlmeval.smp import LMUDataRoot

    known = {name for kind in vlmeval.dataset.DATASET_CLASSES for name in kind.supported_datasets()}
    known |= set(supported_video_datasets)
    unknown = [name for name in names if name not in known and not (Path(LMUDataRoot()) / f"{name}.tsv").is_file()]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, cutoff=0.5)
        raise BadArguments(
            f"unknown data sets {unknown}: ours are {', '.join(data_sets())}; "
            f"VLMEvalKit has its own. Close to {unknown[0]!r}: {', '.join(close) or 'none'}"
        )


@contextmanager
def left_to_do(wanted: Any, asked: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Within this context, VLMEvalKit's command line names only the models and data sets that can be run.

    Args:
        wanted: VLMEvalKit's parsed command line.
        asked: the pairs of model and data set that can be run.
    """
    models, sets = dict.fromkeys(model for model, _ in asked), dict.fromkeys(name for _, name in asked)
    if wanted.config is None:
        if list(models) != wanted.model or list(sets) != wanted.data:
            sys.argv += ["--model", *models, "--data", *sets]
        yield
        return
    config = json.loads(Path(wanted.config).read_text(encoding="utf-8"))
    left = {
        **config,
        "model": {name: config["model"][name] for name in models},
        "data": {name: config["data"][name] for name in sets},
    }
    if left == config:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="sepm_eval-") as folder:
        reduced = Path(folder) / Path(wanted.config).name
        reduced.write_text(json.dumps(left), encoding="utf-8")
        sys.argv += ["--config", str(reduced)]
        yield
