"""Where a run's journal lies when none is named, and that each process has its own."""

from __future__ import annotations

from test_runner import says_fear

from sepm_eval import get_method
from sepm_eval.runs.runner import Runner


def test_each_process_has_a_journal_of_its_own(tmp_path, scripted):
    runner = Runner(
        "b",
        scripted(says_fear),
        "zero_shot",
        get_method("zero_shot"),
        journal_path=tmp_path / "j.jsonl",
        shard=".rank1",
    )
    runner.journal.close()
    assert (tmp_path / "j.rank1.jsonl").exists()


def test_the_default_journal_tells_models_and_settings_apart(tmp_path, monkeypatch, scripted):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    paths = set()
    for alpha in (0.1, 0.2):
        runner = Runner("llava", scripted(says_fear), "sepm", get_method("sepm", alpha=alpha))
        runner.journal.close()
        paths.add(runner.journal.path)
    assert len(paths) == 2
    assert all(path.is_relative_to(tmp_path) for path in paths)
