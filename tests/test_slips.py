"""The slips of ``make mutants`` can be made: each text stands once in its file, and the tests to notice exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from slips import SLIPS

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("file", SLIPS)
def test_a_slip_can_be_made(file):
    tests, pairs = SLIPS[file]
    source = (ROOT / file.replace("sepm_eval/tasks", "tasks")).read_text(encoding="utf-8")
    assert all((ROOT / "tests" / f"test_{name}.py").is_file() for name in tests.split())
    assert [written for written, _ in pairs if source.count(written) != 1] == []
    assert all(written != slip for written, slip in pairs)
