"""No number under another's name: two runs that differ in any one setting stay apart, wherever runs are told apart.

Every setting there is makes a run of its own, through lmms-eval's evaluation, on miniature data. They are read
together, and every pair is held against every other: a name, a journal's answers, a comparison, a file.
"""

from __future__ import annotations

import inspect
import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.loggers import EvaluationTracker
from lmms_eval.tasks import TaskManager
from miniature import emoset_release
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING
from untouched import KEYS, Untouched

from sepm_eval import demo
from sepm_eval.datasets import LISTS_VARIABLE
from sepm_eval.hosts.lmms_eval import model as lmms_eval_model
from sepm_eval.hosts.lmms_eval.plugin import add_tasks
from sepm_eval.methods import find_methods, method_options
from sepm_eval.methods.cdpruner import CLIP
from sepm_eval.model_wrappers import backbone_names, backbone_options
from sepm_eval.report.leaderboard import leaderboard
from sepm_eval.report.tables import all_tables, runs_table
from sepm_eval.runs import environment, runner
from sepm_eval.runs.identity import PLACEMENT, answering
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.pairs import DifferentItems, paired
from sepm_eval.runs.plan import ModelPlan, Plan
from sepm_eval.runs.results import read_runs
from sepm_eval.submit import About, submit

VILA = Path(__file__).parent / "oracles" / "vila15_tiny" / "checkpoint"
INTERNVL, QWEN = (Path(__file__).parent / "oracles" / "hf_families" / family for family in ("internvl", "qwen2_5_vl"))
BY_HF = "pretrained (LLaVA, by sepm_hf)"
ENTRIES = {str(VILA): "vila", str(INTERNVL): "hf", str(QWEN): "hf", BY_HF: "hf"}
DEMO, ZERO = {"pretrained": "demo"}, {"pretrained": "demo", "method": "zero_shot"}
DAN = {**DEMO, "method": "dan"}

# One change of one setting each, as --model_args. The name in front says which setting of ours it declares.
SETTINGS = {
    "base": DEMO,
    "pretrained": {"pretrained": "{folder}/a/final"},
    "pretrained (same last part)": {"pretrained": "{folder}/b/final"},
    BY_HF: ZERO,
    "dtype": {**DEMO, "dtype": "bfloat16"},
    "image_aspect_ratio": {**DEMO, "image_aspect_ratio": "crop"},
    "positions": {**DEMO, "positions": "kept"},
    "attn_implementation": {**DEMO, "attn_implementation": "eager"},
    "load_in_4bit": {**DEMO, "load_in_4bit": True},
    "load_in_8bit": {**DEMO, "load_in_8bit": True},
    "quantization_config": {**DEMO, "quantization_config": "nf4"},
    "polarity": {**DEMO, "polarity": "awe:negative"},
    "template": {"pretrained": str(VILA), "template": "may2024", "method": "zero_shot"},
    "template (other)": {"pretrained": str(VILA), "template": "aug2024", "method": "zero_shot"},
    "tiling": {"pretrained": str(INTERNVL), "tiling": True, "method": "zero_shot"},
    "tiling (off)": {"pretrained": str(INTERNVL), "method": "zero_shot"},
    "positions (hf)": {"pretrained": str(INTERNVL), "positions": "kept", "method": "zero_shot"},
    "attn_implementation (hf)": {"pretrained": str(INTERNVL), "attn_implementation": "eager", "method": "zero_shot"},
    "load_in_4bit (hf)": {"pretrained": str(INTERNVL), "load_in_4bit": True, "method": "zero_shot"},
    "load_in_8bit (hf)": {"pretrained": str(INTERNVL), "load_in_8bit": True, "method": "zero_shot"},
    "quantization_config (hf)": {"pretrained": str(INTERNVL), "quantization_config": "nf4", "method": "zero_shot"},
    "min_pixels": {"pretrained": str(QWEN), "min_pixels": 6272, "method": "zero_shot"},
    "max_pixels": {"pretrained": str(QWEN), "max_pixels": 4704, "method": "zero_shot"},
    "max_pixels (usual)": {"pretrained": str(QWEN), "method": "zero_shot"},
    "alpha": {**DEMO, "alpha": 0.2},
    "beta": {**DEMO, "beta": 0.4},
    "preset": {**DEMO, "preset": "code"},
    "cci": {**DEMO, "cci": False},
    "foe": {**DEMO, "foe": False, "vta": False},
    "vta": {**DEMO, "vta": False},
    "reuse": {**DEMO, "reuse": True},
    "method": ZERO,
    "method (cot)": {**DEMO, "method": "zero_shot_cot"},
    "method (random)": {**DEMO, "method": "random_drop"},
    "method (query)": {**DEMO, "method": "query_drop"},
    "method (downsample)": {**DEMO, "method": "downsample"},
    "method (sparsevlm)": {**DEMO, "method": "sparsevlm"},
    "budget": {**DEMO, "method": "sparsevlm", "budget": 64},
    "method (fastv)": {**DEMO, "method": "fastv"},
    "keep": {**DEMO, "method": "fastv", "keep": 128},
    "layer": {**DEMO, "method": "fastv", "layer": 3},
    "method (pyramiddrop)": {**DEMO, "method": "pyramiddrop"},
    "ratio": {**DEMO, "method": "pyramiddrop", "ratio": 0.5},
    "method (blind)": {**DEMO, "method": "blind"},
    "picture": {**DEMO, "method": "blind", "picture": "mean"},
    "method (permute)": {**DEMO, "method": "permute"},
    "n": {**DEMO, "method": "permute", "n": 2},
    "seed": {**DEMO, "method": "random_drop", "seed": 7},
    "method (dan)": DAN,
    "analysis_tokens": {**DAN, "analysis_tokens": 4},
    "k": {**DAN, "k": 1},
    "layers": {**DAN, "layers": "last"},
    "gate": {**DAN, "gate": "hard"},
    "scene": {**DAN, "scene": False},
    "object": {**DAN, "object": False},
    "cdvp": {**DAN, "cdvp": False},
    "candidates": {**DAN, "candidates": "all", "beta": 0.0},
    "select (dan)": {**DAN, "select": "query"},
    "contrast_in_context": {**DAN, "contrast_in_context": True},
    "preset (zero-shot)": {**ZERO, "preset": "paper"},
    "select": {**DEMO, "select": "divprune"},
    "select (other)": {**DEMO, "select": "cdpruner"},
    "clip": {**DEMO, "select": "cdpruner", "clip": f"{CLIP}@main"},
    "method (divprune)": {**DEMO, "method": "divprune"},
    "method (uniform)": {**DEMO, "method": "uniform"},
    "method (random, zero-shot)": {**DEMO, "method": "random"},
    "method (downsample, zero-shot)": {**DEMO, "method": "zero_shot_downsample"},
    "method (fastervlm)": {**DEMO, "method": "fastervlm"},
    "method (cdpruner)": {**DEMO, "method": "cdpruner"},
    "method (vispruner)": {**DEMO, "method": "vispruner"},
    "budget (divprune)": {**DEMO, "method": "divprune", "budget": 64},
    "budget (share)": {**DEMO, "method": "divprune", "budget": 0.5},
    "important_ratio": {**DEMO, "method": "vispruner", "important_ratio": 0.75},
}
# What it was asked on: item list, labels, pictures, a part of them; the same model answers.
QUESTIONS = {
    "list": {"items": "other.csv"},
    "list (fewer items)": {"items": "fewer.csv"},
    "list (other labels)": {"items": "labels.csv"},
    "list (changed file)": {"before": "labels in list.csv"},
    "pictures": {"before": "a picture"},
    "limit": {"limit": 3},
    "offset": {"limit": 3, "offset": 2},
}
CONDITIONS = {"revision": {"before": "weights"}, "versions": {"before": "versions"}}
# Where a run happens and what is kept of it: no answer depends on these.
NOT_DECISIVE = {
    "batch_size": {"batch_size": 4},
    "device": {"device": "cpu"},
    "device_map": {"device_map": '{"": "cpu"}'},
    "max_memory": {"device_map": "auto", "max_memory": '{"cpu": "1GiB"}'},
    "resume": {"resume": False},
}


def test_every_setting_is_declared():
    """A setting that is added and stands neither above nor in PLACEMENT fails here."""
    declared = {name.partition(" (")[0] for name in SETTINGS} | PLACEMENT
    ours = set(inspect.signature(lmms_eval_model.SepmModel.__init__).parameters) - {"self", "options"}
    backbones = {option for name in backbone_names() for option in backbone_options(name)}
    methods = {option for name in find_methods() for option in method_options(name)}
    assert ours | backbones | methods <= declared
    assert {name for text, name in ((k, v.get("method", "sepm")) for k, v in SETTINGS.items())} >= set(find_methods())
    asked = {name.partition(" (")[0] for name in QUESTIONS}
    assert set(Plan.model_fields) - {"tasks", "methods", "models"} <= asked
    assert set(ModelPlan.model_fields) == {"model", "args", "batch_size", "methods"}


def write_list(path: Path, rows) -> None:
    path.write_text("id,label\n" + "".join(f"{item},{label}\n" for item, label in rows))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Every run, read together, with the journal of each."""
    # long because: the world that all its tests share
    folder = tmp_path_factory.mktemp("pairs")
    release = emoset_release(folder)
    items = [(f"{label}_{n:05d}", label) for n in range(2) for label in ("amusement", "anger", "awe")]
    write_list(folder / "list.csv", items)
    write_list(folder / "other.csv", items)
    write_list(folder / "fewer.csv", items[:-1])
    write_list(folder / "labels.csv", [(items[0][0], "fear"), *items[1:]])
    for name in ("a", "b"):
        shutil.copytree(demo.MODEL, folder / name / "final")
    weights = load_file(folder / "b/final/model.safetensors")
    changed = {key: one * 1.01 if "layers.0.mlp" in key else one for key, one in weights.items()}
    add_tasks()
    manager = TaskManager("ERROR", include_defaults=False)
    journals: dict[str, Path] = {}
    patch = pytest.MonkeyPatch()
    patch.setenv("SEPM_EVAL_DATA", str(folder))
    for key in KEYS:
        patch.setitem(AUTO_QUANTIZER_MAPPING, key, Untouched)

    def run(name, arguments, *, items="list.csv", limit=None, offset=0, before=""):
        patch.setenv(LISTS_VARIABLE, f"emoset={folder / items}")
        given = {
            key: value.replace("{folder}", str(folder)) if isinstance(value, str) else value
            for key, value in arguments.items()
        }
        backbone = ENTRIES.get(name) or ENTRIES.get(given["pretrained"], "llava")
        with pytest.MonkeyPatch.context() as inside:
            if before == "versions":
                inside.setattr(runner, "decisive_versions", lambda: {**environment.decisive_versions(), "torch": "9.9"})
            model = getattr(lmms_eval_model, f"sepm_{backbone}")(
                **{"batch_size": 2, **given}, journal=str(folder / "journals" / f"{name}.jsonl")
            )
        tracker = EvaluationTracker(output_path=str(folder / "runs" / name))
        results = simple_evaluate(
            model=model,
            evaluation_tracker=tracker,
            model_args=",".join(f"{key}={value}" for key, value in given.items()),
            tasks=["emoset"],
            limit=limit,
            offset=offset,
            log_samples=True,
            task_manager=manager,
            verbosity="ERROR",
            cli_args=SimpleNamespace(process_with_media=False, reasoning_tags=None, output_path=None),
        )
        save(results, tracker, f"sepm_{backbone}")
        model._runner.journal.close()
        journals[name] = folder / "journals" / f"{name}.jsonl"

    try:
        for name, arguments in SETTINGS.items():
            run(name, arguments)
        for name, arguments in NOT_DECISIVE.items():
            run(name, {**DEMO, **arguments})
        for name, asked in QUESTIONS.items():
            if asked.get("before") == "labels in list.csv":
                write_list(folder / "list.csv", [(items[1][0], "fear"), items[0], *items[2:]])
            if asked.get("before") == "a picture":
                write_list(folder / "list.csv", items)
                Image.new("RGB", (40, 30), (1, 2, 3)).save(release / "image" / "anger" / "anger_00000.jpg")
            run(name, DEMO, **asked)
            if "before" in asked:
                write_list(folder / "list.csv", items)
        emoset_release(folder)  # the picture is as it was
        for name, condition in CONDITIONS.items():
            if condition["before"] == "weights":
                save_file(changed, folder / "a/final/model.safetensors", metadata={"format": "pt"})
                run(name, {"pretrained": "{folder}/a/final"})
            else:
                run(name, DEMO, **condition)
        yield SimpleNamespace(folder=folder, runs=read_runs([folder / "runs", folder / "journals"]), journals=journals)
    finally:
        patch.undo()
        answering.start(None)


def save(results, tracker, entry):
    """What lmms-eval's command does with results."""
    results["config"]["model"] = tracker.general_config_tracker.model_source = entry
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples, datetime_str="20261124_080000")
    for task in results["configs"]:
        tracker.save_results_samples(task_name=task, samples=samples[task])


@pytest.fixture(scope="module")
def by_name(world):
    """Each run by the name it has above."""
    return {run.source.relative_to(world.folder / "runs").parts[0]: run for run in world.runs}


def pairs(by_name):
    return itertools.combinations(by_name.items(), 2)


def test_every_setting_is_a_run_of_its_own(by_name):
    same = {"base", *NOT_DECISIVE}  # what decides nothing is the same run again, of which the latest counts
    assert set(by_name) - same == {*SETTINGS, *QUESTIONS, *CONDITIONS} - same
    (kept,) = (run for name, run in by_name.items() if name in same)
    assert len(kept.superseded) == len(same) - 1


def test_no_two_runs_share_a_name(by_name):
    names = {name: (run.column, run.model, run.variant, run.entry) for name, run in by_name.items()}
    for (one, first), (other, second) in pairs(names):
        assert first != second, f"{one} and {other} are both called {first}"


def test_no_two_identities_share_a_journals_answers(world, by_name):
    """Answers are shared only where the model is asked the same in the same way."""
    records = {name: read_journal(path) for name, path in world.journals.items()}
    for (one, first), (other, second) in pairs(by_name):
        shared = {r["key"] for r in records[one]} & {r["key"] for r in records[other]}
        if first.identity.digest != second.identity.digest:
            assert not shared, f"{one} and {other} share answers"


def test_every_answer_is_traced_to_its_record(by_name):
    for name, run in by_name.items():
        assert all(outcome.record is not None for outcome in run.outcomes), name


def test_only_runs_over_the_same_items_are_compared(by_name):
    for (one, first), (other, second) in pairs(by_name):
        if first.exam != second.exam:
            with pytest.raises(DifferentItems):
                paired(first, second)
        else:
            assert paired(first, second), f"{one} and {other}"
    asked = {name: run.exam for name, run in by_name.items() if name in QUESTIONS}
    assert len({*asked.values(), by_name["dtype"].exam}) == len(QUESTIONS) + 1


def test_every_run_has_a_line_of_its_own_in_every_table(world, tmp_path):
    """Tables, leaderboard and submissions; that no two files share a name, ``write_page`` refuses by itself."""
    rows = runs_table(world.runs).records
    names = {(row["column"], row["model"], row["model_id"], row["method"], row["entry"]) for row in rows}
    assert len(names) == len(rows) == len(world.runs)
    tables = all_tables(world.runs)
    assert len({table.key for table in tables}) == len(tables)
    ranking = leaderboard(world.runs).records
    assert len(ranking) == len({run.identity.digest for run in world.runs})
    complete = [run for run in world.runs if run.complete]
    assert len(complete) == len(world.runs) - len([asked for asked in QUESTIONS.values() if "limit" in asked])
    submit(complete, "openvlm", tmp_path / "openvlm", About("test"))
    entries = json.loads((tmp_path / "openvlm" / "OpenVLM.json").read_text())
    assert sum(len(entry) - 1 for entry in entries.values()) == len(complete)
    for target in ("every-eval-ever", "lmms-eval"):
        files = submit(complete, target, tmp_path / target, About("test"))
        assert len(set(files)) == len(files) >= 2 * len(complete)
