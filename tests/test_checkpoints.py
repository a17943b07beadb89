"""A checkpoint is found, known by all of its bytes that decide an answer, and seen to be whole before it is loaded."""

import json
import os
import shutil
import struct

import pytest
from conftest import ORACLES
from huggingface_hub.errors import LocalEntryNotFoundError

from sepm_eval import load_backbone
from sepm_eval.backbone.checkpoints import cached_checkpoint, checkpoint_revision, find_checkpoint
from sepm_eval.backbone.shards import check_files

TINY = ORACLES / "llava15_tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "fedcba9876543210fedcba9876543210fedcba98"


def header(**tensors):
    """A safetensors file of these one-dimensional float32 tensors."""
    about, start = {}, 0
    for name, length in tensors.items():
        about[name] = {"dtype": "F32", "shape": [length], "data_offsets": [start, start + 4 * length]}
        start += 4 * length
    text = json.dumps(about).encode()
    return struct.pack("<Q", len(text)) + text + bytes(start)


@pytest.fixture
def folder(tmp_path):
    """A checkpoint with a large weights file, as far as finding it goes."""
    made = tmp_path / "checkpoint"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "llava"}')
    (made / "model.safetensors").write_bytes(header(w=1_000_000))
    (made / "tokenizer.json").write_text("{}")
    return made


def change(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", [200, 1_500_000, 2_500_000, -1])
def test_a_byte_anywhere_in_the_weights_changes_the_revision(folder, place):
    before = checkpoint_revision(str(folder))
    change(folder / "model.safetensors", place)
    assert checkpoint_revision(str(folder)) != before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja", "merges.txt", "vocab.txt"])
def test_what_is_read_beside_the_weights_changes_the_revision(folder, name):
    (folder / name).touch()
    before = checkpoint_revision(str(folder))
    (folder / name).write_text((folder / name).read_text() + " ")
    assert checkpoint_revision(str(folder)) != before


def test_a_file_under_another_name_changes_the_revision(folder):
    before = checkpoint_revision(str(folder))
    (folder / "tokenizer.json").rename(folder / "tokenizer_config.json")
    assert checkpoint_revision(str(folder)) != before


@pytest.mark.parametrize("part", ["llm", "mm_projector", "vision_tower"])
def test_vilas_nested_folders_are_in_the_revision(tmp_path, part):
    shutil.copytree(ORACLES / "vila15_tiny" / "checkpoint", tmp_path / "vila")
    before = checkpoint_revision(str(tmp_path / "vila"))
    change(tmp_path / "vila" / part / "model.safetensors", -1)
    assert checkpoint_revision(str(tmp_path / "vila")) != before


def test_files_that_decide_no_answer_are_not_in_the_revision(folder):
    before = checkpoint_revision(str(folder))
    for name in ("README.md", "training_args.bin", "optimizer.bin", "flax_model.msgpack", "trainer_state.json"):
        (folder / name).write_bytes(b"x")
    for name in (".git", ".cache", "checkpoint-500", "logs"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
    assert checkpoint_revision(str(folder)) == before


def test_the_same_files_elsewhere_are_the_same_checkpoint(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    assert checkpoint_revision(str(tmp_path / "copy")) == checkpoint_revision(str(folder))
    assert find_checkpoint(str(folder)).revision == checkpoint_revision(str(folder))
    assert checkpoint_revision(str(folder)).startswith("files-")


def test_a_folder_that_is_no_checkpoint_is_not_read(tmp_path, monkeypatch):
    """``--pretrained /usr`` once took 46 s to say so."""

    def read(paths):
        raise AssertionError("read before config.json was looked for")

    monkeypatch.setattr("sepm_eval.backbone.checkpoints.file_sha256s", read)
    (tmp_path / "photos").mkdir()
    for find in (find_checkpoint, checkpoint_revision):
        with pytest.raises(FileNotFoundError, match=r"not a model checkpoint: no config\.json .*photos"):
            find(str(tmp_path))


def test_only_what_is_read_is_walked(folder, monkeypatch):
    """Other folders inside, however many, are not entered."""
    (folder / "logs").mkdir()
    entered = []
    scan = os.scandir

    def watched(path):
        entered.append(os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", watched)
    checkpoint_revision(str(folder))
    assert not [path for path in entered if str(path).endswith("logs")]


# The vision tower of the original layout


def original(tmp_path):
    shutil.copytree(TINY, tmp_path / "llava")
    return tmp_path / "llava" / "original", tmp_path / "llava" / "clip-vit-tiny-patch14-56"


def test_two_towers_are_two_revisions(tmp_path):
    folder, tower = original(tmp_path)
    before = load_backbone("llava", str(folder), device="cpu").revision
    assert before == checkpoint_revision(str(folder))
    change(tower / "model.safetensors", -1)
    after = load_backbone("llava", str(folder), device="cpu").revision
    assert after == checkpoint_revision(str(folder))
    assert after != before


def cached(tmp_path, monkeypatch, name, commit, source):
    """Put a folder into the hub's cache."""
    repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    shutil.copytree(source, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return repository / "snapshots" / commit


def test_a_tower_on_the_hub_is_known_by_its_commit(tmp_path, monkeypatch):
    folder, tower = original(tmp_path)
    cached(tmp_path, monkeypatch, "openai/tiny", COMMIT, tower)
    shutil.rmtree(tower)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "mm_vision_tower": "openai/tiny"}))
    assert checkpoint_revision(str(folder)).endswith(f"+{COMMIT}")
    cached(tmp_path, monkeypatch, "owner/llava", OTHER_COMMIT, folder)
    assert checkpoint_revision("owner/llava") == f"{OTHER_COMMIT}+{COMMIT}"
    assert load_backbone("llava", "owner/llava", device="cpu").revision == f"{OTHER_COMMIT}+{COMMIT}"


# The hub


def test_the_revision_of_a_hub_id_asks_for_one_small_file(tmp_path, monkeypatch):
    """No weights are downloaded to learn which commit they would be of."""
    asked = []

    def download(repository, file, revision=None, local_files_only=False):
        asked.append((repository, file, revision, local_files_only))
        path = tmp_path / "models--owner--model" / "snapshots" / COMMIT / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"model_type": "llava"}')
        return str(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert checkpoint_revision("owner/model@v1") == COMMIT
    assert asked == [("owner/model", "config.json", "v1", False)]


def test_without_a_network_a_cached_checkpoint_must_be_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    snapshot = cached(tmp_path, monkeypatch, "owner/tiny", COMMIT, TINY / "hf")
    assert checkpoint_revision("owner/tiny") == checkpoint_revision(f"owner/tiny@{COMMIT}") == COMMIT
    (snapshot / "model.safetensors").unlink()
    for find in (find_checkpoint, checkpoint_revision):
        with pytest.raises(FileNotFoundError, match="holds no weights"):
            find("owner/tiny")


@pytest.mark.parametrize("find", [find_checkpoint, checkpoint_revision])
def test_what_the_hub_does_not_give_is_said(find, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = r"owner/other could not be downloaded from the Hugging Face hub.*HF_HUB_OFFLINE is set.*pretrained=demo"
    with pytest.raises(FileNotFoundError, match=message) as error:
        find("owner/other")
    assert "local_files_only" not in str(error.value)  # the library's own advice, which no command of ours can follow


@pytest.mark.parametrize("find", [find_checkpoint, checkpoint_revision])
def test_a_hub_out_of_reach_is_said(find, monkeypatch):
    def fail(*_, **__):
        raise LocalEntryNotFoundError("... pass 'local_files_only=False' as input.")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(FileNotFoundError, match=r"the hub cannot be reached.*hf download owner/other") as error:
        find("owner/other")
    assert "local_files_only" not in str(error.value)


def test_what_lies_in_the_cache_is_told_without_a_download(tmp_path, monkeypatch):
    assert cached_checkpoint("owner/tiny") is None
    snapshot = cached(tmp_path, monkeypatch, "owner/tiny", COMMIT, TINY / "hf")
    found = cached_checkpoint("owner/tiny")
    assert found is not None
    assert (found.folder, found.revision) == (snapshot, COMMIT)
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        cached_checkpoint("owner/tiny")


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        ("./nowhere", "give a folder, a hub id"),
        ("/nowhere/at/all", "give a folder, a hub id"),
        ("one", "give a folder, a hub id"),
        ("a/b/c", "give a folder, a hub id"),
        ("~nobody-of-this-name/x", "give a folder, a hub id"),
        ("own er/na*me", "could not be downloaded"),
        ("nul\0/name", "give a folder, a hub id"),
    ],
)
def test_names_that_lead_nowhere(pretrained, message):
    for find in (find_checkpoint, checkpoint_revision):
        with pytest.raises(FileNotFoundError, match=message):
            find(pretrained)


def test_a_file_is_no_checkpoint(folder):
    with pytest.raises(FileNotFoundError, match="is a file; give the folder"):
        find_checkpoint(str(folder / "model.safetensors"))


# Half-downloaded checkpoints


def sharded(folder, **shards):
    """Cut a checkpoint into shards, each with these tensors of one number."""
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for shard, names in shards.items():
        (folder / f"{shard}.safetensors").write_bytes(header(**dict.fromkeys(names, 1)))
        weight_map.update(dict.fromkeys(names, f"{shard}.safetensors"))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_whole_shards_are_found(folder):
    sharded(folder, one=["a", "b"], two=["c"])
    check_files(folder)
    assert find_checkpoint(str(folder)).folder == folder


def test_a_missing_shard_is_named(folder):
    sharded(folder, one=["a"], two=["b"])
    (folder / "two.safetensors").unlink()
    for find in (find_checkpoint, checkpoint_revision):
        with pytest.raises(FileNotFoundError, match=r"two\.safetensors is missing.*download"):
            find(str(folder))


def test_a_link_to_nowhere_is_a_missing_shard(folder):
    sharded(folder, one=["a"], two=["b"])
    (folder / "two.safetensors").unlink()
    (folder / "two.safetensors").symlink_to("blobs/gone")
    with pytest.raises(FileNotFoundError, match=r"two\.safetensors is missing"):
        check_files(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("one.safetensors", b"", "is empty"),
        ("one.safetensors", header(a=1)[:-2], "is cut off"),
        ("one.safetensors", header(a=1) + b"xx", "is longer than its header says"),
        ("one.safetensors", b"\xff" * 400, "is not a whole safetensors file"),
        ("one.safetensors", b"<html>", "is not a whole safetensors file"),
        ("one.safetensors", struct.pack("<Q", 4) + b"[[[[", "is not a whole safetensors file"),
        ("one.safetensors", struct.pack("<Q", 9) + b'{"a": 1 }', "is not a whole safetensors file"),
        ("one.safetensors", header(other=1), r"lacks the tensor 'a'.*of another checkpoint"),
        ("model.safetensors.index.json", b"", "is no index of weights"),
        ("model.safetensors.index.json", b'{"weight_map": [1]}', "is no index of weights"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "../one.safetensors"}}', "is no index of weights"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": 3}}', "is no index of weights"),
        ("model.safetensors.index.json", b"[" * 100_000, "is no index of weights"),
    ],
)
def test_damaged_shards_are_named(folder, name, content, message):
    sharded(folder, one=["a"], two=["b"])
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name.replace('.', '[.]')} .*{message}|{name} {message}"):
        check_files(folder)


def test_shards_of_torch_are_looked_for_too(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model-1.bin").write_bytes(b"PK")
    (folder / "pytorch_model-2.bin").write_bytes(b"")
    index = {"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"pytorch_model-2\.bin is empty"):
        check_files(folder)
    (folder / "pytorch_model-2.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"pytorch_model-2\.bin is missing"):
        check_files(folder)


def test_the_index_of_a_format_that_is_not_read_does_not_matter(folder):
    """A folder may keep both indexes and the shards of one format."""
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model-1.bin"}}')
    check_files(folder)


def test_vilas_parts_are_looked_into(tmp_path):
    shutil.copytree(ORACLES / "vila15_tiny" / "checkpoint", tmp_path / "vila")
    weights = tmp_path / "vila" / "llm" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"llm/model\.safetensors is cut off"):
        find_checkpoint(str(tmp_path / "vila"))


def test_bytes_behind_the_tensors_are_damage(folder):
    """No loader reads them, but they belong to another file."""
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        check_files(folder)
