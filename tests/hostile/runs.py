"""Plans, results and journals that are damaged or not what they claim to be."""

from __future__ import annotations

import functools
import json
import os
import pickle
import random
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from make_runs import LLAVA
from make_runs import run as make_run

from hostile.case import Case
from sepm_eval.runs.plan import load_plan
from sepm_eval.runs.results import read_runs


def plans() -> Iterator[Case]:
    """A plan as YAML."""
    # long because: a list of cases
    good = "tasks: [emoset]\nmethods: [zero_shot]\nmodels: [{model: sepm_llava}]\n"

    def loaded(content: bytes) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            (folder / "plan.yaml").write_bytes(content)
            plan = load_plan(str(folder / "plan.yaml"))
            return plan.tasks, plan.methods, plan.limit

        return act

    right = (("emoset",), ("zero_shot",), None)
    laughs = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijkl"))
    yield Case("plan/good", loaded(good.encode()), gives=right)
    yield Case("plan/bom", loaded(b"\xef\xbb\xbf" + good.encode()), gives=right)
    yield Case("plan/windows", loaded(good.replace("\n", "\r\n").encode()), gives=right)
    yield Case("plan/mixed-line-ends", loaded(good.replace("\n", "\r\n", 1).encode()), gives=right)
    for name, text, refused in (
        ("empty", "", "is no plan"),
        ("text", "run everything", "is no plan"),
        ("list", "[1, 2]", "is no plan"),
        ("null", "null", "is no plan"),
        ("brace", "{", "is not YAML"),
        ("tab", "tasks:\n\t- emoset", "is not YAML"),
        ("nul", good + "\0", "is not YAML"),
        ("escape", good + "# \x1b[2J", "is not YAML"),
        ("two-documents", good + "---\n" + good, "is not YAML"),
        ("python", good + "x: !!python/object/apply:os.system [touch owned]", "is not YAML"),
        ("python-name", good + "x: !!python/name:os.system", "is not YAML"),
        ("bad-bool", good + "x: !!bool maybe", "is not YAML"),
        ("bad-int", good + "x: !!int ''", "is not YAML"),
        ("bad-date", good + "x: 2024-99-99", "is not YAML"),
        ("bad-timestamp", good + "x: !!timestamp nothing", "is not YAML"),
        ("bad-binary", good + "x: !!binary '%'", "is not YAML|is no plan"),
        ("unknown-alias", good + "x: *nothing", "is not YAML"),
        ("own-alias", "tasks: &a [*a]", "is no plan"),
        ("laughs", laughs, "is no plan"),
        ("nested", "[" * 20_000, "is not YAML"),
        ("long-number", good + "limit: " + "9" * 5000, "is not YAML"),
        ("key-twice", good + "tasks: [webemo7]\n", "'tasks' stands twice"),
        ("inner-key-twice", good.replace("llava}", "llava, model: sepm_vila}"), "'model' stands twice"),
        ("unknown-key", good + "task: [x]", "task: there is no such setting"),
        ("key-case", good.replace("tasks", "Tasks"), "tasks: is missing"),
        ("no-models", "tasks: [emoset]\nmethods: [zero_shot]\nmodels: []", "models: is empty"),
        ("task-number", good.replace("[emoset]", "[7]"), "tasks.0: found 7; write text"),
        ("task-no", good.replace("[emoset]", "[no]"), "tasks.0: found False; write text"),
        ("task-text", good.replace("[emoset]", "emoset"), r"tasks: found 'emoset'; write a list: \[emoset\]"),
        ("task-twice", good.replace("[emoset]", "[emoset, emoset]"), "are named twice"),
        ("limit-zero", good + "limit: 0", "limit: found .*; it should be greater"),
        ("limit-negative", good + "limit: -3", "limit: found .*; it should be greater"),
        ("limit-yes", good + "limit: yes", "limit: found .*; it should be a valid integer"),
        ("limit-text", good + "limit: '5'", "limit: found .*; it should be a valid integer"),
        ("limit-fraction", good + "limit: 1.5", "limit: found .*; it should be a valid integer"),
        ("limit-nan", good + "limit: .nan", "limit: found .*; it should be a valid integer"),
        ("method-typo", good.replace("zero_shot", "zeroshot"), "unknown method 'zeroshot'"),
        ("method-option", good.replace("[zero_shot]", "['sepm,gamma=1']"), "unknown options"),
        ("method-no-value", good.replace("[zero_shot]", "['sepm,beta']"), "write name=value"),
        ("method-nan", good.replace("[zero_shot]", "['sepm,beta=nan']"), "beta"),
        ("method-infinite", good.replace("[zero_shot]", "['sepm,alpha=1e999']"), "alpha"),
        ("method-code", good.replace("[zero_shot]", "['sepm,beta=__import__(0)']"), "beta"),
        ("method-nested", good.replace("[zero_shot]", f"['sepm,beta={'(' * 5000}']"), "beta"),
        ("method-unhashable", good.replace("[zero_shot]", "['sepm,beta={[]:1}']"), "beta"),
        ("args-list", good.replace("llava}", "llava, args: {pretrained: [a]}}"), "args.pretrained"),
        ("args-taken", good.replace("llava}", "llava, args: {journal: /etc/x}}"), "must not hold"),
        (
            "batch-size",
            good.replace("llava}", "llava, batch_size: true}"),
            "batch_size: found True; it should be a valid int",
        ),
    ):
        yield Case(f"plan/{name}", loaded(text.encode()), rf"(?s)plan\.yaml .*{refused}")
    for name, content in {
        "not-utf8": b"tasks: [\xff\xfe]",
        "utf16": good.encode("utf-16"),
        "pickle": pickle.dumps([1]),
        "random": random.Random(4).randbytes(3000),
    }.items():
        yield Case(f"plan/is-{name}", loaded(content), r"plan\.yaml is not (YAML|UTF-8 text)")

    def at(make: Callable[[Path], None]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            make(folder / "plan.yaml")
            return load_plan(str(folder / "plan.yaml"))

        return act

    for name, make in {"folder": Path.mkdir, "fifo": os.mkfifo, "link": lambda p: p.symlink_to(p)}.items():
        yield Case(f"plan/is-{name}", at(make), "no plan .*give a YAML file")
    for name, text in {"nul": "a\0b", "long": "x" * 300, "nothing": "plans/nowhere.yaml"}.items():
        act = functools.partial(lambda text, folder: load_plan(text), text)
        yield Case(f"plan/name-{name}", act, "no plan .*give a YAML file")


def finished(folder: Path, entry: str = "sepm_llava", method: str = "sepm") -> None:
    """A small finished run."""
    make_run(folder, entry, LLAVA, method, "emoset", 0.5, "20261101_120000")


def results() -> Iterator[Case]:
    """What lmms-eval wrote."""
    # long because: a list of cases

    def read(folder: Path) -> Any:
        (found,) = read_runs([folder])
        return len(found.outcomes), found.complete

    def logged(pattern: str, change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            finished(folder)
            (path,) = folder.rglob(pattern)
            path.write_bytes(change(path.read_bytes()))
            return read(folder)

        return act

    def sample(**more: Any) -> Callable[[bytes], bytes]:
        """Change the first sample; a value ... takes the key away."""

        def change(content: bytes) -> bytes:
            first, rest = content.split(b"\n", 1)
            found = {**json.loads(first), **more}
            found = {key: value for key, value in found.items() if value is not ...}
            return json.dumps(found).encode() + b"\n" + rest

        return change

    def result(**more: Any) -> Callable[[bytes], bytes]:
        return lambda content: json.dumps({**json.loads(content), **more}).encode()

    samples = "*_samples_emoset.jsonl"
    for name, change, refused in (
        ("doc-id-text", sample(doc_id="0"), "doc_id is '0', no number"),
        ("doc-id-fraction", sample(doc_id=0.5), "doc_id is 0.5, no number"),
        ("doc-id-null", sample(doc_id=None), "doc_id is None, no number"),
        ("doc-id-list", sample(doc_id=[0]), r"doc_id is \[0\], no number"),
        ("doc-id-true", sample(doc_id=True), "doc_id is True, no number"),
        ("label-typo", sample(label="aww"), "label is 'aww', none of"),
        ("label-case", sample(label="Awe"), "label is 'Awe', none of"),
        ("label-space", sample(label="awe "), "label is 'awe ', none of"),
        ("label-number", sample(label=3), "label is 3, none of"),
        ("label-list", sample(label=["awe"]), "label is .*, none of"),
        ("answer-null", sample(filtered_resps=None), "filtered_resps is None, no text"),
        ("answer-number", sample(filtered_resps=7), "filtered_resps is 7, no text"),
        ("answer-empty-list", sample(filtered_resps=[]), r"filtered_resps is \[\], no text"),
        ("answer-nested", sample(filtered_resps=[["A"]]), "no text"),
        ("acc-two", sample(acc=2), "acc is 2, neither 0 nor 1"),
        ("acc-text", sample(acc="1"), "acc is '1', neither 0 nor 1"),
        ("acc-nan", sample(acc=float("nan")), "acc is nan, neither 0 nor 1"),
        ("not-json", lambda content: content.replace(b"{", b"(", 1), "line 1 is no sample"),
        ("list", lambda content: b"[1]\n" + content, "line 1 is no sample"),
        ("null", lambda content: b"null\n" + content, "line 1 is no sample"),
        ("number", lambda content: b"7\n" + content, "line 1 is no sample"),
        ("nested", lambda content: b"[" * 100_000 + b"\n" + content, "line 1 is no sample"),
        ("empty-line", lambda content: b"\n" + content, "line 1 is no sample"),
        ("cut-off", lambda content: content[:-80], "line 32 is no sample"),
        ("utf16", lambda content: content.decode().encode("utf-16"), r"line \d is no sample"),
        ("not-utf8", lambda content: content.replace(b"mini", b"m\xff\xfe", 1), "line 1 is no sample"),
        ("nul", lambda content: content.replace(b"mini", b"m\0", 1), "line 1 is no sample"),
        ("twice", lambda content: content.split(b"\n")[0] + b"\n" + content, "has several samples of 1 items"),
        ("item-twice", sample(item_id="emoset/001"), "has several samples of 1 items, such as 'emoset/001'"),
        ("doc-id-twice", sample(doc_id=1), "has several samples of 1 doc_ids, such as 1"),
    ):
        yield Case(f"samples/{name}", logged(samples, change), rf"_samples_emoset\.jsonl.*{refused}.*move")
    yield Case("samples/bom", logged(samples, lambda content: b"\xef\xbb\xbf" + content), gives=(32, True))
    yield Case("samples/windows", logged(samples, lambda content: content.replace(b"\n", b"\r\n")), gives=(32, True))
    yield Case("samples/none", logged(samples, lambda content: b""), "no results of image-emotion tasks")
    last = re.compile(rb"[^\n]+\n\Z")
    yield Case("samples/one-less", logged(samples, lambda content: last.sub(b"", content)), gives=(31, False))
    first = "names the run [0-9a-f]{16}, whose identity is in none of the logs"
    yield Case("samples/no-identity", logged(samples, lambda content: content.split(b"\n", 1)[1]), first)
    for name, media in {"text": "x", "number": 5, "nul": ["a\0b"], "long": ["x" * 9000], "folder": ["/"]}.items():
        change = sample(input_media=media)
        if name == "number":
            yield Case(f"samples/media-{name}", logged(samples, change), "not as lmms-eval writes them")
        else:
            yield Case(f"samples/media-{name}", logged(samples, change), gives=(32, True))

    for name, change, refused in (
        ("empty", lambda content: b"", "is no results file"),
        ("list", lambda content: b"[1]", "is no results file"),
        ("cut-off", lambda content: content[:-9], "is no results file"),
        ("nested", lambda content: b"[" * 100_000, "is no results file"),
        ("utf16", lambda content: content.decode().encode("utf-16"), "is no results file"),
        ("bom", lambda content: b"\xef\xbb\xbf" + content, "is no results file"),
        ("config-list", result(config=[1]), "not as lmms-eval writes them"),
        ("config-null", result(config=None), "not as lmms-eval writes them"),
        ("other-entry", result(config={"model": "sepm_gpt"}), "is of sepm_gpt, and its samples are of sepm_llava"),
        ("counts-negative", result(**{"n-samples": {"emoset": {"effective": -1}}}), "-1 items were asked"),
        ("counts-list", result(**{"n-samples": [1]}), "not as lmms-eval writes them"),
        ("counts-text", result(**{"n-samples": {"emoset": {"effective": "many"}}}), "'many' items were asked"),
        ("counts-null", result(**{"n-samples": {"emoset": {"effective": None}}}), "None items were asked"),
    ):
        yield Case(f"results/{name}", logged("*_results.json", change), refused)
    for name, arguments in {
        "number": 7,
        "list": ["a"],
        "bad-option": "method=sepm,beta=7",
    }.items():  # nobody reads them
        change = result(config={"model": "sepm_llava", "model_args": arguments})
        yield Case(f"results/args-{name}", logged("*_results.json", change), gives=(32, True))

    def beside(name: str, make: Callable[[Path], None]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            finished(folder)
            make(folder / name)
            return read(folder)

        return act

    for name, make in {
        "fifo": os.mkfifo,
        "folder": Path.mkdir,
        "link": lambda path: path.symlink_to(path),
        "dangling-link": lambda path: path.symlink_to("nowhere"),
    }.items():
        for file in ("x_results.json", "x.jsonl"):
            yield Case(f"results/{file}-is-{name}", beside(file, make), gives=(32, True))
    yield Case("results/folder-loop", beside("loop", lambda path: path.symlink_to(path.parent)), gives=(32, True))


def journals() -> Iterator[Case]:
    """Journals beside a run."""

    def beside(change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            finished(folder)
            (path,) = folder.rglob("journals/*.jsonl")
            path.write_bytes(change(path.read_bytes()))
            (found,) = read_runs([folder])
            return sum(outcome.record is not None for outcome in found.outcomes)

        return act

    def record(**more: Any) -> Callable[[bytes], bytes]:
        def change(content: bytes) -> bytes:
            first, rest = content.split(b"\n", 1)
            found = {key: value for key, value in {**json.loads(first), **more}.items() if value is not ...}
            return json.dumps(found).encode() + b"\n" + rest

        return change

    for name, change in {
        "no-text": record(text=...),
        "text-number": record(text=7),
        "no-versions": record(versions=...),
        "versions-text": record(versions="1"),
        "method-text": record(method="sepm"),
        "model-list": record(model=[1]),
        "doc-id-list": record(doc_id=[1]),
        "doc-id-text": record(doc_id="1"),
        "no-status": record(status=...),
        "no-task": record(task=...),
        "not-json": lambda content: content.replace(b",", b";", 1),
        "not-utf8": lambda content: content.replace(b"emoset", b"\xff\xfe", 1),
        "nul": lambda content: content.replace(b"emoset", b"\0", 1),
        "spliced": lambda content: content[:300] + content[250:],
        "nested": lambda content: b'{"key": ' + b"[" * 100_000 + b"\n" + content,
    }.items():
        yield Case(f"journal/{name}", beside(change), r"journals/.*\.jsonl")
    yield Case("journal/torn", beside(lambda content: content[:-40]), gives=31)
    yield Case("journal/nothing-whole", beside(lambda content: content[:100]), gives=0)
    yield Case("journal/of-another-answer", beside(record(text="Z")), gives=31)
