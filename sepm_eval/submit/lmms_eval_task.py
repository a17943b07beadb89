"""LAI-GAI as a task for lmms-eval itself: a folder in lmms-eval's layout, which does not need this package.

Its text is generated from our benchmark's definition (columns, labels, wording), so that the two cannot drift apart.
The text of the pull request has no results; it says what was not run on the real data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template

from sepm_eval import prompts
from sepm_eval.runs.outcomes import Run
from sepm_eval.submit import About

TASKS, SPLIT = ("lai_gai", "lai_gai6"), "train"


def write(runs: Sequence[Run], out: Path, about: About) -> list[Path]:
    """Write lai_gai/ (to be put into lmms_eval/tasks/, or named with --include_path) and PULL_REQUEST.md.

    Args:
        runs: must be empty: runs were made with our task, so they do not validate this one.
        out: the folder to write to.
        about: ``benchmarks`` has our benchmarks; ``datasets`` may name another repository, or a folder with Parquet
            files.

    Returns:
        The files written.

    Raises:
        ValueError: runs were given.
    """
    if runs:
        raise ValueError("lmms-eval-task takes no runs: they were not made with the task that it writes")
    twelve, six = (about.benchmarks[task] for task in TASKS)
    copy = twelve.hub[0]
    wording = prompts.WORDINGS["paper"]
    columns = {label: copy.columns[label][0] for label in twelve.names}
    picture = copy.columns["picture"][0]
    known = {
        **{"dataset": about.datasets.get(twelve.name, copy.repository), "repository": copy.repository, "split": SPLIT},
        **{"labels": _entries(twelve.names), "columns": _entries(columns), "picture": json.dumps(picture)},
        **{"six": ", ".join(map(json.dumps, six.names)), "six_names": ", ".join(six.names)},
        **{"column_names": ", ".join(f"`{name}`" for name in columns.values()), "picture_name": picture},
        **{"ask": json.dumps(wording.ask), "reply": json.dumps(wording.reply)},
    }
    folder = out / twelve.name
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        folder / "utils.py": _render("utils.py", known),
        folder / "_default_template_yaml": _render("_default_template_yaml", known),
        **{folder / f"{task}.yaml": _render("task.yaml", {"task": task}) for task in TASKS},
        out / "PULL_REQUEST.md": _render("PULL_REQUEST.md", known),
    }
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return list(files)


write.without_runs = True  # type: ignore[attr-defined]


def _render(name: str, known: Mapping[str, str]) -> str:
    text = (resources.files("sepm_eval.submit") / "upstream" / f"{name}.template").read_text(encoding="utf-8")
    return Template(text).substitute(known)


def _entries(table: Mapping[str, str]) -> str:
    """Write a mapping as the lines of a Python dict, with texts in double quotes."""
    return "\n".join(f"    {json.dumps(key)}: {json.dumps(value)}," for key, value in table.items())


FORMATS = {"lmms-eval-task": write}
