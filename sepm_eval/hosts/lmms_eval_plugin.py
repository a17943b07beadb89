"""What lmms-eval finds through its entry point ``lmms_eval.models``: our models, and on the way our tasks.

lmms-eval (0.7.3) lets packages add models, not tasks. But it loads the models before it looks for tasks, so the
function that names our models also adds our task folder to the places it searches.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sepm_eval import tasks
from sepm_eval.model_wrappers import backbone_names

logger = logging.getLogger(__name__)

TASK_FOLDER = Path(tasks.__file__).parent


def manifests() -> list[Any]:
    """One chat model for each backbone: ``sepm_llava`` ... (called by lmms-eval, once a process)."""
    from lmms_eval.models.registry_v2 import ModelManifest

    try:
        add_tasks()
    except Exception:  # lmms-eval drops the models of every other plug-in when one raises here
        logger.exception("sepm_eval could not add its tasks to lmms-eval; its models work, its tasks will be missing")
    home = "sepm_eval.hosts.lmms_eval_model"
    return [ModelManifest(model_id=f"sepm_{name}", chat_class_path=f"{home}.sepm_{name}") for name in backbone_names()]


def add_tasks() -> None:
    """Make every ``TaskManager`` of this process search our task folder too. Calling it again changes nothing."""
    from lmms_eval.tasks import TaskManager

    search: Callable[..., dict[str, Any]] = TaskManager.initialize_tasks
    if hasattr(search, "sepm_eval_tasks"):
        return

    @functools.wraps(search)
    def with_ours(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {**self._get_task_and_group(str(TASK_FOLDER)), **search(self, *args, **kwargs)}

    with_ours.sepm_eval_tasks = True  # type: ignore[attr-defined]
    TaskManager.initialize_tasks = with_ours
