"""A file that is no journal is refused and left as it was; what a first write can leave is begun anew."""

from __future__ import annotations

import json

import pytest
from test_journal import record, write

from sepm_eval.runs.journal import Journal, read_journal

NO_JOURNALS = {
    "json": json.dumps({"a": 1, "b": [1, 2]}, indent=1).encode(),
    "json in one line": b'{"key": "a", "value": 1}',
    "json in one line, with more after it": b'{"key": 1} and {"key": 2',
    "a torn record of other bytes": b'{"key": "a\xff',
    "zeros": b"\x00" * 5000,
    "safetensors": (60).to_bytes(8, "little")
    + b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}\x00\x00\x80?',
    "text without a line break": b"notes",
    "text": b"notes\nmore notes",
    "a journal with something before it": b"\n" + json.dumps(record()).encode() + b"\n",
    "a record in another form": json.dumps(record(), separators=(",", ":")).encode() + b"\n",
    "samples": b'{"doc_id": 0, "target": "joy"}\n{"doc_id": 1, "ta',
    "damage before a torn line": json.dumps(record()).encode() + b'\n{"key": "b"}\n{"key',
}


@pytest.mark.parametrize("content", NO_JOURNALS.values(), ids=NO_JOURNALS)
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_was(tmp_path, content):
    """Whoever mistypes ``journal=`` must not lose a checkpoint."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    for _ in range(2):  # nothing is left locked
        with pytest.raises(ValueError, match=r"model\.safetensors.* is not a journal"):
            Journal(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"key": ', b'{"key": "a", "task": "t", "do', json.dumps(record()).encode()]
)
def test_what_a_first_write_can_leave_is_begun_anew(tmp_path, content):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    write(path, record("b"))
    assert [r["key"] for r in read_journal(path)] == ["b"]
