"""VLMEvalKit's own run, with our data sets and models in it.

VLMEvalKit has no hook for other packages, so ``run`` puts both into its tables and then calls its ``main``. Importing
it has effects on the whole process; nothing of it is imported before ``run`` (or one of the modules beside this) asks
for it.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import json
import logging
import os
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from sepm_eval.hosts._vlmevalkit_scores import is_failed, predictions
from sepm_eval.methods import find_methods

logger = logging.getLogger(__name__)

# The model entries are <method>_<one of these>, such as sepm_llava_v1.5_7b: the method with its defaults.
CHECKPOINTS = {
    "llava_v1.5_7b": ("llava", "llava-hf/llava-1.5-7b-hf"),
    "llava_v1.5_13b": ("llava", "llava-hf/llava-1.5-13b-hf"),
    "llama3_vila1.5_8b": ("vila", "Efficient-Large-Model/Llama-3-VILA1.5-8B"),
    "llama3_vila1.5_8b_fix": ("vila", "Efficient-Large-Model/Llama-3-VILA1.5-8B-Fix"),
    "vila1.5_3b": ("vila", "Efficient-Large-Model/VILA1.5-3b"),
    "vila1.5_13b": ("vila", "Efficient-Large-Model/VILA1.5-13b"),
    "demo": ("llava", "demo"),
}


class BadArguments(ValueError):
    """A command line, or an installation of VLMEvalKit, that cannot work; the message says what to change."""


def model_entries() -> dict[str, dict[str, Any]]:
    """Every method on every checkpoint: the entry's name and the arguments of its model."""
    return {
        f"{method}_{name}": {"backbone": backbone, "pretrained": pretrained, "method": method}
        for method in find_methods()
        for name, (backbone, pretrained) in CHECKPOINTS.items()
    }


@contextmanager
def tls_verified() -> Iterator[None]:
    """Keep TLS certificates verified: an import of VLMEvalKit inside turns that off for the whole process."""
    former = ssl._create_default_https_context
    try:
        yield
    finally:
        if ssl._create_default_https_context is not former:
            ssl._create_default_https_context = former
            logger.warning("importing VLMEvalKit turned off the verification of TLS certificates; it is on again")


def register() -> None:
    """Put our data sets and models into VLMEvalKit's tables. Calling it again changes nothing."""
    from sepm_eval.hosts.vlmevalkit_dataset import BENCHMARKS, EmotionMCQ
    from sepm_eval.hosts.vlmevalkit_model import SepmEvalModel

    with tls_verified():
        import vlmeval.dataset
        import vlmeval.vlm
        from vlmeval.config import supported_VLM

    if EmotionMCQ in vlmeval.dataset.DATASET_CLASSES:
        return
    vlmeval.dataset.DATASET_CLASSES.append(EmotionMCQ)
    vlmeval.dataset.SUPPORTED_DATASETS.extend(BENCHMARKS)
    for name, arguments in model_entries().items():
        supported_VLM[name] = functools.partial(SepmEvalModel, **arguments)
    # Where VLMEvalKit's --config looks a class up by name.
    vlmeval.dataset.EmotionMCQ = EmotionMCQ
    vlmeval.vlm.SepmEvalModel = SepmEvalModel


def run(arguments: Sequence[str]) -> list[str]:
    """Run VLMEvalKit with its own command line.

    Returns what is missing afterwards, one sentence each: pairs of model and data set without a result, and pairs with
    failed questions. In a run of several processes only the first one looks.

    Raises:
        ModuleNotFoundError: VLMEvalKit is not installed.
        BadArguments: nothing was run.
    """
    host = _import_run()
    register()
    if os.environ.pop("VERBOSE", None) is not None:
        logger.warning("VERBOSE is unset for this run: VLMEvalKit would score its own data sets differently with it")
    sys.argv = ["sepm-eval vlmeval", *arguments]
    wanted = host.parse_args()
    models, sets = _models_and_sets(wanted)
    if wanted.judge is None:
        logger.warning(
            "the judge is exact_matching, for every data set of this run; VLMEvalKit's own choice needs an API key, "
            "--judge names another"
        )
        sys.argv += ["--judge", "exact_matching"]
    work = Path(os.environ.get("MMEVAL_ROOT", wanted.work_dir) if not wanted.api_mode else wanted.work_dir)
    _warn_of_reuse(work, models, sets, wanted)
    started = datetime.now().astimezone()
    host.main()
    if int(os.environ.get("RANK", 0)) > 0:
        return []
    found = [_missing(work / model.replace("/", "--"), model, name, started) for model in models for name in sets]
    return [problem for problem in found if problem]


def _import_run() -> ModuleType:
    """VLMEvalKit's command: ``vlmeval.run`` of the package ms-vlmeval, ``run.py`` beside the package in a checkout."""
    with tls_verified():
        import vlmeval

        package = Path(vlmeval.__file__).parent
        if (package / "run.py").is_file():
            from vlmeval import run as host

            return host
        path = package.parent / "run.py"
        # The name decides where its messages go: VLMEvalKit shows what is logged below "vlmeval".
        spec = importlib.util.spec_from_file_location("vlmeval.run", path)
        if not path.is_file() or spec is None or spec.loader is None:
            raise BadArguments(
                f"VLMEvalKit at {package} has no run.py, in it or beside it: install ms-vlmeval, or a checkout with "
                "pip install --editable"
            )
        host = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(host)
        return host


def _models_and_sets(wanted: Any) -> tuple[list[str], list[str]]:
    """The names the run is about, checked as far as VLMEvalKit would only find out between two data sets."""
    if wanted.config is not None:
        config = json.loads(Path(wanted.config).read_text(encoding="utf-8"))
        return list(config["model"]), list(config["data"])
    if not wanted.data or not wanted.model:
        raise BadArguments("name data sets after --data and models after --model, or a file after --config")
    from vlmeval.config import supported_VLM

    unknown = [] if wanted.base_url else [name for name in wanted.model if name not in supported_VLM]
    if unknown:
        close = difflib.get_close_matches(unknown[0], supported_VLM, cutoff=0.5)
        raise BadArguments(
            f"unknown models {unknown}: ours are a method ({', '.join(find_methods())}), an underscore and one of "
            f"{', '.join(CHECKPOINTS)}; VLMEvalKit has its own. Close to {unknown[0]!r}: {', '.join(close) or 'none'}"
        )
    ours = [name for name in wanted.model if name in model_entries()]
    if wanted.api_mode and ours:
        raise BadArguments(f"--api-mode asks servers in parallel; {', '.join(ours)} run in this process: leave it out")
    return wanted.model, wanted.data


def _warn_of_reuse(work: Path, models: Sequence[str], sets: Sequence[str], wanted: Any) -> None:
    """ms-vlmeval 0.0.20 takes over the answers of an earlier run in the same folder, with --reuse or without."""
    if wanted.reuse or wanted.mode == "eval":
        return
    for model in models:
        for name in sets:
            former = [path for path in (work / model).glob(f"{model}_{name}.*") if not path.is_symlink()]
            if former:
                logger.warning(
                    "VLMEvalKit will take over the answers in %s, although --reuse is not given; move it away or name "
                    "another --work-dir to ask again",
                    former[0],
                )


def _missing(folder: Path, model: str, name: str, started: datetime) -> str | None:
    """What this run did not deliver for one pair, from VLMEvalKit's status files and predictions."""
    from vlmeval.smp import load

    pair = f"{model} on {name}"
    entries = []
    for path in folder.rglob("status.json"):
        entry = json.loads(path.read_text(encoding="utf-8"))["datasets"].get(name)
        if entry and datetime.fromisoformat(entry["updated_at"]) >= started:
            entries.append((entry["updated_at"], path.parent, entry))
    if not entries:
        return f"{pair}: no result; VLMEvalKit's messages above say why"
    _, run_folder, entry = max(entries, key=lambda found: found[0])
    problem = entry.get("error_message") or entry.get("skip_reason")
    if problem and problem != "mode_infer":
        return f"{pair}: no result ({problem})"
    file = run_folder / Path(entry["prediction_file"]).name
    if entry["status"] != "done" or not file.is_file():
        return f"{pair}: no result (VLMEvalKit stopped at {entry['status']!r})"
    answers = predictions(load(str(file)))
    failed = sum(map(is_failed, answers))
    return f"{pair}: {failed} of {len(answers)} questions failed and are not scored" if failed else None
