"""Every hostile input ends as ``hostile`` says: refused by name, counted, or read with a stated result."""

from __future__ import annotations

import json
import re
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from hostile import cases
from hostile.case import Case
from hostile.pictures import BROKEN_PICTURES
from miniature import emoset_release

from sepm_eval import get_method
from sepm_eval.datasets import find_benchmarks
from sepm_eval.report.write import write_report
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.identity import answering
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.results import read_runs
from sepm_eval.runs.runner import Runner
from sepm_eval.submit import About, Incomplete, submit
from sepm_eval.tasks.documents import documents
from sepm_eval.tasks.functions import doc_to_text, doc_to_visual, process_results

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


def test_a_run_over_many_bad_pictures_counts_names_and_shows_them(tmp_path, monkeypatch, scripted, caplog):
    """Ten of 32 pictures are broken: ten failures, 22 answers; the journal and the report name the ten."""
    # long because: one run is followed to its end
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    release = emoset_release(tmp_path, per_class=4)
    bad = sorted(release.rglob("*_0000[13].jpg"))[: len(BROKEN_PICTURES)]
    for path, make in zip(bad, BROKEN_PICTURES.values(), strict=True):
        path.write_bytes(make())
    docs = documents(find_benchmarks()["emoset"])
    questions = [
        Asked(
            "emoset",
            n,
            partial(lambda doc: (doc_to_text(doc), doc_to_visual(doc)), doc),
            8,
            item=(doc["benchmark"], doc["id"]),
        )
        for n, doc in enumerate(docs)
    ]
    journal = tmp_path / "out" / "journal.jsonl"
    method = get_method("zero_shot")
    runner = Runner("scripted", scripted(lambda _: {"C": 1.0}), "zero_shot", method, batch_size=4, journal_path=journal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = runner.answer(questions, quiet=True)
    runner.journal.close()
    assert f"{len(bad)} of 32 questions could not be asked; each counts as failed" in caplog.text
    failed = [record for record in read_journal(journal) if record["status"] == "failed"]
    assert len(failed) == len(bad) == 10
    assert all(any(str(path) in record["error"] for record in failed) for path in bad)

    answering.start(runner.identity, runner.keys)
    samples = [
        {**process_results(doc, [output]), "doc_id": n, "filtered_resps": [output], "input": doc["question"]}
        for n, (doc, output) in enumerate(zip(docs, outputs, strict=True))
    ]
    answering.start(None)
    config = {"model": runner.identity.entry, "model_args": ""}
    counts = {"n-samples": {"emoset": {"original": 32, "effective": 32}}}
    (tmp_path / "out" / "x_results.json").write_text(
        json.dumps({"config": config, "date": "20261101_120000", **counts})
    )
    text = "".join(json.dumps(sample) + "\n" for sample in samples)
    (tmp_path / "out" / "x_samples_emoset.jsonl").write_text(text)
    (run,) = read_runs([tmp_path / "out"])
    assert (run.count("failed"), len(run.scored), run.missing, run.complete) == (10, 22, 0, False)
    page = write_report([run], tmp_path / "report")
    details = list((page.parent / "pages").iterdir())
    for told in (page, page.with_suffix(".md"), *details):
        assert "is incomplete: 10 questions failed" in told.read_text()
    for told in details:
        assert all(path.stem in told.read_text().replace("\\", "") for path in bad)
    with pytest.raises(Incomplete, match="10 failed"):
        submit([run], "csv", tmp_path / "submission", About())
