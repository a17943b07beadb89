"""Fetching pictures by URL, from a server on this machine that misbehaves in every way."""

import errno
import io
import json
import threading
import time
import tracemalloc
import zlib
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from miniature import webemo_release
from PIL import Image
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks
from sepm_eval.datasets.releases import download as downloading
from sepm_eval.datasets.releases.download import Wanted, download


def jpeg(name: str) -> bytes:
    """A picture for each file name, as a server has it; one "image removed" for all that are called removed."""
    shade = 0 if "removed" in name else zlib.crc32(name.rsplit("/", 1)[-1].encode())
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), (shade & 255, shade >> 8 & 255, shade >> 16 & 255)).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(size: int = 300_000_000) -> bytes:
    """Zeros, compressed to a thousandth."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(bytes(1_000_000)) for _ in range(size // 1_000_000)) + packer.flush()


STATUS = {"gone": 404, "gone410": 410, "forbidden": 403, "broken": 500, "busy": 503, "loop": 302, "bombed": 302}


@pytest.fixture
def server():
    """Answers by the first part of the path; counts requests and how many were under way at once."""
    # long because: every way in which a server answers
    asked: Counter[str] = Counter()
    busy, lock, packed = [0, 0], threading.Lock(), {}
    headers: list[dict[str, str]] = []
    when: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            with lock:
                asked[self.path] += 1
                busy[0] += 1
                busy[1] = max(busy)
                headers.append(dict(self.headers))
                when.append(time.monotonic())
            try:
                self._reply(self.path.split("/")[1])
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client had enough
            finally:
                with lock:
                    busy[0] -= 1

        def _reply(self, kind):
            body, status, more = jpeg(self.path), STATUS.get(kind, 200), {}
            first = asked[self.path] == 1
            if kind == "flaky" and asked[self.path] < 3:
                status = 503
            if kind == "html":
                body = b"<html>not here any more</html>"
            if kind == "loop":
                more["Location"] = self.path
            if kind in ("bomb", "bombed"):
                body = packed.setdefault("bomb", bomb())
                more["Content-Encoding"] = "gzip"
            if kind == "bombed":
                more["Location"] = "/good/after_a_bomb.jpg"
            if kind in ("zstd", "br", "gzip"):
                more["Content-Encoding"] = kind
            if kind == "pause" and first:
                status, more["Retry-After"] = 429, "1"
            if kind == "pausedate" and first:
                status, more["Retry-After"] = 503, formatdate(time.time() + 2, usegmt=True)
            if kind == "tomorrow":
                status, more["Retry-After"] = 429, "86400"
            if kind == "nonsense" and first:
                status, more["Retry-After"] = 503, "9" * 400
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            if kind not in ("drip", "endless"):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            while kind == "drip":
                self.wfile.write(b"x")
                time.sleep(0.05)
            while kind == "endless":
                self.wfile.write(bytes(100_000))
            self.wfile.write(body[:40] if kind == "cut" and asked[self.path] < 2 else body)

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    httpd.asked, httpd.busy, httpd.headers, httpd.when = asked, busy, headers, when
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    yield httpd
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def fetch(server, tmp_path):
    def fetch(*paths, **settings):
        wanted = [Wanted(f"{server.url}/{path}", tmp_path / "out" / path) for path in paths]
        return download(wanted, tmp_path / "log.jsonl", wait=0.01, **settings)

    return fetch


@pytest.mark.parametrize(
    ("path", "status", "requests"),
    [
        ("good/1.jpg", "fetched", 1),
        ("flaky/1.jpg", "fetched", 3),
        ("cut/1.jpg", "fetched", 2),
        ("gone/1.jpg", "gone", 1),
        ("gone410/1.jpg", "gone", 1),
        ("forbidden/1.jpg", "refused", 1),
        ("broken/1.jpg", "failed", 4),
        ("busy/1.jpg", "failed", 4),
        ("html/1.jpg", "no picture", 1),
        ("loop/1.jpg", "refused", 21),
        ("gzip/1.jpg", "refused", 1),
        ("br/1.jpg", "refused", 1),
        ("zstd/1.jpg", "refused", 1),
        ("bomb/1.jpg", "refused", 1),
        ("endless/1.jpg", "no picture", 1),
        ("nonsense/1.jpg", "fetched", 2),
    ],
)
def test_every_kind_of_answer(fetch, server, tmp_path, path, status, requests):
    assert fetch(path) == {status: 1}
    assert server.asked[f"/{path}"] == requests
    (logged,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged == {"url": f"{server.url}/{path}", "status": status}
    assert (tmp_path / "out" / path).exists() is (status == "fetched")
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_second_call_asks_only_for_what_may_come(fetch, server):
    paths = ("good/1.jpg", "gone/1.jpg", "html/1.jpg", "forbidden/1.jpg", "broken/1.jpg")
    fetch(*paths)
    server.asked.clear()
    assert fetch(*paths) == {"there": 1, "gone": 1, "no picture": 1, "refused": 1, "failed": 1}
    assert set(server.asked) == {"/forbidden/1.jpg", "/broken/1.jpg"}


def test_a_torn_log_line_is_no_obstacle(fetch, tmp_path):
    fetch("gone/1.jpg")
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"url": "http')
    assert fetch("gone/1.jpg", "good/1.jpg") == {"gone": 1, "fetched": 1}


def test_requests_are_bounded(fetch, server):
    assert fetch(*(f"good/{i}.jpg" for i in range(60)), concurrency=3) == {"fetched": 60}
    assert server.busy[1] <= 3


def test_a_host_that_is_not_there(tmp_path):
    wanted = [Wanted("http://127.0.0.1:9/1.jpg", tmp_path / "1.jpg")]
    assert download(wanted, tmp_path / "log.jsonl", tries=2, wait=0.01, timeout=2) == {"failed": 1}


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/1.jpg",
        "http://a b\x00/1.jpg",
        "ftp://127.0.0.1/1.jpg",
        "/1.jpg",
        "http://127.0.0.1:99999/1.jpg",
    ],
)
def test_what_is_no_url_does_not_end_the_download(fetch, tmp_path, url):
    wanted = [Wanted(url, tmp_path / "1.jpg")]
    assert download(wanted, tmp_path / "log.jsonl", tries=1, timeout=2) == {"refused": 1}


def test_compressed_bodies_stay_compressed(fetch, server):
    """300 MB of zeros in 300 kB, as an answer and as the body of a redirect."""
    tracemalloc.start()
    try:
        assert fetch("bomb/1.jpg", "bombed/2.jpg") == {"refused": 1, "fetched": 1}
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
    assert {one["Accept-Encoding"] for one in server.headers} == {"identity"}


def test_the_user_agent_says_who_asks(fetch, server):
    from importlib.metadata import version

    fetch("good/1.jpg", "bombed/2.jpg")
    agents = {one["User-Agent"] for one in server.headers}
    assert len(agents) == 1
    assert agents.pop().startswith(f"sepm-eval/{version('sepm-eval')} (")


def test_a_url_that_drips_has_a_deadline(fetch):
    begun = time.monotonic()
    assert fetch("drip/1.jpg", "good/1.jpg", deadline=1.0) == {"failed": 1, "fetched": 1}
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("kind", ["pause", "pausedate"])
def test_a_server_is_asked_again_when_it_says(fetch, server, kind):
    assert fetch(f"{kind}/1.jpg") == {"fetched": 1}
    assert server.asked[f"/{kind}/1.jpg"] == 2
    assert server.when[1] - server.when[0] >= 0.9


def test_a_server_that_wants_a_long_pause_is_left_alone(fetch, server):
    begun = time.monotonic()
    assert fetch("tomorrow/1.jpg", "good/1.jpg", "good/2.jpg", concurrency=1) == {"failed": 3}
    assert server.asked == {"/tomorrow/1.jpg": 1}
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("name", ["x" * 255, "x" * 300])
def test_a_long_name_ends_nothing(fetch, tmp_path, name):
    fits = len(name) <= 255
    assert fetch("good/1.jpg", f"good/{name}", "good/2.jpg") == (
        {"fetched": 3} if fits else {"fetched": 2, "no place": 1}
    )


def test_a_folder_where_a_picture_belongs_ends_nothing(fetch, server, tmp_path):
    (tmp_path / "out" / "good" / "1.jpg").mkdir(parents=True)
    assert fetch("good/1.jpg", "good/2.jpg") == {"no place": 1, "fetched": 1}
    assert "/good/1.jpg" not in server.asked


def test_one_file_under_many_names_is_a_placeholder(fetch, server, tmp_path):
    removed = [f"good/removed{n}.jpg" for n in range(3)]
    assert fetch(*removed[:2], "good/1.jpg") == {"fetched": 3}  # two may be one picture uploaded twice
    assert fetch(*removed, "good/1.jpg") == {"placeholder": 3, "there": 1}
    statuses = {json.loads(line)["url"]: json.loads(line)["status"] for line in (tmp_path / "log.jsonl").open()}
    assert [statuses[f"{server.url}/{path}"] for path in removed] == ["placeholder"] * 3
    size = (tmp_path / "log.jsonl").stat().st_size
    server.asked.clear()
    assert fetch(*removed, "good/1.jpg") == {"placeholder": 3, "there": 1}
    assert not server.asked
    assert (tmp_path / "log.jsonl").stat().st_size == size


def test_a_url_wanted_at_many_places_is_no_placeholder(server, tmp_path):
    wanted = [Wanted(f"{server.url}/good/1.jpg", tmp_path / str(n) / "1.jpg") for n in range(5)]
    assert download(wanted, tmp_path / "log.jsonl") == {"fetched": 5}


@pytest.fixture
def webemo(server, tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    return webemo_release(tmp_path, host=server.url, images=False)


def stopped():
    result = CliRunner().invoke(app, ["download", "webemo"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    return " ".join(result.output.split())


def test_a_bad_row_ends_nothing(webemo):
    path = webemo / "test25.txt"
    path.write_bytes(b"no row\r\n" + path.read_bytes() + f"http://h/{'x' * 300}.jpg 3\r\n".encode())
    told = stopped()
    assert "2 refused" in told
    assert "51 of 53 pictures are there" in told
    assert "2 rows of the list are broken, such as" in told
    assert "line 1: expected a URL" in told


@pytest.mark.parametrize("what", ["disk", "images", "log"])
def test_what_cannot_be_written_is_told(webemo, monkeypatch, what):
    def full(one, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(one.path))

    if what == "disk":
        monkeypatch.setattr(downloading, "_put", full)
    if what == "images":
        (webemo / "images").write_text("a file")
    if what == "log":
        (webemo / "download.jsonl").mkdir()
    told = stopped()
    words = {"disk": "No space left on device", "images": "Not a directory", "log": "Is a directory"}
    assert words[what] in told
    assert "What was fetched is kept: call it again" in told


def test_webemo_from_its_list(server, tmp_path, monkeypatch):
    """The whole way: URL list, download by the command, and the items that are then evaluated."""
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    folder = webemo_release(tmp_path, host=server.url, images=False)
    rows = folder / "test25.txt"
    rows.write_bytes(rows.read_bytes().replace(b"/jpg/00/07/220_F_70", b"/gone/220_F_70"))
    result = CliRunner().invoke(app, ["download", "webemo"])
    assert result.exit_code == 0, result.output
    assert "1 gone" in result.output
    assert "50 of 51 pictures are there" in result.output
    items = find_benchmarks()["webemo25"].items()
    assert len(items) == 50
    assert {item.label for item in items if item.path.name == "220_F_00_abcDEF.jpg"} == {"affection", "zest"}
