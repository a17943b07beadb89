"""What lmms-eval finds through its entry point ``lmms_eval.models``: our models, and on the way our tasks.

lmms-eval (0.7.3) lets packages add models, not tasks. But it loads the models before it looks for tasks, so the
function that names our models also adds our task folder to the places it searches.
"""

from __future__ import annotations

import argparse
import functools
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from sepm_eval import tasks
from sepm_eval.datasets import Benchmark, find_benchmarks
from sepm_eval.model_wrappers import backbone_names
from sepm_eval.runs.identity import OUR_ENTRIES
from sepm_eval.tasks.documents import process_docs

logger = logging.getLogger(__name__)

TASK_FOLDER = Path(tasks.__file__).parent
SHARED = TASK_FOLDER / "_shared_yaml"
TAG = "image_emotion"  # of the tasks that have a file, too


def manifests() -> list[Any]:
    """One chat model for each backbone: ``sepm_llava`` ... (called by lmms-eval, once a process)."""
    from lmms_eval.models.registry_v2 import ModelManifest

    try:
        add_tasks()
    except Exception:  # lmms-eval drops the models of every other plug-in when one raises here
        logger.exception("sepm_eval could not add its tasks to lmms-eval; its models work, its tasks will be missing")
    home = "sepm_eval.hosts.lmms_eval.model"
    entries = [f"{OUR_ENTRIES}{name}" for name in backbone_names()]
    return [ModelManifest(model_id=entry, chat_class_path=f"{home}.{entry}") for entry in entries]


def is_own_command(command: Sequence[str]) -> bool:
    """Whether a process, by its ``sys.argv``, is lmms-eval's own command and no other program that imports it."""
    program = Path(command[0]) if command else Path()
    return program.name in ("lmms-eval", "lmms_eval") or program.parts[-2:] == ("lmms_eval", "__main__.py")


def named_tasks(command: Sequence[str]) -> list[str]:
    """The tasks that lmms-eval's own command names; none for any other program.

    Args:
        command: a process's ``sys.argv``.

    Returns:
        Their names, with the groups of ours replaced by their members.
    """
    if not is_own_command(command):
        return []
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--tasks", default="")
    named = parser.parse_known_args(list(command[1:]))[0].tasks.split(",")
    return list(dict.fromkeys(one for name in named for one in _members(name.strip())))


def check_named_tasks(command: Sequence[str]) -> list[Benchmark]:
    """Look at the data of our tasks that lmms-eval's own command names, before its model is loaded.

    lmms-eval looks at a task's documents only after it has loaded (and perhaps downloaded) the model. Any other program
    is left alone.

    Args:
        command: a process's ``sys.argv``.

    Returns:
        What they are tasks of.

    Raises:
        MissingData: the data of a task are not there; the message says which, and how to get them.
        ValueError: they are not as they must be.
    """
    benchmarks = find_benchmarks()
    found = [benchmarks[task] for task in named_tasks(command) if task in benchmarks]
    for benchmark in found:
        benchmark.items()
    return found


def _members(name: str) -> list[str]:
    """A task, or what a group of ours consists of."""
    path = TASK_FOLDER / f"{Path(name).name}.yaml"
    if not path.is_file():
        return [name]
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))["task"]
    except yaml.YAMLError:  # a task of its own, whose functions are named in a form of lmms-eval's
        return [name]
    return found if isinstance(found, list) else [name]


def add_tasks() -> None:
    """Make every ``TaskManager`` of this process know our tasks too. Calling it again changes nothing.

    It searches our task folder. A benchmark without a file there is asked by what all tasks share and its documents.
    Where lmms-eval's own command names tasks of ours only, the 1,600 files of its own tasks are not read: that takes
    5 seconds.
    """
    from lmms_eval.tasks import TaskManager

    search: Callable[..., dict[str, Any]] = TaskManager.initialize_tasks
    if hasattr(search, "sepm_eval_tasks"):
        return

    read: Callable[..., dict[str, Any]] = TaskManager._get_config

    @functools.wraps(search)
    def with_ours(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        ours = self._get_task_and_group(str(TASK_FOLDER))
        for name in _without_file():
            ours[name] = {"type": "task", "yaml_path": str(SHARED)}
            ours[TAG]["task"].append(name)
        named = named_tasks(sys.argv)
        if named and ours.keys() >= set(named):
            kwargs["include_defaults"] = False
        return {**ours, **search(self, *args, **kwargs)}

    @functools.wraps(read)
    def with_documents(self: Any, name: str) -> dict[str, Any]:
        config = read(self, name)
        if name in self.task_index and self.task_index[name]["yaml_path"] == str(SHARED):
            config |= {"task": name, "tag": TAG, "process_docs": process_docs(_without_file()[name])}
        return config

    with_ours.sepm_eval_tasks = True  # type: ignore[attr-defined]
    TaskManager.initialize_tasks, TaskManager._get_config = with_ours, with_documents


def _without_file() -> dict[str, Benchmark]:
    """The benchmarks that have no task file of their own, as those of other packages: they are asked as all others."""
    return {name: one for name, one in find_benchmarks().items() if not (TASK_FOLDER / f"{name}.yaml").is_file()}
