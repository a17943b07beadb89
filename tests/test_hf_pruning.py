"""Visual tokens removed between the layers of a model of any plain family, against a plain reference.

The reference is a second copy of the checkpoint with eager attention, one prompt at a time, without padding or cache:
its layers are called one by one, and tokens are taken out by index between them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest
import torch
from tiny_families import ORACLES, backbone_of, close, seen
from transformers import AutoModelForImageTextToText

from sepm_eval import get_method
from sepm_eval.methods.sparsevlm import Sparsify
from sepm_eval.model_wrappers._hf import attention

FAMILIES = ("qwen2_5_vl", "qwen3_vl", "internvl", "llava_next", "mistral3", "smolvlm")
PROMPTS = ["What do you feel?", "Please focus on emotion. A or B, what is it?", "A or B?"]
ACTS = {
    "fastv": get_method("fastv", keep=0.5, layer=1).cut,
    "fastv, later": get_method("fastv", keep=0.25, layer=3).cut,
    "pyramiddrop": get_method("pyramiddrop", ratio=0.6).cut,
    "sparsevlm": Sparsify((12, 9, 5), (0, 1, 2)),
    "sparsevlm, late": Sparsify((6,), (2, 7, 9)),
}


@functools.cache
def eager(family):
    folder = str(ORACLES / family)
    return AutoModelForImageTextToText.from_pretrained(folder, attn_implementation="eager", dtype="float32").eval()


@dataclass
class Row:
    """One prompt between two layers: hidden states [L, D], positions [L] or [3, L], which tokens are what, [L]."""

    hidden: torch.Tensor
    places: torch.Tensor
    slot: torch.Tensor  # index of the visual token, -1 for text
    droppable: torch.Tensor

    def at(self, order):
        return Row(self.hidden[order], self.places[..., order], self.slot[order], self.droppable[order])


def run(model, index, row, attention_of=False):
    """A layer's output, or its attention's weights."""
    decoder, weights = model.get_decoder(), []
    layer, length = decoder.layers[index], len(row.hidden)
    handle = layer.self_attn.register_forward_hook(lambda module, args, output: weights.append(output[1]))
    hidden, places = row.hidden[None], row.places[..., None, :]
    mask = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)[None, None]
    rotary = decoder.rotary_emb(hidden, position_ids=places)
    output = layer(hidden, attention_mask=mask, position_embeddings=rotary, position_ids=None)
    handle.remove()
    return weights[0][0].mean(0) if attention_of else output[0]


@torch.inference_mode()
def plain(family, backbone, text, picture, acts, written=()):
    """Logits behind a prompt and what was written, and how many visual tokens each layer was given."""
    model, inner = eager(family), backbone._decoder
    prompt = backbone._prompts.encode(text, picture.more["expansion"], None)
    ids = torch.cat([prompt.ids, torch.tensor(written, dtype=torch.long)])
    hidden = model.get_input_embeddings()(ids)
    slots = prompt.slots.nonzero().flatten()
    embedded = hidden.clone()
    hidden[slots] = picture.features
    places = inner._places(prompt, picture)
    more = places.max() + 1 + torch.arange(len(written))
    places = torch.cat([places, more.expand(*places.shape[:-1], -1)], dim=-1)
    slot = torch.full((len(ids),), -1)
    slot[slots] = torch.arange(len(slots))
    droppable = torch.zeros(len(ids), dtype=torch.bool)
    droppable[slots] = ~picture.separators
    row, given, count = Row(hidden, places, slot, droppable), [], len(model.get_decoder().layers)
    behind = len(ids) - int(slots[-1]) - 1  # tokens behind the picture, what was written among them
    cut = not isinstance(acts, Sparsify)
    raters = [len(prompt.ids) - 1 - len(ids)]
    if not cut:
        asked = embedded[int(slots[-1]) + 1 : len(prompt.ids)]
        raters = [int(place) - behind for place in acts.raters(picture.features, asked).nonzero()]
    where = acts.left(count, len(slots)) if cut else acts.layers
    levels = picture.more.get("deepstack", ())
    for index in range(count):
        given.append(int((row.slot >= 0).sum()))
        weights = run(model, index, row, attention_of=True)
        row.hidden = run(model, index, row)
        if index < len(levels):
            visual = row.slot >= 0
            row.hidden[visual] += levels[index][row.slot[visual]]
        if index not in where or index == count - 1:
            continue
        if cut and acts.ahead:
            weights = run(model, index + 1, row, attention_of=True)
        row = removed(row, acts, index, weights[raters].mean(0), behind, len(slots))
        if row.places.ndim == 1 and not (cut and acts.positions == "kept"):
            row.places = torch.arange(len(row.hidden))
    return model.lm_head(model.get_decoder().norm(row.hidden[-1])), given


def removed(row, acts, index, scores, behind, whole):
    own = row.droppable.nonzero().flatten()
    if isinstance(acts, Sparsify):
        kept, merged, centres = acts.step(index, row.hidden[own], scores[own])
    else:
        separators = int((row.slot >= 0).sum()) - len(own)
        best = scores[own].argsort(descending=True)[: acts.left(4, whole)[index] - separators]
        kept, merged, centres = best.sort().values, None, own[:0]
    gone = set(own.tolist()) - set(own[kept].tolist())
    end = len(row.hidden) - behind
    front = [place for place in range(end) if place not in gone]
    places_of_merged = own[centres].tolist() if merged is not None else []
    left = row.at(torch.tensor(front + places_of_merged + list(range(end, len(row.hidden)))))
    if merged is not None:
        left.hidden[len(front) : len(front) + len(merged)] = merged
    return left


@pytest.mark.parametrize("acts", ACTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_reads_and_writes_as_the_plain_reference(family, acts):
    backbone, visual, acts = backbone_of(family), seen(family), ACTS[acts]
    reading = backbone.read(PROMPTS, visual, prune=acts)
    written = backbone._decoder.write(reading, 3)
    for i, picture in enumerate(visual.pictures):
        for count in range(len(written[i])):
            logits, given = plain(family, backbone, PROMPTS[i], picture, acts, written[i][:count])
            if count == 0:
                close(reading.logits[i], logits, 1e-4)
                assert list(reading.visual_left[i]) == given
                assert given[0] == len(picture) > given[-1]
            assert int(logits.argmax()) == written[i][count]
    assert backbone._decoder.write(reading, 3, rows=[2, 0]) == [written[2], written[0]]  # the reading is as it was
    some = reading[[1]]
    assert backbone._decoder.write(some, 3) == [written[1]]
    assert list(some.visual_left) == [reading.visual_left[1]]


@pytest.mark.parametrize("family", ["llava_next"])
@pytest.mark.parametrize("method", ["fastv", "pyramiddrop", "sparsevlm"])
def test_separators_stay_whatever_the_budget(family, method, monkeypatch):
    backbone, visual = backbone_of(family), seen(family)
    separators = [int(picture.separators.sum()) for picture in visual.pictures]
    least = {"fastv": ACTS["fastv, later"], "pyramiddrop": get_method("pyramiddrop", ratio=0.01).cut}
    reading = backbone.read(PROMPTS, visual, prune=least.get(method, Sparsify((0,), (2,))))
    for left, least_left in zip(reading.visual_left, separators, strict=True):
        assert left[-1] >= least_left > 0


def test_nothing_is_left_behind_in_the_layers():
    backbone, visual = backbone_of("internvl"), seen("internvl")
    layers = backbone._decoder.model.get_decoder().layers
    before = backbone.read(PROMPTS, visual).logits
    reading = backbone.read(PROMPTS, visual, prune=ACTS["fastv"])
    backbone.write(reading, 2)
    broken = Sparsify((4,), (1,))
    object.__setattr__(broken, "kept", ())
    with pytest.raises(IndexError):
        backbone.read(PROMPTS, visual, prune=broken)
    assert not any(layer._forward_pre_hooks or layer._forward_hooks for layer in layers)
    assert attention._WATCH.get() is None
    close(backbone.read(PROMPTS, visual).logits, before, 0)


@pytest.mark.parametrize("family", ["gemma3", "qwen3_5", "aya_vision", "paligemma"])
def test_families_whose_layers_are_not_plain_refuse(family):
    backbone, visual = backbone_of(family), seen(family)
    with pytest.raises(ValueError, match="cannot be removed between its layers, because not all of them are plain"):
        backbone.read(PROMPTS, visual, prune=ACTS["fastv"])


def test_what_does_not_go_together():
    backbone, visual = backbone_of("internvl"), seen("internvl")
    masks = [torch.ones(count, dtype=torch.bool) for count in visual.counts]
    for given in ({"keep": masks}, {"probe": "A or B?"}, {"prefix": backbone.read(PROMPTS, visual)}):
        with pytest.raises(ValueError, match="goes without keep, probe and prefix"):
            backbone.read(["A or B?"] * 3, visual, prune=ACTS["fastv"], **given)
    with pytest.raises(ValueError, match="needs a picture"):
        backbone.read(PROMPTS, None, prune=ACTS["fastv"])
    with pytest.raises(ValueError, match="nothing would be pruned"):
        backbone.read(PROMPTS, visual, prune=Sparsify((4,), (9,)))
    first = backbone.read(PROMPTS, visual, prune=ACTS["fastv"])
    with pytest.raises(ValueError, match="cannot be continued"):
        backbone.read(PROMPTS, visual, prefix=first)


def test_attention_that_is_no_number_is_an_error(monkeypatch):
    backbone, visual = backbone_of("qwen2_5_vl"), seen("qwen2_5_vl")
    right = attention.mean_attention

    def overflow(weights, rows):
        found = right(weights, rows)
        found[1, 5] = torch.nan
        return found

    monkeypatch.setattr(attention, "mean_attention", overflow)
    with pytest.raises(FloatingPointError, match=r"rates the visual tokens is NaN .* \(rows \[1\] of the batch\)"):
        backbone.read(PROMPTS, visual, prune=ACTS["pyramiddrop"])
