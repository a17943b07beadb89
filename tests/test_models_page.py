"""docs/models.md held against the code: families, positions, what is supported, what is refused, what was proven."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny_families import BUILT, ORACLES, WITH_ORACLE

from sepm_eval.model_wrappers import supported
from sepm_eval.model_wrappers._hf.families import FAMILIES, REFUSED, TRANSFORMERS
from sepm_eval.model_wrappers._hf.model import _kind, _renumbers, find_checkpoint

PAGE = (Path(__file__).parent.parent / "docs" / "models.md").read_text(encoding="utf-8")
BASE = {"probe", "keep"}


def rows(heading):
    """The cells of the rows of a table."""
    table = PAGE.split(f"\n| {heading} |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


LISTED = {cells[0].strip("`"): cells for cells in rows("model_type | such as")}


def test_every_family_has_a_row():
    assert list(map(len, LISTED.values())) == [6] * len(LISTED)
    assert LISTED.keys() == FAMILIES.keys()


def test_what_was_proven_on_what():
    built = {name.replace("paligemma2", "paligemma") for name in BUILT}
    for family, cells in LISTED.items():
        assert cells[5] == ("oracle" if family in WITH_ORACLE else "built" if family in built else "")


@pytest.mark.parametrize("family", WITH_ORACLE)
def test_what_is_supported_and_positions(family):
    folder = str(ORACLES / family)
    told = set(re.findall(r"`(\w+)`", LISTED[family][4]))
    assert BASE | told == supported("hf", folder, {})
    name = find_checkpoint(folder)
    _, config = _kind(name)
    by_place = "mrope_section" in str(config.get_text_config().to_dict())
    assert LISTED[family][3] == ("kept" if by_place else "closed")
    if by_place:
        with pytest.raises(ValueError, match="M-RoPE"):
            _renumbers(folder, config, "closed")


def test_every_refused_family_has_its_reason():
    told = {}
    for kinds, reason in rows("model_type | reason"):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", kinds), reason)
    assert told == REFUSED


def test_the_release_that_is_needed():
    assert f"transformers {TRANSFORMERS} on" in PAGE
