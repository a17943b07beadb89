"""Loading ahead: threads read and preprocess pictures for the next questions while the model works."""

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
    """A question whose text and pictures have been loaded.

    Attributes:
        text: the question's text.
        images: its pictures.
        sha256: the pictures' digests (see ``images.image_sha256``).
        visual_tokens: how many visual tokens its pictures will give; 0 if every picture gives the same number, or if
            the number is not known.
    """

    text: str
    images: tuple[Image, ...]
    sha256: list[str]
    visual_tokens: int = 0


def load(asked: Asked, backbone: Backbone) -> Loaded | Exception:
    """Load one question and preprocess its pictures for a backbone.

    Returns:
        The loaded question, or the exception if the fault concerns this question only.
    """
    try:
        text, images = asked.load()
        digests = [remember_sha256(image) for image in images]
        visual_tokens = sum(backbone.prepare(image) or 0 for image in images)
    except Exception as fault:
        if not isinstance(fault, ITEM_FAULTS) and not is_out_of_memory(fault):  # this one picture may be too large
            raise
        return fault
    return Loaded(text, tuple(images), digests, visual_tokens)


def load_ahead(
    questions: Sequence[Asked], backbone: Backbone, batch_size: int, ahead: Callable[[], int]
) -> Generator[Loaded | Exception, None, None]:
    """Yield the result of ``load`` for each question, in order, while threads load the questions that follow.

    Args:
        questions: the questions to load.
        backbone: the model that will see the pictures.
        batch_size: number of questions in a batch; the number of threads depends on it.
        ahead: returns how many questions may be loaded (or loading) and not yet taken; called again for every question.
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
    """A pool of threads that load pictures; at the end, work that has not begun is cancelled and all threads end."""
    pool = ThreadPoolExecutor(min(LOADERS, batch_size), thread_name_prefix="sepm_eval-loader")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
