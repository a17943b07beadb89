"""Config files and names of the launcher of VLMEvalKit, read before VLMEvalKit is imported."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from miniature import emotion6_release

from sepm_eval.hosts.vlmevalkit import launcher as vlmevalkit
from sepm_eval.hosts.vlmevalkit.arguments import left_to_do, models_and_sets


def test_a_name_in_other_letters_is_refused_before_vlmevalkit_is_imported(monkeypatch):
    monkeypatch.setattr(vlmevalkit, "_import_run", lambda: pytest.fail("imported"))
    for arguments in (["--data", "EmoSet", "Artphoto"], ["--data=artphoto"]):
        with pytest.raises(vlmevalkit.BadArguments, match=r"unknown data set '[Aa]rtphoto': write ArtPhoto"):
            vlmevalkit.run([*arguments, "--model", "sepm_demo", "--work-dir", "emoset"])


def test_what_cannot_be_had_is_left_out_of_the_command_line(tmp_path, monkeypatch):
    """The rest runs: two models on two sets, of which one each is left."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model": {"a": {}, "b": {"class": "X"}}, "data": {"c": {}, "d": {}}, "more": 1}))
    monkeypatch.setattr(sys, "argv", ["vlmeval"])
    with left_to_do(SimpleNamespace(config=str(config)), [("b", "c")]):
        option, path = sys.argv[1:]
        assert option == "--config"
        assert json.loads(Path(path).read_text()) == {"model": {"b": {"class": "X"}}, "data": {"c": {}}, "more": 1}
    assert not Path(path).exists()
    monkeypatch.setattr(sys, "argv", ["vlmeval"])
    with left_to_do(SimpleNamespace(config=str(config)), [(m, d) for m in "ab" for d in "cd"]):
        assert sys.argv == ["vlmeval"]
    with left_to_do(SimpleNamespace(config=None, model=["a", "b"], data=["c"]), [("b", "c")]):
        assert sys.argv == ["vlmeval", "--model", "b", "--data", "c"]


@pytest.mark.parametrize(
    "content", ["", "[]", '{"model": {}}', '{"model": [], "data": []}', '{"model": {"a": 1}, "data": {}}']
)
def test_a_config_file_that_is_none_is_refused(tmp_path, content):
    config = tmp_path / "config.json"
    config.write_text(content)
    with pytest.raises(vlmevalkit.BadArguments, match="is not a file for --config, with the tables model and data"):
        models_and_sets(SimpleNamespace(config=str(config), limit=None))


def test_a_data_set_of_ours_has_its_own_name_in_a_config_file(tmp_path):
    config = tmp_path / "config.json"
    sets = {"mine": {"class": "EmotionMCQ", "dataset": "EmoSet"}}
    config.write_text(json.dumps({"model": {"sepm_demo": {"dtype": "float64"}, "b": {"class": "X"}}, "data": sets}))
    with pytest.raises(vlmevalkit.BadArguments, match="EmoSet stands as 'mine'"):
        models_and_sets(SimpleNamespace(config=str(config)))
    config.write_text(config.read_text().replace("mine", "EmoSet"))
    models, found = models_and_sets(SimpleNamespace(config=str(config)))
    assert models["sepm_demo"] == {"backbone": "llava", "pretrained": "demo", "method": "sepm", "dtype": "float64"}
    assert models["b"] is None
    assert found == {"EmoSet": "EmoSet"}


@pytest.mark.skipif(importlib.util.find_spec("vlmeval") is None, reason="VLMEvalKit is not installed (extra vlmeval)")
def test_a_set_that_is_not_whole_is_named(tmp_path):
    emotion6_release(tmp_path)
    code = "from sepm_eval.hosts.vlmevalkit.dataset import EmotionMCQ as M; M.load_data(None, 'Emotion6')"
    more = {"SEPM_EVAL_DATA": str(tmp_path), "LMUData": str(tmp_path), "SEPM_EVAL_LISTS": ""}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | more, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "emotion6: 24 of 594 published items are in" in done.stdout + done.stderr
