"""Fetching pictures by URL, from a server on this machine that misbehaves in every way."""

import io
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from miniature import webemo_release
from PIL import Image
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks
from sepm_eval.download import Wanted, download


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), (200, 10, 10)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def server():
    """Answers by the first part of the path; counts requests and how many were under way at once."""
    asked: Counter[str] = Counter()
    busy, lock = [0, 0], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            with lock:
                asked[self.path] += 1
                busy[0] += 1
                busy[1] = max(busy)
            try:
                self._reply(self.path.split("/")[1])
            finally:
                with lock:
                    busy[0] -= 1

        def _reply(self, kind):
            body = jpeg()
            status = {"gone": 404, "gone410": 410, "forbidden": 403, "broken": 500, "busy": 503}.get(kind, 200)
            if kind == "flaky" and asked[self.path] < 3:
                status = 503
            if kind == "loop":
                status = 302
            if kind == "html":
                body = b"<html>not here any more</html>"
            self.send_response(status)
            if kind == "loop":
                self.send_header("Location", self.path)
            if kind == "encoded":
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:40] if kind == "cut" and asked[self.path] < 2 else body)

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    httpd.asked, httpd.busy = asked, busy
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
        ("encoded/1.jpg", "refused", 1),
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


@pytest.mark.parametrize("url", ["http://[::1/1.jpg", "http://a b\x00/1.jpg"])
def test_what_is_no_url_does_not_end_the_download(fetch, tmp_path, url):
    wanted = [Wanted(url, tmp_path / "1.jpg")]
    assert download(wanted, tmp_path / "log.jsonl", tries=1, timeout=2) == {"refused": 1}


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
