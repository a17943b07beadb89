"""What the explorer shows and serves, without a browser: bad input, what the server refuses, runs that go on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
from make_runs import LLAVA, read_lines, run, write_lines
from starlette.testclient import TestClient
from typer.testing import CliRunner
from view_runs import GONE, journal_lines, make

from sepm_eval.cli import app
from sepm_eval.runs.results import read_runs, readable_runs
from sepm_eval.view.following import Following
from sepm_eval.view.server import HOST, PortTaken, application, bound
from sepm_eval.view.static import write_items


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    make(place / "runs", place / "pictures")
    return place / "runs"


@pytest.fixture(scope="module")
def following(folder):
    found = Following([folder])
    found.look()
    return found


@pytest.fixture(scope="module")
def client(following):
    return TestClient(application(following), base_url=f"http://{HOST}:8000")


def content(text):
    """What a script of ours hands to the page."""
    return json.loads(re.fullmatch(r"view\.\w+\((?:\d+, )?(.*)\);\n?", text, re.DOTALL)[1])


def shown(folders):
    """The list that is shown of some folders."""
    following = Following(folders)
    following.look()
    return json.loads(following.version.content)


def everything(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def number_of(listed, item):
    return listed["ids"].index(item)


def test_the_server_answers_its_own_names_only(client):
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"host": "localhost:1234"}).status_code == 200
    for name in ("rebound.example", "rebound.example:8000", "127.0.0.1.rebound.example", ""):
        assert client.get("/items/list.js", headers={"host": name}).status_code == 400


def test_other_sites_get_nothing(client):
    for site in ("cross-site", "same-site"):
        asked = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
        assert client.get("/items/list.js", headers=asked).status_code == 403
        assert client.get("/items/picture/0", headers=asked).status_code == 403
    followed = client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert followed.status_code == 200
    assert followed.headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in followed.headers["content-security-policy"]
    assert client.get("/items/list.js", headers={"sec-fetch-site": "same-origin"}).status_code == 200


STRANGE = (
    *(
        "/items/../../etc/passwd",
        "/items/%2e%2e/server.py",
        "/etc/passwd",
        "/items/picture/..%2f..%2fx",
        "/items/server.py",
    ),
    *("/items/picture/-1", "/items/picture/99999999999999999999", "/items/99999.js", "/items/picture//etc/passwd"),
)


@pytest.mark.parametrize("path", STRANGE)
def test_nothing_but_the_page_and_its_items_is_served(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_nothing_can_be_changed(client, method):
    for path in ("/", "/items/list.js", "/items/picture/0"):
        assert getattr(client, method)(path).status_code == 405


def test_only_pictures_are_sent_and_only_as_pixels(tmp_path, client, following):
    listed = content(client.get("/items/list.js").text)
    found = client.get(f"/items/picture/{number_of(listed, 'emotion6/003')}")
    assert (found.status_code, found.headers["content-type"], found.content[:2]) == (200, "image/jpeg", b"\xff\xd8")
    assert len(client.get(f"/items/picture/{number_of(listed, 'emotion6/003')}?small=1").content) <= len(found.content)
    gone = client.get(f"/items/picture/{number_of(listed, f'emotion6/{GONE:03d}')}")
    assert (gone.status_code, gone.content) == (204, b"")
    secret = tmp_path / "secret.jpg"
    secret.write_text("no picture")
    for named in (
        str(secret),
        "/etc/passwd",
        "http://127.0.0.1:9/x.jpg",
        "a\0b",
        str(tmp_path),
        "data:image/png;base64,AA",
    ):
        run(tmp_path / "runs", "llava_hf", LLAVA, "", "emotion6", 0.5, "20261101_120000")
        (samples,) = (tmp_path / "runs").rglob("*_samples_*.jsonl")
        write_lines(samples, [{**line, "input_media": [named]} for line in read_lines(samples)])
        other = Following([tmp_path / "runs"])
        other.look()
        answer = TestClient(application(other), base_url=f"http://{HOST}").get("/items/picture/0")
        assert (answer.status_code, answer.content) == (204, b"")


def test_neither_the_server_nor_looking_writes_anything(folder):
    before = everything(folder.parent)
    following = Following([folder])
    following.look()
    client = TestClient(application(following), base_url=f"http://{HOST}")
    for path in (
        "/",
        "/items/list.js",
        "/items/version",
        "/items/0.js",
        "/items/picture/0",
        "/items/picture/0?small=1",
    ):
        assert client.get(path).status_code == 200
    assert everything(folder.parent) == before


def test_two_viewers_cannot_have_one_port(folder):
    with bound() as first:
        port = first.getsockname()[1]
        with pytest.raises(
            PortTaken, match=rf"port {port} of 127\.0\.0\.1 cannot be used .*another viewer may have it"
        ):
            bound(port)
        said = CliRunner().invoke(app, ["view", str(folder), "--port", str(port)])
        assert said.exit_code == 1
        assert "Leave out --port" in said.output
    with bound(port) as again:
        assert again.getsockname() == ("127.0.0.1", port)


def test_a_folder_that_is_not_there_is_said():
    said = CliRunner().invoke(app, ["view", "/nowhere/at/all"])
    assert (said.exit_code, said.output.strip()) == (1, "/nowhere/at/all is no folder")


def test_the_command_prints_where_it_serves_and_ends_on_ctrl_c(folder):
    command = [sys.executable, "-m", "sepm_eval", "view", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        with urllib.request.urlopen(address, timeout=30) as page:
            assert b"items/state.js" in page.read()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""


def test_a_folder_without_runs_is_said_and_not_refused(tmp_path):
    found = shown([tmp_path])
    assert (found["runs"], found["ids"], found["notes"]) == ([], [], [])
    assert found["where"] == str(tmp_path)
    assert found["reading"] is False


def test_half_written_and_damaged_files_are_named_and_the_others_shown(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emotion6", 0.5, "20261101_120000")
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emotion6", 0.5, "20261101_120000")
    (samples,) = (tmp_path / "sepm_llava_sepm").glob("*_samples_*.jsonl")
    samples.write_bytes(samples.read_bytes()[:-100])
    found = shown([tmp_path])
    assert [one["method"] for one in found["runs"] if not one["live"]] == ["zero_shot"]
    assert [one["method"] for one in found["runs"] if one["live"]] == ["sepm"]  # the journal has it
    (note,) = found["notes"]
    assert str(samples) in note
    with pytest.raises(ValueError, match=re.escape(str(samples))):  # a report does not leave it out
        read_runs([tmp_path])
    damaged = next(path for path in (tmp_path / "journals").iterdir() if "zero_shot" in path.name)
    damaged.write_bytes(damaged.read_bytes() + b'{"key": "x"}\n')
    assert sum(str(damaged) in note for note in shown([tmp_path])["notes"]) >= 1


def test_files_that_cannot_be_read_are_left_out_only_where_that_is_asked_for(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emotion6", 0.5, "20261101_120000")
    (results,) = tmp_path.rglob("*_results.json")
    results.write_text("{")
    runs, left_out = readable_runs([tmp_path])
    assert runs == []
    assert [str(results) in one for one in left_out] == [True]


def test_answers_in_a_journal_are_a_run_that_goes_on_until_its_log_is_there(folder, tmp_path):
    (journal,) = [path for path in (folder / "journals").iterdir() if path.stem.endswith("llava_sepm")]
    lines = [line for line in journal_lines(journal) if b'"emotion6"' in line[:200]]
    place = tmp_path / "a.jsonl"
    place.write_bytes(b"".join(lines[:4]) + lines[4][:-20])
    following = Following([tmp_path])
    assert following.look()
    assert not following.look()  # nothing new
    (going_on,) = json.loads(following.version.content)["runs"]
    assert (going_on["live"], going_on["items"], going_on["method"], going_on["model"]) == (
        *(True, "emotion6 (running)"),
        *("sepm", LLAVA),
    )
    (finished,) = [one for one in read_runs([folder]) if (one.model, one.method) == (LLAVA, "sepm")]
    codes = ["r" if one.score.correct else "w" for one in finished.outcomes]
    assert going_on["codes"] == "".join(codes[:4])
    place.write_bytes(b"".join(lines))
    assert following.look()
    assert json.loads(following.version.content)["runs"][0]["codes"] == "".join(codes)
    ids = json.loads(following.version.content)["ids"]
    for path in finished.source.parent.glob("*emotion6*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert following.look()
    after = json.loads(following.version.content)
    assert [one["live"] for one in after["runs"]] == [False]
    assert after["ids"] == ids  # an item keeps its number


def test_an_answer_whose_label_nobody_says_is_neither_right_nor_wrong(folder, tmp_path):
    (journal,) = [path for path in (folder / "journals").iterdir() if path.stem.endswith("llava_sepm")]
    records = [record for record in read_lines(journal) if record["task"] == "emotion6"][:3]
    write_lines(tmp_path / "a.jsonl", [{k: v for k, v in record.items() if k != "target"} for record in records])
    (found,) = shown([tmp_path])["runs"]
    assert found["codes"] == "ooo"


def test_a_question_that_failed_and_was_asked_again_counts_as_answered(folder, tmp_path):
    (journal,) = [path for path in (folder / "journals").iterdir() if path.stem.endswith("llava_sepm")]
    record = read_lines(journal)[0]
    failed = {key: record[key] for key in ("key", "task", "doc_id", "run", "model", "versions", "item", "target")}
    failed |= {"key": "other", "status": "failed", "error": "OSError: gone"}
    write_lines(tmp_path / "a.jsonl", [failed])
    following = Following([tmp_path])
    following.look()
    assert json.loads(following.version.content)["runs"][0]["codes"] == "f"
    write_lines(tmp_path / "a.jsonl", [failed, record])
    following.look()
    assert json.loads(following.version.content)["runs"][0]["codes"] in ("r", "w")


ODD = ["x", -1, 1e400, None, [1], {"a": 1}, "<b>", float("nan")]


@pytest.mark.parametrize(
    "field", ["p_positive", "confidence", "option_probabilities", "scores", "candidates", "analysis"]
)
def test_whatever_stands_in_a_journal_the_item_is_shown(folder, tmp_path, field):
    (journal,) = [path for path in (folder / "journals").iterdir() if path.stem.endswith("llava_sepm")]
    records = [record for record in read_lines(journal) if record["task"] == "emotion6"][: len(ODD)]
    write_lines(tmp_path / "a.jsonl", [{**record, field: odd} for record, odd in zip(records, ODD, strict=True)])
    following = Following([tmp_path])
    following.look()
    client = TestClient(application(following), base_url=f"http://{HOST}")
    assert "NaN" not in client.get("/items/list.js").text
    for number in range(len(ODD)):
        answers = content(client.get(f"/items/{number}.js").text)["items"][str(number)]["answers"]
        assert answers[0]["text"] == records[number]["text"]


def test_a_report_has_the_items_beside_it_and_of_an_earlier_one_nothing_is_left(folder, tmp_path):
    out = tmp_path / "report"
    (out / "items").mkdir(parents=True)
    (out / "items" / "999.js").write_text("old")
    (out / "items" / "mine.txt").write_text("kept")
    write_items(read_runs([folder]), [folder], out)
    assert not (out / "items" / "999.js").exists()
    assert (out / "items" / "mine.txt").exists()  # what is not ours is left alone
    listed = content((out / "items" / "list.js").read_text())
    assert listed["pictures"]["root"] == (folder.parent / "pictures").as_uri() + "/"
    assert set(listed["pictures"]["files"]) == {f"{number}.jpg" for number in range(32)}
    assert len(read_runs([folder, out])) == len(read_runs([folder]))  # a report's folder holds no runs
