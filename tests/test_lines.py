"""A line of JSON of which some fields are read: the values are those of ``json.loads``."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepm_eval.runs.lines import line_reader

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
read = line_reader(("a", "b"), ("c",))


@given(st.dictionaries(st.sampled_from("abcd"), VALUES))
def test_values_are_as_json_has_them(content):
    """Of NaN, infinity, half surrogates and numbers of any size too."""
    line = json.dumps(content).encode()
    told = read(line)
    expected = {name: json.loads(line)[name] for name in "ab" if name in content}
    assert repr({name: told[name] for name in "ab" if name in told}) == repr(expected)
    assert repr(json.loads(told["c"]) if "c" in told else None) == repr(content.get("c") if "c" in content else None)
    assert told.keys() == content.keys() - {"d"}


def test_what_is_not_read_stands_as_written():
    assert read(b'{"c":  {"x": [1, 2]} , "a": 1}\n') == {"a": 1, "c": b'{"x": [1, 2]}'}


@pytest.mark.parametrize("line", [b"[1]", b"3", b'"a"', b"null", b"{", b"", b"\xff", b'{"a": "\xff"}', b'{"a": 1} x'])
def test_what_is_no_object_is_an_error(line):
    with pytest.raises((ValueError, TypeError)):
        read(line)


def test_the_last_of_two_values_counts():
    assert read(b'{"a": 1, "a": 2}') == json.loads('{"a": 1, "a": 2}')
