"""One value for what decides an answer: equal if and only if all in it is, and read back only as it was written."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sepm_eval.runs.identity import Identity, answering, decides, differences, exam_digest, from_json

BASE = Identity(
    entry="sepm_llava",
    checkpoint="demo",
    revision="files-0",
    model={"dtype": "float32"},
    method="sepm",
    options={"alpha": 0.1, "beta": None, "cci": True},
    polarity={"surprise": "negative"},
    versions={"torch": "2.11"},
    weights={"clip": "files-2"},
)
CHANGES = {
    "entry": "sepm_vila",
    "checkpoint": "/a/final",
    "revision": "files-1",
    "model": {"dtype": "bfloat16"},
    "method": "random_drop",
    "options": {"alpha": 0.1, "beta": 0.1, "cci": True},
    "polarity": {},
    "versions": {"torch": "2.12"},
    "weights": {"clip": "files-3"},
}


def test_every_field_decides():
    assert CHANGES.keys() == {field.name for field in dataclasses.fields(Identity)}
    digests = {dataclasses.replace(BASE, **{name: value}).digest for name, value in CHANGES.items()}
    assert len(digests | {BASE.digest}) == len(CHANGES) + 1
    models = {dataclasses.replace(BASE, **{name: value}).of_model.digest for name, value in CHANGES.items()}
    assert (
        len(models | {BASE.of_model.digest}) == len(CHANGES) + 1 - 4
    )  # method, options, polarity and what the method loads are not the model's


def test_the_order_of_settings_decides_nothing():
    other = dataclasses.replace(BASE, options=dict(reversed(list(BASE.options.items()))))
    assert other.digest == BASE.digest


def test_it_is_read_back_as_it_was_written():
    told = json.loads(json.dumps(BASE.as_json()))
    assert from_json(told).digest == BASE.digest


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_changed_identity_is_refused(name):
    told = {**BASE.as_json(), name: CHANGES[name]}
    with pytest.raises(ValueError, match="was changed by hand"):
        from_json(told)


@pytest.mark.parametrize("content", [None, [], "x", {}, {"entry": 1}, {**BASE.as_json(), "model": None}])
def test_what_is_no_identity_is_refused(content):
    with pytest.raises(ValueError, match="no identity of a run"):
        from_json(content)


def test_what_two_differ_in_is_named():
    other = dataclasses.replace(BASE, options={**BASE.options, "beta": 0.1}, revision="files-1")
    assert differences([BASE, other]) == ["revision", "options.beta"]
    assert differences([BASE, BASE]) == []


def test_what_is_no_json_cannot_be_one():
    with pytest.raises(ValueError, match="not JSON compliant"):
        dataclasses.replace(BASE, options={"alpha": float("nan")}).digest  # noqa: B018


def test_secrets_and_places_decide_nothing():
    for name in ("api_key", "openai_api_key", "hf_token", "token", "my_secret", "db_password", "auth_token", "device"):
        assert not decides(name), name
    for name in ("max_new_tokens", "image_token", "tokenizer", "keyframes", "dtype", "peft", "revision"):
        assert decides(name), name


def test_a_stamp_names_the_run_the_record_and_once_the_identity():
    try:
        answering.start(BASE, {("emoset", "a"): "key-a"})
        assert answering.stamp("emoset", "a") == {"run": BASE.digest, "record": "key-a", "identity": BASE.as_json()}
        assert answering.stamp("emoset", "b") == {"run": BASE.digest}  # no record: this run did not answer it
        assert "identity" in answering.stamp("emotion6", "a")  # a log of its own
    finally:
        answering.start(None)
    assert answering.stamp("emoset", "a") == {}


def test_the_key_names_the_model_and_not_the_method():
    first, second = (Identity("sepm_llava", "a/b", method=method) for method in ("sepm", "zero_shot"))
    assert first.digest != second.digest
    assert first.key == second.key
    assert first.key != Identity("sepm_llava", "a/b", revision="other", method="sepm").key


def test_an_exam_is_known_by_its_list_and_its_set_of_questions():
    plain = exam_digest("emoset", "full", "items", ["one", "two"])
    assert plain == exam_digest("emoset", "full", "items", ["two", "one", "two"])
    assert plain != exam_digest("emoset", "small", "items", ["one", "two"])
    assert plain != exam_digest("emoset", "full", "items", ["one"])
