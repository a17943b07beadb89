"""Fetch the pictures that a release names by URL: politely, with an honest count; can be interrupted and repeated."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from tqdm import tqdm

from sepm_eval.images import UnreadableImage, open_image

LARGEST = 50 * 2**20  # bytes of one picture


@dataclass(frozen=True)
class Wanted:
    """A picture to fetch, and where to put it."""

    url: str
    path: Path


class _Passing(Exception):
    """A fault that may be gone at the next try."""


def download(
    wanted: Iterable[Wanted], log: Path, *, concurrency: int = 8, tries: int = 4, wait: float = 1.0, timeout: float = 30
) -> Counter[str]:
    """Fetch what is not there yet.

    Every URL gets a status: "there" (from before), "fetched", "gone" (the server says so: 404, 410), "refused" (another
    status below 500, endless redirects, no valid URL), "no picture" (what came is not one), or "failed" (time-outs and
    server errors, after all tries). The latest of each is appended to ``log`` as JSON lines. URLs that are gone or no
    picture are not asked for again.

    Args:
        wanted: URLs and places. One URL may be wanted at several places; it is fetched for each.
        log: file of statuses.
        concurrency: requests under way at once.
        tries: requests per URL, with random exponential waits between.
        wait: unit of the waits, seconds.
        timeout: seconds for one request.

    Returns how many have each status.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_download(list(wanted), log, concurrency, tries, wait, timeout))


async def _download(
    wanted: list[Wanted], log: Path, concurrency: int, tries: int, wait: float, timeout: float
) -> Counter[str]:
    given_up = {url: status for url, status in _statuses(log).items() if status in ("gone", "no picture")}
    found: Counter[str] = Counter()
    queue: asyncio.Queue[Wanted] = asyncio.Queue()
    for one in wanted:
        if one.path.is_file() and one.path.stat().st_size:
            found["there"] += 1
        elif one.url in given_up:
            found[given_up[one.url]] += 1
        else:
            queue.put_nowait(one)
    with log.open("a", encoding="utf-8") as file, tqdm(total=len(wanted), desc="download", unit="picture") as bar:
        bar.update(len(wanted) - queue.qsize())
        async with httpx.AsyncClient(follow_redirects=True, timeout=timeout) as client:

            async def work() -> None:
                while not queue.empty():
                    one = queue.get_nowait()
                    status = await _fetch(client, one, tries, wait)
                    found[status] += 1
                    file.write(json.dumps({"url": one.url, "status": status}) + "\n")
                    file.flush()
                    bar.update()

            await asyncio.gather(*(work() for _ in range(concurrency)))
    return found


async def _fetch(client: httpx.AsyncClient, one: Wanted, tries: int, wait: float) -> str:
    try:
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(tries),
            wait=wait_random_exponential(multiplier=wait, max=60),
            retry=retry_if_exception_type((_Passing, httpx.TransportError)),
        ):
            with attempt:
                return await _request(client, one)
    except RetryError:
        return "failed"
    except (httpx.RequestError, httpx.InvalidURL):  # no URL, endless redirects, a body that is not what its header says
        return "refused"
    raise AssertionError("unreachable")


async def _request(client: httpx.AsyncClient, one: Wanted) -> str:
    """One try.

    Raises:
        _Passing: the server is busy or broken.
    """
    content = b""
    async with client.stream("GET", one.url) as response:
        if response.status_code in (404, 410):
            return "gone"
        if response.status_code == 429 or response.status_code >= 500:
            raise _Passing(response.status_code)
        if response.status_code >= 400:
            return "refused"
        async for block in response.aiter_bytes():
            content += block
            if len(content) > LARGEST:
                return "no picture"
    try:
        open_image(io.BytesIO(content), name=one.url)
    except UnreadableImage:
        return "no picture"
    one.path.parent.mkdir(parents=True, exist_ok=True)
    part = one.path.with_name(one.path.name + ".part")
    part.write_bytes(content)
    part.replace(one.path)
    return "fetched"


def _statuses(log: Path) -> dict[str, str]:
    """The latest status of each URL; a line torn by an interruption is skipped."""
    found = {}
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        try:
            row = json.loads(line)
            found[row["url"]] = row["status"]
        except (ValueError, KeyError, TypeError):
            continue
    return found
