"""Our benchmarks as data sets of VLMEvalKit."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import mimetypes
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from filelock import SoftFileLock
from PIL import Image

from sepm_eval.datasets import Benchmark, MissingData, find_benchmarks, list_settings
from sepm_eval.datasets.releases.prepare import prepared_folder
from sepm_eval.datasets.releases.tsv import table_row
from sepm_eval.digests import readable_sha256s
from sepm_eval.files import write_whole
from sepm_eval.hosts.vlmevalkit.about import (
    SUFFIX,
    About,
    Questions,
    differences,
    from_file,
    questions_of,
    write_json,
)
from sepm_eval.hosts.vlmevalkit.scores import predictions, score_table
from sepm_eval.hosts.vlmevalkit.tls import tls_verified

with tls_verified():
    from vlmeval.dataset.image_base import ImageBaseDataset
    from vlmeval.smp import LMUDataRoot, dump, load
    from vlmeval.smp.file import get_intermediate_file_path

logger = logging.getLogger(__name__)

BENCHMARKS = {one.table_name: one for one in find_benchmarks().values() if not one.own_questions}
JUDGE = "exact_matching"


class EmotionMCQ(ImageBaseDataset):
    """An image-emotion benchmark with the same questions and scoring rule as in lmms-eval, and without a judge."""

    TYPE = "MCQ"
    DATASET_URL: ClassVar[dict[str, str]] = dict.fromkeys(BENCHMARKS, "")
    DEFAULT_JUDGE = JUDGE
    force_use_dataset_prompt = True  # otherwise VLMEvalKit's own models would word the question in their own ways

    def __init__(self, dataset: str) -> None:
        """Read the items.

        Args:
            dataset: a name in ``BENCHMARKS``.

        Raises:
            MissingData: there is neither the release nor a table that ``sepm-eval prepare`` wrote.
            ValueError: the name is unknown, the release is invalid (see ``Benchmark.items``), or the table was written
                for other options or another item list.
        """
        if dataset not in BENCHMARKS:
            raise ValueError(f"unknown data set {dataset!r}; there are {', '.join(BENCHMARKS)}")
        super().__init__(dataset, skip_noimg=False)

    def load_data(self, dataset: str) -> pd.DataFrame:
        """One row for each question, from the release as lmms-eval reads it, or otherwise from the exported table."""
        benchmark = BENCHMARKS[dataset]
        try:
            chosen, items = benchmark.chosen_list(), benchmark.items()
            benchmark.warn_if_fewer(len(items))
        except MissingData as missing:
            path = _exported(benchmark)
            if path is None:
                raise
            logger.warning("%s Read from %s instead", missing, path)
            return _read(path, benchmark)
        return pd.DataFrame(
            [{**table_row(benchmark, item, chosen), "image_path": str(item.path.absolute())} for item in items]
        )

    def post_build(self, dataset: str) -> None:
        """Remember all items, before VLMEvalKit reduces them to a part (--limit), and the digest of each picture."""
        self._doc_ids = {index: number for number, index in enumerate(self.data["index"])}
        if "image" in self.data:
            self.data["picture"] = [hashlib.sha256(base64.b64decode(one)).hexdigest() for one in self.data["image"]]
        else:
            self.data["picture"] = readable_sha256s([Path(path) for path in self.data["image_path"]])
        rows = zip(self.data["index"], self.data["category"], self.data["picture"], strict=True)
        self._rows = [(str(index), str(label), str(picture)) for index, label, picture in rows]
        self._item_list = str(self.data["item_list"].iloc[0])

    def questions(self, limit: int | None = None) -> Questions:
        """What the data set asks: the exam is the same as in lmms-eval, whether read from the release or the table.

        Args:
            limit: only the first ``limit`` questions are asked; None asks all.
        """
        return questions_of(BENCHMARKS[self.dataset_name], self._item_list, self._rows, limit)

    def pictures(self) -> dict[str, str]:
        """By item id, the SHA-256 of the picture's file; "" if it cannot be read."""
        return {key: picture for key, _, picture in self._rows}

    def build_prompt(self, line: int | pd.Series | dict[str, Any]) -> list[dict[str, Any]]:
        """The picture and the question, word for word as lmms-eval asks it."""
        row = self.data.iloc[line] if isinstance(line, int) else line
        (picture,) = self.dump_image(row)
        question = BENCHMARKS[self.dataset_name].question()
        # For our journal: the document's number in lmms-eval and the item's id. VLMEvalKit's own models ignore them.
        ours = {"doc_id": self._doc_ids[row["index"]], "item": row["index"]}
        return [{"type": "image", "value": picture}, {"type": "text", "value": question, **ours}]

    def dump_image(self, line: pd.Series | dict[str, Any]) -> list[str]:
        """The picture's file; a picture from a table is written unchanged to a file named by its content's SHA-256."""
        if "image_path" in line:
            return [line["image_path"]]
        content = base64.b64decode(line["image"])
        with Image.open(io.BytesIO(content)) as image:
            suffix = mimetypes.guess_extension(Image.MIME.get(image.format or "", "")) or ".jpg"
        path = Path(self.img_root) / f"{hashlib.sha256(content).hexdigest()}{suffix}"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        return [str(path)]

    def evaluate(self, eval_file: str, **judge_kwargs: Any) -> pd.DataFrame:
        """Score a prediction file, and return the accuracy.

        This writes ``*_exact_matching_result`` (the score of each question) and ``*_acc`` (the accuracy). ``*_acc`` and
        status.json also say which item list, exam and weights the accuracy belongs to.

        Raises:
            ValueError: the file lacks predictions for some questions, or holds answers to other questions.
        """
        judge = judge_kwargs.get("model", JUDGE)
        if judge != JUDGE or judge_kwargs.get("use_verifier"):
            logger.warning("%s is scored by exact match; the judge %s is not asked", self.dataset_name, judge)
        about = self._about(Path(eval_file))
        benchmark = BENCHMARKS[self.dataset_name]
        rows, accuracy = score_table(self.data, predictions(load(str(eval_file))), benchmark)
        columns = about.columns()
        if other := about.answered_by(benchmark):
            columns["answered_by"] = other
            accuracy.insert(1, "answered_by", other)
            logger.warning("%s was answered by %s: the accuracy is not the method's", self.dataset_name, other)
        dump(rows, get_intermediate_file_path(str(eval_file), f"_{JUDGE}_result"))
        dump(accuracy.assign(**columns), get_intermediate_file_path(str(eval_file), "_acc"))
        _note(Path(eval_file).parent / "status.json", self.dataset_name, columns)
        return accuracy

    def _about(self, eval_file: Path) -> About:
        """What the answers in a prediction file belong to; only the exam if ``sepm-eval vlmeval`` did not write them.

        Raises:
            ValueError: they are answers to other questions.
        """
        path = eval_file.with_name(f"{eval_file.stem}{SUFFIX}")
        now = About(None, {}, self.questions(len(self.data)))
        try:
            about = from_file(path)
        except FileNotFoundError:
            return now
        if found := differences(replace(about, identity=None), now, answering=False):
            raise ValueError(
                f"{eval_file} holds answers of another run ({'; '.join(found)}). Name another --work-dir, or move it "
                "away"
            )
        return about


def _note(status: Path, data: str, columns: dict[str, str]) -> None:
    """Write into VLMEvalKit's status file, if there is one, which item list, exam and weights a score belongs to."""
    with SoftFileLock(f"{status}.lock"):
        if not status.is_file():
            return
        content = json.loads(status.read_text(encoding="utf-8"))
        content.setdefault("datasets", {}).setdefault(data, {})["sepm_eval"] = columns
        write_json(status, content)


def _exported(benchmark: Benchmark) -> Path | None:
    """The table that ``sepm-eval prepare`` wrote, in VLMEvalKit's data folder or in the prepared folder, or None."""
    name = f"{benchmark.table_name}.tsv"
    places = (Path(LMUDataRoot()) / name, prepared_folder(benchmark.name) / name)
    return next((path for path in places if path.is_file()), None)


def _read(path: Path, benchmark: Benchmark) -> pd.DataFrame:
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    known = {"index", "answer", "category", "item_list"} <= set(table.columns)
    known = known and not {"image", "image_path"}.isdisjoint(table.columns)
    options = [table[column].iloc[0] for column in table.columns if len(column) == 1] if len(table) else []
    if not known or options != list(benchmark.names.values()):
        raise ValueError(f"{path} is not a table of this version: run sepm-eval prepare {benchmark.name}")
    wanted, written = list_settings().get(benchmark.name), table["item_list"].iloc[0]
    if wanted not in (None, written):
        raise ValueError(
            f"{path} holds the item list {written!r}, not {wanted!r}: run sepm-eval prepare {benchmark.name} "
            f"--list {wanted}"
        )
    return table
