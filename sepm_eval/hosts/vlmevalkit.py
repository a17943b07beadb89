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
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from sepm_eval.datasets import find_benchmarks
from sepm_eval.hosts._loading import MOST
from sepm_eval.hosts._vlmevalkit_about import About, Questions
from sepm_eval.hosts._vlmevalkit_pairs import RANK, Pairs, watching
from sepm_eval.hosts._vlmevalkit_scores import is_failed, predictions
from sepm_eval.identity import Identity
from sepm_eval.methods import find_methods
from sepm_eval.tsv import table_name

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

    What can be known before a model is loaded is looked at first: names, data, checkpoints, and whether answers that
    VLMEvalKit would take over are this run's.

    Returns what is missing afterwards, one sentence each: pairs of model and data set without a result, and pairs with
    failed questions. In a run of several processes only the first one looks.

    Raises:
        ModuleNotFoundError: VLMEvalKit is not installed.
        BadArguments: nothing was run.
    """
    _refuse_misspelt(arguments)
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
    abouts, faults = _look(models, sets, wanted)
    pairs = Pairs(work, abouts, answering=wanted.mode != "eval", reuse=wanted.reuse or wanted.mode == "eval")
    if refused := pairs.refused():
        raise BadArguments("\n".join(refused))
    if not wanted.reuse and wanted.mode != "eval":
        _warn_of_reuse(pairs)
    asked = [(model, name) for model in models for name in sets if model not in faults and name not in faults]
    told = {
        (model, name): f"{model} on {name}: no result ({faults.get(model) or faults[name]})"
        for model in models
        for name in sets
        if (model, name) not in asked
    }
    for problem in told.values():
        logger.error(problem)
    if asked:
        started = datetime.now().astimezone()
        with _left_to_do(wanted, asked), watching(host, pairs):
            host.main()
        if RANK > 0:
            return []
        told |= {pair: _missing(work / pair[0].replace("/", "--"), *pair, started) or "" for pair in asked}
    return [told[model, name] for model in models for name in sets if told[model, name]]


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


def _refuse_misspelt(arguments: Sequence[str]) -> None:
    """Find names of our data sets in other letters before VLMEvalKit is imported, which takes seconds."""
    known = {name.lower(): name for name in map(table_name, find_benchmarks().values())}
    for written in arguments:
        ours = known.get(written.lower(), written)
        if ours != written:
            raise BadArguments(f"unknown data set {written!r}: write {ours}")


def _models_and_sets(wanted: Any) -> tuple[dict[str, dict[str, Any] | None], dict[str, str | None]]:
    """What the run is about, checked as far as VLMEvalKit would only find out between two data sets.

    Returns by the models' names the arguments of those that are ours, and by the data sets' names the names of ours.
    """
    limit = getattr(wanted, "limit", None)
    if limit is not None and not 1 <= limit <= MOST:
        raise BadArguments(f"--limit {limit}: give a number from 1 to {MOST}, or leave it out")
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
            f"unknown models {unknown}: ours are a method ({', '.join(find_methods())}), an underscore and one of "
            f"{', '.join(CHECKPOINTS)}; VLMEvalKit has its own. Close to {unknown[0]!r}: {', '.join(close) or 'none'}"
        )
    ours = [name for name in wanted.model if name in entries]
    if wanted.api_mode and ours:
        raise BadArguments(f"--api-mode asks servers in parallel; {', '.join(ours)} run in this process: leave it out")
    _check_sets(wanted.data)
    tables = set(map(table_name, find_benchmarks().values()))
    return (
        {name: None if wanted.base_url else entries.get(name) for name in wanted.model},
        {name: name if name in tables else None for name in wanted.data},
    )


def _from_config(
    path: Path, entries: dict[str, dict[str, Any]]
) -> tuple[dict[str, dict[str, Any] | None], dict[str, str | None]]:
    """As ``_models_and_sets``, from a file of VLMEvalKit's --config."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found = {name: dict(told) for name, told in config["model"].items()}
        sets = {name: dict(told) for name, told in config["data"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadArguments(f"{path} is no file for --config, with the tables model and data ({error!r})") from error
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
    """Refuse names of data sets that VLMEvalKit would skip after it has built everything else."""
    import vlmeval.dataset
    from vlmeval.dataset.video_dataset_config import supported_video_datasets
    from vlmeval.smp import LMUDataRoot

    known = {name for kind in vlmeval.dataset.DATASET_CLASSES for name in kind.supported_datasets()}
    known |= set(supported_video_datasets)
    unknown = [name for name in names if name not in known and not (Path(LMUDataRoot()) / f"{name}.tsv").is_file()]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, cutoff=0.5)
        raise BadArguments(
            f"unknown data sets {unknown}: ours are {', '.join(map(table_name, find_benchmarks().values()))}; "
            f"VLMEvalKit has its own. Close to {unknown[0]!r}: {', '.join(close) or 'none'}"
        )


def _look(
    models: dict[str, dict[str, Any] | None], sets: dict[str, str | None], wanted: Any
) -> tuple[dict[tuple[str, str], About], dict[str, str]]:
    """Look at data and checkpoints before anything is loaded.

    Returns what the answers of each pair with something of ours would belong to, and by name of a model or data set
    why it cannot be had.
    """
    from sepm_eval.hosts.vlmevalkit_dataset import EmotionMCQ
    from sepm_eval.hosts.vlmevalkit_model import before_loading

    answering = wanted.mode != "eval"
    limit = getattr(wanted, "limit", None) if answering else None
    faults: dict[str, str] = {}
    questions: dict[str, Questions] = {}
    for name, ours in sets.items():
        try:
            if ours is not None:
                questions[name] = EmotionMCQ(ours).questions(limit)
        except (OSError, ValueError) as error:
            faults[name] = str(error)
    who: dict[str, tuple[Identity | None, dict[str, Any]]] = {}
    for model, arguments in models.items():
        try:
            who[model] = (None, {}) if arguments is None else before_loading(arguments, find=answering)
        except (OSError, ValueError) as error:
            faults[model] = str(error)
    return {
        (model, name): About(*who[model], questions.get(name))
        for model in models
        for name in sets
        if model in who and name not in faults and (models[model] is not None or name in questions)
    }, faults


@contextmanager
def _left_to_do(wanted: Any, asked: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Leave out of VLMEvalKit's command line, inside, the models and data sets that cannot be had."""
    models, sets = dict.fromkeys(model for model, _ in asked), dict.fromkeys(name for _, name in asked)
    if wanted.config is None:
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


def _warn_of_reuse(pairs: Pairs) -> None:
    """ms-vlmeval 0.0.20 takes over the answers of an earlier run in the same folder, with --reuse or without."""
    for pair, files in pairs.taken_over().items():
        unknown = "; the weights of this model are not known to this command" if not pairs.abouts[pair].identity else ""
        logger.warning(
            "VLMEvalKit will take over the answers in %s, although --reuse is not given; move it away or name "
            "another --work-dir to ask again%s",
            files[0],
            unknown,
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
