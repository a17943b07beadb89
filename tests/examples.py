"""Every example a reader meets: the fenced blocks and commands of the documents and of our docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_FOLDERS = ("", "docs/**/", "demo/", "examples/", ".github/**/")
DOCUMENTS = sorted(path for folder in _FOLDERS for path in ROOT.glob(f"{folder}*.md"))
SOURCES = sorted(path for folder in ("sepm_eval", "model_wrappers", "tasks") for path in ROOT.glob(f"{folder}/**/*.py"))
COMMANDS = ("sepm-eval", "lmms-eval")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)(`{1,2})(?!`)([^`]+)\1(?!`)")


@dataclass(frozen=True)
class Example:
    """A piece of text in some language, and where it stands."""

    where: str
    language: str
    text: str

    def __str__(self) -> str:
        return self.where


def _texts() -> Iterator[tuple[str, str, int]]:
    """Where, the text, and in which line it starts: every document whole, every docstring."""
    for path in DOCUMENTS:
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"), 1
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            if documented and (text := ast.get_docstring(node)):
                yield str(path.relative_to(ROOT)), text, getattr(node, "lineno", 1)


def blocks(language: str) -> list[Example]:
    """The fenced blocks in a language."""
    found = []
    for name, text, first in _texts():
        for match in _FENCE.finditer(text):
            if match["language"] == language:
                line = first + text.count("\n", 0, match.start())
                found.append(Example(f"{name}:{line}", language, _dedent(match["body"], len(match["indent"]))))
    return found


def commands() -> list[Example]:
    """What is typed, one command each: the lines of bash blocks, those that end with a backslash joined."""
    found = []
    for block in blocks("bash"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                found.append(Example(block.where, "bash", line.strip()))
    return found


def mentions() -> list[Example]:
    """Commands of ours named in running text, such as `sepm-eval report`."""
    found = []
    for name, text, first in _texts():
        for match in _INLINE.finditer(text):
            words = " ".join(match[2].split())
            if words.startswith("sepm-eval "):
                found.append(Example(f"{name}:{first + text.count(chr(10), 0, match.start())}", "inline", words))
    return found


def _dedent(text: str, indent: int) -> str:
    return "".join(line[indent:] if line.strip() else "\n" for line in text.splitlines(keepends=True))
