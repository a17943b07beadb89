"""The real VLMEvalKit, in subprocesses (importing it changes a process), against the real lmms-eval."""

# long because: all of it reads two runs of VLMEvalKit, which are expensive

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from miniature import abstract_release, emoset_release
from miniature_hub import every_data  # noqa: F401
from test_lmms_eval import lmms_eval

from sepm_eval.datasets import find_benchmarks
from sepm_eval.datasets.releases.prepare import prepare
from sepm_eval.hosts.vlmevalkit.scores import is_failed
from sepm_eval.runs.exams import exam_of
from sepm_eval.runs.journal import read_journal

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
def inside(both, every_data):  # noqa: F811
    """What ``inside_vlmevalkit.py`` finds after that run: with the table of Abstract, without its release."""
    folder = both["folder"]
    release = abstract_release(folder)
    for name in ("LAI-GAI", "VECBench"):
        shutil.copytree(every_data / name, folder / name)
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
def test_the_hubs_benchmarks_by_the_same_path(inside):
    """Their labels and questions came for free; failed answers are those of the stand-in for a stock model."""
    counts = {"right", "wrong", "unparsed", "failed"}
    assert [one for one in inside["new_problems"] if "questions failed" not in one] == []
    assert sum(inside["new"]["LAI-GAI-6"][name] for name in counts) == 6
    assert sum(inside["new"]["VECBench-FI-2-way"][name] for name in counts) == 4
    assert {"positive", "negative", "Overall"} <= set(inside["new"]["VECBench-FI-2-way"])


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
    assert no_set.startswith("unknown data set 'Emoset'; there are Abstract, ArtPhoto, EEmo-Bench-Emotion, EmoSet")


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


def test_a_method_that_cannot_be_asked_this_is_refused_before_loading(inside):
    told = "emotion_demo, dan: k=9 means 10 candidates, and the question has 8 options: use k from 1 to 7"
    assert inside["too_many"] == [f"many on EmotionDemo: no result ({told})"]


def test_a_method_that_never_dropped_a_token_is_named(inside):
    """Its sentence makes the command end with status 1; of a run that did drop some, nothing is said."""
    (told,) = inside["dead"]
    assert told.startswith("dead on EmotionDemo: fastv on demo dropped no visual token of any of 16 pictures")
    assert inside["config_problems"] == []  # sepm


@installed
def test_the_identity_is_known_before_the_model_is_loaded(inside):
    before, after = inside["identities"]
    assert before["model"] == {} != after["model"]
    assert all(before[key] == after[key] for key in before.keys() - {"model", "digest"})
