"""Reading runs back: what counts as one, what goes together, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from make_runs import LLAVA, NASTY, RUNS, run
from make_runs import make as make_runs

from sepm_eval.report.write import write_report
from sepm_eval.results import DifferentItems, NoResults, paired, parse_model_args, read_runs


@pytest.fixture(scope="module")
def runs():
    return read_runs([RUNS])


def one(runs, variant, task="emotion6", model=LLAVA):
    (found,) = [run for run in runs if (run.variant, run.task, run.model) == (variant, task, model)]
    return found


def test_the_committed_runs_are_what_the_script_makes(tmp_path):
    make_runs(tmp_path)
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert fresh == {path.relative_to(RUNS): path.read_bytes() for path in RUNS.rglob("*") if path.is_file()}


def test_methods_and_settings_are_told_apart(runs):
    assert {run.variant for run in runs if run.method == "sepm" and run.model == LLAVA} == {
        *("sepm", "sepm (beta=0.1)", "sepm (beta=0.4)", "sepm (alpha=0.05)", "sepm (alpha=0.2)", "sepm (vta=False)")
    }
    assert one(runs, "sepm").settings["beta"] == 0.2
    assert one(runs, "llava_hf").settings == {}


def test_of_a_repeated_run_the_latest_counts(runs):
    assert one(runs, "zero_shot").date == "20261102_120000"


def test_journals_are_joined(runs):
    run = one(runs, "sepm (beta=0.4)")
    assert all(outcome.record["method"]["beta"] == 0.4 for outcome in run.outcomes)
    assert run.versions["lmms-eval"] == "0.7.3"
    assert all(outcome.record is None for outcome in one(runs, "llava_hf").outcomes)


def test_journals_of_several_processes_are_one(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    (journal,) = (tmp_path / "journals").glob("*.jsonl")
    lines = journal.read_text().splitlines(keepends=True)
    for rank in (0, 1):
        journal.with_name(f"{journal.stem}.rank{rank}.jsonl").write_text("".join(lines[rank::2]))
    journal.unlink()
    (found,) = read_runs([tmp_path])
    assert all(outcome.record is not None for outcome in found.outcomes)


def test_a_journal_from_before_a_setting_is_joined(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    (journal,) = (tmp_path / "journals").glob("*.jsonl")
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    for record in records:
        del record["method"]["vta"]
    journal.write_text("".join(json.dumps(record) + "\n" for record in records))
    (found,) = read_runs([tmp_path])
    assert all(outcome.record is not None for outcome in found.outcomes)


def test_a_record_of_another_answer_is_not_joined(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    (journal,) = (tmp_path / "journals").glob("*.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    lines[0]["text"] = "Z"
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = read_runs([tmp_path])
    assert found.outcomes[0].record is None
    assert found.outcomes[1].record is not None


def test_failed_unparsed_and_wrong_are_three_things(runs):
    failed, unparsed = one(runs, "sparsevlm", "emoset"), one(runs, "zero_shot_cot")
    assert (failed.count("failed"), len(failed.scored), len(failed.outcomes)) == (1, 31, 32)
    assert not failed.complete
    assert failed.outcomes[5].record["error"].startswith("UnreadableImage")
    assert (unparsed.count("unparsed"), len(unparsed.scored)) == (1, 30)
    assert unparsed.outcomes[3].output == NASTY
    assert unparsed.complete


def test_a_limited_run_is_not_complete(tmp_path):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (path,) = tmp_path.rglob("*_results.json")
    results = json.loads(path.read_text())
    results["n-samples"]["emoset"]["original"] = 17716
    path.write_text(json.dumps(results))
    (found,) = read_runs([tmp_path])
    assert not found.complete
    assert (found.asked, found.available, found.missing) == (32, 17716, 0)


def test_pairs_are_by_item(runs):
    pairs = paired(one(runs, "zero_shot", "emoset"), one(runs, "sparsevlm", "emoset"))
    assert len(pairs) == 31  # not the one that failed
    assert all(first.item == second.item for first, second in pairs)


def test_different_items_are_not_paired(runs, tmp_path):
    base = one(runs, "zero_shot")
    with pytest.raises(DifferentItems, match="differ in their task: 'emotion6' and 'emoset'"):
        paired(base, one(runs, "zero_shot", "emoset"))
    for change, message in (
        ({"item_list": "other"}, "differ in their item_list: 'mini' and 'other'"),
        ({"item_id": "another {}"}, "were asked different items of emotion6: 60 are only in one"),
        ({"label": "joy"}, "have other labels in one run"),
    ):
        folder = tmp_path / next(iter(change))
        run(folder, "llava_hf", LLAVA, "", "emotion6", 0.5, "20261101_120000")
        (log,) = folder.rglob("*_samples_emotion6.jsonl")
        new = [{key: value.format(n) for key, value in change.items()} for n in range(30)]
        samples = [json.loads(line) | one for line, one in zip(log.read_text().splitlines(), new, strict=True)]
        log.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
        (other,) = read_runs([folder])
        with pytest.raises(DifferentItems, match=message):
            paired(base, other)


def test_nothing_to_read(tmp_path):
    with pytest.raises(NoResults, match="is no folder"):
        read_runs([tmp_path / "nowhere"])
    with pytest.raises(NoResults, match="--log_samples"):
        read_runs([tmp_path])


@pytest.mark.parametrize("damage", [b"{", b"[]", b"null\n", b"\xff\xfe"])
@pytest.mark.parametrize("kind", ["*_results.json", "*_samples_emoset.jsonl"])
def test_damaged_files_are_named(tmp_path, kind, damage):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (path,) = tmp_path.rglob(kind)
    path.write_bytes(damage)
    with pytest.raises(ValueError, match=path.name) as error:
        read_runs([tmp_path])
    assert "move" in str(error.value)


def test_samples_of_other_tasks_are_left_alone(tmp_path):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (log,) = tmp_path.rglob("*_samples_emoset.jsonl")
    stamp = log.name.partition("_samples_")[0]
    log.with_name(f"{stamp}_samples_mme.jsonl").write_text(json.dumps({"doc_id": 0, "input": "Is there a dog?"}) + "\n")
    assert [run.task for run in read_runs([tmp_path])] == ["emoset"]


def test_folders_may_overlap():
    folder = RUNS / "llava_hf_"
    assert len(read_runs([folder, folder, Path(str(folder))])) == 2


def test_a_copy_elsewhere_reads_the_same(tmp_path, runs):
    shutil.copytree(RUNS, tmp_path / "runs")
    assert [run.title for run in read_runs([tmp_path])] == [run.title for run in runs]


def test_line_separators_in_an_answer_end_no_line(tmp_path):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (log,) = tmp_path.rglob("*_samples_emoset.jsonl")
    samples = [json.loads(line) for line in log.read_text().splitlines()]
    samples[0]["filtered_resps"] = "A man\u2028is smiling\x85"
    log.write_text("".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples), encoding="utf-8")
    (found,) = read_runs([tmp_path])
    assert found.outcomes[0].output == "A man\u2028is smiling\x85"


def test_half_a_character_in_an_answer_can_be_reported(tmp_path):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (log,) = tmp_path.rglob("*_samples_emoset.jsonl")
    samples = [json.loads(line) for line in log.read_text().splitlines()]
    samples[0]["filtered_resps"], samples[1]["item_id"] = "B\ud800", "a\udcff"
    log.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    (found,) = read_runs([tmp_path])
    assert (found.outcomes[0].output, found.outcomes[0].score.status) == ("B\\ud800", "unparsed")
    assert found.outcomes[1].item == "a\\udcff"
    write_report([found], tmp_path / "report")


def test_model_args():
    assert parse_model_args("pretrained=a/b,beta=0.1, method=sepm,") == {
        "pretrained": "a/b",
        "beta": "0.1",
        "method": "sepm",
    }
    assert parse_model_args({"beta": 0.1}) == {"beta": "0.1"}
