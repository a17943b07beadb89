"""What our plug-in adds to lmms-eval, and what of lmms-eval's settings it refuses, in one process."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from miniature import all_releases, emoset_release
from miniature_hub import every_data  # noqa: F401

from sepm_eval.datasets import MissingData, find_benchmarks
from sepm_eval.emotions import MIKELS
from sepm_eval.hosts.lmms_eval import model as lmms_eval_model
from sepm_eval.hosts.lmms_eval.plugin import TASK_FOLDER, add_tasks, manifests
from sepm_eval.tasks.documents import documents


def test_names_are_free_in_this_lmms_eval():
    """A host that ships a task or model of our name would win silently, or lose."""
    import lmms_eval.tasks
    from lmms_eval.models import MODEL_REGISTRY_V2

    folder = str(Path(lmms_eval.tasks.__file__).parent)
    builtin = lmms_eval.tasks.TaskManager.__new__(lmms_eval.tasks.TaskManager)
    builtin.logger = lmms_eval.tasks.eval_logger
    names = set(builtin._get_task_and_group(folder))
    assert not names & {*find_benchmarks(), "emotion5", "vecbench"}
    assert MODEL_REGISTRY_V2.get_manifest("sepm_llava").chat_class_path.startswith("sepm_eval.")


def test_tasks_are_added_once():
    from lmms_eval.tasks import TaskManager

    add_tasks()
    first = TaskManager.initialize_tasks
    add_tasks()
    assert TaskManager.initialize_tasks is first
    assert {"emoset", "emotion_demo"} <= set(TaskManager().all_tasks)


@pytest.mark.parametrize(
    ("command", "all_are_read"),
    [
        (["lmms-eval", "--model", "sepm_llava", "--tasks", "emoset,emotion_demo"], False),
        (["/somewhere/lmms_eval/__main__.py", "--tasks=webemo7"], False),
        (["lmms-eval", "--tasks", "emoset,mme"], True),
        (["lmms-eval", "--tasks", "list"], True),
        (["lmms-eval", "--config", "mine.yaml"], True),
        (["another-program", "--tasks", "emoset"], True),
    ],
)
def test_tasks_of_others_are_read_where_they_are_wanted(command, all_are_read, monkeypatch):
    """lmms-eval has 1,600 files of tasks, which take seconds to read."""
    from lmms_eval.tasks import TaskManager

    add_tasks()
    monkeypatch.setattr("sys.argv", command)
    asked, read = [], TaskManager._get_task_and_group

    def noted(self, folder):
        asked.append(folder)
        return read(self, folder) if folder == str(TASK_FOLDER) else {}

    monkeypatch.setattr(TaskManager, "_get_task_and_group", noted)
    assert {"emoset", "emotion_demo"} <= set(TaskManager("ERROR").all_tasks)
    assert len(asked) == 1 + all_are_read


def test_broken_tasks_leave_the_models_standing(monkeypatch, caplog):
    """lmms-eval drops every later plug-in when one raises, so ours does not."""
    import sepm_eval.hosts.lmms_eval.plugin as plugin

    monkeypatch.setattr(plugin, "add_tasks", lambda: 1 / 0)
    assert [manifest.model_id for manifest in manifests()] == ["sepm_hf", "sepm_llava", "sepm_vila"]
    assert "its tasks will be missing" in caplog.text


def test_the_question_is_the_papers(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    emoset_release(tmp_path)
    from lmms_eval.tasks import TaskManager, get_task_dict

    add_tasks()
    task = get_task_dict(["emoset"], TaskManager(), "chat")["emoset"]
    (turn,) = task.doc_to_messages(task.test_docs()[0])
    assert [part["type"] for part in turn["content"]] == ["image", "text"]
    options = "\n".join(f"{chr(65 + i)}. {name}" for i, name in enumerate(MIKELS.values()))
    assert turn["content"][1]["text"] == (
        f"Which of the following descriptions best represents the image?\n{options}\n"
        "Answer directly with the letter of the chosen option."
    )
    assert task.VERSION == 2


@pytest.mark.parametrize("program", ["/env/bin/lmms-eval", "/env/lib/lmms_eval/__main__.py"])
def test_data_are_looked_at_before_a_model_is_loaded(tmp_path, monkeypatch, program):
    """A checkpoint that is not there would be the first fault met after them."""
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [program, "--model", "sepm_llava", "--tasks", "emotion_demo,emotion5"])
    with pytest.raises(MissingData, match="emotion6: no folder"):
        lmms_eval_model.sepm_llava(pretrained="/nowhere")
    all_releases(tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint '/nowhere'"):
        lmms_eval_model.sepm_llava(pretrained="/nowhere")
    monkeypatch.setattr(sys, "argv", ["somebody.py", "--tasks", "emotion6"])
    shutil.rmtree(tmp_path / "Emotion6")
    with pytest.raises(FileNotFoundError, match="no checkpoint '/nowhere'"):
        lmms_eval_model.sepm_llava(pretrained="/nowhere")


GREEDY = {"max_new_tokens": 128, "temperature": 0, "do_sample": False, "num_beams": 1, "until": ["\n\n"]}


@pytest.mark.parametrize(
    "change", [{"do_sample": True, "temperature": 0.7}, {"max_new_tokens": 5}, {"num_beams": 3}, {"top_p": 0.9}]
)
def test_generation_settings_without_effect_are_refused(change):
    """--gen_kwargs was accepted and ignored without a word: the log would show what was not done."""
    lmms_eval_model._check_generation("emoset", GREEDY, ours=True)
    with pytest.raises(ValueError, match=rf"{next(iter(change))}.*leave --gen_kwargs out"):
        lmms_eval_model._check_generation("emoset", {**GREEDY, **change}, ours=True)
    lmms_eval_model._check_generation("mme", {**GREEDY, **change}, ours=False)


def test_words_of_the_host_around_a_question_are_refused(demo_backbone):
    """--system_instruction and --num_fewshot would change what is asked under the task's name."""
    benchmark = find_benchmarks()["emotion_demo"]
    docs = documents(benchmark).select(range(1))
    entry = lmms_eval_model.sepm_llava
    model = entry.__new__(entry)  # without a checkpoint
    model.task_dict = {"emotion_demo": {"test": docs}}
    content = [{"type": "image", "url": docs[0]["image"]}, {"type": "text", "text": benchmark.question()}]

    def asked(messages):
        request = SimpleNamespace(args=("", lambda _: messages, GREEDY, 0, "emotion_demo", "test"))
        (one,) = model._questions([request])
        assert one.options == benchmark.options  # the text is the host's, what it offers is not read from it
        return one.load()[0]

    assert asked([{"role": "user", "content": content}]) == benchmark.question()
    system = {"role": "system", "content": [{"type": "text", "text": "You are sad."}]}
    with pytest.raises(ValueError, match="changed the text of the question"):
        asked([system, {"role": "user", "content": content}])
