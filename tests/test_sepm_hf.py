"""``sepm_hf`` through the hosts: the real executables, on tiny checkpoints of three families."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from test_lmms_eval import lmms_eval
from test_runner import asked
from test_vlmevalkit import installed
from typer.testing import CliRunner

from sepm_eval import get_method, load_backbone
from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks
from sepm_eval.hosts.vlmevalkit.arguments import checkpoints, model_entries
from sepm_eval.images import open_image
from sepm_eval.methods import method_names
from sepm_eval.model_wrappers import find_backbone
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.results import read_runs
from sepm_eval.runs.runner import Runner
from sepm_eval.scoring import is_failure

ORACLES = Path(__file__).parent / "oracles" / "hf_families"
ITEMS = 8


def without_system_turn(tmp_path: Path) -> Path:
    """Qwen3-VL whose template leaves a system turn out."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(ORACLES / "qwen3_vl", folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("in messages", "in messages if m['role'] != 'system'"))
    return folder


STOCK = {
    "qwen2_5_vl": ("qwen2_5_vl", "min_pixels=3136,max_pixels=23520", ""),
    "qwen3_vl": ("qwen3_vl", "", ",max_pixels=100000"),
    "internvl": ("internvl_hf", "max_patches=1", ""),
}


@pytest.mark.parametrize("family", STOCK)
def test_zero_shot_equals_lmms_evals_own_entry(tmp_path, family):
    """Same checkpoint, same prompt, same pictures: same text, of an entry whose code we share nothing with.

    Those entries compute in bfloat16 whatever they are told, so ours is asked for it; where its two best options are as
    close as that rounds, an answer says nothing. Their prompt is ours but for Qwen3-VL, where lmms-eval puts a system
    turn in front and resizes pictures by itself: the template here leaves that turn out, and the limit does nothing.
    InternVL's tiling is off in ours and up to 12 tiles there, so it is told one.
    """
    pytest.importorskip("decord", reason="lmms-eval's own entries import decord")
    name, theirs, ours = STOCK[family]
    folder = without_system_turn(tmp_path) if family == "qwen3_vl" else ORACLES / family
    journal = tmp_path / "journal.jsonl"
    said = {}
    for model, arguments in (
        (name, f"device=cpu,device_map=cpu,{theirs}"),
        ("sepm_hf", f"device=cpu,dtype=bfloat16,method=zero_shot,journal={journal}{ours}"),
    ):
        place = tmp_path / model
        place.mkdir()
        output, results, samples = lmms_eval(
            place, model, f"pretrained={folder},{arguments}".rstrip(","), "emotion_demo", "--limit", str(ITEMS)
        )
        assert results, output
        said[model] = [sample["filtered_resps"] for sample in samples["emotion_demo"]]
        said[model] = [(one[0] if isinstance(one, list) else one).strip() for one in said[model]]
    best = {record["doc_id"]: sorted(record["option_probabilities"].values())[-2:] for record in read_journal(journal)}
    told_apart = [item for item in range(ITEMS) if best[item][1] - best[item][0] > 0.02]
    assert len(told_apart) > ITEMS // 2
    for item in told_apart:
        assert said["sepm_hf"][item][:1] == said[name][item][:1], item
    same = [ours == theirs for ours, theirs in zip(said["sepm_hf"], said[name], strict=True)]
    assert sum(same) > ITEMS // 2
    assert len(set(said[name])) > ITEMS // 2


def run(command, folder):
    """``sepm-eval`` on the first demo picture of each shape."""
    shapes = {}
    for item in find_benchmarks()["emotion_demo"].items():
        shapes.setdefault(open_image(item.path).size, item.id)
    assert len(shapes) == 3
    (folder / "items.csv").write_text("id\n" + "".join(f"{item}\n" for item in shapes.values()))
    (folder / "lmu").mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "1",
        "LMUData": str(folder / "lmu"),
        "SEPM_EVAL_LISTS": f"emotion_demo={folder / 'items.csv'}",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    command = [Path(sys.executable).parent / "sepm-eval", *map(str, command)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=600)


PLAN = """
tasks: [emotion_demo]
methods: [zero_shot, sepm, "sepm,beta=0.5", "sepm,reuse=True", random_drop, query_drop]
models:
  - model: sepm_hf
    args: {{pretrained: "{folder}/internvl", device: cpu, tiling: true}}
    batch_size: 2
  - model: sepm_hf
    args: {{pretrained: "{folder}/internvl", device: cpu, positions: kept}}
    methods: [sepm]
  - model: sepm_hf
    args: {{pretrained: "{folder}/qwen2_5_vl", device: cpu, max_pixels: 18816}}
    batch_size: 3
    methods: [zero_shot, sepm, downsample]
  - model: sepm_hf
    args: {{pretrained: "{folder}/qwen3_5", device: cpu}}
    methods: [zero_shot, sparsevlm]
"""


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A plan of several checkpoints, settings and methods, run: the folder, its runs, and what was said."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "plan.yaml").write_text(PLAN.format(folder=ORACLES))
    done = run(["run", "plan.yaml", "--out", "out"], folder)
    return folder, read_runs([folder / "out"]), done.stdout + done.stderr


def records_of(folder, **settings):
    """A plan's journal records of one method and model, in the items' order; settings are of either."""
    paths = [path for path in (folder / "out").rglob("*.jsonl") if path.read_bytes().startswith(b'{"key": ')]
    found = [
        record
        for path in paths
        for record in read_journal(path)
        if settings.items() <= {**record["model"], **record["method"]}.items()
    ]
    return sorted(found, key=lambda record: record["doc_id"])


def test_a_plan_of_several_models_and_methods(planned):
    _, runs, said = planned
    assert len(runs) == 6 + 1 + 3 + 1, said
    assert "other settings" not in said  # what was asked just now is what the plan asks for
    assert len({(one.model, one.variant) for one in runs}) == len({one.identity.digest for one in runs}) == len(runs)
    found = {
        (Path(one.identity.checkpoint).name, *map(one.identity.model.get, ("tiling", "positions", "max_pixels")))
        for one in runs
    }
    assert found == {
        ("internvl", "true", "closed", None),
        ("internvl", "false", "kept", None),
        ("qwen2_5_vl", "not switchable", "kept", "18816"),
        ("qwen3_5", "not switchable", "kept", None),
    }
    assert all(one.identity.entry == "sepm_hf" and one.complete and len(one.outcomes) == 3 for one in runs)
    assert "sparsevlm needs a model that supports prune" in said  # the model's other method is run all the same
    assert {one.method for one in runs if one.identity.checkpoint.endswith("qwen3_5")} == {"zero_shot"}


def test_a_plans_methods_say_what_each_says_alone(planned, tmp_path, monkeypatch):
    """``Shared`` is between the plan's methods and the model, and pictures of a batch differ in length."""
    folder, _, _ = planned
    monkeypatch.setenv("SEPM_EVAL_LISTS", f"emotion_demo={folder / 'items.csv'}")
    monkeypatch.setenv("SEPM_EVAL_DATA", str(folder))
    together = records_of(folder, name="sepm", tiling="true", reuse=True)
    assert len({record["visual_tokens"] for record in together}) > 1
    alone = Runner(
        "hf",
        load_backbone("hf", str(ORACLES / "internvl"), device="cpu", tiling=True),
        "sepm",
        get_method("sepm", reuse=True),
        journal_path=tmp_path / "journal.jsonl",
    )
    pictures = [open_image(item.path) for item in find_benchmarks()["emotion_demo"].items()]
    questions = [asked(i, images=[picture]) for i, picture in enumerate(pictures)]
    alone.answer(questions, quiet=True)
    alone.journal.close()
    for one, other in zip(together, read_journal(tmp_path / "journal.jsonl"), strict=True):
        for key in ("key", "run", "text", "dropped", "blocks", "visual_tokens", "tokens_read", "prompts"):
            assert one[key] == other[key], key
        assert one["option_probabilities"] == pytest.approx(other["option_probabilities"], abs=1e-5)


def test_what_becomes_of_a_plans_results(planned, tmp_path):
    """The report, a comparison, submissions and an explained picture, from the runs of several settings."""
    folder, runs, _ = planned

    def command(*arguments):
        found = CliRunner().invoke(app, list(map(str, arguments)))
        assert found.exit_code == 0, found.output
        return found.output

    command("report", folder / "out", "--out", tmp_path / "report")
    page = (tmp_path / "report" / "report.md").read_text()
    assert "(positions=closed, tiling=true)" in page.replace("\\", "")
    assert "(positions=kept, tiling=false)" in page.replace("\\", "")
    command("submit", folder / "out", "--format", "openvlm", "--organization", "us", "--out", tmp_path / "openvlm")
    entries = json.loads((tmp_path / "openvlm" / "OpenVLM.json").read_text())
    assert len(entries) == len(runs)
    command("submit", folder / "out", "--format", "lmms-eval", "--out", tmp_path / "lmms-eval")
    one, other = [one.source.parent for one in runs if Path(one.identity.checkpoint).name == "qwen2_5_vl"][:2]
    assert "of 3" in command("compare", one, other)


def test_a_picture_is_explained(tmp_path):
    picture, out = tmp_path / "wide.png", tmp_path / "dropped.png"
    Image.linear_gradient("L").resize((560, 112)).convert("RGB").save(picture)
    settings = ["--model", "hf", "--pretrained", str(ORACLES / "qwen2_5_vl"), "--device", "cpu", "--out", str(out)]
    found = CliRunner().invoke(app, ["explain", str(picture), *settings])
    assert found.exit_code == 0, found.output
    assert "dropped 4 of 24 visual tokens" in found.output
    width, height = Image.open(out).size  # of a sheet, as wide as the picture is
    assert width > 3 * height


def test_vlmevalkit_has_an_entry_for_every_method_and_checkpoint():
    known = {one.entry: ("hf", one.pretrained) for one in find_backbone("hf").checkpoints}
    assert len(known) > 3
    assert known.items() <= checkpoints().items()
    entries = model_entries()
    for name, (_, pretrained) in known.items():
        for method in method_names():
            assert entries[f"{method}_{name}"] == {"backbone": "hf", "pretrained": pretrained, "method": method}


@installed
def test_vlmevalkit_answers_as_lmms_eval_and_tells_settings_apart(planned, tmp_path):
    """The same records, so either host would go on from the other's; answers of other tiling are not taken over."""
    folder, _, _ = planned
    theirs = records_of(folder, name="zero_shot", tiling="true")
    config, journal = tmp_path / "config.json", tmp_path / "journal.jsonl"

    def vlmeval(**settings):
        model = {"class": "SepmEvalModel", "backbone": "hf", "pretrained": str(ORACLES / "internvl"), "device": "cpu"}
        model |= {"method": "zero_shot", "journal": str(journal), **settings}
        data = {"EmotionDemo": {"class": "EmotionMCQ", "dataset": "EmotionDemo"}}
        config.write_text(json.dumps({"model": {"tiny": model}, "data": data}))
        return run(["vlmeval", "--config", config, "--work-dir", tmp_path / "out"], tmp_path)

    done = vlmeval(tiling=True)
    assert done.returncode == 0, done.stdout + done.stderr
    ours = sorted(read_journal(journal), key=lambda record: record["doc_id"])
    told = ("key", "run", "text", "blocks", "visual_tokens", "tokens_read", "prompts", "image_sha256")
    assert [{key: one[key] for key in told} for one in ours] == [{key: one[key] for key in told} for one in theirs]
    for other in ({}, {"tiling": True, "positions": "kept"}):
        refused = vlmeval(**other)
        assert refused.returncode == 1, refused.stdout + refused.stderr
        assert "holds answers of another run (" in refused.stderr
        assert ("positions: default, now kept" if other else "tiling: True, now default") in refused.stderr


def test_a_picture_the_processor_refuses_fails_alone(tmp_path):
    """Qwen's refuses what is more than 200 times as long as wide; the rest of the batch is answered."""
    backbone = load_backbone("hf", str(ORACLES / "qwen2_5_vl"), device="cpu")
    runner = Runner("hf", backbone, "sepm", get_method("sepm"), batch_size=3, journal_path=tmp_path / "journal.jsonl")
    sizes = ((1, 1), (2, 500), (300, 100))
    questions = [asked(i, images=[Image.new("RGB", size, (90, 9, 200))]) for i, size in enumerate(sizes)]
    said = runner.answer(questions, quiet=True)
    runner.journal.close()
    assert [is_failure(text) for text in said] == [False, True, False]
    records = {record["doc_id"]: record for record in read_journal(tmp_path / "journal.jsonl")}
    assert [records[i]["status"] for i in range(3)] == ["answered", "failed", "answered"]
    assert (
        "refuses this picture of 2 x 500 pixels: absolute aspect ratio must be smaller than 200" in records[1]["error"]
    )
