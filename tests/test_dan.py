"""DAN against the numbers of an independent reference (tests/oracles/dan)."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from conftest import Oracle
from dan_answers import same

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.interface import VisualTokens
from sepm_eval.backbone.shared import Shared
from sepm_eval.methods.random import random_scores
from sepm_eval.prompts import FOCUS_ON_EMOTION
from sepm_eval.runs.answer_fields import of_answer

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


@pytest.mark.parametrize(
    "options",
    [
        *({}, {"beta": 0.0}, {"contrast_in_context": True}, {"scene": False, "object": False}),
        *({"select": "query"}, {"select": "focus"}, {"candidates": "all", "beta": 0.0}),
    ],
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


@pytest.mark.parametrize("select", ["focus", "query", "random"])
def test_other_ways_to_drop(reference, which, select):
    """Table 6: as many tokens as by contrast, those that the sentence, the whole question or chance rates lowest."""
    answers, reads = reference.answers(which, select=select)
    rows = [i for i, answer in enumerate(answers) if len(answer.evidence.candidates) > 1]
    assert rows
    assert not any("rather than" in prompt for answer in answers for prompt in answer.prompts)
    for i in rows:
        answer, evidence = answers[i], answers[i].evidence
        count = int(0.3 * answer.visual_tokens)
        last = answer.prompts[-1]
        if select == "random":
            rated = random_scores(reference.oracle.images[i], answer.visual_tokens, 0)
            assert (evidence.significance, answer.prompts[-2].count("analysis")) == (None, 1)
        else:
            asked, probe = (last, last) if select == "query" else (f"{FOCUS_ON_EMOTION}\n{last}", FOCUS_ON_EMOTION)
            assert answer.prompts[-2] == asked
            alone = reference.backbone.read([asked], reference.visual[[i]], probe=probe, probe_layers="last3")
            (rated,) = alone.probe_attention
            np.testing.assert_allclose(evidence.significance, rated, atol=1e-6, rtol=0)
        assert evidence.dropped == tuple(sorted(rated.argsort(stable=True)[:count].tolist()))
        assert evidence.discrepancy is None
    keep = reads[-1][1]["keep"]
    assert [tuple((~mask).nonzero().flatten().tolist()) for mask in keep] == [answers[i].evidence.dropped for i in rows]


def test_reranking_all_emotions(reference, which):
    """Table 5, S: the last question offers every emotion, the likeliest first, over the whole picture."""
    answers, reads = reference.answers(which, candidates="all", beta=0.0)
    for answer in answers:
        scores = answer.evidence.scores
        assert answer.evidence.candidates == tuple(sorted(scores, key=scores.get, reverse=True))
        assert answer.evidence.dropped == ()
        assert f"1. {answer.evidence.candidates[0]} 2. {answer.evidence.candidates[1]}" in answer.prompts[-1]
        assert answer.label == max(answer.option_probabilities, key=answer.option_probabilities.get)
    assert "keep" not in reads[-1][1]


def test_batches_and_shared_readings(reference):
    questions = reference.questions("q6")
    together = reference.method().answer(questions, reference.backbone)
    in_context = reference.method(contrast_in_context=True).answer(questions, reference.backbone)
    shared = Shared(reference.backbone)
    reference.method(gate="hard").answer(questions, shared)
    for options, alone in (({}, together), ({"contrast_in_context": True}, in_context), ({}, together)):
        for one, other in zip(reference.method(**options).answer(questions, shared), alone, strict=True):
            same(one, other)
    for question, one in zip(questions, together, strict=True):
        same(one, reference.method().answer(question, reference.backbone))
    for one, other in zip(together, reference.method().answer(questions[::-1], reference.backbone)[::-1], strict=True):
        same(one, other)


def test_what_a_journal_and_explain_say(reference, monkeypatch):
    monkeypatch.setattr("sepm_eval.methods.common.MAX_NEW_TOKENS", 1)
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
