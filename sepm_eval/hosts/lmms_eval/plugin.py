"""The plug-in that lmms-eval finds through the entry point ``lmms_eval.models``: it adds our models and our tasks.

lmms-eval (0.7.3) lets other packages add models but not tasks. Since it loads the models before it searches for tasks,
the function that names our models also makes lmms-eval search our task folder.
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
TAG = "image_emotion"  # tag of all our tasks, with or without a task file


def manifests() -> list[Any]:
    """One chat model for each backbone, such as ``sepm_llava``; lmms-eval calls this function once in each process."""
    from lmms_eval.models.registry_v2 import ModelManifest

    try:
        add_tasks()
    except Exception:  # an exception here would make lmms-eval drop the models of all other plug-ins
        logger.exception("sepm_eval could not add its tasks to lmms-eval; its models work, its tasks will be missing")
    home = "sepm_eval.hosts.lmms_eval.model"
    entries = [f"{OUR_ENTRIES}{name}" for name in backbone_names()]
    return [ModelManifest(model_id=entry, chat_class_path=f"{home}.{entry}") for entry in entries]


def is_own_command(command: Sequence[str]) -> bool:
    """Whether a process is lmms-eval's own command, and not another program that imports lmms-eval.

    Args:
        command: the process's ``sys.argv``.
    """
    program = Path(command[0]) if command else Path()
    return program.name in ("lmms-eval", "lmms_eval") or program.parts[-2:] == ("lmms_eval", "__main__.py")


def named_tasks(command: Sequence[str]) -> list[str]:
    """The tasks that are named on the command line of lmms-eval's own command; none for any other program.

    Args:
        command: the process's ``sys.argv``.

    Returns:
        Names of the tasks, with our groups replaced by their members.
    """
    if not is_own_command(command):
        return []
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--tasks", default="")
    named = parser.parse_known_args(list(command[1:]))[0].tasks.split(",")
    return list(dict.fromkeys(one for name in named for one in _members(name.strip())))


def check_named_tasks(command: Sequence[str]) -> list[Benchmark]:
    """Check the data of those of our tasks that lmms-eval's own command names, before the model is loaded.

    lmms-eval itself reads a task's documents only after it has loaded (and perhaps downloaded) the model. In any other
    program nothing is checked.

    Args:
        command: the process's ``sys.argv``.

    Returns:
        The benchmarks of these tasks.

    Raises:
        MissingData: the data of a task are not there; the message says which, and how to get them.
        ValueError: the data of a task are invalid.
    """
    benchmarks = find_benchmarks()
    found = [benchmarks[task] for task in named_tasks(command) if task in benchmarks]
    for benchmark in found:
        benchmark.warn_if_fewer(len(benchmark.items()))
    return found


def _members(name: str) -> list[str]:
    """The members of a group of ours, or the task itself."""
    path = TASK_FOLDER / f"{Path(name).name}.yaml"
    if not path.is_file():
        return [name]
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))["task"]
    except yaml.YAMLError:  # a single task: its file has lmms-eval's own YAML tags, which name functions
        return [name]
    return found if isinstance(found, list) else [name]


def add_tasks() -> None:
    """Make every ``TaskManager`` of this process know our tasks too; calling this again changes nothing.

    Each ``TaskManager`` then also searches our task folder. A benchmark without a file there gets the configuration
    that all our tasks share, and its own documents. If lmms-eval's own command names only tasks of ours, the 1,600
    files of its own tasks are not read, which saves 5 seconds.
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
    """The benchmarks without a task file, such as those of other packages, by name."""
    return {name: one for name, one in find_benchmarks().items() if not (TASK_FOLDER / f"{name}.yaml").is_file()}
