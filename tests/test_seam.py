"""The seam: pictures that differ in number of tokens, separators, positions, probed layers, what is supported."""

import pytest
import torch
from conftest import stacked
from seam import FOLDERS, PHRASE, PROMPTS, load
from transformers import DynamicCache

from sepm_eval import Question, get_method
from sepm_eval.backbone.abilities import ABILITIES
from sepm_eval.backbone.interface import Block, PictureTokens, VisualTokens
from sepm_eval.backbone.shared import Shared
from sepm_eval.emotions import MIKELS
from sepm_eval.methods.sparsevlm import Sparsify
from sepm_eval.model_wrappers.vila import SUPPORTS


def cut(picture: PictureTokens, rows: int, columns: int, separators="none") -> PictureTokens:
    """A picture of another shape, made of another's features."""
    block = Block((0, 0, 30, 20), rows, columns, separators)
    return PictureTokens(picture.features[: len(block)].clone(), (block,))


@pytest.fixture(scope="module")
def uneven(family, pictures):
    """Three pictures of 9, 4 and 6 tokens."""
    shapes = [(3, 3), (2, 2), (1, 6)]
    whole = family.see(pictures).pictures
    return VisualTokens(tuple(cut(picture, *shape) for picture, shape in zip(whole, shapes, strict=True)))


MASKS = [torch.arange(9) % 3 != 1, torch.tensor([True, False, False, True]), torch.arange(6) > 0]


def test_what_a_caller_outside_writes(family, pictures):
    """The names that documentation promises."""
    visual = family.see(pictures[:1])
    (picture,) = visual.pictures
    count = len(picture.features)
    assert picture.features.shape == (count, family._language_model.decoder.config.hidden_size)
    assert len(picture.cells) == count
    assert {block for block, _, _ in picture.cells} == {0}
    assert sorted({row for _, row, _ in picture.cells}) == list(range(round(count**0.5)))
    assert len(set(picture.cells)) == count
    reading = family.read([PROMPTS[0]], visual, keep=[torch.arange(count) != 2], probe=PHRASE)
    assert reading.logits.shape == (1, family._language_model.vocab_size)
    (attention,) = reading.probe_attention
    assert (attention.shape, attention.dtype) == ((count,), torch.float32)
    assert (attention == 0).nonzero().flatten().tolist() == [2]
    assert family.read([PROMPTS[0]], visual).probe_attention is None
    assert family.supports == (ABILITIES if type(family).__name__ == "Llava" else SUPPORTS)


# Pictures that differ in number of tokens


def alone(family, uneven, row, **more):
    per_row = {key: [value[row]] if key == "keep" else value for key, value in more.items()}
    return family.read([PROMPTS[row]], uneven[[row]], **per_row)


@pytest.mark.parametrize("more", [{}, {"keep": MASKS}, {"keep": MASKS, "probe": PHRASE}, {"probe": PHRASE}])
def test_a_row_does_not_depend_on_its_batch(family, uneven, more):
    together = family.read(PROMPTS, uneven, **more)
    texts = family.write(together, 6)
    for row in range(3):
        single = alone(family, uneven, row, **more)
        torch.testing.assert_close(together.logits[row], single.logits[0], atol=1e-5, rtol=1e-5)
        assert family.write(single, 6) == [texts[row]]
        if "probe" in more:
            assert len(together.probe_attention[row]) == uneven.counts[row]
            torch.testing.assert_close(together.probe_attention[row], single.probe_attention[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("keep", [None, MASKS])
def test_going_on_from_pictures_of_different_length(family, uneven, keep):
    prefix = family.read(["Look.", "Look at this.", "See?"], uneven)
    together = family.read(PROMPTS, uneven, keep=keep, prefix=prefix)
    texts = family.write(together, 6)
    for row in range(3):
        first = family.read(["Look."], uneven[[row]])
        single = alone(family, uneven, row, prefix=first, **({} if keep is None else {"keep": keep}))
        torch.testing.assert_close(together.logits[row], single.logits[0], atol=1e-5, rtol=1e-5)
        assert family.write(single, 6) == [texts[row]]
    if keep is None:
        exact = family.read(PROMPTS, uneven)
        torch.testing.assert_close(together.logits, exact.logits, atol=1e-5, rtol=1e-5)


class Half:
    """Drops every second visual token after a layer: rows lose different numbers."""

    layers = (1,)

    def raters(self, visual, text):
        return torch.ones(len(text), dtype=torch.bool)

    def step(self, layer, visual, scores):
        kept = torch.arange(0, len(visual), 2)
        return kept, visual[:0], kept[:0]


def test_rows_that_lose_different_numbers_of_tokens(family, uneven):
    together = family.read(PROMPTS, uneven, prune=Half())
    texts = family.write(together, 6)
    for row in range(3):
        single = alone(family, uneven, row, prune=Half())
        torch.testing.assert_close(together.logits[row], single.logits[0], atol=1e-5, rtol=1e-5)
        assert family.write(single, 6) == [texts[row]]
    lengths = together.attended[-1].sum(-1) - together.attended[0].sum(-1)
    assert lengths.tolist() == [-(count // 2) for count in uneven.counts]


@pytest.fixture
def uneven_family(family, uneven, pictures, monkeypatch):
    """A backbone whose pictures differ in number of tokens."""
    known = dict(zip(map(id, pictures), uneven.pictures, strict=True))
    see = type(family).see

    def look(self, images, side=1.0):
        return VisualTokens(tuple(known[id(image)] for image in images)) if side == 1 else see(self, images, side)

    monkeypatch.setattr(type(family), "see", look)
    monkeypatch.setattr("sepm_eval.methods.common.MAX_NEW_TOKENS", 4)
    return family


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("zero_shot", {}),
        ("sepm", {"beta": 0.4}),
        ("sepm", {"beta": 0.4, "reuse": True}),
        ("random_drop", {"beta": 0.4}),
        ("query_drop", {"beta": 0.4}),
        ("downsample", {"beta": 0.4}),
        ("sepm", {"beta": 0.4, "select": "divprune"}),
        ("divprune", {"budget": 0.5}),
        ("uniform", {"budget": 0.5}),
        ("random", {"budget": 0.5}),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_methods_on_pictures_of_different_length(uneven_family, pictures, name, options, shared):
    questions = [Question(image, tuple(MIKELS), tuple(MIKELS.values())) for image in pictures]
    method = get_method(name, **options)
    together = method.answer(questions, Shared(uneven_family) if shared else uneven_family)
    for question, answer, count in zip(questions, together, (9, 4, 6), strict=True):
        (single,) = method.answer([question], uneven_family)
        assert (answer.text, answer.letter, answer.tokens_read) == (single.text, single.letter, single.tokens_read)
        assert answer.option_probabilities == pytest.approx(single.option_probabilities, abs=1e-5)
        assert answer.kept == single.kept
        if "budget" in options:
            assert sum(answer.kept) == round(count / 2)
        if "select" in options:
            assert sum(answer.kept) == round(0.6 * count)
        elif name in ("sepm", "random_drop", "query_drop"):
            assert answer.evidence.dropped == single.evidence.dropped
            assert len(answer.evidence.dropped) == int(0.4 * count)
            assert len(answer.evidence.significance) == count == answer.visual_tokens
            assert sum(map(len, answer.blocks)) == count


def test_sparsevlm_scales_its_counts_by_each_picture(uneven_family, pictures, monkeypatch):
    monkeypatch.setattr("sepm_eval.methods.sparsevlm.LAYERS", (0, 1, 2))
    monkeypatch.setattr(Sparsify.__init__, "__defaults__", ((0, 1, 2),))
    questions = [Question(image, tuple(MIKELS), tuple(MIKELS.values())) for image in pictures]
    method = get_method("sparsevlm")
    for question, answer in zip(questions, method.answer(questions, uneven_family), strict=True):
        (single,) = method.answer([question], uneven_family)
        assert answer.text == single.text
        assert answer.option_probabilities == pytest.approx(single.option_probabilities, abs=1e-5)


# Masks and separators


def with_separators(family, pictures):
    """Six tokens in two rows, each with a separator behind it: 3 tokens and the separator, twice."""
    return VisualTokens(tuple(cut(one, 2, 3, "rows") for one in family.see(pictures).pictures))


def test_a_separator_is_marked_and_cannot_be_dropped(family, pictures):
    visual = with_separators(family, pictures[:2])
    assert visual.pictures[0].cells[3] == (0, 0, -1)
    assert visual.pictures[0].separators.nonzero().flatten().tolist() == [3, 7]
    whole = torch.ones(8, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"keep\[1\] drops the separators \[7\]; they show nothing .* must stay"):
        family.read(PROMPTS[:2], visual, keep=[whole, torch.arange(8) < 7])


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ([torch.ones(8).bool()], r"keep has 1 masks for 2 pictures"),
        ([torch.ones(8).bool(), torch.ones(7).bool()], r"keep\[1\] is \[7\] bool; picture 1 has 8 visual tokens"),
        ([torch.ones(8).bool(), torch.ones(8).long()], r"keep\[1\] is \[8\] int64; picture 1 has 8 visual tokens"),
        ([torch.ones(8).bool(), torch.ones(1, 8).bool()], r"keep\[1\] is \[1, 8\] bool"),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_masks_that_do_not_fit(family, pictures, keep, message, shared):
    backbone = Shared(family) if shared else family
    with pytest.raises(ValueError, match=message):
        family.read(PROMPTS[:2], with_separators(family, pictures[:2]), keep=keep)
    visual = backbone.see(pictures[:2])
    if len(keep) == 1:
        with pytest.raises(ValueError, match="1 masks for 2 pictures"):
            backbone.read(PROMPTS[:2], visual, keep=keep)
    with pytest.raises(ValueError, match="keep needs an image"):
        backbone.read(PROMPTS[:2], None, keep=keep)


@pytest.mark.parametrize("beta", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("name", ["sepm", "random_drop", "query_drop"])
def test_methods_never_choose_a_separator(family, pictures, monkeypatch, name, beta):
    monkeypatch.setattr("sepm_eval.methods.common.MAX_NEW_TOKENS", 1)
    torch.manual_seed(5)
    width, block = family._language_model.decoder.config.hidden_size, Block((0, 0, 30, 20), 2, 3, "rows")
    visual = VisualTokens(tuple(PictureTokens(torch.randn(8, width), (block,)) for _ in pictures))
    monkeypatch.setattr(type(family), "see", lambda self, images, side=1.0: visual)
    questions = [Question(image, tuple(MIKELS), tuple(MIKELS.values())) for image in pictures]
    for answer in get_method(name, beta=beta).answer(questions, family):
        assert not {3, 7} & set(answer.evidence.dropped)
        assert len(answer.evidence.dropped) == min(int(beta * 8), 5)  # separators count; one of the others stays


# Positions


def kept_directly(backbone, prompt, features, keep):
    """The bare decoder with the dropped tokens left out and every other position as it was, and six tokens written."""
    model = backbone._language_model
    tokens = backbone._tokenise(prompt, image=True, probe=None)
    ids = torch.tensor(tokens.before + tokens.after)
    before, after = model.decoder.get_input_embeddings()(ids).split([len(tokens.before), len(tokens.after)])
    whole = torch.cat([before, features, after])
    start = len(tokens.before)
    stays = torch.ones(len(whole), dtype=torch.bool)
    stays[start : start + len(features)] = keep
    hidden, places = whole[stays], torch.arange(len(whole))[stays]
    cache, first, written = DynamicCache(), None, []
    with torch.inference_mode():
        for _ in range(6):
            output = model.decoder(
                inputs_embeds=hidden[None],
                position_ids=places[None],
                past_key_values=cache,
                use_cache=True,
                attention_mask=torch.ones(1, cache.get_seq_length() + len(hidden), dtype=torch.long),
            )
            logits = model.head(output.last_hidden_state[0, -1])[: model.vocab_size]
            first = logits if first is None else first
            written.append(int(logits.argmax()))
            hidden = model.decoder.get_input_embeddings()(logits.argmax()[None])
            places = places[-1:] + 1
    return first, written


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_kept_positions_are_those_of_the_whole_prompt(name, pictures):
    backbone, closed = load(name, positions="kept"), load(name, positions="closed")
    assert (backbone.settings["positions"], closed.settings["positions"]) == ("kept", "closed")
    visual = backbone.see(pictures)
    keep = [torch.arange(count) % (row + 2) != 1 for row, count in enumerate(visual.counts)]
    reading, other = backbone.read(PROMPTS, visual, keep=keep), closed.read(PROMPTS, visual, keep=keep)
    written = backbone._language_model.write(reading, 6)
    for row, prompt in enumerate(PROMPTS):
        logits, ids = kept_directly(backbone, prompt, visual.pictures[row].features, keep[row])
        torch.testing.assert_close(reading.logits[row], logits, atol=1e-5, rtol=1e-5)
        assert written[row] == ids[: len(written[row])]
        assert len(written[row]) == 6 or ids[len(written[row])] in backbone._language_model.stop_ids
    assert (reading.logits - other.logits).abs().max() > 1e-4  # it makes a difference
    everything = [torch.ones(count, dtype=torch.bool) for count in visual.counts]
    whole = closed.read(PROMPTS, visual).logits
    torch.testing.assert_close(backbone.read(PROMPTS, visual, keep=everything).logits, whole, atol=0, rtol=0)


def test_positions_are_closed_unless_asked_otherwise(family, pictures):
    assert family.settings["positions"] == "closed"
    closed = load({"Llava": "llava", "Vila": "vila"}[type(family).__name__], positions="closed")
    visual = family.see(pictures)
    keep = [torch.arange(count) > 2 for count in visual.counts]
    one, other = (backbone.read(PROMPTS, visual, keep=keep).logits for backbone in (family, closed))
    torch.testing.assert_close(one, other, atol=0, rtol=0)


# Probed layers


@pytest.mark.parametrize(
    ("which", "layers"), [("last", [2]), ("last3", [0, 1, 2]), ("first3", [0, 1, 2]), ("all", [0, 1, 2])]
)
def test_layers_are_averaged(pictures, which, layers):
    """Against eager attention of all three layers of the tiny model."""
    backbone = load("llava")
    model, visual = backbone._language_model, backbone.see(pictures)
    found = backbone.read(PROMPTS, visual, probe=PHRASE, probe_layers=which).probe_attention
    tokens = [backbone._tokenise(prompt, image=True, probe=PHRASE) for prompt in PROMPTS]
    embedded = [model._embed(one, picture.features) for one, picture in zip(tokens, visual.pictures, strict=True)]
    model.decoder.set_attn_implementation("eager")
    for one, whole, attention in zip(tokens, embedded, found, strict=True):
        with torch.inference_mode():
            output = model.decoder(inputs_embeds=whole[None], output_attentions=True)
        start = len(one.before)
        rows = [start + len(attention) + index for index in one.probed]
        eager = torch.stack([output.attentions[layer][0].mean(0)[rows].mean(0) for layer in layers]).mean(0)
        torch.testing.assert_close(attention, eager[start : start + len(attention)], atol=1e-6, rtol=1e-5)


def test_first_and_last_layers_differ_in_a_deeper_model():
    from sepm_eval.backbone.probe import choose_layers

    layers = [3, 7, 11, 15, 19]  # those of a model that have attention
    chosen = {which: choose_layers(which, layers) for which in ("last", "last3", "first3", "all")}
    assert chosen == {"last": (19,), "last3": (11, 15, 19), "first3": (3, 7, 11), "all": tuple(layers)}


def test_unknown_layers(family, pictures):
    with pytest.raises(ValueError, match=r"probe_layers='middle': use one of \['last', 'last3', 'first3', 'all'\]"):
        family.read(PROMPTS, family.see(pictures), probe=PHRASE, probe_layers="middle")


def test_shared_readings_do_not_confuse_layers(pictures):
    backbone = load("llava")
    shared = Shared(backbone)
    visual, own = shared.see(pictures), backbone.see(pictures)
    for which in ("last", "all", "last"):
        found = shared.read(PROMPTS, visual, probe=PHRASE, probe_layers=which).probe_attention
        expected = backbone.read(PROMPTS, own, probe=PHRASE, probe_layers=which).probe_attention
        torch.testing.assert_close(torch.stack(found), torch.stack(expected), atol=1e-6, rtol=1e-5)
    assert torch.equal(stacked(shared.see(pictures)), stacked(own))
