"""The explorer in a real browser, headless and without a network: as files, and as served."""

# long because: all of it looks at one page, with the same few words for what a reader does there

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone

import pytest
import uvicorn
from make_runs import LLAVA, NASTY, VILA, read_lines, run, write_lines
from PIL import Image
from view_runs import GONE, ODD_ID, journal_lines, make

from sepm_eval.parsing import Options
from sepm_eval.report.comparing import baseline_of
from sepm_eval.report.links import link_of, link_to_items
from sepm_eval.report.table import groups
from sepm_eval.report.tables import all_tables, detail_tables
from sepm_eval.report.text import visible
from sepm_eval.runs.identity import Identity
from sepm_eval.runs.outcomes import Outcome, Run
from sepm_eval.runs.results import read_runs
from sepm_eval.scoring import Score
from sepm_eval.view.following import Following
from sepm_eval.view.server import application, bound
from sepm_eval.view.static import write_items


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    make(place / "runs", place / "pictures")
    return place / "runs"


@pytest.fixture(scope="module")
def runs(folder):
    return read_runs([folder])


@pytest.fixture(scope="module")
def files(folder, runs, tmp_path_factory):
    return write_items(runs, [folder], tmp_path_factory.mktemp("report")).resolve().as_uri()


@pytest.fixture(scope="module")
def served(folder):
    following = Following([folder])
    following.look()
    with serving(following) as address:
        yield address


class serving:
    """A server of some runs, in a thread."""

    def __init__(self, following):
        self.following, self.listening = following, bound()
        config = uvicorn.Config(application(following), log_level="error", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]})

    def __enter__(self):
        self.thread.start()
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}/"

    def __exit__(self, *_):
        self.following.stop()
        self.server.should_exit = True
        self.thread.join()
        self.listening.close()


def until(what, seconds=20.0):
    """What a function gives as soon as it gives something."""
    from selenium.common.exceptions import JavascriptException, StaleElementReferenceException

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = what()
        except (JavascriptException, StaleElementReferenceException):  # the page is being drawn
            found = None
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def at(browser, page, part=""):
    """Open a page with something behind the #, anew."""
    browser.get("about:blank")
    browser.get_log("browser")  # what was said before is not this page's
    browser.get(f"{page}{part}")
    until(lambda: "Loading" not in browser.find_element("id", "count").text or None)


def listed(browser):
    """The ids of all items that fit, in the order of the list."""
    return set(browser.execute_script("return view.found.map((item) => view.list.ids[item])"))


def messages(browser):
    """What stands on the console, but the browser's own word on the picture that has gone."""
    told = [one["message"] for one in browser.get_log("browser")]
    return [message for message in told if f"/{GONE}.jpg - Failed to load" not in message]


def one(browser, selector):
    return until(lambda: (browser.find_elements("css selector", selector) or [None])[0])


def pick(browser, name, value):
    from selenium.webdriver.support.select import Select

    Select(browser.find_element("css selector", f"#filters [name={name}]")).select_by_value(value)


def of(runs, **wanted):
    """Runs by what they are called."""
    return [run for run in runs if all(getattr(run, key) == value for key, value in wanted.items())]


def ids(outcomes):
    return {visible(outcome.item) for outcome in outcomes}


def flipped(run, runs, right):
    base = {one.item: one.score.correct for one in baseline_of(run, runs).outcomes}
    return [one for one in run.scored if one.score.correct != base[one.item] and one.score.correct in right]


def test_it_opens_from_the_file_system_without_a_message_and_nothing_is_injected(browser, files, runs):
    at(browser, files)
    assert browser.title == "Items"
    assert browser.find_element("id", "count").text == "62 of 62 items"
    assert listed(browser) == ids(one for run in runs for one in run.outcomes)
    first = one(browser, ".row img")
    browser.execute_async_script("arguments[0].decode().then(arguments[1])", first)
    assert first.get_property("naturalWidth") == 120
    assert messages(browser) == []


def test_it_opens_from_the_server_without_a_message(browser, served):
    at(browser, served)
    assert until(lambda: browser.find_element("id", "count").text == "62 of 62 items")
    picture = one(browser, ".row img")
    browser.execute_async_script("arguments[0].decode().then(arguments[1])", picture)
    at(browser, served, "#item=emotion6%2F001")
    assert one(browser, "#item h2").text == "emotion6/001"
    large = one(browser, ".large img")
    browser.execute_async_script("arguments[0].decode().then(arguments[1])", large)
    assert large.get_property("naturalWidth") == 120
    assert browser.get_log("browser") == []


@pytest.mark.parametrize(
    ("filters", "fitting"),
    [
        ({"items": "emoset"}, lambda runs: [one for run in of(runs, task="emoset") for one in run.outcomes]),
        ({"model": VILA}, lambda runs: [one for run in of(runs, model=VILA) for one in run.outcomes]),
        ({"method": "sparsevlm"}, lambda runs: [one for run in of(runs, method="sparsevlm") for one in run.outcomes]),
        (
            {"method": "sepm", "model": LLAVA, "outcome": "right"},
            lambda runs: [o for o in sepm(runs) if o.score.correct],
        ),
        (
            {"method": "sepm", "model": LLAVA, "outcome": "wrong"},
            lambda runs: [o for o in sepm(runs) if not o.score.correct],
        ),
        ({"outcome": "unparsed"}, lambda runs: [o for r in runs for o in r.outcomes if o.score.status == "unparsed"]),
        ({"outcome": "failed"}, lambda runs: [o for r in runs for o in r.outcomes if o.score.status == "failed"]),
        (
            {"method": "sepm", "model": LLAVA, "outcome": "ambiguous"},
            lambda runs: [o for o in sepm(runs) if o.record.ambiguous],
        ),
        (
            {"method": "sepm", "model": LLAVA, "outcome": "flipped"},
            lambda runs: flipped(of_sepm(runs), runs, (True, False)),
        ),
        (
            {"method": "sepm", "model": LLAVA, "outcome": "wrong-right"},
            lambda runs: flipped(of_sepm(runs), runs, (True,)),
        ),
        (
            {"method": "sepm", "model": LLAVA, "outcome": "right-wrong"},
            lambda runs: flipped(of_sepm(runs), runs, (False,)),
        ),
        (
            {"items": "emotion6", "label": "joy"},
            lambda runs: [o for r in of(runs, task="emotion6") for o in r.outcomes if o.target == "joy"],
        ),
        (
            {"items": "emoset", "answer": "awe"},
            lambda runs: [o for r in of(runs, task="emoset") for o in r.outcomes if o.score.label == "awe"],
        ),
    ],
    ids=lambda value: "-".join(value) + value.get("outcome", "") if isinstance(value, dict) else "",
)
def test_every_filter_leaves_what_it_says(browser, files, runs, filters, fitting):
    at(browser, files)
    for name, value in filters.items():
        pick(browser, name, value)
    expected = ids(fitting(runs))
    assert expected
    assert listed(browser) == expected
    assert browser.find_element("id", "count").text == f"{len(expected)} of 62 items"
    browser.find_element("id", "reset").click()
    assert browser.find_element("id", "count").text == "62 of 62 items"


def of_sepm(runs):
    (run,) = of(runs, model=LLAVA, method="sepm")
    return run


def sepm(runs):
    return of_sepm(runs).outcomes


def test_ids_are_searched_and_what_does_not_fit_is_said(browser, files):
    at(browser, files)
    box = browser.find_element("css selector", "[name=search]")
    box.send_keys("EMOSET/00")
    assert listed(browser) == {f"emoset/00{digit}" for digit in range(10) if digit != 2}
    box.send_keys("x")
    assert listed(browser) == set()
    assert "nothing fits" in browser.find_element("id", "count").text
    at(browser, files, "#method=sepm+(beta%3D9)")
    assert 'there is no method "sepm (beta=9)" here' in browser.find_element("id", "count").text
    at(browser, files, "#item=nowhere")
    assert "no item of the id" in browser.find_element("id", "count").text


def test_every_count_of_a_report_opens_as_many_items(browser, files, runs):
    """Cells of confusion matrices, flips, unparsed answers, failed questions, one by one."""
    details = [table for mine in groups(runs) for table in detail_tables(mine)]
    tables = [*all_tables(runs), *details]
    cells = [cell for table in tables for row in table.rows for cell in row if cell.items]
    links = [link_of(cell.items).partition("#")[2] for cell in cells]
    at(browser, files)
    code = """return arguments[0].map((link) => {
        view.readAddress("#" + link); return [view.matching().length, view.item]; })"""
    found = browser.execute_script(code, links)
    counts = [(cell.text, count) for cell, (count, item) in zip(cells, found, strict=True) if cell.text.isdigit()]
    assert len(counts) > 100
    assert [(text, count) for text, count in counts if int(text) != count] == []
    assert all(count for count, _ in found)
    opened = [(cell.items.get("item", ""), item) for cell, (_, item) in zip(cells, found, strict=True)]
    assert sum(bool(item) for item, _ in opened) > 20
    assert [visible(wanted) for wanted, _ in opened] == [item for _, item in opened]


@pytest.mark.parametrize("label", ["anger", "joy"])
def test_a_link_of_the_report_opens_its_items(browser, files, runs, label):
    run = of_sepm(runs)
    folder = files.rpartition("/")[0]
    link = link_to_items(items=run.column, model=run.model, method=run.variant, label=label, answer="joy")
    at(browser, f"{folder}/{link}")
    assert listed(browser) == ids(o for o in run.outcomes if (o.target, o.score.label) == (label, "joy"))
    link = link_to_items(items=run.column, model=run.model, method=run.variant, confidence="0.05:0.15")
    at(browser, f"{folder}/{link}")
    assert listed(browser) == ids(o for o in run.outcomes if 0.05 <= o.record.confidence < 0.15)
    at(browser, f"{folder}/{link_to_items(items=run.column, model=run.model, method=run.variant, item=ODD_ID)}")
    assert one(browser, "#item h2").text == visible(ODD_ID)


def test_the_keyboard_does_everything(browser, files):
    from selenium.webdriver import ActionChains, Keys

    def press(*keys):
        ActionChains(browser).send_keys(*keys).perform()

    at(browser, files, "#items=emotion6")
    for _ in range(12):
        press(Keys.TAB)
        if browser.switch_to.active_element.get_attribute("id") == "list":
            break
    press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP)
    assert one(browser, "[aria-selected=true] b").text == "emotion6/001"
    assert browser.find_element("id", "list").get_attribute("aria-activedescendant") == "row-1"
    press(Keys.END)
    assert one(browser, "[aria-selected=true] b").text == "emotion6/029"
    press(Keys.ENTER)
    assert one(browser, "#item h2").text == "emotion6/029"
    press(Keys.ARROW_LEFT)
    until(lambda: one(browser, "#item h2").text == "emotion6/028")
    press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)  # the second goes nowhere: it is the last
    until(lambda: one(browser, "#item h2").text == "emotion6/029")
    press(Keys.ESCAPE)
    assert browser.switch_to.active_element.get_attribute("id") == "list"
    assert one(browser, "[aria-selected=true] b").text == "emotion6/029"
    press(Keys.HOME, "/")
    assert browser.switch_to.active_element.get_attribute("name") == "search"


def alpha(browser, x, y):
    """Whether the overlay covers a point, in pixels of the picture, which is 120 wide and begins at the left edge."""
    code = """const canvas = document.querySelector(".large canvas"), factor = 672 / arguments[2];
        return canvas.getContext("2d").getImageData(arguments[0] * factor, arguments[1] * factor, 1, 1).data[3]"""
    return browser.execute_script(code, x, y, 120)


def test_dropped_tokens_of_tiles_lie_where_they_are_and_the_slider_shows_what_is_below(browser, files):
    from selenium.webdriver import Keys
    from selenium.webdriver.support.select import Select

    at(browser, files, "#method=sepm&item=emotion6%2F001")
    until(lambda: one(browser, ".large img").get_property("naturalWidth"))
    assert one(browser, "#tokens").text == "3 of 24 visual tokens dropped, 21 kept."
    covered = {
        (x, y): alpha(browser, x, y) > 0 for x, y in [(45, 22), (45, 45), (105, 15), (15, 75), (75, 15), (105, 75)]
    }
    assert covered == {
        **{(45, 22): True, (45, 45): True, (105, 15): True},
        **{(15, 75): False, (75, 15): False, (105, 75): False},
    }
    grids = Select(browser.find_element("name", "grid"))
    assert [option.text for option in grids.options] == ["all", "1: 2 x 4", "2: 3 x 2", "3: 3 x 2"]
    grids.select_by_index(2)
    assert (alpha(browser, 45, 45) > 0, alpha(browser, 105, 15) > 0) == (True, False)
    Select(browser.find_element("name", "cover")).select_by_value("kept")
    assert (alpha(browser, 45, 45) > 0, alpha(browser, 15, 75) > 0) == (False, True)
    slider = browser.find_element("id", "opacity")
    slider.send_keys(Keys.HOME)
    assert browser.find_element("css selector", ".large canvas").value_of_css_property("opacity") == "0"
    slider.send_keys(Keys.END)
    assert browser.find_element("css selector", ".large canvas").value_of_css_property("opacity") == "1"


def test_padding_is_shown_beside_the_picture(browser, files):
    at(browser, files, "#method=sepm&item=emotion6%2F000")
    until(lambda: one(browser, ".large img").get_property("naturalWidth"))
    stage, image = one(browser, ".large .stage"), one(browser, ".large img")
    assert stage.rect["height"] == pytest.approx(stage.rect["width"], rel=0.01)
    assert image.rect["height"] == pytest.approx(stage.rect["height"] * 90 / 120, rel=0.01)
    assert image.rect["y"] - stage.rect["y"] == pytest.approx(stage.rect["height"] * 15 / 120, rel=0.01)


def test_an_item_says_all_that_is_known_of_it(browser, files, runs):
    at(browser, files, "#model=llava-hf%2Fllava-1.5-7b-hf&method=sepm&item=emotion6%2F001")
    run = of_sepm(runs)
    outcome = run.outcomes[1]
    assert one(browser, "#who").text == f"SEPM · {LLAVA}"
    rows = [" ".join(row.text.split()) for row in browser.find_elements("css selector", "[data-part=stage1] tr")]
    assert rows[0] == f"positive {100 * outcome.record.p_positive:.1f} %"
    assert rows[1] == f"negative {100 * outcome.record.p_negative:.1f} %"
    assert rows[2] == f"confidence {outcome.record.confidence:.4f}"
    mark = browser.find_element("css selector", ".alpha")
    assert mark.get_attribute("style") == "left: 40%;"  # alpha 0.1 of at most 0.25
    options = [" ".join(row.text.split()) for row in browser.find_elements("css selector", "[data-part=options] tr")]
    assert options[0].startswith("anger")
    assert options[0].endswith("20.0 % → 60.0 %")
    assert len(browser.find_elements("css selector", "[data-part=options] .bar.before")) == 6
    prompts = [pre.text for pre in browser.find_elements("css selector", "[data-part=prompt]")]
    assert prompts == ["Is it positive or negative?\n  A. <b>Positive</b>", "Which emotion?"]
    assert one(browser, "[data-part=written]").text == outcome.output
    assert "Offered in the last stage: " in one(browser, "[data-part=candidates]").text
    assert f"The clues: {NASTY}" in one(browser, "#item").text
    assert "joy: 0.2500" in one(browser, "#item").text


def test_other_methods_and_models_stand_beside_it_and_are_looked_at_by_a_click(browser, files, runs):
    at(browser, files, "#item=emotion6%2F003")
    cards = until(lambda: browser.find_elements("css selector", ".card"))
    assert len(cards) == len(of(runs, task="emotion6")) == 5
    cot = of(runs, method="zero_shot_cot")[0].called
    (card,) = [card for card in cards if card.text.startswith(cot)]
    card.click()
    assert one(browser, "#who").text == f"{cot} · {LLAVA}"
    assert one(browser, "[data-part=written]").text == NASTY
    assert one(browser, ".card[aria-pressed=true]").text.endswith("? unparsed")
    assert browser.title == "Items"
    assert messages(browser) == []
    (stock,) = [card for card in browser.find_elements("css selector", ".card") if card.text.startswith("llava_hf")]
    stock.click()
    assert "what the model saw is not known" in one(browser, "#tokens").text


def test_items_of_one_id_in_two_benchmarks_are_two(browser, files):
    at(browser, files, "#search=onclick")
    rows = until(lambda: browser.find_elements("css selector", ".row"))
    assert [row.text.split("\n")[1].split()[-1] for row in rows] == ["emoset", "emotion6"]
    rows[1].click()
    until(lambda: "emotion6 · label" in one(browser, "#item").text)
    one(browser, "#back").click()
    one(browser, ".row").click()
    until(lambda: "emoset · label" in one(browser, "#item").text)
    browser.find_element("xpath", "//button[.='Next']").click()
    until(lambda: "emotion6 · label" in one(browser, "#item").text)


def test_a_failed_question_and_a_picture_that_has_gone_are_said(browser, files):
    at(browser, files, "#outcome=failed&item=emoset%2F005")
    assert "picture 5 cannot be read as a picture" in one(browser, "[data-part=written]").text
    at(browser, files, f"#item=emotion6%2F{GONE:03d}")
    assert until(lambda: one(browser, ".large .gone").text) == "picture not at hand"
    assert one(browser, ".path").text.endswith(f"{GONE}.jpg")
    assert one(browser, ".large canvas")  # the grid is still drawn


def test_a_picture_that_a_browser_turns_has_no_tokens_in_the_wrong_place(browser, tmp_path):
    run(tmp_path / "runs", "sepm_llava", LLAVA, "sepm", "emotion6", 0.5, "20261101_120000", items=slice(2))
    (samples,) = tmp_path.rglob("*_samples_*.jsonl")
    lines = read_lines(samples)
    for line, name in zip(lines, ("turned", "straight"), strict=True):
        line["input_media"] = [str(tmp_path / f"{name}.jpg")]
    write_lines(samples, lines)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (90, 60)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (90, 60)).save(tmp_path / "straight.jpg")
    page = write_items(read_runs([tmp_path]), [tmp_path], tmp_path).resolve().as_uri()
    for number, turned in ((0, True), (1, False)):
        at(browser, page, f"#item=emotion6%2F00{number}")
        stage = one(browser, ".large .stage")
        assert ("The file says to turn this picture" in stage.text) == turned
        covered = "return document.querySelector('.large canvas').getContext('2d').getImageData(3, 3, 1, 1).data[3]"
        assert (browser.execute_script(covered) == 0) == turned


@pytest.mark.parametrize(
    "part", ["", "#item=emotion6%2F001", "#item=" + link_to_items(item=ODD_ID).partition("item=")[2]]
)
def test_it_fits_a_phone(browser, files, part):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        at(browser, files, part)
        one(browser, "#item h2" if part else ".row")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        controls = browser.find_elements("css selector", "button, select, input")
        heights = [one.rect["height"] for one in controls if one.is_displayed()]
        assert min(heights) >= 38
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def many_runs(count):
    options = Options(("joy", "fear"), ("Joy", "Fear"))
    scores = [Score("answered", "joy", True), Score("answered", "fear", False), Score("unparsed", None, False)]
    made = []
    for method in ("zero_shot", "sepm"):
        outcomes = tuple(
            Outcome(
                f"test/{n:06d}",
                n,
                "joy",
                "?",
                options,
                "A",
                scores[(n * len(method)) % 3],
                True,
                f"/data/{n}.jpg",
                f"{n}",
                None,
            )
            for n in range(count)
        )
        identity = Identity("sepm_llava", "demo", method=method)
        made.append(Run(identity, "emoset", "test", outcomes, count, count, datetime.now(timezone.utc)))
    return made


def test_fifty_thousand_items_open_in_three_seconds(browser, tmp_path, monkeypatch):
    runs = many_runs(50_000)
    page = write_items(runs, [tmp_path], tmp_path / "report").resolve().as_uri()
    at(browser, page)
    until(lambda: browser.find_element("id", "count").text == "50,000 of 50,000 items")
    browser.get("about:blank")
    began = time.monotonic()
    browser.get(page)
    one(browser, ".row")
    assert time.monotonic() - began < 3
    assert len(browser.find_elements("css selector", ".row")) < 60  # of which only those in sight are drawn
    began = time.monotonic()
    pick(browser, "outcome", "flipped")
    assert 0 < len(listed(browser)) < 50_000
    assert time.monotonic() - began < 3
    browser.find_element("id", "reset").click()
    browser.execute_script("document.getElementById('list').scrollTop = 1e9")
    until(lambda: "test/049999" in browser.find_element("id", "rows").text)
    monkeypatch.setattr("sepm_eval.view.following.readable_runs", lambda folders: (runs, []))
    following = Following([tmp_path])
    following.look()
    with serving(following) as address:
        began = time.monotonic()
        browser.get(address)
        one(browser, ".row")
        assert time.monotonic() - began < 3


def test_a_run_that_goes_on_is_followed(browser, folder, tmp_path):
    (journal,) = [path for path in (folder / "journals").iterdir() if path.stem.endswith("llava_sepm")]
    lines = [line for line in journal_lines(journal) if b'"emotion6"' in line[:200]]
    following = Following([tmp_path])
    following.start()
    with serving(following) as address:
        at(browser, address)
        until(lambda: "No runs" in browser.find_element("id", "count").text)
        place = tmp_path / "journals" / "a.jsonl"
        place.parent.mkdir()
        place.write_bytes(b"".join(lines[:5]) + lines[5][:90])
        until(lambda: browser.find_element("id", "count").text == "5 of 5 items")
        assert "(running)" in browser.find_element("id", "where").text
        browser.execute_script("document.getElementById('list').focus()")
        with place.open("ab") as file:
            file.write(lines[5][90:] + b"".join(lines[6:9]))
        until(lambda: browser.find_element("id", "count").text == "9 of 9 items")
        assert browser.switch_to.active_element.get_attribute("id") == "list"  # what the reader does is not disturbed
    until(lambda: "The viewer has ended" in browser.find_element("id", "where").text)
