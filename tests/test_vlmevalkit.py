"""The real VLMEvalKit, in subprocesses (importing it changes a process), against the real lmms-eval."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from miniature import abstract_release, emoset_release
from test_lmms_eval import lmms_eval
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks
from sepm_eval.datasets.releases.prepare import prepare
from sepm_eval.hosts import loading as _loading
from sepm_eval.hosts.vlmevalkit import launcher as vlmevalkit
from sepm_eval.hosts.vlmevalkit import pairs as _vlmevalkit_pairs
from sepm_eval.hosts.vlmevalkit.about import About, Questions, from_file, questions_of
from sepm_eval.hosts.vlmevalkit.arguments import checkpoints, left_to_do, models_and_sets
from sepm_eval.hosts.vlmevalkit.pairs import OtherAnswers, Pairs
from sepm_eval.hosts.vlmevalkit.scores import is_failed, predictions, score_table
from sepm_eval.methods import find_methods
from sepm_eval.runs.exams import exam_of
from sepm_eval.runs.identity import Identity
from sepm_eval.runs.journal import read_journal
from sepm_eval.scoring import failure_text

installed = pytest.mark.skipif(
    importlib.util.find_spec("vlmeval") is None, reason="VLMEvalKit is not installed (extra vlmeval)"
)
BENCHMARKS = find_benchmarks()
COMMAND = shutil.which("sepm-eval", path=str(Path(sys.executable).parent)) or "sepm-eval"
# Parts of names by which VLMEvalKit treats data sets, or models, in a special way, or leaves them out of an evaluation.
TRAPS = (
    *("mmbench", "ccbench", "circular", "mmcr", "mmt", "mmsci", "mmmu", "mmvp", "mllmguard", "video", "openended"),
    *("llama-4", "qwen2-vl", "qwen2.5-vl", "mmlongbench", "dude", "slidevqa", "_test", "aesbench"),
)


def environment(folder: Path, items: Path) -> dict[str, str]:
    (folder / "lmu").mkdir(exist_ok=True)
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HOME": str(folder),
        "LMUData": str(folder / "lmu"),
        "OMP_NUM_THREADS": "1",  # the model is tiny: waiting for one another costs its threads more than they gain
        "SEPM_EVAL_DATA": str(folder),
        "SEPM_EVAL_LISTS": f"emotion_demo={items}",
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_DATA_HOME": str(folder / "share"),
    }


def demo_items(path: Path, per_class: int) -> Path:
    """An item list: the first pictures of every emotion with artwork that training did not see."""
    chosen: dict[str, list[str]] = {}
    for item in BENCHMARKS["emotion_demo"].items("test"):
        if not item.extra["seen"]:
            chosen.setdefault(item.label, []).append(item.id)
    path.write_text("id\n" + "".join(f"{key}\n" for keys in chosen.values() for key in keys[:per_class]))
    return path


def run_arguments(folder: Path) -> list[str]:
    models = ["--model", "sepm_demo", "zero_shot_demo"]
    return ["--data", "EmotionDemo", "EmoSet", *models, "--work-dir", str(folder / "out")]


def journals(folder: Path) -> dict[str, list[dict]]:
    """Records by the first word of the method's name."""
    return {path.name.split("_")[2]: read_journal(path) for path in (folder / "state").rglob("llava_demo_*.jsonl")}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """One run of each host on the same items, of which one is unreadable; it is whole again afterwards."""
    folder = tmp_path_factory.mktemp("both")
    items = demo_items(folder / "items.csv", 2)
    broken = emoset_release(folder) / "image/awe/awe_00000.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(b"\xff\xd8\xff not a jpeg")
    settings = {**environment(folder, items), "VERBOSE": "1"}
    command = [COMMAND, "vlmeval", *run_arguments(folder)]
    run = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=folder)
    other = folder / "lmms"
    other.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEPM_EVAL_LISTS", f"emotion_demo={items}")
        patch.setenv("OMP_NUM_THREADS", "1")
        output, results, samples = lmms_eval(
            other, "sepm_llava", "pretrained=demo,method=sepm", "emotion_demo,emoset", data=folder
        )
    assert results, output
    (theirs,) = (other / "state").rglob("*.jsonl")
    broken.write_bytes(whole)
    return {
        "folder": folder,
        "run": run,
        "out": shutil.copytree(folder / "out", folder / "first"),
        "journals": journals(folder),
        "results": results,
        "samples": samples,
        "theirs": read_journal(theirs),
        "same_journal": (folder / "state" / theirs.relative_to(other / "state")).is_file(),
    }


@installed
def test_both_hosts_ask_and_answer_the_same(both):
    """Same prompts, byte for byte, same answers and the same scores, item by item; the picture that fails included."""

    def asked(records):
        told = ("question", "prompts", "text", "label", "option_probabilities", "dropped", "image_sha256", "key", "run")
        return {(r["task"], r["doc_id"]): {name: r.get(name) for name in (*told, "status")} for r in records}

    ours = asked(both["journals"]["sepm"])
    assert ours == asked(both["theirs"])
    assert both["same_journal"]  # so either host answers from what the other asked
    assert [record["status"] for record in ours.values()].count("failed") == 1
    assert len({record["prompts"][-1] for record in ours.values() if record["prompts"]}) > 1
    for task, name in (("emotion_demo", "EmotionDemo"), ("emoset", "EmoSet")):
        rows = pd.read_excel(both["out"] / f"sepm_demo/sepm_demo_{name}_exact_matching_result.xlsx")
        samples = sorted(both["samples"][task], key=lambda sample: sample["doc_id"])
        assert len(rows) == len(samples) == 16
        for (_, row), sample in zip(rows.iterrows(), samples, strict=True):
            assert (row["index"], row["category"]) == (sample["item_id"], sample["label"])
            assert row["item_list"] == sample["item_list"]
            if row["status"] == "failed":
                assert sample["n_failed"] == 1
                continue
            assert row["prediction"] == sample["filtered_resps"][0]
            assert (row["hit"], row["status"] == "unparsed") == (sample["acc"], bool(sample["unparsed"]))
        (accuracy,) = pd.read_csv(both["out"] / f"sepm_demo/sepm_demo_{name}_acc.csv").to_dict("records")
        theirs = both["results"][task]
        assert accuracy["Overall"] == pytest.approx(theirs["acc,none"])
        assert accuracy["macro_f1"] == pytest.approx(theirs["macro_f1,none"])
        assert accuracy["failed"] == theirs["n_failed,none"]
        assert accuracy["right"] + accuracy["wrong"] + accuracy["unparsed"] + accuracy["failed"] == len(rows)


@installed
def test_failed_questions_end_with_status_1(both):
    run = both["run"]
    assert run.returncode == 1, run.stdout + run.stderr
    told = [line for line in run.stderr.splitlines() if " on Emo" in line]
    assert told == [
        f"{model} on EmoSet: 1 of 16 questions failed; what failed is not scored"
        for model in ("sepm_demo", "zero_shot_demo")
    ]
    assert "awe_00000.jpg cannot be read as a picture" in run.stderr


@installed
def test_the_launcher_says_what_it_changes(both):
    said = both["run"].stderr
    assert said.count("turned off the verification of TLS certificates; it is on again") == 1
    assert said.count("the judge is exact_matching") == 1
    assert said.count("VERBOSE is unset") == 1


@pytest.fixture(scope="module")
def inside(both):
    """What ``inside_vlmevalkit.py`` finds after that run: with the table of Abstract, without its release."""
    folder = both["folder"]
    release = abstract_release(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEPM_EVAL_DATA", str(folder))
        items, exam = BENCHMARKS["abstract"].items(), exam_of(BENCHMARKS["abstract"]).digest
        prepare(BENCHMARKS["abstract"], folder / "prepared" / "abstract")
    pictures = [item.path.read_bytes().hex() for item in items]
    shutil.rmtree(release)
    script = Path(__file__).parent / "inside_vlmevalkit.py"
    command = [sys.executable, str(script), str(folder), *run_arguments(folder)]
    settings = environment(folder, folder / "items.csv")
    run = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    return {
        **json.loads((folder / "found.json").read_text()),
        "ids": [item.id for item in items],
        "pictures": pictures,
        "exam": exam,
        "journal": read_journal(folder / "journal.jsonl"),
    }


@installed
def test_reuse_asks_only_what_failed(both, inside):
    assert inside["reuse_problems"] == []
    after = journals(both["folder"])
    for method, before in both["journals"].items():
        (new,) = after[method][len(before) :]
        assert (new["task"], new["doc_id"], new["status"]) == ("emoset", 2, "answered")
    for name in ("EmotionDemo", "EmoSet"):
        former, now = (
            pd.read_excel(out / f"sepm_demo/sepm_demo_{name}.xlsx").set_index("index")["prediction"]
            for out in (both["out"], both["folder"] / "out")
        )
        changed = list(now.index[former != now])
        assert changed == ([] if name == "EmotionDemo" else ["awe_00000"])
    (accuracy,) = pd.read_csv(both["folder"] / "out/sepm_demo/sepm_demo_EmoSet_acc.csv").to_dict("records")
    assert accuracy["failed"] == 0


@installed
def test_importing_it_leaves_tls_verified(inside):
    assert inside["imported_unasked"] == []
    assert inside["tls_verified"]
    assert inside["registered"] == 1


@installed
def test_names_are_free_and_hit_no_trap(inside):
    ours = [benchmark.table_name for benchmark in BENCHMARKS.values()]
    assert len(inside["others"]) > 100
    for name in ours:
        assert not any(trap in name.lower() for trap in TRAPS)
        assert not any(other.lower() == name.lower() or other.startswith(name) for other in inside["others"])
        assert not any(other.startswith(name) for other in ours if other != name)
    assert len(inside["models_of_others"]) > 100
    assert not set(inside["model_entries"]) & set(inside["models_of_others"])
    assert not any(trap in name.lower() for trap in TRAPS for name in inside["model_entries"])


@installed
def test_a_table_stands_in_for_the_release(inside):
    assert inside["table"]["index"] == inside["ids"]
    assert inside["table"]["pictures"] == inside["pictures"]
    assert inside["table"]["question"] == BENCHMARKS["abstract"].question()
    assert inside["table"]["exam"] == inside["exam"]  # the release's own
    assert {"index", "question", "A", "H", "answer", "category", "image"} <= set(inside["table"]["stock_columns"])
    assert "Abstract.tsv holds the item list 'first_maximum', not 'unique'" in inside["other_list"]


@installed
def test_a_stock_model_is_asked_and_scored_as_ours(inside):
    """The question as it is; an answer that names nothing is unparsed, VLMEvalKit's mark of a fault is a failure."""
    assert inside["stock_prompt"][1] == BENCHMARKS["emotion_demo"].question()
    labels = list(BENCHMARKS["emotion_demo"].names)
    expected = []
    for number, row in enumerate(inside["stock_rows"]):
        answer = (labels[1], "unparsed", "failed", labels[0], "unparsed")[number % 5]
        expected.append(("right" if answer == row["category"] else "wrong") if answer in labels else answer)
    assert [row["status"] for row in inside["stock_rows"]] == expected
    assert {"wrong", "unparsed", "failed"} <= set(expected)
    (accuracy,) = inside["stock_accuracy"]
    assert [accuracy[status] for status in ("right", "wrong", "unparsed", "failed")] == [
        expected.count(status) for status in ("right", "wrong", "unparsed", "failed")
    ]
    assert accuracy["Overall"] == pytest.approx(expected.count("right") / (16 - expected.count("failed")))
    assert inside["verbose_unset"]


@installed
def test_a_model_behind_an_api_is_scored_too(inside):
    """In VLMEvalKit's --api-mode, whose questions and scores come from processes of their own."""
    assert inside["server_problems"] == []
    assert inside["server_about"]["identity"] is None
    assert inside["server_about"]["questions"]["exam"]["asked"] == 16
    (accuracy,) = inside["server_accuracy"]
    assert (accuracy["Overall"], accuracy["anger"], accuracy["wrong"]) == (0.125, 1.0, 14)


@installed
def test_what_is_missing_is_named(inside):
    failed, missing = inside["stock_problems"]
    assert failed == "stock on EmotionDemo: 3 of 16 questions failed; what failed is not scored"
    assert missing.startswith("stock on ArtPhoto: no result (artphoto: no folder")


@installed
def test_methods_and_options_from_a_config_file(inside):
    assert inside["config_problems"] == []
    assert len(inside["journal"]) == 16
    assert {(r["method"]["name"], r["method"]["beta"]) for r in inside["journal"]} == {("sepm", 0.4)}


@installed
def test_other_questions_are_answered_too(inside):
    assert isinstance(inside["other_question"], str)
    assert not is_failed(inside["other_question"])


@installed
def test_what_a_question_of_ours_offers_travels_with_it(inside):
    """It is not read from the text, as it is of other data sets' questions."""
    assert inside["offered"] == [BENCHMARKS["emotion_demo"].names, None]


@installed
def test_a_missing_picture_fails_alone(inside):
    """VLMEvalKit's own check of messages would give up the whole data set."""
    assert "UnreadableImage: nowhere.jpg cannot be read" in inside["missing_picture"]
    assert is_failed(inside["missing_picture"])
    assert inside["missing_picture"].endswith("(Failed to obtain answer via API.)")  # its mark for asking again


@installed
def test_what_cannot_work_is_refused_before_the_run(inside):
    unknown, api, no_data, other_set, limit, no_set = inside["refused"]
    assert other_set.startswith("unknown data sets ['EmoSett']: ours are Abstract")
    assert "Close to 'EmoSett': EmoSet" in other_set
    assert limit.startswith("--limit -1: give a number from 1 to")
    assert "unknown models ['sepm_llava_v1.5_70b']" in unknown
    assert "Close to 'sepm_llava_v1.5_70b': sepm_llava_v1.5_7b" in unknown
    assert "--api-mode asks servers in parallel; sepm_demo run" in api
    assert no_data == "name data sets after --data and models after --model, or a file after --config"
    assert no_set.startswith("unknown data set 'Emoset'; there are Abstract, ArtPhoto, EmoSet")


@installed
def test_a_score_says_which_list_and_weights_it_belongs_to(both, inside):
    """In status.json, in the table of scores and beside the predictions; the identity is lmms-eval's."""
    (run,) = {record["run"] for record in both["theirs"]}
    for task, name in (("emotion_demo", "EmotionDemo"), ("emoset", "EmoSet")):
        (accuracy,) = pd.read_csv(both["folder"] / f"out/sepm_demo/sepm_demo_{name}_acc.csv").to_dict("records")
        told = inside["status"][name]
        assert {key: accuracy[key] for key in told} == told
        assert told["run"] == run
        assert (told["checkpoint"], told["revision"][:6]) == ("demo", "files-")
        assert told["item_list"] == both["samples"][task][0]["item_list"]
    (sample,) = [sample for sample in both["samples"]["emoset"] if "identity" in sample]
    assert inside["about"]["identity"] == sample["identity"]
    assert inside["about"]["questions"]["exam"]["digest"] == inside["status"]["EmoSet"]["exam"]


@installed
def test_answers_of_another_run_are_not_taken_over(inside):
    said = inside["other_answers"]
    assert said.pop("first") is said.pop("same") is None
    expected = {
        "dtype": "(dtype: auto, now float64)",
        "weights": "(revision: files-",
        "method": "(options.beta: 0.4, now 0.5)",
        "list": "now test; items asked: 16 of 16, now",
        "stock_list": "now test; items asked: 16 of 16, now",
        "evaluate": "now test; items asked: 16 of 16, now",
        "stock_eval": "now test; items asked: 16 of 16, now",
        "unknown": "holds answers, and no stock_EmotionDemo_sepm_eval.json beside it says whose",
    }
    assert said.keys() == expected.keys()
    for name, part in expected.items():
        assert part in said[name]
        assert "Name another --work-dir, or move" in said[name]


@installed
def test_what_is_not_there_is_said_before_anything_is_loaded(inside):
    data, checkpoint = inside["nothing_left"]
    assert data.startswith("sepm_demo on ArtPhoto: no result (artphoto: no folder")
    assert checkpoint.startswith("absent on EmotionDemo: no result (no checkpoint")


@installed
def test_the_identity_is_known_before_the_model_is_loaded(inside):
    before, after = inside["identities"]
    assert before["model"] == {} != after["model"]
    assert all(before[key] == after[key] for key in before.keys() - {"model", "digest"})


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
    with pytest.raises(vlmevalkit.BadArguments, match="is no file for --config, with the tables model and data"):
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


def identity(**changed) -> Identity:
    return Identity(**{"entry": "sepm_llava", "checkpoint": "demo", "revision": "a", "method": "sepm", **changed})


def asked(*rows: tuple[str, str, str], item_list: str = "test", limit: int | None = None) -> Questions:
    return questions_of(BENCHMARKS["emotion_demo"], item_list, rows or ROWS, limit)


ROWS = (("one", "anger", "a" * 64), ("two", "awe", "b" * 64))
PAIR = ("sepm_demo", "EmotionDemo")


def pairs_of(work: Path, about: About, **settings) -> Pairs:
    return Pairs(work, {PAIR: about}, {"EmotionDemo": {}}, **{"answering": True, "reuse": False, **settings})


@pytest.mark.parametrize(
    ("now", "difference"),
    [
        ({"identity": identity(revision="b")}, "revision: a, now b"),
        ({"identity": identity(options={"beta": 1})}, "options.beta: None, now 1"),
        ({"identity": identity(versions={"pillow": "13"})}, "versions.pillow: None, now 13"),
        ({"identity": identity(polarity={"awe": "negative"})}, "polarity.awe: None, now negative"),
        ({"identity": identity(checkpoint="/mine")}, "checkpoint: demo, now /mine"),
        ({"identity": None}, "the model is one of ours only now, or only was"),
        ({"arguments": {"dtype": "float16"}}, "dtype: default, now float16"),
        ({"questions": asked(item_list="mine")}, "item list: test, now mine"),
        ({"questions": asked(limit=1)}, "items asked: 2 of 2, now 1 of 2"),
        ({"questions": asked(("one", "awe", "a" * 64), ROWS[1])}, "labels"),
        ({"questions": None}, "the data set"),
    ],
)
def test_every_difference_is_named(tmp_path, now, difference):
    about = About(identity(), {}, asked())
    folder = tmp_path / "sepm_demo"
    pairs_of(tmp_path, about).start(folder, PAIR)
    for name in ("sepm_demo_EmotionDemo.xlsx", "sepm_demo_EmotionDemo_PREV.pkl", "01_EmotionDemo.pkl"):
        (folder / name).touch()
        (said,) = pairs_of(tmp_path, replace(about, **now)).refused()
        assert f"{folder / name} holds answers of another run ({difference})" in said
        assert pairs_of(tmp_path, about).refused() == []
        (folder / name).unlink()
    assert pairs_of(tmp_path, replace(about, **now)).refused() == []  # nothing would be taken over


@installed
def test_only_the_picture_of_a_failed_question_may_change(tmp_path):
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from test_vlmevalkit import *
work, about = Path(sys.argv[2]), About(None, {}, asked())
pairs_of(work, about).start(work / "sepm_demo", PAIR)
other = asked(("one", "anger", "c" * 64), ROWS[1])
for said in ("A", "Failed to obtain answer via API."):
    table = pd.DataFrame({"index": ["one", "two"], "picture": ["a" * 64, "b" * 64], "prediction": [said, "B"]})
    table.to_csv(work / "sepm_demo/sepm_demo_EmotionDemo.tsv", sep="\t", index=False)
    now = pairs_of(work, About(None, {}, other))
    now.pictures = {"EmotionDemo": {"one": "c" * 64, "two": "b" * 64}}
    print(now.refused(), file=sys.stderr)
    print(len(now.refused()))
"""
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1", "0"]
    assert "holds answers of another run (pictures)" in run.stderr


def test_scoring_alone_does_not_ask_for_versions_or_weights(tmp_path):
    former = About(identity(versions={"torch": "1"}, model={"dtype": "float32"}), {}, asked())
    pairs_of(tmp_path, former).start(tmp_path / "sepm_demo", PAIR)
    (tmp_path / "sepm_demo/sepm_demo_EmotionDemo.xlsx").touch()
    now = About(identity(versions={"torch": "2"}, revision=""), {}, asked())
    assert len(pairs_of(tmp_path, now).refused()) == 1
    scoring = pairs_of(tmp_path, now, answering=False, reuse=True)
    assert scoring.refused() == []
    scoring.start(tmp_path / "sepm_demo/T20260101-000000", PAIR)
    told = from_file(tmp_path / "sepm_demo/T20260101-000000/sepm_demo_EmotionDemo_sepm_eval.json")
    assert told == former  # whose answers they are does not change


def test_runs_in_folders_of_their_own_are_compared_where_reuse_takes_them_from(tmp_path):
    about, other = About(identity(), {}, asked()), About(identity(revision="b"), {}, asked())
    for name, content, age in (("T20260101_Gabc", about, 0), ("T20260102-120000", other, 10)):
        folder = tmp_path / "sepm_demo" / name
        pairs_of(tmp_path, content).start(folder, PAIR)
        (folder / "sepm_demo_EmotionDemo.xlsx").touch()
        os.utime(folder, (1000 + age, 1000 + age))
    assert pairs_of(tmp_path, about).refused() == []
    (said,) = pairs_of(tmp_path, about, reuse=True).refused()
    assert "T20260102-120000" in said
    assert pairs_of(tmp_path, other, reuse=True).refused() == []


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"identity": {"entry": "x"}, "arguments": {}, "questions": null}']
)
def test_a_damaged_file_is_not_believed(tmp_path, content):
    about = About(identity(), {}, asked())
    (tmp_path / "sepm_demo").mkdir()
    (tmp_path / "sepm_demo/sepm_demo_EmotionDemo.xlsx").touch()
    (tmp_path / "sepm_demo/sepm_demo_EmotionDemo_sepm_eval.json").write_text(content)
    (said,) = pairs_of(tmp_path, about).refused()
    assert "does not say whose answers these are" in said


def test_a_model_is_compared_once_more_when_it_is_loaded(tmp_path, monkeypatch):
    """Settings that only loading shows, such as the dtype that auto stands for; only the first process writes."""
    about, folder = About(identity(), {}, asked()), tmp_path / "sepm_demo"
    path = folder / "sepm_demo_EmotionDemo_sepm_eval.json"
    single, double = identity(model={"dtype": "float32"}), identity(model={"dtype": "float64"})
    first = pairs_of(tmp_path, about)
    first.start(folder, PAIR)
    first.loaded(folder, PAIR, single)
    assert from_file(path).identity == single
    (folder / "sepm_demo_EmotionDemo.xlsx").touch()
    second = pairs_of(tmp_path, about)
    assert second.refused() == []
    with pytest.raises(OtherAnswers, match=r"model.dtype: float32, now float64"):
        second.loaded(folder, PAIR, double)
    monkeypatch.setattr(_vlmevalkit_pairs, "PROCESSES", 2)
    with pytest.raises(SystemExit, match=r"model.dtype: float32, now float64"):
        second.loaded(folder, PAIR, double)
    second.loaded(folder, PAIR, single)
    monkeypatch.setattr(_vlmevalkit_pairs, "RANK", 1)
    path.unlink()
    second.start(folder, PAIR)
    second.loaded(folder, PAIR, single)
    assert not path.exists()


def test_answers_taken_over_without_being_asked_are_announced(tmp_path, caplog):
    pairs = pairs_of(tmp_path, About(None, {}, asked()))
    pairs.start(tmp_path / "sepm_demo", PAIR)
    vlmevalkit._warn_of_reuse(pairs)
    assert caplog.records == []
    former = tmp_path / "sepm_demo" / "sepm_demo_EmotionDemo.xlsx"
    former.touch()
    vlmevalkit._warn_of_reuse(pairs)
    assert f"take over the answers in {former}, although --reuse is not given" in caplog.text
    assert "the weights of this model are not known" in caplog.text


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
