"""The fast variant: stage 2 continues from what stage 1 read of the picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ORACLES
from PIL import Image

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.cost import common_start
from sepm_eval.backbone.shared import Shared
from sepm_eval.emotions import MIKELS

COARSE = "Please focus on emotion.\nPositive or negative?"
FINE = [
    "Which of these?\nA. Awe\nC. Fear",
    "Which?\nA. Awe",
    "This one is longer than both of the others.\nB. Joy\nC. Fear",
]


@pytest.fixture(scope="module", params=["llava", "vila"])
def family(request):
    folder = {"llava": "llava15_tiny/hf", "vila": "vila15_tiny/checkpoint"}[request.param]
    return load_backbone(request.param, str(ORACLES / folder), device="cpu")


@pytest.fixture(scope="module")
def visual(family, llava_oracle):
    return family.see(llava_oracle.images)


@pytest.fixture(scope="module")
def questions(llava_oracle):
    return [Question(image, tuple(MIKELS), tuple(MIKELS.values())) for image in llava_oracle.images]


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    """The tiny models never stop; a few tokens show as much."""
    monkeypatch.setattr("sepm_eval.methods.common.MAX_NEW_TOKENS", 6)


def masks(visual, *shares):
    """Which tokens stay in each picture: another share of them in each, so that rows differ in length."""
    torch.manual_seed(3)
    pairs = zip(visual.counts, shares, strict=True)
    return [torch.rand(count).argsort() < round(count * share) for count, share in pairs]


def hidden_from_the_text(backbone, tokens, features, keep, shared=0):
    """Logits of one whole prompt in which the text behind the image cannot see the dropped tokens, everything else can.

    One pass of the bare decoder with a mask of our own: no cache, no padding, nothing evicted. The first ``shared``
    tokens of the text can see them, too.
    """
    model = backbone._language_model
    ids = torch.tensor(tokens.before + tokens.after)
    before, after = model.decoder.get_input_embeddings()(ids).split([len(tokens.before), len(tokens.after)])
    embedded = torch.cat([before, features, after])[None]
    length, text = embedded.shape[1], len(tokens.before) + len(features)
    seen = torch.ones(length, length).tril().bool()
    seen[text + shared :, len(tokens.before) : text] &= keep
    bias = torch.zeros(length, length).masked_fill(~seen, torch.finfo(torch.float32).min)
    with torch.inference_mode():
        output = model.decoder(
            inputs_embeds=embedded, attention_mask=bias[None, None], position_ids=torch.arange(length)[None]
        )
        return model.head(output.last_hidden_state[0, -1])[: model.vocab_size]


def test_it_equals_a_mask_over_the_whole_prompt(family, visual):
    keep = masks(visual, 0.8, 0.5, 0.7)
    coarse = family.read([COARSE, COARSE + " Or neither?", COARSE], visual, probe="focus on emotion")
    fast = family.read(FINE, visual, keep=keep, prefix=coarse)
    for i, prompt in enumerate(FINE):
        tokens = family._tokenise(prompt, image=True, probe=None)
        expected = hidden_from_the_text(family, tokens, visual.pictures[i].features, keep[i])
        torch.testing.assert_close(fast.logits[i], expected, atol=2e-5, rtol=1e-4)
    exact = family.read(FINE, visual, keep=keep)
    assert (fast.logits - exact.logits).abs().max() > 1e-3  # the approximation is one


def test_words_that_were_taken_over_saw_the_dropped_tokens(family, visual):
    """As SEPM's stage 2 goes on from stage 1: behind the focus sentence, which both begin with."""
    keep, shared = masks(visual, 0.8, 0.5, 0.7), []
    fine = [f"Please focus on emotion.\n{prompt}" for prompt in FINE]
    coarse = family.read([COARSE] * 3, visual, probe="focus on emotion")
    fast = family.read(fine, visual, keep=keep, prefix=coarse, shares="text")
    before = family._tokenise(COARSE, image=True, probe=None).after
    for i, prompt in enumerate(fine):
        tokens = family._tokenise(prompt, image=True, probe=None)
        shared.append(common_start(before, tokens.after))
        expected = hidden_from_the_text(family, tokens, visual.pictures[i].features, keep[i], shared[i])
        torch.testing.assert_close(fast.logits[i], expected, atol=2e-5, rtol=1e-4)
    assert min(shared) > 3
    anew = family.read(fine, visual, keep=keep, prefix=coarse)
    assert (fast.logits - anew.logits).abs().max() > 1e-4


@pytest.mark.parametrize("whole", [None, True])
def test_nothing_dropped_is_exact(family, visual, whole):
    keep = None if whole is None else [torch.ones(count, dtype=torch.bool) for count in visual.counts]
    coarse = family.read([COARSE, COARSE, COARSE + " Or neither?"], visual)
    fast, exact = family.read(FINE, visual, keep=keep, prefix=coarse), family.read(FINE, visual)
    torch.testing.assert_close(fast.logits, exact.logits, atol=2e-5, rtol=1e-4)
    assert family.write(fast, 8) == family.write(exact, 8)
    assert family.write(fast, 8, [2, 0]) == family.write(exact, 8, [2, 0])


SAID = ["It is dark.", "", "A 1. cloud 2. of 3. birds, and nothing else at all"]


def dialogues(last):
    """Rows of one to three turns that begin alike, so that they share more or less of the text behind the picture."""
    return [[COARSE, said, last] for said in SAID]


def close(one, other):
    torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_a_chain_of_readings_goes_on_from_the_text_too(family, visual):
    """The picture is read once, the text behind it as far as it is the same, whatever the rows share; all is exact."""
    first = family.read([COARSE] * 3, visual)
    second = family.read(dialogues("Which of these?"), visual, prefix=first, shares="text")
    third = family.read(dialogues("Which of these is it, and why?"), visual, prefix=second, shares="text")
    close(second.logits, family.read(dialogues("Which of these?"), visual).logits)
    exact = family.read(dialogues("Which of these is it, and why?"), visual)
    close(third.logits, exact.logits)
    assert family.write(third, 6) == family.write(exact, 6)
    assert third.cache.get_seq_length() < second.cache.get_seq_length() + 40  # and not the dialogue once more
    back = family.read(FINE, visual, prefix=third, shares="text")
    close(back.logits, family.read(FINE, visual).logits)
    alone = family.read([FINE[1]], visual[[1]], prefix=third[[1]], shares="text")
    close(alone.logits, back.logits[[1]])


def test_the_same_prompt_again_reads_its_last_token(family, visual):
    first = family.read(FINE, visual)
    again = family.read(FINE, visual, prefix=first, shares="text")
    close(again.logits, first.logits)


@pytest.mark.parametrize("layers", ["last", "last3", "first3", "all"])
@pytest.mark.parametrize("shares", ["picture", "text"])
def test_attention_can_be_read_behind_an_earlier_reading(family, visual, shares, layers):
    """Also of words with which the earlier text begins, too."""
    first = family.read([COARSE, COARSE + " Or neither?", FINE[2]], visual)
    asked = [COARSE + " Say it.", COARSE, COARSE + " And why?"]
    how = {"probe": [asked[0], "Positive", "focus on emotion"], "probe_layers": layers}
    fast, exact = family.read(asked, visual, prefix=first, shares=shares, **how), family.read(asked, visual, **how)
    for one, other in zip(fast.probe_attention, exact.probe_attention, strict=True):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=1e-4)
        assert float(one.sum()) > 0
    close(fast.logits, exact.logits)


def test_dropped_tokens_get_no_attention(family, visual):
    keep, first = masks(visual, 0.8, 0.5, 0.7), family.read([COARSE] * 3, visual)
    seen = family.read(FINE, visual, keep=keep, prefix=first, probe=["Which", "Which", "This"])
    for mask, row in zip(keep, seen.probe_attention, strict=True):
        assert float(row[~mask].abs().sum()) == 0
        assert bool((row[mask] > 0).all())


def test_an_answer_that_has_begun(family, visual):
    """The logits behind given ids are those of the longer prompt; a picture is not needed for it."""
    one, other = family.letter_ids("AB")
    first = family.read(FINE, visual)
    for begun in ([one], [one, other]):
        tokens = [family._tokenise(prompt, image=True, probe=None) for prompt in FINE]
        longer = [replace(row, after=row.after + begun) for row in tokens]
        exact = family._language_model.read(longer, [picture.features for picture in visual.pictures], None)
        close(family.read(FINE, visual, begun=begun).logits, exact.logits)
        close(family.read(FINE, visual, begun=begun, prefix=first, shares="text").logits, exact.logits)
    assert (family.read(FINE, None, begun=[one]).logits - family.read(FINE, None).logits).abs().max() > 1e-3


def test_ids_of_an_answer(family):
    assert [ids[-1:] for ids in family.answer_ids(["A", "B"])] == [[one] for one in family.letter_ids("AB")]
    written = family.answer_ids(["1", "12", "The picture shows"])
    assert family._tokenizer.decode(written[1]).strip() == "12"
    assert written[1][: len(written[0])] == written[0]


def test_a_shared_backbone_goes_on_from_text_too(family, visual, llava_oracle):
    shared = Shared(family)
    seen = shared.see(llava_oracle.images)
    first = shared.read([COARSE] * 3, seen)
    second = shared.read(dialogues("Which?"), seen, prefix=first, shares="text")
    some = shared.read(FINE[:2], seen[[2, 0]], prefix=first[[2, 0]], shares="text", begun=(5,), probe="Which")
    close(second.logits, family.read(dialogues("Which?"), visual).logits)
    exact = family.read(FINE[:2], visual[[2, 0]], begun=(5,), probe="Which")
    close(some.logits, exact.logits)
    close(torch.cat(some.probe_attention), torch.cat(exact.probe_attention))
    assert shared.write(second, 6) == family.write(family.read(dialogues("Which?"), visual), 6)
    assert [text.tokens for text in shared.write(second, 6)] == [6, 6, 6]


def test_a_shared_backbone_goes_on_from_what_was_read_beside_dropped_tokens(family, llava_oracle):
    """One row dropped nothing and shares its reading with a row that did; later it is continued by itself."""
    shared = Shared(family)
    seen = shared.see(llava_oracle.images)[[0, 1]]
    keep = [torch.ones(count, dtype=torch.bool) for count in seen.counts]
    keep[1][::2] = False
    shared.read([COARSE] * 2, seen, keep=keep)
    first = shared.read([COARSE], seen[[0]])
    found = shared.read(FINE[:1], seen[[0]], prefix=first)
    close(found.logits, family.read(FINE[:1], seen[[0]]).logits)


def test_a_row_does_not_depend_on_its_batch(family, visual):
    keep = masks(visual, 0.8, 0.5, 0.7)
    coarse = family.read([COARSE, COARSE + " Or neither?", COARSE], visual)
    together = family.read(FINE, visual, keep=keep, prefix=coarse)
    texts = family.write(together, 8)
    for i, prompt in enumerate(FINE):
        first = family.read([COARSE], visual[[i]])
        alone = family.read([prompt], visual[[i]], keep=[keep[i]], prefix=first)
        torch.testing.assert_close(together.logits[[i]], alone.logits, atol=2e-5, rtol=1e-4)
        assert family.write(alone, 8) == [texts[i]]


def test_what_is_written_sees_what_was_read(family, visual):
    """A token that is written stands behind the text, at the position that follows it, and sees no dropped token."""
    keep = masks(visual, 0.6, 0.5, 0.7)
    fast = family.read(FINE, visual, keep=keep, prefix=family.read([COARSE] * 3, visual))
    model = family._language_model
    written = model.write(fast, 4)
    for i, prompt in enumerate(FINE):
        tokens, expected = family._tokenise(prompt, image=True, probe=None), []
        for _ in range(4):
            longer = replace(tokens, after=tokens.after + expected)
            expected.append(int(hidden_from_the_text(family, longer, visual.pictures[i].features, keep[i]).argmax()))
        assert written[i] == expected  # the tiny models never stop


def test_the_earlier_reading_is_not_changed(family, visual):
    coarse = family.read([COARSE] * 3, visual)
    kept = [layer.keys.clone() for layer in coarse.cache.layers]
    keep = masks(visual, 0.5, 0.5, 0.5)
    first = family.read(FINE, visual, keep=keep, prefix=coarse)
    family.write(first, 4)
    assert all(torch.equal(one, layer.keys) for one, layer in zip(kept, coarse.cache.layers, strict=True))
    torch.testing.assert_close(family.read(FINE, visual, keep=keep, prefix=coarse).logits, first.logits, atol=0, rtol=0)


def test_what_cannot_be_gone_on_from(family, visual):
    coarse = family.read([COARSE] * 3, visual)
    keep = masks(visual, 0.5, 0.5, 0.5)
    dropped, masked = family.read(FINE, visual, keep=keep), family.read(FINE, visual, keep=keep, prefix=coarse)
    for prefix in (dropped, masked, coarse[[0, 1]]):
        with pytest.raises(ValueError, match=r"cannot be continued.*Read the prompts again"):
            family.read(FINE, visual, prefix=prefix)
    with pytest.raises(ValueError, match=r"shares='all': use one of \['picture', 'text'\]"):
        family.read(FINE, visual, prefix=coarse, shares="all")
    with pytest.raises(ValueError, match="prefix needs an image"):
        family.read(FINE, None, prefix=coarse)


@pytest.mark.parametrize("name", ["sepm", "random_drop", "query_drop"])
def test_methods(family, questions, name):
    """Stage 1 is the same; stage 2 is exact where nothing is dropped."""
    for beta, tolerance in ((0.0, 2e-5), (0.3, 1.0)):
        pairs = zip(
            get_method(name, beta=beta, reuse=True).answer(questions, family),
            get_method(name, beta=beta).answer(questions, family),
            strict=True,
        )
        for fast, exact in pairs:
            assert fast.evidence == exact.evidence
            assert fast.prompts == exact.prompts
            np.testing.assert_allclose(
                list(fast.option_probabilities.values()), list(exact.option_probabilities.values()), atol=tolerance
            )
            if beta == 0:
                assert fast.text == exact.text


def test_batches(family, questions):
    method = get_method("sepm", reuse=True, beta=0.4)
    for one, question in zip(method.answer(questions, family), questions, strict=True):
        (other,) = method.answer([question], family)
        assert (one.text, one.evidence.dropped) == (other.text, other.evidence.dropped)
        np.testing.assert_allclose(
            list(one.option_probabilities.values()), list(other.option_probabilities.values()), atol=1e-5
        )


def test_shared_readings(family, questions):
    """Variants of both kinds, in any order: also where the earlier reading was let go and is read again."""
    shared = Shared(family)
    variants = [
        get_method(name, **options)
        for name in ("sepm", "query_drop")
        for options in ({}, {"reuse": True}, {"reuse": True, "beta": 0.4}, {"beta": 0.4}, {"reuse": True, "alpha": 0.0})
    ]
    for part in (questions[:1], questions):  # the second time one row is known and two are not
        for method in variants:
            for one, other in zip(method.answer(part, shared), method.answer(part, family), strict=True):
                assert (one.text, one.letter) == (other.text, other.letter)
                np.testing.assert_allclose(
                    list(one.option_probabilities.values()), list(other.option_probabilities.values()), atol=1e-5
                )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sepm", {"reuse": 1}, "reuse=1: use True or False"),
        ("sepm", {"reuse": True, "cci": False, "vta": False}, "reuse=True needs cci=True or vta=True"),
        ("downsample", {"reuse": True}, "reuse=True: stage 2 of downsample sees another picture"),
        ("zero_shot", {"reuse": True}, r"unknown options \['reuse'\] for method 'zero_shot'"),
    ],
)
def test_where_it_makes_no_sense(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_method(name, **options)


def test_models_whose_image_does_not_come_first_refuse(scripted):
    backbone = scripted(lambda prompt: {"A": 1.0})
    backbone.supports = backbone.supports - {"reuse"}
    question = Question(Image.new("RGB", (4, 4)), ("joy", "fear"))
    with pytest.raises(ValueError, match=r"supports reuse \(continue from .*and scripted supports .*; set reuse=False"):
        get_method("sepm", reuse=True).answer([question], backbone)
    get_method("sepm").answer([question], backbone)
