"""The launcher of VLMEvalKit: settings are refused before loading, counts are kept apart, a checkout serves too."""

from __future__ import annotations

import re
import ssl
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks
from sepm_eval.hosts import loading as _loading
from sepm_eval.hosts.vlmevalkit import launcher as vlmevalkit
from sepm_eval.hosts.vlmevalkit.arguments import checkpoints
from sepm_eval.hosts.vlmevalkit.scores import predictions, score_table
from sepm_eval.methods import find_methods
from sepm_eval.scoring import failure_text

BENCHMARKS = find_benchmarks()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"batch_size": 0}, "batch_size=0: give a whole number"),
        ({"batch_size": 2**63}, "give a whole number"),
        ({"batch_size": True}, "batch_size=True: give a whole number"),
        ({"journal": 5}, "journal='5': give a file's name"),
        ({"journal": "a\0b"}, "give a file's name"),
        ({"journal": " "}, "journal=' ': give a file's name"),
        ({"journal": "."}, "journal='.' is a folder"),
        ({"resume": "yes"}, "resume='yes': use True or False"),
        ({"resume": 1}, "resume=1: use True or False"),
        ({"given": {"polarity": {"awe": "negative"}}}, "write label:positive or label:negative"),
        ({"given": {"polarity": "awe"}}, "write label:positive or label:negative"),
        ({"given": {"polarity": "awe:negative+awe:positive"}}, "names awe twice"),
        ({"method": ["sepm"]}, "method=['sepm']: give a name"),
        ({"backbone": 5}, "backbone=5: give a name"),
        ({"given": {"betta": 1}}, "unknown model args ['betta']"),
    ],
)
def test_impossible_settings_are_refused_before_loading(monkeypatch, setting, said):
    monkeypatch.setattr(_loading, "load_backbone", lambda *_, **__: pytest.fail("loaded"))
    given = {"pretrained": "demo", "device": "cpu", **setting.get("given", {})}
    usual = {"batch_size": 1, "journal": None, "resume": True, "shard": ""}
    named = {"backbone": "llava", "method": "sepm", "given": given}
    with pytest.raises(ValueError, match=re.escape(said)):
        _loading.load_runner("entry", (), **{**usual, **named, **setting, "given": given})


@pytest.mark.parametrize("value", [0, -1, 2**31, 2**70, 1.0, "8", True, None])
def test_counts_are_whole_numbers_in_range(value):
    with pytest.raises(ValueError, match=r"max_new_tokens=.*give a whole number from 1 to 2147483647"):
        _loading.check_count("max_new_tokens", value)


def test_every_method_has_an_entry_for_every_checkpoint():
    entries = vlmevalkit.model_entries()
    assert len(entries) == len(find_methods()) * len(checkpoints())
    assert entries["zero_shot_demo"] == {"backbone": "llava", "pretrained": "demo", "method": "zero_shot"}
    assert {"sepm_llava_v1.5_7b", "sepm_llama3_vila1.5_8b", "sparsevlm_llava_v1.5_13b"} <= set(entries)


def test_three_counts_are_kept_apart():
    benchmark = BENCHMARKS["emotion6"]
    data = pd.DataFrame({"index": range(6), "category": ["anger", "anger", "joy", "joy", "fear", "fear"]})
    said = ["A", "no idea", "anger", failure_text(OSError("gone")), None, "Failed to obtain answer via API."]
    answers = predictions([{"index": index, "prediction": text} for index, text in enumerate(said)])
    rows, accuracy = score_table(data, answers, benchmark)
    assert list(rows["status"]) == ["right", "unparsed", "wrong", "failed", "unparsed", "failed"]
    assert rows["hit"].isna().sum() == 2
    (row,) = accuracy.to_dict("records")
    assert (row["Overall"], row["anger"], row["joy"], row["fear"]) == (0.25, 0.5, 0.0, 0.0)
    assert [row[name] for name in ("n", "right", "wrong", "unparsed", "failed")] == [6, 1, 1, 2, 2]
    _, accuracy = score_table(data[3:4], answers, benchmark)
    assert pd.isna(accuracy["Overall"][0])
    with pytest.raises(ValueError, match="no prediction for 1 of 6 questions, '5'"):
        score_table(data, answers[:5], benchmark)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Something like a checkout of VLMEvalKit: run.py beside the package, whose import turns TLS verification off."""
    (tmp_path / "vlmeval").mkdir()
    (tmp_path / "vlmeval" / "__init__.py").write_text(
        "import ssl\nssl._create_default_https_context = ssl._create_unverified_context\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "vlmeval", raising=False)
    yield tmp_path
    sys.modules.pop("vlmeval", None)


def test_a_checkout_works_as_well(checkout, caplog):
    (checkout / "run.py").write_text("def main():\n    return 'ran'\n")
    verified = ssl._create_default_https_context
    assert vlmevalkit._import_run().main() == "ran"
    assert ssl._create_default_https_context is verified
    assert "it is on again" in caplog.text


def test_a_package_without_run_is_an_error(checkout):
    with pytest.raises(vlmevalkit.BadArguments, match=r"has no run\.py, in it or beside it: install ms-vlmeval"):
        vlmevalkit._import_run()


def test_without_vlmevalkit_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "vlmeval", None)
    monkeypatch.setattr(
        vlmevalkit, "_import_run", lambda: (_ for _ in ()).throw(ModuleNotFoundError("no", name="vlmeval"))
    )
    result = CliRunner().invoke(app, ["vlmeval", "--data", "EmoSet", "--model", "sepm_demo"])
    assert result.exit_code == 1
    assert "pip install 'sepm-eval[vlmeval]'" in result.output


def test_arguments_arrive_as_they_were_written(monkeypatch):
    taken = []
    monkeypatch.setattr(vlmevalkit, "run", lambda arguments: taken.extend(arguments) or ["something is missing"])
    written = ["--data", "EmoSet", "Emotion6", "--model", "sepm_demo", "--reuse", "--work-dir=out", "--mode", "infer"]
    result = CliRunner().invoke(app, ["vlmeval", *written])
    assert taken == written
    assert result.exit_code == 1
    assert "something is missing" in result.output
