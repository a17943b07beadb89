"""For ``make docs``: files outside docs/ that a document links to become pages of the site.

On GitHub a document may link to any file of the repository. The site holds docs/ only. So each such file becomes a page
below ``project/``: Markdown as it is, anything else as a listing. Links are turned to these pages. mkdocs calls the
functions by their names.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel
from pymdownx.slugs import slugify

HOME = "project"
_LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)#\s]+)")
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """Name headings in links as GitHub does."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add a page for every file that is linked to, and for those that these link to."""
    docs = Path(config.docs_dir)
    waiting = [path.relative_to(docs.parent).as_posix() for path in sorted(docs.rglob("*.md"))]
    waiting.append("README.md")
    seen: set[str] = set(waiting)
    while waiting:
        path = waiting.pop()
        if not path.startswith("docs/"):
            file = File.generated(config, _page_of(path), content=_content(docs.parent, path))
            if "/" in path:  # reached by links only
                file.inclusion = InclusionLevel.NOT_IN_NAV
            files.append(file)
        if not path.endswith(".md"):
            continue
        for target in _targets((docs.parent / path).read_text(encoding="utf-8"), path):
            if target not in seen and not target.startswith("docs/") and (docs.parent / target).is_file():
                seen.add(target)
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turn the links of a page to where their targets are in the site."""
    source = page.file.src_uri
    origin = _origin(source)

    def turned(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), found[2]))
        if target.startswith("../") or not (Path(config.docs_dir).parent / target).is_file():
            return found[0]  # mkdocs will warn of it
        place = target.removeprefix("docs/") if target.startswith("docs/") else _page_of(target)
        return found[1] + posixpath.relpath(place, posixpath.dirname(source) or ".")

    pieces, end = [], 0
    for fence in _FENCED.finditer(markdown):
        pieces += [_LINK.sub(turned, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, _LINK.sub(turned, markdown[end:])])


def _targets(text: str, path: str) -> list[str]:
    """The files that a document links to, from the repository's root."""
    found = _LINK.findall(_FENCED.sub("", text))
    return [posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) for _, target in found]


def _page_of(path: str) -> str:
    return f"{HOME}/{path if path.endswith('.md') else f'{path}.md'}"


def _origin(source: str) -> str:
    """Where a page of the site stands in the repository."""
    if not source.startswith(f"{HOME}/"):
        return f"docs/{source}"
    path = source.removeprefix(f"{HOME}/")
    listed = path.removesuffix(".md")
    return listed if Path(listed).suffix else path


def _content(root: Path, path: str) -> str:
    text = (root / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    return (
        f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n````{Path(path).suffix.removeprefix('.')}\n{text}\n````\n"
    )
