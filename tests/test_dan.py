"""DAN against the numbers of an independent reference (tests/oracles/dan), and what it does around them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from conftest import ORACLES, Oracle
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.cost import Text, flops
from sepm_eval.backbone.interface import VisualTokens, Written
from sepm_eval.backbone.shared import Shared
from sepm_eval.cli import app
from sepm_eval.emotions import MIKELS, POLARITY
from sepm_eval.methods import numbered
from sepm_eval.methods.dan_case import discrepancy, gated, pick_candidates
from sepm_eval.model_wrappers import find_backbone
from sepm_eval.runs.answer_fields import of_answer
from sepm_eval.runs.plan import Plan
from sepm_eval.runs.preflight import look

VARIANTS = {
    "main": {},
    "gate_none": {"gate": "none"},
    "gate_hard": {"gate": "hard"},
    "layers_last": {"layers": "last"},
    "layers_first3": {"layers": "first3"},
    "layers_all": {"layers": "all"},
    "context": {"contrast_in_context": True},
}


class Watched:
    """A backbone that keeps what it was asked and what it read; on features of the reference's own."""

    def __init__(self, backbone, visual: VisualTokens):
        self._backbone, self._visual, self.reads = backbone, visual, []

    def __getattr__(self, name):
        return getattr(self._backbone, name)

    def see(self, images, side=1.0):
        return self._visual

    def read(self, prompts, visual, **how):
        reading = self._backbone.read(prompts, visual, **how)
        self.reads.append((list(prompts), how, reading))
        return reading


class Reference:
    """One model of the reference, and our answers with it."""

    def __init__(self, name: str) -> None:
        self.oracle = Oracle(f"dan/{name}")
        self.backbone = load_backbone("llava", str(self.oracle.folder / "original"), device="cpu", dtype="float32")
        seen = self.backbone.see(self.oracle.images)
        self.visual = VisualTokens(
            tuple(
                dataclasses.replace(picture, features=torch.from_numpy(self.oracle[f"features/{i}"]))
                for i, picture in enumerate(seen.pictures)
            )
        )

    def questions(self, which: str) -> list[Question]:
        about = self.oracle.meta["questions"][which]
        labels = tuple(about["options"])
        return [Question(image, labels, labels, positive=about["positive"]) for image in self.oracle.images]

    def method(self, **options):
        return get_method("dan", analysis_tokens=self.oracle.meta["max_new_tokens"], **options)

    def answers(self, which: str, **options):
        watched = Watched(self.backbone, self.visual)
        return self.method(**options).answer(self.questions(which), watched), watched.reads


@pytest.fixture(scope="module", params=["n16", "n64"])
def reference(request):
    return Reference(request.param)


@pytest.fixture(params=["q8", "q6"])
def which(request):
    return request.param


def ids(reference, prompt, begun=()):
    """A prompt's ids as the reference holds them: -200 for the picture."""
    tokens = reference.backbone._tokenise(prompt, image=True, probe=None, begun=begun)
    return [*tokens.before, -200, *tokens.after]


def test_prompts_and_logits_of_polarity_and_emotions(reference, which):
    """The analysis, in a dialogue as the original writes it, and both questions up to the space in front of a digit."""
    oracle = reference.oracle
    answers, reads = reference.answers(which, cdvp=False)
    assert reference.backbone.answer_ids(["1"])[0][:-1] == oracle.meta["prefix_ids"]
    for i in range(3):
        written = reference.backbone._tokenizer.decode(oracle[f"analysis_ids/{i}"].tolist()).strip()
        assert answers[i].evidence.analysis == written
        assert answers[i].evidence.written == len(oracle[f"analysis_ids/{i}"])
    for stage, (prompts, how, reading) in zip("cf", reads[1:], strict=True):
        for i in range(3):
            assert ids(reference, prompts[i], how["begun"]) == oracle[f"{which}/{stage}/input_ids/{i}"].tolist()
            np.testing.assert_allclose(reading.logits[i], oracle[f"{which}/{stage}/logits/{i}"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant(reference, which, variant):
    oracle, labels = reference.oracle, reference.oracle.meta["questions"][which]["options"]
    answers, reads = reference.answers(which, **VARIANTS[variant])
    deciding = [row for row in range(3) if len(answers[row].evidence.candidates) > 1]
    for i, answer in enumerate(answers):
        name, evidence = f"{which}/{variant}", answer.evidence
        assert evidence.p_positive == pytest.approx(oracle[f"{which}/p/{i}"][0], abs=1e-5)
        assert list(evidence.scores) == labels
        np.testing.assert_allclose(list(evidence.scores.values()), oracle[f"{name}/s_hat/{i}"], atol=1e-5, rtol=0)
        assert evidence.candidates == tuple(labels[one] for one in oracle[f"{name}/S/{i}"])
        assert answer.label == labels[int(oracle[f"{name}/label/{i}"])]
        assert (answer.text, answer.letter) == (answer.letter, answer.letter)
        if i not in deciding:
            assert (evidence.discrepancy, evidence.dropped) == (None, ())
            continue
        np.testing.assert_allclose(evidence.discrepancy, oracle[f"{name}/delta/{i}"], atol=1e-6, rtol=0)
        gap = oracle.meta["cases"][f"{which}/{i}"][variant]["gap_at_cut"]
        swapped = set(evidence.dropped) ^ set(oracle[f"{name}/dropped/{i}"].tolist())
        assert len(swapped) <= (0 if gap > 1e-6 else 2)
        assert [place for place, kept in enumerate(answer.kept) if not kept] == list(evidence.dropped)
        prompts, how, reading = reads[-1]
        row = deciding.index(i)
        assert ids(reference, prompts[row], how["begun"]) == oracle[f"{name}/d/input_ids/{i}"].tolist()
        if not swapped:
            np.testing.assert_allclose(reading.logits[row], oracle[f"{name}/d/logits/{i}"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", ["main", "layers_last", "layers_first3", "layers_all"])
def test_attention_of_each_contrast(reference, which, variant):
    """The mean over the tokens of the question itself, in the layers that are named."""
    oracle = reference.oracle
    answers, reads = reference.answers(which, **VARIANTS[variant])
    contrasts = [read for read in reads if "probe" in read[1]]
    for place, (prompts, how, reading) in enumerate(contrasts):
        rows = [i for i in range(3) if len(answers[i].evidence.candidates) > max(place, 1)]
        for i, prompt, phrase, seen in zip(rows, prompts, how["probe"], reading.probe_attention, strict=True):
            np.testing.assert_allclose(seen, oracle[f"{which}/{variant}/A/{i}"][place], atol=1e-6, rtol=0)
            assert ids(reference, prompt) == oracle[f"{which}/ctr{place}/input_ids/{i}"].tolist()
            probed = reference.backbone._tokenise(prompt, image=True, probe=phrase).probed
            assert probed == oracle[f"{which}/ctr{place}/rows/{i}"].tolist()


def same(one, other):
    """Answers that differ by rounding at most."""
    assert (one.label, one.prompts) == (other.label, other.prompts)
    few = {"discrepancy": None, "scores": None, "p_positive": 0, "p_negative": 0, "confidence": 0}
    assert dataclasses.replace(one.evidence, **few) == dataclasses.replace(other.evidence, **few)
    for name in ("option_probabilities", "scores"):
        pair = [getattr(answer if name[0] == "o" else answer.evidence, name) for answer in (one, other)]
        np.testing.assert_allclose(*(list(values.values()) for values in pair), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "options", [{}, {"beta": 0.0}, {"contrast_in_context": True}, {"scene": False, "object": False}]
)
def test_reading_the_picture_once_or_anew_is_the_same(reference, which, options, monkeypatch):
    once, reads = reference.answers(which, **options)
    assert sum("prefix" not in how and "keep" not in how for _, how, _ in reads) == 1
    monkeypatch.setattr(reference.backbone, "supports", reference.backbone.supports - {"reuse"})
    anew, reads = reference.answers(which, **options)
    assert not any("prefix" in how for _, how, _ in reads)
    for one, other in zip(once, anew, strict=True):
        same(one, other)
        assert sum(one.tokens_read) < sum(other.tokens_read)


def test_batches_and_shared_readings(reference, which):
    questions = reference.questions(which)
    together = reference.method().answer(questions, reference.backbone)
    shared = Shared(reference.backbone)
    for options in ({"gate": "hard"}, {}, {"contrast_in_context": True}, {}):
        found = reference.method(**options).answer(questions, shared)
        for one, other in zip(found, reference.method(**options).answer(questions, reference.backbone), strict=True):
            same(one, other)
    for question, one in zip(questions, together, strict=True):
        same(one, reference.method().answer(question, reference.backbone))
    for one, other in zip(together, reference.method().answer(questions[::-1], reference.backbone)[::-1], strict=True):
        same(one, other)


# Numbers.


@pytest.fixture(scope="module")
def digitwise():
    with np.load(ORACLES / "dan" / "numbers.npz") as arrays:
        return dict(arrays)


class Digits:
    """A backbone whose tokenizer writes digits one by one, behind a space of its own, and whose logits are given."""

    name, supports = "digits", frozenset({"reuse"})

    def __init__(self, arrays, cases):
        self._arrays, self._cases = arrays, cases
        self.digits = arrays["digit_ids"].tolist()

    def answer_ids(self, texts):
        return [[3, *(self.digits[int(digit)] for digit in text)] for text in texts]

    def read(self, prompts, visual, *, begun=(), **how):
        assert begun[0] == 3
        digits = [self.digits.index(token) for token in begun[1:]]
        rows = []
        for case in self._cases:
            found = self._arrays[f"{case}/{('first', 'second', 'third')[len(digits)]}_logits"]
            rows.append(torch.from_numpy(found if not digits else found[int("".join(map(str, digits)))]))
        return type("Reading", (), {"logits": torch.stack(rows), "probe_attention": None})()


def test_whole_numbers_where_digits_are_written_one_by_one(digitwise):
    cases = [case for case in range(10) if f"{case}/probability" in digitwise]
    count = int(digitwise["n_options"])
    _, found = numbered.read_numbers(Digits(digitwise, cases), ["Which?"] * len(cases), None, [count] * len(cases))
    for case, row in zip(cases, found, strict=True):
        np.testing.assert_allclose(row, digitwise[f"{case}/probability"], atol=1e-9, rtol=0)
    assert [int(row.argmax()) + 1 for row in found] == [5, 12, 25, 1]


def test_numbers_of_one_digit_are_read_once_whatever_stands_beside_them(digitwise):
    """Nine options in a batch with 25: what they get is what they get alone, the softmax over their digits."""
    backbone = Digits(digitwise, [0, 1])
    _, (few, many) = numbered.read_numbers(backbone, ["Few?", "Many?"], None, [9, 25])
    expected = torch.from_numpy(digitwise["0/first_logits"]).double()[backbone.digits[1:10]].softmax(-1)
    torch.testing.assert_close(few, expected)
    np.testing.assert_allclose(many, digitwise["1/probability"], atol=1e-9, rtol=0)
    assert numbered.Numbers.of(backbone, 9).begun == [()]


def test_numbers_of_one_token_each(digitwise):
    class Whole(Digits):
        def answer_ids(self, texts):
            return [[int(text)] for text in texts]

    numbers = numbered.Numbers.of(Whole(digitwise, [0]), 25)
    assert (numbers.lead, numbers.begun) == ((), [()])
    logits = torch.randn(40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(numbers.probabilities({(): logits}, 25), logits[1:26].double().softmax(-1))


def test_numbers_that_cannot_be_read_off(digitwise):
    class Mixed(Digits):
        def answer_ids(self, texts):
            return [[int(text)] if int(text) < 20 else [2, int(text[-1])] for text in texts]

    with pytest.raises(ValueError, match="neither with one token each nor digit by digit"):
        numbered.Numbers.of(Mixed(digitwise, [0]), 25)


# Equations, by hand.


def test_the_gate():
    question = Question(Image.new("RGB", (2, 2)), ("joy", "fear", "awe"))
    scores, pair = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.25, 0.75])
    soft = torch.tensor([0.125, 0.225, 0.05])
    torch.testing.assert_close(gated(scores, pair, question, "soft"), soft / soft.sum())
    torch.testing.assert_close(gated(scores, pair, question, "hard"), torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(gated(scores, pair, question, "none"), scores)
    even = gated(scores, torch.tensor([0.5, 0.5]), question, "hard")  # p+ >= p- is positive
    torch.testing.assert_close(even, torch.tensor([5 / 7, 0.0, 2 / 7]))


@pytest.mark.parametrize(
    ("scores", "alpha", "k", "expected"),
    [
        ([0.1, 0.6, 0.3], 0.125, 2, [1, 2]),  # i goes to min(k + 1, N - 1)
        ([0.1, 0.6, 0.25, 0.05], 0.125, 2, [1, 2, 0]),
        ([0.1, 0.6, 0.25, 0.05], 0.125, 1, [1, 2]),
        ([0.03, 0.9, 0.05, 0.02], 0.125, 2, [1]),
        ([0.25, 0.25, 0.25, 0.25], 0.125, 2, [0, 1, 2]),  # equal ones in the question's order
        ([0.75, 0.25, 0.0, 0.0], 0.0625, 2, [0]),  # a variance equal to alpha is not below it
        ([0.6, 0.4], 0.125, 1, [0]),
    ],
)
def test_candidates(scores, alpha, k, expected):
    assert pick_candidates(torch.tensor(scores, dtype=torch.float64), alpha, k) == expected


def test_discrepancy():
    rows = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0]), torch.tensor([0.5, 0.0])]
    torch.testing.assert_close(discrepancy(rows), torch.tensor([0.75 + 0.75 + 0.0, 0.0]))


# Around it.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k=0: use a whole number from 1"),
        ({"gate": "medium"}, r"gate='medium': use one of \['soft', 'hard', 'none'\]"),
        ({"layers": "first"}, "layers='first': use one of"),
        ({"analysis_tokens": 0}, "analysis_tokens=0: use a whole number from 1"),
    ],
)
def test_options_that_are_not_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        get_method("dan", **options)


def hostile_analyses():
    return [
        "",
        "1. Positive 2. Negative. The answer is 1.",
        "2",
        "4",
        "Der Himmel ist grau \u2014 \u60b2\u3057\u3044",
        "ha " * 300,
        "A" * 40,
    ]


@pytest.fixture(scope="module", params=["llava", "vila", "qwen2_5_vl", "internvl"])
def family(request):
    folders = {"llava": "llava15_tiny/hf", "vila": "vila15_tiny/checkpoint"}
    folder = ORACLES / folders.get(request.param, f"hf_families/{request.param}")
    return load_backbone(
        request.param if request.param in folders else "hf", str(folder), device="cpu", dtype="float32"
    )


@pytest.fixture(scope="module")
def pictures():
    gradient = Image.linear_gradient("L")
    sizes = [(131, 76), (58, 117), (90, 90)]
    return [gradient.rotate(90 * turn).resize(size).convert("RGB") for turn, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (tuple(MIKELS), {}),
        (tuple(MIKELS), {"contrast_in_context": True, "layers": "all", "scene": False}),
        (tuple(POLARITY)[:25], {"k": 11}),
        (("joy", "fear"), {}),
    ],
)
def test_every_family(family, pictures, labels, options, monkeypatch):
    """One by one, together and with each prompt read anew, answers are the same."""
    assert "reuse" in family.supports
    questions = [Question(picture, labels) for picture in pictures]
    method = get_method("dan", analysis_tokens=6, alpha=0.25, **options)
    together = method.answer(questions, family)
    for one, question in zip(together, questions, strict=True):
        same(one, method.answer(question, family))
    monkeypatch.setattr(family, "supports", family.supports - {"reuse"})
    for one, other in zip(together, method.answer(questions, family), strict=True):
        same(one, other)
        evidence = one.evidence
        assert sum(evidence.scores.values()) == pytest.approx(1)
        assert sum(one.option_probabilities.values()) == pytest.approx(1)
        assert len(evidence.candidates) == min(method.k + 1, len(labels) - 1)
        if len(labels) > 2:
            assert len(evidence.dropped) == int(0.3 * one.visual_tokens)
            assert evidence.discrepancy.shape == (one.visual_tokens,)
            assert evidence.discrepancy.min() >= 0
            assert evidence.discrepancy.max() > 0


def test_an_analysis_is_text_whatever_it_says(family, pictures, monkeypatch):
    """Empty, endless, in another language or full of numbers: it is put in context, and never read as an answer."""
    analyses = hostile_analyses()
    questions = [Question(pictures[0], tuple(MIKELS))] * len(analyses)
    monkeypatch.setattr(
        type(family), "write", lambda self, reading, limit, rows=None: [Written(text, limit) for text in analyses]
    )
    for answer, analysis in zip(get_method("dan").answer(questions, family), analyses, strict=True):
        assert (answer.evidence.analysis, answer.evidence.written) == (analysis, 256)
        assert type(answer.evidence.analysis) is str
        assert answer.label == max(answer.option_probabilities, key=answer.option_probabilities.get)
        assert analysis not in answer.prompts


def test_what_is_asked(scripted, pictures):
    """The ablations' prompts, in order; digits of the scripted model say which option it takes."""
    asked, labels = {}, ("joy", "awe", "fear", "anger")
    for name, options in {
        "usual": {},
        "scene": {"object": False, "cdvp": False},
        "object": {"scene": False, "cdvp": False},
        "neither": {"scene": False, "object": False, "cdvp": False},
        "nothing dropped": {"beta": 0.0},
        "in context": {"beta": 0.0, "contrast_in_context": True},
        "sure": {"alpha": 0.0},
    }.items():
        backbone = scripted(lambda prompt: {"1": 0.7, "2": 0.3} if "Answer directly" in prompt else {"hm": 1.0})
        answer = get_method("dan", **options).answer(Question(pictures[0], labels), backbone)
        assert answer.label == "joy"
        asked[name] = answer.prompts
        assert backbone.asked[-1] == answer.prompts[-1] or backbone.asked[-1][-1] == answer.prompts[-1]
        assert len(answer.prompts) == len(answer.tokens_read) == len(backbone.asked)
    clues, coarse, fine, why, other, _, last = asked["usual"]
    assert clues.splitlines()[1:] == [
        "Step 1: Identify scene-level clues that reflect emotions (e.g., lighting and colors).",
        "Step 2: Identify object-level clues that reflect emotions (e.g., facial and body expressions).",
    ]
    assert coarse.splitlines() == [
        "Based on the above analysis, choose an option that best represents the image:",
        "1. Positive 2. Negative",
        "Positive emotions include Joy, Awe. Negative emotions include Fear, Anger. Answer directly with the number of "
        "the chosen option.",
    ]
    assert fine.splitlines()[1:] == [
        "1. Joy 2. Awe 3. Fear 4. Anger",
        "Answer directly with the number of the chosen option.",
    ]
    assert "categorized as Joy rather than Awe, Fear ? Please" in why
    assert "categorized as Awe rather than Joy, Fear ? Please" in other
    assert last.splitlines()[:2] == [
        "Based on the discriminative visual image, choose an option that best represents the image:",
        "1. Joy 2. Awe 3. Fear",
    ]
    assert asked["scene"] == (clues.rsplit("\n", 1)[0], coarse, fine)
    assert asked["object"][0].splitlines()[1] == clues.splitlines()[2].replace("Step 2", "Step 1")
    plain = [
        turn.replace(coarse.splitlines()[0], "Which of the following descriptions best represents the image?")
        for turn in (coarse, fine)
    ]
    assert asked["neither"] == tuple(plain)
    assert asked["nothing dropped"] == (clues, coarse, fine, last)
    assert asked["in context"] == asked["usual"]
    assert asked["sure"] == (clues, coarse, fine)
    for name, options in {
        "usual": {},
        "scene": {"object": False, "cdvp": False},
        "in context": {"contrast_in_context": True},
    }.items():
        assert get_method("dan", **options).foreseen(Question(pictures[0], labels)) == asked[name]


def test_more_candidates_than_options(pictures, scripted, tmp_path):
    question = Question(pictures[0], ("joy", "awe", "fear", "anger"))
    for k in (1, 2, 3):
        get_method("dan", k=k).answer(question, scripted(lambda _: {"1": 1.0}))
    message = "k=4 means 5 candidates, and the question has 4 options: use k from 1 to 3"
    with pytest.raises(ValueError, match=message):
        get_method("dan", k=4).answer(question, scripted(lambda _: {"1": 1.0}))
    plan = Plan(
        tasks=["emotion_demo"], methods=["dan,k=8"], models=[{"model": "sepm_llava", "args": {"pretrained": "demo"}}]
    )
    (problem,) = look(plan, ["emotion_demo"], tmp_path).problems()
    assert "emotion_demo, dan,k=8: k=8 means 9 candidates, and the question has 8 options" in problem
    pictures[0].save(tmp_path / "picture.png")
    arguments = ["explain", str(tmp_path / "picture.png"), "--pretrained", "nowhere", "--method", "dan,k=8"]
    assert "k=8 means 9 candidates" in " ".join(CliRunner().invoke(app, arguments).output.split())


def test_one_polarity(pictures, scripted):
    with pytest.raises(ValueError, match="DAN needs positive and negative emotions"):
        get_method("dan").answer(Question(pictures[0], ("joy", "awe")), scripted(lambda _: {"1": 1.0}))


def test_what_a_journal_and_explain_say(reference):
    answers, _ = reference.answers("q6")
    record = of_answer(answers[0])
    assert json.loads(json.dumps(record)) == {**json.loads(json.dumps(record))}
    evidence = answers[0].evidence
    assert (record["analysis"], record["scores"], record["written"]) == (
        evidence.analysis,
        evidence.scores,
        evidence.written,
    )
    assert record["candidates"] == evidence.candidates
    rows = evidence.discrepancy
    assert record["discrepancy"] == pytest.approx(
        {"mean": rows.mean(), "largest": rows.max(), "of_dropped": rows[list(evidence.dropped)].mean()}
    )
    assert "significance" not in record
    facts = dict(evidence.facts())
    assert facts["analysis"] == evidence.analysis
    assert facts["stage 2 chose among"] == "joy, surprise, anger"
    assert facts["tokens written"] == str(evidence.written)
    assert f"anger {evidence.scores['anger']:.4f}" in facts["scores"]
    assert "discrepancy of a visual token, of_dropped" in facts
    sure = of_answer(answers[1])
    assert "discrepancy" not in sure
    assert sure["candidates"] == ("fear",)
    assert "scores" not in of_answer(get_method("sepm").answer(reference.questions("q6")[0], reference.backbone))


def test_cost(llava_oracle, tiny_llava, monkeypatch):
    """Torch counts the same within a few percent: the turns share some words that are not read again.

    What the model writes is replaced by a text of as many tokens: random letters are cut up otherwise when read.
    """
    geometry = find_backbone("llava").shapes(ORACLES / "llava15_tiny" / "hf")
    rows = tiny_llava._model.lm_head.weight.shape[0]
    geometry = dataclasses.replace(geometry, decoder=dataclasses.replace(geometry.decoder, vocabulary=rows))
    text = "the image shows emotion " * 20
    length = len(tiny_llava.answer_ids([text.strip()])[0])
    write = type(tiny_llava).write
    monkeypatch.setattr(
        type(tiny_llava), "write", lambda *given: [Written(text.strip(), one.tokens) for one in write(*given)]
    )
    question = Question(llava_oracle.images[0], tuple(MIKELS), tuple(MIKELS.values()))
    off = {"scene": False, "object": False}
    for options in ({}, {"contrast_in_context": True}, {"layers": "last"}, {"beta": 0.0}, {"cdvp": False}, off):
        method = get_method("dan", analysis_tokens=length, alpha=0.25, **options)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            answer = method.answer(question, tiny_llava)
        assert len(answer.prompts) == len(method.foreseen(question))
        turns = [tiny_llava._tokenise(prompt, image=True, probe=None) for prompt in answer.prompts]
        lengths = Text(len(turns[0].before), tuple(len(turn.after) for turn in turns))
        priced = flops(geometry, method.work(geometry, lengths))
        assert priced == pytest.approx(counter.get_total_flops(), rel=0.1), options
