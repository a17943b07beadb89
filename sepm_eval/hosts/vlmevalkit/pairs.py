"""Earlier answers in VLMEvalKit's folders: they may be reused only by the run that they belong to.

A pair is one model on one data set. Before the run, each pair is compared with the earlier answers in its folders.
While VLMEvalKit runs, ``watching`` finds out where it keeps a pair's answers, and writes the about file there, which
says what they belong to.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sepm_eval.hosts.vlmevalkit.about import About, about_path, differences, former_answers, from_file, to_file
from sepm_eval.hosts.vlmevalkit.scores import is_failed
from sepm_eval.runs.identity import Identity

# Read at import, because VLMEvalKit hides the number of processes while it builds a model.
RANK, PROCESSES = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
_RUN_FOLDER = re.compile(r"T\d{8}[-_].+")  # folders of single runs, made by a checkout and by --api-mode
_JOBS = ("infer_data_job", "infer_data_job_mt", "infer_data_job_video")

Pair = tuple[str, str]


class OtherAnswers(ValueError):
    """Earlier answers that would be reused belong to another run."""


@dataclass
class Pairs:
    """The pairs of one run in which the model, the data set, or both are ours.

    Attributes:
        work: VLMEvalKit's work folder.
        abouts: by pair, what its answers belong to, as far as it is known; completed when a model is loaded.
        pictures: by data set and item id, the SHA-256 of the picture's file.
        answering: whether questions are asked (not with --mode eval).
        reuse: whether answers in other run folders are reused (--reuse or --mode eval).
        flaws: by pair, why its answers must not count as a result; only pairs with such a flaw.
    """

    work: Path
    abouts: dict[Pair, About]
    pictures: Mapping[str, Mapping[str, str]]
    answering: bool
    reuse: bool
    flaws: dict[Pair, str] = field(init=False, default_factory=dict)
    _former: dict[Pair, About] = field(init=False, default_factory=dict)

    def taken_over(self) -> dict[Pair, list[Path]]:
        """By pair, the files whose answers VLMEvalKit would reuse; only pairs with such files."""
        found = {
            pair: [path for folder in self._folders(pair) for path in former_answers(folder, *pair)]
            for pair in self.abouts
        }
        return {pair: files for pair, files in found.items() if files}

    def refused(self) -> list[str]:
        """One sentence for each pair whose earlier answers belong to another run.

        For the other pairs, what their earlier answers belong to is remembered.
        """
        found = []
        for pair, files in self.taken_over().items():
            for folder in dict.fromkeys(path.parent for path in files):
                flaw = self._compared(folder, pair)
                if flaw:
                    first = next(path for path in files if path.parent == folder)
                    found.append(f"{' on '.join(pair)}: {first} {flaw}. Name another --work-dir, or move {folder} away")
        return found

    def start(self, folder: Path, pair: Pair) -> None:
        """Write the about file of a pair into the folder of its answers; only the first process does this."""
        if pair in self.abouts and RANK == 0:
            to_file(about_path(folder, *pair), self._former.get(pair, self.abouts[pair]))

    def loaded(self, folder: Path, pair: Pair, identity: Identity) -> None:
        """Compare a loaded model with the earlier answers that it would complete, and write its identity beside them.

        Raises:
            OtherAnswers: the earlier answers were made with other settings, such as another dtype.
            SystemExit: the same in a run of several processes, which would otherwise wait for each other.
        """
        if pair not in self.abouts:
            return
        now = dataclasses.replace(self.abouts[pair], identity=identity)
        if pair in self._former and (found := differences(self._former[pair], now, answering=True)):
            message = (
                f"{' on '.join(pair)}: the answers in {folder} were made with other settings ({'; '.join(found)}). "
                f"Name another --work-dir, or move {folder} away"
            )
            raise OtherAnswers(message) if PROCESSES == 1 else SystemExit(message)
        self.abouts[pair] = now
        if RANK == 0:
            to_file(about_path(folder, *pair), now)

    def _compared(self, folder: Path, pair: Pair) -> str:
        """Why the earlier answers in a folder cannot be reused; "" if they belong to this run."""
        path = about_path(folder, *pair)
        try:
            former = from_file(path)
        except FileNotFoundError:
            return f"holds answers, and no {path.name} beside it says whose"
        except (OSError, ValueError) as error:
            return f"holds answers, but {error}"
        now = self.abouts[pair]
        found = differences(former, now, answering=self.answering)
        if found == ["pictures"] and self._only_of_failed(folder, pair):
            former, found = dataclasses.replace(former, questions=now.questions), []
        if found:
            return f"holds answers of another run ({'; '.join(found)})"
        self._former.setdefault(pair, former)
        return ""

    def _only_of_failed(self, folder: Path, pair: Pair) -> bool:
        """Whether only pictures of failed questions have changed; these questions are asked again, so reuse is safe."""
        from vlmeval.smp import load

        files = former_answers(folder, *pair)
        if len(files) != 1 or files[0].suffix == ".pkl":
            return False
        former, now = pd.DataFrame(load(str(files[0]))), self.pictures[pair[1]]
        if not {"index", "picture", "prediction"} <= set(former.columns):
            return False
        rows = zip(former["index"], former["picture"], former["prediction"], strict=True)
        return all(is_failed(said) for item, picture, said in rows if now.get(str(item)) != str(picture))

    def _folders(self, pair: Pair) -> list[Path]:
        """Folders whose answers VLMEvalKit reuses: the model's and, if ``reuse``, the newest run's that has answers."""
        folder = self.work / pair[0]
        runs = [path for path in folder.glob("T*") if _RUN_FOLDER.fullmatch(path.name) and path.is_dir()]
        runs.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        newest = [path for path in runs if former_answers(path, *pair)][:1] if self.reuse else []
        return [*newest, folder]


@dataclass
class _Now:
    """The pair that VLMEvalKit is working on; a model finds here the pair for which it is asked."""

    pairs: Pairs | None = None
    folder: Path = field(default_factory=Path)
    pair: Pair = ("", "")
    begun: bool = False  # whether a model of ours has begun to answer the pair


_now = _Now()


def model_loaded(identity: Identity) -> None:
    """Pass on the identity of the model that is about to answer the present pair; see ``Pairs.loaded``.

    Outside ``watching`` nothing is compared or written.

    Raises:
        OtherAnswers, SystemExit: see ``Pairs.loaded``.
    """
    _now.begun = True
    if _now.pairs is not None:
        _now.pairs.loaded(_now.folder, _now.pair, identity)


@contextmanager
def watching(host: Any, pairs: Pairs) -> Iterator[None]:
    """Within this context, learn from VLMEvalKit where it keeps the answers of each pair, before it asks anything.

    Args:
        host: VLMEvalKit's module ``run``. Some of its functions are replaced within the context: the one that looks for
            earlier answers (called in the first process, and with --api-mode), and those that ask a model in this
            process (called in every process).
        pairs: the pairs of the run; they record where their answers are kept and what is wrong with them.
    """
    former = {name: getattr(host, name) for name in ("prepare_reuse_files", *_JOBS)}

    def prepare_reuse_files(**given: Any) -> Any:
        found = former["prepare_reuse_files"](**given)
        pairs.start(Path(given["result_file"]).parent, (given["model_name"], given["dataset_name"]))
        return found

    def job(name: str, model: Any, **given: Any) -> Any:
        _now.pairs, _now.folder = pairs, Path(given["work_dir"])
        _now.pair, _now.begun = (given["model_name"], given["dataset"].dataset_name), False
        try:
            asked = former[name](model, **given)
            if _now.begun and (flaw := asked.flaw()):
                pairs.flaws[_now.pair] = f"{' on '.join(_now.pair)}: {flaw}"
            return asked
        finally:
            _now.pairs = None

    host.prepare_reuse_files = prepare_reuse_files
    for name in _JOBS:
        setattr(host, name, functools.partial(job, name))
    try:
        yield
    finally:
        for name, function in former.items():
            setattr(host, name, function)
