"""Runs VLMEvalKit's own command with our data sets and models added.

VLMEvalKit has no hook for other packages, so ``run`` adds both to its tables and then calls its ``main``. Importing
VLMEvalKit affects the whole process; so it is imported only when ``run`` (or another module of this folder) needs it.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from sepm_eval.hosts.vlmevalkit.about import About, Questions
from sepm_eval.hosts.vlmevalkit.arguments import (
    BadArguments,
    left_to_do,
    model_entries,
    models_and_sets,
    refuse_misspelt,
)
from sepm_eval.hosts.vlmevalkit.pairs import RANK, Pairs, watching
from sepm_eval.hosts.vlmevalkit.scores import is_failed, predictions
from sepm_eval.hosts.vlmevalkit.tls import tls_verified
from sepm_eval.plurals import counted
from sepm_eval.runs.identity import Identity

logger = logging.getLogger(__name__)


def register() -> None:
    """Add our data sets and models to VLMEvalKit's tables; calling this again changes nothing."""
    from sepm_eval.hosts.vlmevalkit.dataset import BENCHMARKS, EmotionMCQ
    from sepm_eval.hosts.vlmevalkit.model import SepmEvalModel

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
    # VLMEvalKit's --config looks up classes by name in these two modules.
    vlmeval.dataset.EmotionMCQ = EmotionMCQ
    vlmeval.vlm.SepmEvalModel = SepmEvalModel


def run(arguments: Sequence[str]) -> list[str]:
    """Run VLMEvalKit with its own command line.

    Before a model is loaded, names, data and checkpoints are checked, and whether the earlier answers that VLMEvalKit
    would reuse belong to this run.

    Returns:
        One sentence for each pair of model and data set with a problem: no result, failed questions, or a method that
        was to drop visual tokens and never did. With several processes only the first one checks this.

    Raises:
        ModuleNotFoundError: VLMEvalKit is not installed.
        BadArguments: the command line cannot work, or earlier answers belong to another run; nothing was run.
    """
    refuse_misspelt(arguments)
    host = _import_run()
    register()
    if os.environ.pop("VERBOSE", None) is not None:
        logger.warning("VERBOSE is unset for this run: VLMEvalKit would score its own data sets differently with it")
    sys.argv = ["sepm-eval vlmeval", *arguments]
    wanted = host.parse_args()
    models, sets = models_and_sets(wanted)
    _choose_judge(wanted)
    work = Path(os.environ.get("MMEVAL_ROOT", wanted.work_dir) if not wanted.api_mode else wanted.work_dir)
    pairs, faults = _look(work, models, sets, wanted)
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
        with left_to_do(wanted, asked), watching(host, pairs):
            host.main()
        if RANK > 0:
            return []
        for pair in asked:
            told[pair] = _missing(work / _folder_name(pair[0]), *pair, started) or pairs.flaws.get(pair, "")
    return [told[model, name] for model in models for name in sets if told[model, name]]


def _import_run() -> ModuleType:
    """Import VLMEvalKit's command: ``vlmeval.run`` of the package ms-vlmeval, or a checkout's ``run.py``.

    Raises:
        BadArguments: the installation has neither.
    """
    with tls_verified():
        import vlmeval

        package = Path(vlmeval.__file__).parent
        if (package / "run.py").is_file():
            from vlmeval import run as host

            return host
        path = package.parent / "run.py"
        # The module needs this name because VLMEvalKit shows only messages of loggers below "vlmeval".
        spec = importlib.util.spec_from_file_location("vlmeval.run", path)
        if not path.is_file() or spec is None or spec.loader is None:
            raise BadArguments(
                f"VLMEvalKit at {package} has no run.py, in it or beside it: install ms-vlmeval, or a checkout with "
                "pip install --editable"
            )
        host = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(host)
        return host


def _choose_judge(wanted: Any) -> None:
    if wanted.judge is None:
        logger.warning(
            "the judge is exact_matching, for every data set of this run; VLMEvalKit's own choice needs an API key, "
            "--judge names another"
        )
        sys.argv += ["--judge", "exact_matching"]


def _folder_name(model: str) -> str:
    return model.replace("/", "--")


def _look(
    work: Path, models: dict[str, dict[str, Any] | None], sets: dict[str, str | None], wanted: Any
) -> tuple[Pairs, dict[str, str]]:
    """Check data and checkpoints before anything is loaded.

    Returns:
        The pairs in which the model or the data set is ours; and, by the name of a model or data set that cannot be
        used, the reason.
    """
    from sepm_eval.hosts.vlmevalkit.dataset import BENCHMARKS, EmotionMCQ
    from sepm_eval.hosts.vlmevalkit.model import before_loading

    answering = wanted.mode != "eval"
    limit = getattr(wanted, "limit", None) if answering else None
    faults: dict[str, str] = {}
    questions: dict[str, Questions] = {}
    pictures: dict[str, dict[str, str]] = {}
    for name, ours in sets.items():
        try:
            if ours is not None:
                found = EmotionMCQ(ours)
                questions[name], pictures[name] = found.questions(limit), found.pictures()
        except (OSError, ValueError) as error:
            faults[name] = str(error)
    who: dict[str, tuple[Identity | None, dict[str, Any]]] = {}
    asked = [BENCHMARKS[ours] for ours in sets.values() if answering and ours in BENCHMARKS]
    for model, arguments in models.items():
        try:
            who[model] = (None, {}) if arguments is None else before_loading(arguments, asked, find=answering)
        except (OSError, ValueError) as error:
            faults[model] = str(error)
    abouts = {
        (_folder_name(model) if wanted.api_mode else model, name): About(*who[model], questions.get(name))
        for model in models
        for name in sets
        if model in who and name not in faults and (models[model] is not None or name in questions)
    }
    return Pairs(work, abouts, pictures, answering=answering, reuse=wanted.reuse or not answering), faults


def _warn_of_reuse(pairs: Pairs) -> None:
    """Warn about earlier answers: ms-vlmeval 0.0.20 reuses those in the same folder even without --reuse."""
    for pair, files in pairs.taken_over().items():
        unknown = "; the weights of this model are not known to this command" if not pairs.abouts[pair].identity else ""
        logger.warning(
            "VLMEvalKit will take over the answers in %s, although --reuse is not given; move it away or name "
            "another --work-dir to ask again%s",
            files[0],
            unknown,
        )


def _missing(folder: Path, model: str, name: str, started: datetime) -> str | None:
    """What is missing for one pair after the run, according to VLMEvalKit's status files and predictions; or None."""
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
    return (
        f"{pair}: {failed} of {counted(len(answers), 'question')} failed; what failed is not scored" if failed else None
    )
