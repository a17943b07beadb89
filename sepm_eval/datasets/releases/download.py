"""Fetch the pictures that a release lists by URL; a call respects servers, counts failures, and can be repeated."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import re
import stat
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

import httpx
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from tqdm import tqdm

from sepm_eval.datasets.placeholders import placeholders
from sepm_eval.files import write_whole
from sepm_eval.images import UnreadableImage, open_image

LARGEST = 50 * 2**20  # bytes of one picture as they are transferred, because no content encoding is accepted
LONGEST_WAIT = 60.0  # seconds; a server that asks for a longer pause is skipped until the next call
MOST_REDIRECTS = 20


@dataclass(frozen=True)
class Wanted:
    """The URL of a picture to fetch, and the path to write it to."""

    url: str
    path: Path


class _Passing(Exception):
    """A temporary error, after which the next try may succeed."""


def download(
    wanted: Iterable[Wanted],
    log: Path,
    *,
    concurrency: int = 8,
    tries: int = 4,
    wait: float = 1.0,
    timeout: float = 30,
    deadline: float = 300,
) -> Counter[str]:
    """Fetch the pictures that are not on disk yet.

    Every wanted picture gets a status:

    * "there": it was on disk before; or "fetched";
    * "placeholder": the same content came for several file names (``placeholders``), as a site returns it for pictures
      that it took down; the file is kept, but does not count as data;
    * "gone": the server answered 404 or 410;
    * "no picture": the content is not a picture, or is larger than 50 MiB;
    * "refused": any other HTTP status below 500, too many redirects, an invalid URL, or a compressed answer although
      none was asked for;
    * "no place": the file cannot be written under its name (too long, or something other than a file has this name);
    * "failed": after all tries there were time-outs or server errors, or the server asked for more than a minute's
      pause.

    New statuses are appended to ``log`` as JSON lines. URLs that are gone, no picture or a placeholder are not
    requested again. A ``Retry-After`` applies to all URLs of its host.

    Args:
        wanted: URLs and paths. The same URL may be wanted at several paths; it is fetched for each.
        log: the file of statuses.
        concurrency: number of simultaneous requests.
        tries: requests per URL, with random exponential waits in between.
        wait: unit of these waits, in seconds.
        timeout: seconds within which a server must send the next data.
        deadline: seconds for one URL with all its tries, waits and redirects.

    Returns:
        The number of pictures with each status.

    Raises:
        OSError: the disk is full, or a folder or the log cannot be written; pictures fetched so far are kept.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_download(list(dict.fromkeys(wanted)), log, concurrency, tries, wait, timeout, deadline))


async def _download(
    wanted: Sequence[Wanted], log: Path, concurrency: int, tries: int, wait: float, timeout: float, deadline: float
) -> Counter[str]:
    known = _statuses(log)
    found = {one: status for one in wanted if (status := _before(one, known.get(one.url)))}
    waiting = iter([one for one in wanted if one not in found])
    with log.open("a", encoding="utf-8") as file, tqdm(total=len(wanted), desc="download", unit="picture") as bar:
        if log.stat().st_size and not log.read_bytes().endswith(b"\n"):
            file.write("\n")  # ends a line that an interruption cut off
        bar.update(len(found))
        async with httpx.AsyncClient(headers=_headers(), timeout=timeout) as client:
            fetcher = _Fetcher(client, tries, wait, deadline)

            async def work() -> None:
                for one in waiting:
                    found[one] = await fetcher.fetch(one)
                    _note(file, known, one, found[one])
                    bar.update()

            workers = [asyncio.create_task(work()) for _ in range(concurrency)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        stand_ins = placeholders([one.path for one, status in found.items() if status in ("there", "fetched")])
        for one in wanted:
            if one.path in stand_ins:
                found[one] = "placeholder"
            if found[one] in ("placeholder", "no place"):
                _note(file, known, one, found[one])
    return Counter(found.values())


@dataclass
class _Fetcher:
    """Fetches pictures, and respects the pauses that servers ask for.

    Attributes:
        client: the HTTP client, with its headers set.
        tries: requests per URL.
        wait: unit of the waits between the tries, in seconds.
        deadline: seconds for one URL in total.
        pauses: host -> the time from which it may be requested again, on the clock of ``time.monotonic``.
    """

    client: httpx.AsyncClient
    tries: int
    wait: float
    deadline: float
    pauses: dict[str, float] = field(default_factory=dict)

    async def fetch(self, one: Wanted) -> str:
        """Fetch a picture, and return its status."""
        try:
            return await asyncio.wait_for(self._repeated(one), self.deadline)
        except asyncio.TimeoutError:
            return "failed"

    async def _repeated(self, one: Wanted) -> str:
        content: bytes | str = "failed"
        try:
            async for attempt in AsyncRetrying(
                stop=stop_after_attempt(self.tries),
                wait=wait_random_exponential(multiplier=self.wait, max=LONGEST_WAIT),
                retry=retry_if_exception_type((_Passing, httpx.TransportError)),
            ):
                with attempt:
                    content = await self._followed(one.url)
        except RetryError:
            return "failed"
        except (httpx.RequestError, httpx.InvalidURL, ValueError, OverflowError):  # an invalid URL or host name
            return "refused"
        return content if isinstance(content, str) else _put(one, content)

    async def _followed(self, url: str) -> bytes | str:
        """Follow redirects to a picture; return its bytes, or a status. Only the body of the last response is read.

        Raises:
            _Passing: a server is busy or has an error.
        """
        request = self.client.build_request("GET", url)
        for _ in range(MOST_REDIRECTS + 1):
            if request.url.scheme not in ("http", "https") or not 0 < (request.url.port or 80) < 65536:
                return "refused"
            if not await self._may_ask(request.url.host):
                return "failed"
            response = await self.client.send(request, stream=True)
            try:
                if response.next_request is None:
                    return await self._content(response)
                request = response.next_request
            finally:
                await response.aclose()
        return "refused"

    async def _may_ask(self, host: str) -> bool:
        """Wait until a host may be requested again; return False at once if that takes more than ``LONGEST_WAIT``."""
        while (left := self.pauses.get(host, 0.0) - time.monotonic()) > 0:
            if left > LONGEST_WAIT:
                return False
            await asyncio.sleep(left)
        return True

    async def _content(self, response: httpx.Response) -> bytes | str:
        if response.status_code in (404, 410):
            return "gone"
        if response.status_code == 429 or response.status_code >= 500:
            if pause := _pause(response.headers.get("Retry-After", "")):
                host = response.url.host
                self.pauses[host] = max(self.pauses.get(host, 0.0), time.monotonic() + pause)
            raise _Passing(response.status_code)
        if not response.is_success or response.headers.get("Content-Encoding", "identity").lower() != "identity":
            return "refused"
        content = bytearray()
        async for block in response.aiter_raw():
            content += block
            if len(content) > LARGEST:
                return "no picture"
        try:
            open_image(io.BytesIO(content), name=str(response.url))
        except UnreadableImage:
            return "no picture"
        return bytes(content)


def _headers() -> dict[str, str]:
    who = f"sepm-eval/{version('sepm-eval')}"
    why = "fetches the pictures that a public research benchmark lists by URL, for whoever runs it at this address"
    return {"User-Agent": f"{who} ({why}; heeds Retry-After)", "Accept-Encoding": "identity"}


def _pause(told: str) -> float:
    """The seconds that a Retry-After header asks for, as a number or as a date; 0 if it is neither."""
    if re.fullmatch("[0-9]{1,9}", told.strip()):
        return float(told)
    try:
        until = parsedate_to_datetime(told)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=timezone.utc)
    return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())


def _before(one: Wanted, known: str | None) -> str:
    """The status of a picture that need not be requested; "" if it must be.

    Raises:
        OSError: its folder cannot be read.
    """
    given_up = known if known in ("gone", "no picture", "placeholder") else ""
    try:
        found = one.path.stat()
    except FileNotFoundError:
        return given_up
    except ValueError:  # the path contains a NUL character
        return "no place"
    except OSError as error:
        if error.errno not in _OF_THE_NAME:
            raise
        return "no place"
    if not stat.S_ISREG(found.st_mode):
        return "no place"
    return "there" if found.st_size else given_up


def _put(one: Wanted, content: bytes) -> str:
    """Write a picture atomically to its path, and return the status."""
    one.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_whole(one.path, content, repeatable=True)
    except OSError as error:
        if error.errno not in _OF_THE_NAME:
            raise
        return "no place"
    return "fetched"


_OF_THE_NAME = (errno.ENAMETOOLONG, errno.EISDIR, errno.ELOOP, errno.EILSEQ, errno.EINVAL)


def _note(file: TextIO, known: dict[str, str], one: Wanted, status: str) -> None:
    if known.get(one.url) != status:
        known[one.url] = status
        file.write(json.dumps({"url": one.url, "status": status}) + "\n")
        file.flush()


def _statuses(log: Path) -> dict[str, str]:
    """Read the latest status of each URL from the log; a line that an interruption cut off is skipped."""
    found = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []:
        try:
            row = json.loads(line)
            found[row["url"]] = row["status"]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found
