"""The documentation site without building it: its navigation names every page, and links lead to what is there."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
import yaml
from examples import DOCUMENTS, ROOT

import sepm_eval
from sepm_eval import methods

SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
DOCS = ROOT / SITE["docs_dir"]
REFERENCE = {
    name for path in DOCS.glob("reference/*.md") for name in re.findall(r"^::: (\S+)", path.read_text("utf-8"), re.M)
}


def pages(entry) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [page for one in (entry.values() if isinstance(entry, dict) else entry) for page in pages(one)]


NAMED = pages(SITE["nav"])


def test_the_navigation_has_the_four_kinds_of_documentation():
    assert [next(iter(section)) for section in SITE["nav"]] == ["Start", "How-to", "Reference", "Explanation"]


def test_the_navigation_names_every_page_once():
    ours = [page for page in NAMED if not page.startswith("project/")]
    assert sorted(ours) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    others = [page.removeprefix("project/") for page in NAMED if page.startswith("project/")]
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} == set(others)
    assert len(NAMED) == len(set(NAMED))


def test_a_warning_of_the_build_is_an_error():
    assert "mkdocs build --strict" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(SITE["validation"]["links"].values()) == set(SITE["validation"]["nav"].values()) == {"warn"}


def test_nothing_is_fetched_by_a_reader():
    assert SITE["theme"]["font"] is False
    assert "offline" in SITE["plugins"]
    (script,) = SITE["extra"]["polyfills"]  # named so that the plugin does not add the one it would fetch
    assert "iframe-worker" in script
    assert (DOCS / script).is_file()
    assert not any(word in SITE for word in ("extra_javascript", "extra_css"))


def test_make_test_does_not_build_the_site():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (needs,) = re.findall(r"^test: (.*)$", makefile, re.MULTILINE)
    assert "docs" not in needs


def headings(path: Path) -> set[str]:
    """The names by which headings of a document are linked to, as GitHub gives them."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("\\", "")
        kept = (c for c in plain.lower() if c in "-_ " or unicodedata.category(c)[0] in "LN")
        found.append("".join(kept).strip().replace(" ", "-"))
    return set(found)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_to_a_heading_leads_to_one(path: Path):
    for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file = path.parent / target if target else path
        assert heading in headings(file), f"{target}#{heading}"


def test_the_reference_has_every_public_name():
    homes = {f"sepm_eval.{home}.{name}" for name, home in sepm_eval._HOMES.items()}
    missing = {name.replace("sepm_eval.model_wrappers.", "model_wrappers.") for name in homes} - REFERENCE
    assert not missing


def test_the_reference_has_every_method():
    classes = {f"{one.__module__}.{one.__name__}" for one in methods.find_methods().values()}
    assert {name for name in classes if name.startswith("sepm_eval.")} <= REFERENCE
