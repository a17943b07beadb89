"""Our methods as a model of VLMEvalKit."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL.Image import Image

from sepm_eval.datasets import Benchmark
from sepm_eval.hosts.loading import OF_A_MODEL, check_count, expected_identity, load_runner, loaded_message
from sepm_eval.hosts.vlmevalkit.dataset import BENCHMARKS
from sepm_eval.hosts.vlmevalkit.pairs import PROCESSES, RANK, model_loaded
from sepm_eval.hosts.vlmevalkit.tls import tls_verified
from sepm_eval.images import open_image
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.identity import Identity
from sepm_eval.scoring import is_failure

with tls_verified():
    from vlmeval.inference import FAIL_MSG
    from vlmeval.vlm.base import BaseModel

logger = logging.getLogger("vlmeval.sepm_eval")  # VLMEvalKit shows and saves messages of loggers below its own name

_OWN_ARGUMENTS = (
    "backbone",
    "pretrained",
    "method",
    "device",
    "dtype",
    "journal",
    "resume",
    "polarity",
    "max_new_tokens",
)


class SepmEvalModel(BaseModel):
    """A backbone with a method as a model of VLMEvalKit; most arguments are those of lmms-eval's ``--model_args``."""

    INTERLEAVE = False
    allowed_types = ("text", "image")

    def __init__(
        self,
        backbone: str = "llava",
        pretrained: str | None = None,
        method: str = "sepm",
        device: str = "auto",
        dtype: str = "auto",
        journal: str | None = None,
        resume: bool = True,
        polarity: str = "",
        max_new_tokens: int = 512,
        **options: Any,
    ) -> None:
        """Load the checkpoint.

        Args:
            backbone: name of the architecture, such as "llava".
            pretrained: hub id, folder, or "demo"; by default the backbone's usual checkpoint on the hub.
            method: name of the method.
            device: see ``load_backbone``.
            dtype: see ``load_backbone``.
            journal: the journal's file; by default one for this model and method in the user's state folder.
            resume: whether answers that the journal already has are reused.
            polarity: polarities set by hand, such as "surprise:negative+confusion:positive".
            max_new_tokens: limit for questions that are not emotion questions; VLMEvalKit's data sets set no limit.
            options: options of the method and of the backbone.

        Raises:
            ValueError: an argument is unknown or has an invalid value; the message names what is allowed.
        """
        super().__init__()
        check_count("max_new_tokens", max_new_tokens)
        self._max_new_tokens = max_new_tokens
        given = {"pretrained": pretrained, "device": device, "dtype": dtype, "polarity": polarity, **options}
        self._runner = load_runner(
            type(self).__name__,
            _OWN_ARGUMENTS,
            backbone,
            method,
            given,
            batch_size=1,  # VLMEvalKit asks one question at a time
            journal=journal,
            resume=resume,
            shard=f".rank{RANK}" if PROCESSES > 1 else "",
        )
        logger.info(loaded_message(type(self).__name__, self._runner))
        self._asked = 0

    def set_dump_image(self, dump_image_func: Callable[..., list[str]]) -> None:
        """Prepare for the questions of a data set; VLMEvalKit calls this before it asks the first one.

        This is the moment at which the model is compared with the earlier answers of the data set.

        Raises:
            OtherAnswers, SystemExit: see ``model_loaded``.
        """
        super().set_dump_image(dump_image_func)
        model_loaded(self._runner.identity)
        self._runner.dropping.restart()

    def flaw(self) -> str:
        """Why the answers to the present data set must not count as a result, or ""; see ``PruningCounter.flaw``."""
        return self._runner.dropping.flaw()

    def generate(self, message: Any, dataset: str | None = None) -> str:
        """Answer one question.

        VLMEvalKit's own checks, which stop the whole data set if a picture is missing or has an unusual name, are
        skipped for our data sets, so that only the one question fails.
        """
        if dataset in BENCHMARKS:
            return self.generate_inner(message, dataset)
        return str(super().generate(message, dataset))

    def generate_inner(self, message: Sequence[dict[str, Any]], dataset: str | None = None) -> str:
        """Answer one question; if it fails, return a text that VLMEvalKit counts as failed and asks again next time."""

        def load() -> tuple[str, list[Image]]:
            texts = [part["value"] for part in message if part["type"] == "text"]
            images = [open_image(part["value"]) for part in message if part["type"] == "image"]
            return "\n".join(texts), images

        self._asked += 1
        number = next((part["doc_id"] for part in message if "doc_id" in part), self._asked)
        benchmark = BENCHMARKS.get(str(dataset))
        task = benchmark.name if benchmark else str(dataset)
        item = next(((task, part["item"]) for part in message if "item" in part), None)
        options = benchmark.options if benchmark and item else None  # the question is ours, word for word
        limit = self._max_new_tokens
        asked = Asked(task=task, doc_id=number, load=load, max_new_tokens=limit, item=item, options=options)
        (output,) = self._runner.answer([asked], quiet=True, more_to_come=True)
        return f"{output} ({FAIL_MSG})" if is_failure(output) else output


def before_loading(
    arguments: Mapping[str, Any], asked: Sequence[Benchmark] = (), *, find: bool
) -> tuple[Identity, dict[str, Any]]:
    """What is known of a model before it is loaded.

    Args:
        arguments: arguments of ``SepmEvalModel``.
        asked: the benchmarks that the model is to be asked.
        find: see ``expected_identity``.

    Returns:
        The identity without ``Identity.model``, and the arguments that will decide ``Identity.model``.

    Raises:
        ValueError: an argument is unknown, has an invalid value, or does not fit the benchmarks.
        FileNotFoundError: there is no such checkpoint.
    """
    bound = inspect.signature(SepmEvalModel).bind(**arguments)
    bound.apply_defaults()
    told = bound.arguments
    check_count("max_new_tokens", told["max_new_tokens"])
    given = {name: told[name] for name in OF_A_MODEL} | told["options"]
    identity, settings = expected_identity(
        SepmEvalModel.__name__, _OWN_ARGUMENTS, told["backbone"], told["method"], given, asked=asked, find=find
    )
    return identity, {"dtype": settings.dtype, **settings.options}
