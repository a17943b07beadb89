"""Proof that pruning happened: what records and reports say of it, and what becomes of a run in which it never did."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from make_runs import LLAVA, read_lines, run, write_lines
from typer.testing import CliRunner

from sepm_eval import Question, demo, get_method
from sepm_eval.backbone import cost
from sepm_eval.backbone.shared import Shared
from sepm_eval.cli import app
from sepm_eval.emotions import MIKELS
from sepm_eval.hosts.lmms_eval import model as lmms_eval_model
from sepm_eval.hosts.lmms_eval import run as lmms_eval_run
from sepm_eval.methods import find_methods
from sepm_eval.model_wrappers import known_checkpoint
from sepm_eval.prompts import WORDINGS, fine
from sepm_eval.report.proofs import pruning_table
from sepm_eval.report.stages import costs
from sepm_eval.report.write import write_report
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.method_checks import PruningCounter, never_pruned
from sepm_eval.runs.results import read_runs
from sepm_eval.runs.runner import Runner

DATE = "20261101_120000"
NEEDS_MORE = {"cdpruner", "dan"}  # than the demo model has, or at times drops nothing


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", sorted(set(find_methods()) - NEEDS_MORE))
def test_a_method_drops_tokens_if_it_says_so(demo_backbone, name, shared):
    paths = sorted((demo.PICTURES / "seen").glob("*_000.jpg"))[:2]
    questions = [Question(path, tuple(MIKELS), tuple(MIKELS.values())) for path in paths]
    method = get_method(name)
    for answer in method.answer(questions, Shared(demo_backbone) if shared else demo_backbone):
        assert (answer.tokens_left < answer.visual_tokens) == method.drops


@pytest.mark.parametrize(
    ("name", "options", "drops"),
    [
        ("sepm", {"beta": 0.0}, False),
        ("sepm", {"vta": False}, False),
        ("random_drop", {"beta": 0.1}, True),
        ("divprune", {"budget": 576}, False),
        ("fastv", {"budget": 576}, False),
        ("fastv", {"keep": 575}, True),
        ("pyramiddrop", {"budget": 576}, False),
    ],
)
def test_options_that_drop_nothing(name, options, drops):
    assert get_method(name, **options).drops == drops


@pytest.mark.parametrize(("name", "expected"), [("fastv", 64 / 3), ("pyramiddrop", 64 / 3)])
def test_the_budget_is_the_average_over_the_layers(demo_backbone, name, expected):
    """In a model deep enough for it; FastV with one layer that sees all, of the demo's five."""
    options = {"layer": 1} if name == "fastv" else {}
    question = Question(next((demo.PICTURES / "seen").glob("*_000.jpg")), tuple(MIKELS), tuple(MIKELS.values()))
    answer = get_method(name, budget=192, **options).answer(question, demo_backbone)
    assert answer.tokens_left == pytest.approx(expected, abs=0.5)


def changed(folder, method, **fields):
    """A run whose journal says something else of every answer."""
    run(folder, "sepm_llava", LLAVA, method, "emoset", 0.5, DATE)
    for path in (folder / "journals").glob("*.jsonl"):
        lines = read_lines(path)
        if lines[0]["method"]["name"] == method.partition(",")[0]:
            write_lines(path, [{**line, **fields} for line in lines])


@pytest.fixture
def dead(tmp_path):
    """Zero-shot, an adapter that did nothing, and one that worked."""
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.5, DATE)
    changed(tmp_path, "fastv", tokens_left=64.0)
    changed(tmp_path, "pyramiddrop", tokens_left=21.5)
    return tmp_path


def test_the_report_marks_a_run_that_never_dropped_a_token(dead, tmp_path):
    runs = read_runs([dead])
    rows = {row["method"]: row for row in pruning_table(runs).records}
    assert set(rows) == {"fastv", "pyramiddrop"}
    assert (rows["fastv"]["fired"], rows["fastv"]["pictures_pruned"], rows["fastv"]["tokens_left"]) == (False, 0, 64)
    assert (rows["pyramiddrop"]["fired"], rows["pyramiddrop"]["pictures_pruned"]) == (True, 1)
    assert rows["pyramiddrop"]["tokens_left"] == 21.5
    by_name = {one.variant: one for one in runs}
    pairs = zip(by_name["zero_shot"].outcomes, by_name["fastv"].outcomes, strict=True)
    assert rows["fastv"]["answers_changed"] == sum(a.score.label != b.score.label for a, b in pairs) / 32
    page = write_report(runs, tmp_path / "page").with_suffix(".md").read_text(encoding="utf-8")
    assert "fastv dropped no visual token of any of 32 pictures" in page
    assert "NEVER DROPPED A TOKEN" in page
    assert "pyramiddrop dropped no visual token" not in page


def test_one_picture_is_enough(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "fastv", "emoset", 0.5, DATE)
    (path,) = (tmp_path / "journals").glob("*.jsonl")
    first, *others = read_lines(path)
    write_lines(path, [{**first, "tokens_left": 30}, *({**line, "tokens_left": 64} for line in others)])
    (only,) = read_runs([tmp_path])
    assert never_pruned(only) == ""
    assert pruning_table([only]).records[0]["pictures_pruned"] == 1 / 32


@pytest.mark.parametrize("method", ["fastv,budget=576", "zero_shot", "sepm,vta=False"])
def test_a_method_that_is_to_drop_nothing_is_not_marked(tmp_path, method):
    changed(tmp_path, method, tokens_left=64)
    (only,) = read_runs([tmp_path])
    assert never_pruned(only) == ""
    assert pruning_table([only]) is None


def test_journals_that_do_not_say_are_not_marked(tmp_path):
    changed(tmp_path, "fastv", tokens_left=None)
    (only,) = read_runs([tmp_path])
    assert never_pruned(only) == ""


@pytest.mark.parametrize("odd", ["64", -1, True, [1]])
def test_what_is_no_count_is_no_record(tmp_path, odd):
    changed(tmp_path, "fastv", tokens_left=odd)
    with pytest.raises(ValueError, match="not a journal record"):
        read_runs([tmp_path])


def test_the_command_ends_with_status_1(dead, tmp_path, monkeypatch):
    result = lmms_eval_run.PlanResult(done=read_runs([dead]))
    monkeypatch.setattr(lmms_eval_run, "run_plan", lambda plan, folder: result)
    called = CliRunner().invoke(app, ["run", "demo", "--out", str(tmp_path / "out")])
    assert called.exit_code == 1
    assert "fastv dropped no visual token of any of 32 pictures, although its options say so" in called.output
    result.done = [one for one in result.done if one.method != "fastv"]
    assert CliRunner().invoke(app, ["run", "demo", "--out", str(tmp_path / "out")]).exit_code == 0


def test_a_runner_says_that_nothing_was_dropped(scripted, picture, tmp_path, caplog):
    """The scripted model takes no notice of ``prune``: a dead adapter, as public result logs have listed them."""

    def answer(name):
        runner = Runner(
            "scripted", scripted(lambda _: {"A": 1.0}), name, get_method(name), journal_path=tmp_path / name
        )
        question = fine(zip("AB", ("Joy", "Fear"), strict=True), WORDINGS["paper"])
        runner.answer([Asked("task", 0, lambda: (question, [picture]), 8)], quiet=True)
        runner.journal.close()
        return runner.dropping

    assert answer("divprune").flaw() == answer("zero_shot").flaw() == ""
    assert "dropped no visual token" not in caplog.text
    found = answer("fastv")
    told = "fastv on scripted dropped no visual token of any of 1 pictures, although its options say so"
    assert found.flaw().startswith(told)
    assert told in caplog.text
    again = answer("fastv")  # from the journal
    assert (again.recorded, again.pruned, again.flaw()) == (1, 0, found.flaw())


def test_lmms_evals_own_command_ends_with_status_1(monkeypatch, tmp_path):
    """Its status is 0 whatever happens, so nothing else would keep the numbers from being listed."""
    dropping, journal = PruningCounter("fastv on demo", wanted=True), SimpleNamespace(path=tmp_path / "journal.jsonl")
    runner = SimpleNamespace(identity=None, keys={}, facts={}, journal=journal, dropping=dropping)
    runner.answer = lambda questions, quiet: dropping.add({"tokens_left": 64.0, "visual_tokens": 64}) or ["A"]
    model = object.__new__(lmms_eval_model.sepm_llava)
    model._runner, model._rank, model._questions = runner, 0, lambda requests: requests
    monkeypatch.setattr(sys, "argv", ["a notebook"])
    assert model.generate_until([None]) == ["A"]
    monkeypatch.setattr(sys, "argv", ["/bin/lmms-eval", "--tasks", "emoset"])
    with pytest.raises(SystemExit, match="fastv on demo dropped no visual token of any of 2 pictures") as found:
        model.generate_until([None])
    assert str(journal.path) in str(found.value)
    dropping.add({"tokens_left": 21.5, "visual_tokens": 64})
    assert model.generate_until([None]) == ["A"]


def test_dan_is_shown_where_it_dropped(tmp_path):
    """It drops where several emotions are likely only, which its paper calls the trigger rate."""
    run(tmp_path, "sepm_llava", LLAVA, "dan", "emoset", 0.5, DATE)
    (path,) = (tmp_path / "journals").glob("*.jsonl")
    lines = [{**line, "dropped": [], "tokens_left": 64} for line in read_lines(path)]
    write_lines(path, lines)
    assert pruning_table(read_runs([tmp_path])) is None
    write_lines(path, [{**line, "dropped": [0, 1], "tokens_left": 62} for line in lines[:8]] + lines[8:])
    (only,) = read_runs([tmp_path])
    (row,) = pruning_table([only]).records
    assert (row["pictures_pruned"], row["fired"], never_pruned(only)) == (0.25, True, "")


def test_operations_stand_beside_accuracy(tmp_path):
    """Of a model whose shapes are known; a pruned prompt takes less, and a longer answer more to write."""
    for method in ("zero_shot", "fastv", "zero_shot_cot"):
        run(tmp_path, "sepm_llava", LLAVA, method, "emoset", 0.5, DATE)
    run(tmp_path, "sepm_llava", "somebody/unknown", "zero_shot", "emoset", 0.5, DATE, place="unknown")
    for path in tmp_path.rglob("*zero_shot_cot*/*samples*"):
        lines = read_lines(path)
        write_lines(path, [{**line, "filtered_resps": "The picture is bright. So A"} for line in lines])
    for path in (tmp_path / "journals").glob("*cot*"):
        write_lines(path, [{**line, "text": "The picture is bright. So A"} for line in read_lines(path)])
    runs = read_runs([tmp_path])
    rows = {(row["model"], row["method"]): row for row in costs(runs).records}
    plain, pruned, long = (rows[LLAVA, name] for name in ("zero_shot", "fastv", "zero_shot_cot"))
    geometry = known_checkpoint(LLAVA).geometry
    work = get_method("zero_shot").work(geometry, cost.Text(35, (round(len(runs[0].outcomes[0].question) / 3.3),)))
    assert plain["prefill_tflop"] == cost.prefill(geometry, work) / 1e12
    assert plain["writing_tflop"] == cost.writing(geometry, work, 1) / 1e12
    assert pruned["prefill_tflop"] < 0.6 * plain["prefill_tflop"]
    assert long["writing_tflop"] == pytest.approx(8 * plain["writing_tflop"], rel=0.01)
    assert plain["accuracy"] == next(one for one in runs if one.method == "zero_shot").accuracy
    unknown = rows["somebody/unknown", "zero_shot"]
    assert (unknown["prefill_tflop"], unknown["writing_tflop"]) == (None, None)
