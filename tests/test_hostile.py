"""Every hostile input ends as ``hostile.py`` says: refused by name, counted, or read with a stated result."""

from __future__ import annotations

import re
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hostile import Case, cases

CASES = cases()
SECONDS = 20


class TooSlow(BaseException):
    """No ``except Exception`` of the code under test may take it for a fault of the input."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    def stop(*_):
        raise TooSlow(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_documented(error: Exception) -> bool:
    """Ours, or a plain ValueError or FileNotFoundError: not the JSONDecodeError of something within."""
    return type(error) in (ValueError, FileNotFoundError) or type(error).__module__.startswith("sepm_eval.")


def test_there_are_at_least_300():
    assert len(CASES) >= 300
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_input(case: Case, tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    error = found = None
    with limited(SECONDS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of large and damaged pictures
        try:
            found = case.act(tmp_path)
        except Exception as raised:
            error = raised
    if error is not None:
        assert is_documented(error), f"{type(error).__name__} is not what a caller expects: {error!r}"
        assert case.refused is not None, f"should have been read: {error!r}"
        assert re.search(case.refused, str(error), re.DOTALL), str(error)[:500]
        str(error).encode()  # can be written to a log
    elif case.either:
        assert case.gives(found)
    else:
        assert case.refused is None, f"should have been refused, gave {str(found)[:300]}"
        assert found == case.gives
