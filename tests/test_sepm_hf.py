"""``sepm_hf`` through the hosts: the real executables, on tiny checkpoints of three families."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_lmms_eval import lmms_eval

from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.results import read_runs

ORACLES = Path(__file__).parent / "oracles" / "hf_families"
EXECUTABLES = Path(sys.executable).parent
ITEMS = 8


def without_system_turn(tmp_path: Path) -> Path:
    """Qwen3-VL whose template leaves a system turn out."""
    folder = tmp_path / "qwen3_vl"
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


def run(command, tmp_path):
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "1",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    return subprocess.run(
        [EXECUTABLES / "sepm-eval", *map(str, command)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=600,
    )


PLAN = """
tasks: [emotion_demo]
methods: [zero_shot, sepm, "sepm,beta=0.5", "sepm,reuse=True", random_drop, query_drop]
limit: 3
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
    """A plan of several checkpoints, settings and methods, run: the folder and what was said."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "plan.yaml").write_text(PLAN.format(folder=ORACLES))
    done = run(["run", "plan.yaml", "--out", "out"], folder)
    return folder, done.stdout + done.stderr


def test_a_plan_of_several_models_and_methods(planned):
    folder, said = planned
    runs = read_runs([folder / "out"])
    assert len(runs) == 6 + 1 + 3 + 0, said
    assert len({(one.model, one.variant) for one in runs}) == len(runs)
    assert len({one.identity.digest for one in runs}) == len(runs)
    settings = {
        (
            Path(one.identity.checkpoint).name,
            *(one.identity.model.get(key) for key in ("tiling", "positions", "max_pixels")),
        )
        for one in runs
    }
    assert settings == {
        ("internvl", "true", "closed", None),
        ("internvl", "false", "kept", None),
        ("qwen2_5_vl", "not switchable", "kept", "18816"),
    }
    assert all(one.identity.entry == "sepm_hf" and len(one.outcomes) == 3 for one in runs)
    # the model that one of its methods does not go with is not asked at all, which is said before anything is loaded
    assert "supports prune" in said
    for one in runs:
        for outcome in one.outcomes:
            assert outcome.record is not None


def test_a_plans_methods_say_what_each_says_alone(planned, tmp_path):
    """``Shared`` is between the plan's methods and the model, pictures have 16 to 48 tokens, batches are of two."""
    folder, _ = planned
    journals = [path for path in (folder / "out").rglob("*.jsonl") if path.read_bytes()[:8] == b'{"key": ']
    records = [record for path in journals for record in read_journal(path)]
    sepm = [
        record
        for record in records
        if record["method"]["name"] == "sepm" and record["model"]["tiling"] == "true" and record["method"]["reuse"]
    ]
    assert len(sepm) == 3
    output, results, _ = lmms_eval(
        tmp_path,
        "sepm_hf",
        f"pretrained={ORACLES / 'internvl'},device=cpu,tiling=True,reuse=True,journal={tmp_path / 'alone.jsonl'}",
        "emotion_demo",
        "--limit",
        "3",
    )
    assert results, output
    for one, other in zip(
        sorted(sepm, key=lambda record: record["doc_id"]), read_journal(tmp_path / "alone.jsonl"), strict=True
    ):
        for key in ("key", "run", "text", "dropped", "blocks", "visual_tokens", "tokens_read", "prompts"):
            assert one[key] == other[key], key
        assert one["option_probabilities"] == pytest.approx(other["option_probabilities"], abs=1e-5)
