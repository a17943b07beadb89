"""The model entries ``sepm_<backbone>`` of lmms-eval: they turn its requests into questions and return the answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages
from loguru import logger as eval_logger
from PIL.Image import Image

from sepm_eval.hosts.lmms_eval.plugin import check_named_tasks, is_own_command
from sepm_eval.hosts.lmms_eval.processes import own_device, rank, shard, world_size
from sepm_eval.hosts.loading import load_runner, loaded_message
from sepm_eval.images import open_image
from sepm_eval.methods.common import MAX_NEW_TOKENS
from sepm_eval.model_wrappers import backbone_names
from sepm_eval.parsing import Options
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.identity import OUR_ENTRIES, answering

_OWN_ARGUMENTS = ("pretrained", "method", "device", "dtype", "batch_size", "journal", "resume", "polarity")


class ChatModel(lmms):
    """Base class of our models of lmms-eval's chat type: turns its requests into questions, which subclasses answer."""

    is_simple = False

    def __init__(self) -> None:
        super().__init__()
        self._rank, self._world_size = rank(), world_size()

    @property
    def device(self) -> torch.device:
        """The device on which lmms-eval gathers numbers from several processes."""
        local = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        return torch.device(local if torch.cuda.is_available() else "cpu")

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Not supported: the model answers with text."""
        raise NotImplementedError(f"{type(self).__name__} answers generate_until tasks, not loglikelihood ones")

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Not supported: a question is answered in one round."""
        raise NotImplementedError(f"{type(self).__name__} answers generate_until tasks, not multi-round ones")

    def _questions(self, requests: Sequence[Instance]) -> list[Asked]:
        tables: dict[tuple[str, str], _Documents] = {}
        for request in requests:
            _, _, settings, _, task, split = request.args
            if (task, split) not in tables:
                tables[task, split] = _Documents.of(self.task_dict[task][split])
                _check_generation(task, settings, ours=tables[task, split].items is not None)
        return [self._asked(request, tables[request.args[4], request.args[5]]) for request in requests]

    def _asked(self, request: Instance, documents: _Documents) -> Asked:
        _, doc_to_messages, settings, doc_id, task, split = request.args

        def load() -> tuple[str, list[Image]]:
            messages = ChatMessages(messages=doc_to_messages(self.task_dict[task][split][doc_id]))
            images, videos, audios = messages.extract_media()
            if videos or audios:
                raise ValueError(f"{task}: {type(self).__name__} takes text and pictures, not video or audio")
            texts = [part.text for message in messages.messages for part in message.content if part.type == "text"]
            text = "\n".join(texts)
            if documents.questions is not None and text != documents.questions[doc_id]:
                raise ValueError(
                    f"{task}: the host changed the text of the question ({text[:200]!r}); leave out options such as "
                    "--system_instruction and --num_fewshot, which change what is asked"
                )
            return text, [open_image(image) if isinstance(image, str) else image for image in images]

        until = settings.get("until") or []
        return Asked(
            task=task,
            doc_id=doc_id,
            load=load,
            max_new_tokens=int(settings.get("max_new_tokens", MAX_NEW_TOKENS)),
            until=(until,) if isinstance(until, str) else tuple(until),
            target=None if documents.targets is None else documents.targets[doc_id],
            item=None if documents.items is None else documents.items[doc_id],
            options=None if documents.options is None else documents.options[doc_id],
            picture=None if documents.pictures is None else documents.pictures[doc_id],
        )


@dataclass(frozen=True)
class _Documents:
    """Columns of a task's documents, with one value for each document; None for a column that the task does not have.

    All columns but ``targets`` exist only for our benchmarks.

    Attributes:
        targets: the right labels.
        items: benchmark and item id.
        questions: the text of the question.
        options: the options that the question offers.
        pictures: the picture's file.
    """

    targets: Sequence[str] | None
    items: Sequence[tuple[str, str]] | None = None
    questions: Sequence[str] | None = None
    options: Sequence[Options] | None = None
    pictures: Sequence[str] | None = None

    @classmethod
    def of(cls, docs: Any) -> _Documents:
        """Take the columns from a data set of lmms-eval."""
        targets = list(docs["label"]) if "label" in docs.column_names else None
        if not {"benchmark", "id", "question", "image", "picture", "labels", "names"} <= set(docs.column_names):
            return cls(targets)
        items = list(zip(docs["benchmark"], docs["id"], strict=True))
        offered = zip(map(tuple, docs["labels"]), map(tuple, docs["names"]), strict=True)
        return cls(targets, items, list(docs["question"]), [Options(*one) for one in offered], list(docs["image"]))


class SepmModel(ChatModel):
    """A backbone with a method as one lmms-eval model; subclasses name the backbone."""

    backbone_name: ClassVar[str]

    def __init__(
        self,
        pretrained: str | None = None,
        method: str = "sepm",
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        journal: str | None = None,
        resume: bool = True,
        polarity: str = "",
        **options: Any,
    ) -> None:
        """Load the checkpoint; the parameters are the names that --model_args takes.

        Args:
            pretrained: hub id, folder, or "demo"; by default the backbone's usual checkpoint on the hub.
            method: name of the method.
            device: see ``load_backbone``; under accelerate or torchrun "auto" is this process's own GPU.
            dtype: see ``load_backbone``.
            batch_size: number of questions read at once.
            max_batch_size: an argument of lmms-eval; it must be None, because there is no automatic batch size.
            journal: the journal's file; by default one for this model and method in the user's state folder.
            resume: whether answers that the journal already has are reused.
            polarity: polarities set by hand, such as "surprise:negative+confusion:positive".
            options: options of the method and of the backbone.

        Raises:
            MissingData: the data of a task that lmms-eval's command names are not there.
            ValueError: an argument is unknown, has an invalid value, or does not fit a task that the command names.
            MemoryError: the weights do not fit; in lmms-eval's own command a SystemExit with status 1 instead.
        """
        super().__init__()
        asked = check_named_tasks(sys.argv)
        given = {"device": own_device(device), "dtype": dtype, "polarity": polarity, **options}
        with _ending_in_lack_of_memory():
            self._runner = load_runner(
                *(f"{OUR_ENTRIES}{self.backbone_name}", _OWN_ARGUMENTS, self.backbone_name, method),
                {"pretrained": pretrained, **given},
                asked=asked,
                batch_size=_batch_size(batch_size, max_batch_size),
                journal=journal,
                resume=resume,
                shard=shard(),
            )
        answering.start(self._runner.identity, self._runner.keys, self._runner.facts)
        eval_logger.info(loaded_message(self._runner.identity.entry, self._runner))

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Answer all requests, in their order.

        Raises:
            SystemExit: the method was to drop visual tokens and never did. This is raised only in lmms-eval's own
                command, which would otherwise log the answers as a result and exit with status 0.
        """
        answering.start(self._runner.identity, self._runner.keys, self._runner.facts)
        outputs = self._runner.answer(self._questions(requests), quiet=self._rank > 0)
        if is_own_command(sys.argv) and (flaw := self._runner.dropping.flaw()):
            raise SystemExit(f"sepm_eval: {flaw}. The answers are in {self._runner.journal.path}")
        return outputs


@contextmanager
def _ending_in_lack_of_memory() -> Iterator[None]:
    """While a model is loaded, turn a MemoryError into an exit of lmms-eval's command with a message.

    That command would otherwise print a traceback and exit with status 0.

    Raises:
        SystemExit: memory does not suffice, in lmms-eval's own command; the status is 1.
        MemoryError: memory does not suffice, in any other program.
    """
    try:
        yield
    except MemoryError as error:
        if is_own_command(sys.argv):
            raise SystemExit(f"sepm_eval: {error}") from error
        raise


def _batch_size(wanted: int | str, largest: int | None) -> int:
    try:
        size = int(wanted)
    except ValueError:
        size = 0
    if size < 1 or largest is not None:
        found = f"batch_size={wanted}" if largest is None else f"max_batch_size={largest}"
        raise ValueError(f"{found}: give batch_size as a number, such as --batch_size 8; there is no automatic one")
    return size


_warned: set[str] = set()


def _check_generation(task: str, settings: dict[str, Any], *, ours: bool) -> None:
    """Check a task's generation settings for those that have no effect here.

    For a benchmark of ours such a setting is an error, for other tasks a warning.

    Raises:
        ValueError: --gen_kwargs sets something for a benchmark of ours that has no effect; the run would be logged with
            a setting that was not used.
    """
    sampled = bool(settings.get("do_sample")) and float(settings.get("temperature") or 1) > 0
    searched = int(settings.get("num_beams") or 1) > 1
    if ours:
        usual = {
            "max_new_tokens": MAX_NEW_TOKENS,
            "temperature": 0,
            "do_sample": False,
            "num_beams": 1,
            "until": ["\n\n"],
        }
        odd = {key: value for key, value in settings.items() if value is not None and usual.get(key) != value}
        if odd:
            raise ValueError(
                f"{task}: generation settings {odd} have no effect on the {OUR_ENTRIES}* models, which answer emotion "
                f"questions greedily with up to {MAX_NEW_TOKENS} tokens; leave --gen_kwargs out"
            )
    elif (sampled or searched) and task not in _warned:
        _warned.add(task)
        eval_logger.warning(f"{task} asks for sampling or beams; the {OUR_ENTRIES}* models answer greedily")


def __getattr__(name: str) -> type[SepmModel]:
    """Make the class of a model entry when lmms-eval asks for it, such as ``sepm_llava`` for the backbone "llava"."""
    backbone = name.removeprefix(OUR_ENTRIES)
    if not name.startswith(OUR_ENTRIES) or backbone not in backbone_names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return type(name, (SepmModel,), {"backbone_name": backbone})
