"""Manifests of prepared data, questions and checkpoints that are damaged or unreadable."""

from __future__ import annotations

import functools
import json
import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from miniature import abstract_release
from PIL import Image

from hostile.case import BENCHMARKS, Case
from hostile.pictures import BOMBS, encoded
from sepm_eval.backbone.checkpoints import checkpoint_revision, find_checkpoint
from sepm_eval.backbone.shards import check_files
from sepm_eval.backbone.tokenizers import load_tokenizer
from sepm_eval.backbone.weights import read_weights
from sepm_eval.datasets.releases.prepare import prepare, verify
from sepm_eval.types import Question


def manifests() -> Iterator[Case]:
    """What ``prepare`` wrote."""
    # long because: a list of cases

    def changed(change: Callable[[Path], None]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            abstract_release(folder)
            prepare(BENCHMARKS["abstract"], folder / "out")
            change(folder / "out")
            return verify(folder / "out")

        return act

    for name, content in {
        "empty": b"",
        "cut-off": b'{"files": {"a',
        "list": b"[]",
        "no-files": b"{}",
        "files-number": b'{"files": 3}',
        "nested": b"[" * 100_000,
        "not-utf8": b'{"files": {"\xff": "x"}}',
        "path-up": b'{"files": {"../secret": "x"}}',
        "path-absolute": b'{"files": {"/etc/passwd": "x"}}',
    }.items():
        change = functools.partial(lambda content, out: (out / "manifest.json").write_bytes(content), content)
        yield Case(f"manifest/{name}", changed(change), r"manifest\.json is damaged .*prepare the release again")
    yield Case("manifest/nothing", changed(lambda out: (out / "manifest.json").unlink()), "has no manifest.json")
    yield Case("manifest/folder", changed(lambda out: shutil.rmtree(out)), "has no manifest.json")

    def fifo(out: Path) -> None:
        (out / "test-00000.parquet").unlink()
        os.mkfifo(out / "test-00000.parquet")

    yield Case("manifest/shard-is-fifo", changed(fifo), gives=["test-00000.parquet is missing"])

    def report_damaged(folder: Path) -> Any:
        abstract_release(folder)
        first = prepare(BENCHMARKS["abstract"], folder / "out")
        for path in (folder / "out").glob("test-*.json"):
            path.write_bytes(b"[" * 100_000)
        return prepare(BENCHMARKS["abstract"], folder / "out") == first

    yield Case("manifest/shard-report-damaged", report_damaged, gives=True)

    def bad_pictures(folder: Path) -> Any:
        release = abstract_release(folder)
        (release / "abstract_0001.jpg").write_bytes(encoded("JPEG")[:300])
        (release / "abstract_0004.jpg").write_bytes(BOMBS["png"]())
        found = prepare(BENCHMARKS["abstract"], folder / "out")
        return found["n"], sorted(found["unreadable"])

    yield Case("manifest/bad-pictures", bad_pictures, gives=(6, ["abstract_0001", "abstract_0004"]))


def questions() -> Iterator[Case]:
    """Labels and the names they are shown by."""

    def asked(labels: tuple[str, ...], names: tuple[str, ...]) -> Callable[[Path], Any]:
        return lambda folder: Question(Image.new("RGB", (1, 1)), labels, names).names

    two = ("joy", "fear")
    for name, labels, names, refused in (
        ("like-prompt", two, ("A. Joy\nB. Anger", "Fear"), "a name on one line"),
        ("line-separator", two, ("Joy\u2028C. Awe", "Fear"), "a name on one line"),
        ("carriage-return", two, ("Joy\rC. Awe", "Fear"), "a name on one line"),
        ("empty", two, ("", "Fear"), "a name on one line"),
        ("blank", two, ("  ", "Fear"), "a name on one line"),
        ("same", two, ("Joy", "Joy"), "shown by the same name"),
        ("same-but-case", two, ("Joy", "JOY "), "shown by the same name"),
        ("typo", ("joy", "feer"), (), "unknown emotions"),
        ("case", ("Joy", "fear"), (), "unknown emotions"),
        ("space", ("joy ", "fear"), (), "unknown emotions"),
        ("twice", ("joy", "joy"), (), "each label once"),
        ("one", ("joy",), (), "2 to 26 options, not 1"),
        ("too-many", tuple(f"x{n}" for n in range(27)), (), "2 to 26 options, not 27"),
        ("names-missing", two, ("Joy",), "as many names"),
    ):
        yield Case(f"question/{name}", asked(labels, names), refused)


def checkpoints() -> Iterator[Case]:
    """A checkpoint's files; a malicious pickle is in ``test_security.py``."""
    # long because: a list of cases

    def read(name: str, content: bytes, how: Callable[[Path], Any]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            (folder / name).write_bytes(content)
            return how(folder)

        return act

    def config(folder: Path) -> Any:
        return find_checkpoint(str(folder)).config()

    for name, content in {
        "empty": b"",
        "list": b"[]",
        "cut-off": b'{"model_type": "ll',
        "nested": b"[" * 100_000,
        "not-utf8": b'{"a": "\xff"}',
        "long-number": b'{"a": ' + b"9" * 5000 + b"}",
    }.items():
        yield Case(f"checkpoint/config-{name}", read("config.json", content, config), r"config\.json ")
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    for name, content in {
        "empty": b"",
        "header-too-long": struct.pack("<Q", 2**60) + header,
        "header-not-json": struct.pack("<Q", 9) + b"not json!" + bytes(16),
        "tensor-cut-off": struct.pack("<Q", len(header)) + header + bytes(7),
        "tensor-overlap": struct.pack("<Q", len(header)) + header + bytes(99),
        "pickle": pickle.dumps({"w": 1}),
    }.items():
        act = read("model.safetensors", content, read_weights)
        yield Case(f"checkpoint/safetensors-{name}", act, r"model\.safetensors is not a whole safetensors file")
    for name, content in {
        "empty": b"",
        "text": b"404 not found",
        "numbers": pickle.dumps({"w": 1}),
        "list": pickle.dumps([1]),
        "zip": b"PK\x03\x04" + bytes(60),
        "random": random.Random(6).randbytes(900),
    }.items():
        act = read("pytorch_model.bin", content, read_weights)
        yield Case(f"checkpoint/bin-{name}", act, r"pytorch_model\.bin (is damaged|holds)")
    half = {"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}
    for name, (content, refused) in {
        "shard-missing": (json.dumps(half).encode(), r"[ab]\.safetensors is missing"),
        "not-json": (b"{", r"index\.json is no index of weights"),
        "outside": (b'{"weight_map": {"w": "../../etc/passwd.bin"}}', r"index\.json is no index of weights"),
        "nested": (b"[" * 100_000, r"index\.json is no index of weights"),
    }.items():
        for how in (check_files, read_weights):
            act = read("model.safetensors.index.json", content, how)
            yield Case(f"checkpoint/index-{name}-{how.__name__}", act, refused)
    for name, path in {"folder-of-the-system": "/usr", "file": __file__, "empty-name": "", "nul": "a\0/b"}.items():
        refused = "not a model checkpoint: no config|is a file|no checkpoint"
        for find in (find_checkpoint, checkpoint_revision):
            yield Case(
                f"checkpoint/{name}-{find.__name__}", functools.partial(lambda f, p, _: f(p), find, path), refused
            )
    for file in ("tokenizer.json", "tokenizer.model"):
        for name, content in {"empty": b"", "text": b"{}", "random": random.Random(7).randbytes(900)}.items():
            act = read(file, content, load_tokenizer)
            yield Case(f"checkpoint/{file}-{name}", act, rf"{file} is not a whole tokenizer")
    yield Case("checkpoint/nothing", read("a.txt", b"", read_weights), "holds no weights")
