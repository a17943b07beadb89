"""Pictures are read from disk and prepared in threads, some ahead of the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from PIL.Image import Image

from sepm_eval.backbone.interface import Backbone
from sepm_eval.backbone.memory import is_out_of_memory
from sepm_eval.images import remember_sha256
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.faults import ITEM_FAULTS

LOADERS = 4  # threads that decode pictures while the model works


@dataclass(frozen=True)
class Loaded:
    """What a question turned out to be.

    Attributes:
        text: its text.
        images: its pictures.
        sha256: their digests (see ``images.image_sha256``).
        visual_tokens: how many its pictures will give; 0 where they all give as many, or nobody knows.
    """

    text: str
    images: tuple[Image, ...]
    sha256: list[str]
    visual_tokens: int = 0


def load(asked: Asked, backbone: Backbone) -> Loaded | Exception:
    """Load one question and prepare its pictures for a backbone; the fault if it is this question's own."""
    try:
        text, images = asked.load()
        digests = [remember_sha256(image) for image in images]
        visual_tokens = sum(backbone.prepare(image) or 0 for image in images)
    except Exception as fault:
        if not isinstance(fault, ITEM_FAULTS) and not is_out_of_memory(fault):  # too large a picture, alone
            raise
        return fault
    return Loaded(text, tuple(images), digests, visual_tokens)


def load_ahead(
    questions: Sequence[Asked], backbone: Backbone, batch_size: int, ahead: Callable[[], int]
) -> Generator[Loaded | Exception, None, None]:
    """What ``load`` gives for each question, in order; threads work some ahead of who takes it.

    Args:
        questions: what is asked.
        backbone: who will see the pictures.
        batch_size: how many are read at once.
        ahead: how many may be loaded and not yet taken; asked anew for every question.
    """
    coming: deque[Future[Loaded | Exception]] = deque()
    with loaders(batch_size) as pool:
        for asked in questions:
            coming.append(pool.submit(load, asked, backbone))
            if len(coming) > ahead():
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


@contextmanager
def loaders(batch_size: int) -> Iterator[ThreadPoolExecutor]:
    """Threads to load pictures in; at the end what has not begun is dropped, and none is left."""
    pool = ThreadPoolExecutor(min(LOADERS, batch_size), thread_name_prefix="sepm_eval-loader")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
