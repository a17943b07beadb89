"""Reading runs back: what counts as one, what goes together, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
from make_runs import LLAVA, NASTY, RUNS, read_lines, run, write_lines
from make_runs import make as make_runs

from sepm_eval.datasets import find_benchmarks
from sepm_eval.report.write import write_report
from sepm_eval.runs.results import DifferentItems, NoResults, paired, parse_model_args, read_runs


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
    found = one(runs, "zero_shot")
    assert found.date == datetime(2026, 11, 2, 12, tzinfo=timezone.utc)
    assert [path.name for path in found.superseded] == ["20261101_120000_emotion6_results.json"]


def test_journals_are_joined(runs):
    run = one(runs, "sepm (beta=0.4)")
    assert all(list(outcome.record.dropped) == list(range(25)) for outcome in run.outcomes)
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


@pytest.mark.parametrize("change", [{"key": "0" * 64}, {"task": "emotion6"}, {"doc_id": 7}])
def test_a_record_of_another_question_is_not_joined(tmp_path, change):
    """Same text, same method: but of other pictures, weights, lists or folders, so its key is another."""
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    (journal,) = (tmp_path / "journals").glob("*.jsonl")
    records = read_lines(journal)
    write_lines(journal, [records[0] | change, *records[1:]])
    (found,) = read_runs([tmp_path])
    assert [outcome.record is None for outcome in found.outcomes] == [True] + [False] * 31


def test_journals_of_other_folders_change_nothing(tmp_path):
    """Another list's journal named beside a run: the same doc_ids and letters, other pictures."""
    run(tmp_path / "a", "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    run(tmp_path / "b", "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000", pictures="other ")
    (alone,) = read_runs([tmp_path / "a"])
    (beside,) = [r for r in read_runs([tmp_path / "a", tmp_path / "b"]) if r.exam == alone.exam]
    assert beside.outcomes == alone.outcomes
    shutil.rmtree(tmp_path / "a" / "journals")
    (without,) = [r for r in read_runs([tmp_path / "a", tmp_path / "b"]) if r.exam == alone.exam]
    assert all(outcome.record is None for outcome in without.outcomes)


def test_lines_of_other_keys_are_not_read(tmp_path):
    """A journal may hold many runs; what is not wanted is passed over, whatever it is."""
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    (journal,) = (tmp_path / "journals").glob("*.jsonl")
    with journal.open("ab") as file:
        file.write(b'{"key": "' + b"1" * 64 + b'", "status": [[[\n')
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
    assert failed.outcomes[5].record.error.startswith("UnreadableImage")
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
        ({"label": "joy"}, "had other labels for 25 items of emotion6, such as"),
        ({"picture": "0"}, "had other pictures for 30 items of emotion6"),
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


def _with_options(tmp_path, change):
    """The run of a stock model, read again after every sample was changed."""
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (log,) = tmp_path.rglob("*_samples_emoset.jsonl")
    write_lines(log, [change(sample) for sample in read_lines(log)])
    (found,) = read_runs([tmp_path])
    return found


def test_a_log_says_what_was_offered(tmp_path):
    """So no question is read to find out; a log without it is of an earlier version, whose question is read."""
    as_logged = _with_options(tmp_path / "a", lambda sample: sample)
    without = _with_options(tmp_path / "b", lambda sample: {k: v for k, v in sample.items() if k != "options"})
    worded = _with_options(tmp_path / "c", lambda sample: {**sample, "input": "Which of the eight is it?"})
    assert as_logged.options == without.options == worded.options == find_benchmarks()["emoset"].options
    assert as_logged.right == without.right == worded.right > 0


@pytest.mark.parametrize("options", [{}, {"awe": "Awe"}, ["awe", "anger"], {"awe": 1, "anger": 2}, "awe", 5])
def test_options_that_are_none_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match=r"line 1 is no sample .*\(options is .*, no labels with their names"):
        _with_options(tmp_path, lambda sample: {**sample, "options": options})


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


def logs(folder):
    (samples,) = folder.rglob("*_samples_*.jsonl")
    return samples, read_lines(samples)


def test_a_log_of_ours_without_an_identity_is_refused(tmp_path):
    """As version 0.1 wrote them, which read answers otherwise."""
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    path, samples = logs(tmp_path)
    write_lines(path, [{k: v for k, v in one.items() if k not in ("run", "record", "identity")} for one in samples])
    with pytest.raises(ValueError, match=r"emoset_results\.json does not say who answered: .* sepm-eval 0\.1"):
        read_runs([tmp_path])


def test_answers_from_the_hosts_cache_are_refused(tmp_path):
    """lmms-eval's --use_cache gives back what any weights said; no journal record stands behind such an answer."""
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    path, samples = logs(tmp_path)
    for sample in samples[3:6]:
        del sample["record"]
    write_lines(path, samples)
    with pytest.raises(ValueError, match=r"3 answers did not come from this run's model but from .*--use_cache"):
        read_runs([tmp_path])


def test_a_changed_identity_is_refused(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    path, samples = logs(tmp_path)
    samples[0]["identity"]["options"]["beta"] = 0.1
    write_lines(path, samples)
    with pytest.raises(ValueError, match=r"line 1: the identity of .* was changed by hand; move the file away"):
        read_runs([tmp_path])
    del samples[0]["identity"]
    write_lines(path, samples)
    with pytest.raises(ValueError, match=r"names the run [0-9a-f]{16}, whose identity is in none of the logs"):
        read_runs([tmp_path])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "1" * 64}, "2 different runs"),
        ({"item_list": "x"}, "of the lists"),
        ({"label": "awe", "options": {"awe": "Awe", "fear": "Fear"}}, "offer 2 different sets of options"),
    ],
)
def test_two_runs_in_one_log_are_refused(tmp_path, change, message):
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    path, samples = logs(tmp_path)
    write_lines(path, [*samples[:-1], samples[-1] | change])
    with pytest.raises(ValueError, match=message):
        read_runs([tmp_path])


def test_a_trial_never_displaces_a_complete_run(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000", place="all")
    later = {"items": slice(0, 4), "available": 32, "place": "trial"}
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261103_120000", **later)
    runs = {found.column: found for found in read_runs([tmp_path])}
    assert {name: len(found.outcomes) for name, found in runs.items()} == {
        "emoset [mini, all 32]": 32,
        "emoset [mini, items 1 to 4 of 32]": 4,
    }


def test_an_incomplete_repeat_does_not_displace_a_complete_run(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000", place="a")
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261103_120000", place="b")
    (path,) = (tmp_path / "b").glob("*_samples_*")
    samples = read_lines(path)
    samples[2]["filtered_resps"] = "[sepm_eval: not answered] OSError: gone"
    write_lines(path, samples)
    (found,) = read_runs([tmp_path])
    assert (found.date.day, found.complete, len(found.superseded)) == (1, True, 1)


def test_lmms_evals_clock_is_not_ours(tmp_path):
    """Its stamp is Singapore's unless told otherwise: 02:00 there on the 2nd is 18:00 UTC on the 1st."""
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261102_020000")
    path, samples = logs(tmp_path)
    for sample in samples:
        del sample["answered_at"]
    write_lines(path, samples)
    assert read_runs([tmp_path])[0].date == datetime(2026, 11, 1, 18, tzinfo=timezone.utc)


def test_reading_runs_loads_no_torch():
    """A report on many items has to fit beside a model, and torch alone takes half a gigabyte."""
    code = (
        "import sys; from pathlib import Path; from sepm_eval.runs.results import read_runs\n"
        f"runs = read_runs([Path({str(RUNS)!r})]); from sepm_eval.report.tables import all_tables; all_tables(runs)\n"
        "print(sorted({'torch', 'transformers', 'lmms_eval'} & set(sys.modules)), len(runs))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[] 26"
