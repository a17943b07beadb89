"""The report's page in a real browser, headless and without a network."""

from __future__ import annotations

import pytest
from make_runs import RUNS

from sepm_eval.report.write import write_report
from sepm_eval.runs.results import read_runs


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(read_runs([RUNS]), tmp_path_factory.mktemp("page")).resolve()


@pytest.fixture(scope="module")
def page(report):
    return report.as_uri()


@pytest.fixture(scope="module")
def details(report):
    """The page of one model on one benchmark."""
    (found,) = (report.parent / "pages").glob("llava*_emotion6.html")
    return found.as_uri()


def column(browser, table, index):
    cells = browser.find_elements("css selector", f"#table-{table} tbody tr > :nth-child({index})")
    return [cell.text.split("\n")[0] for cell in cells]


def test_no_error_and_nothing_injected(browser, page, details):
    for address, title in ((page, "Image-emotion evaluation"), (details, "llava-hf/llava-1.5-7b-hf, emotion6")):
        browser.get(address)
        assert browser.title == title  # the script tag that a model answered did not run
        assert browser.get_log("browser") == []


def test_the_first_screen_says_which_method_helped(browser, page):
    """Without scrolling: the sentence that sums up, those about single methods, and the beginning of the figures."""
    browser.set_window_size(1400, 1000)
    browser.get(page)
    (first,) = browser.find_elements("css selector", "#findings .first")
    assert first.text.startswith("Of 18 comparisons of a method with zero-shot: ")
    assert first.rect["y"] < 500
    (drawing, *others) = browser.find_elements("css selector", "#findings svg")
    assert len(others) == 3, "a forest and a Pareto plot for each model"
    assert drawing.rect["y"] < 1000
    assert drawing.rect["width"] > 400
    assert drawing.accessible_name.startswith("What each method changed on ")


def test_links_lead_to_the_pages_and_back(browser, page):
    browser.get(page)
    links = browser.find_elements("css selector", "#table-pages td a")
    addresses = [link.get_attribute("href") for link in links]
    assert len(addresses) == 4
    links[-1].click()
    assert browser.current_url == addresses[-1]
    assert "llava-hf/llava-1.5-7b-hf" in browser.title
    browser.find_element("css selector", ".way a").click()
    assert browser.current_url == page
    assert browser.get_log("browser") == []


def test_confusions_are_tables_that_open(browser, details):
    from selenium.webdriver import Keys

    browser.get(details)
    tables = browser.find_elements("css selector", "#folded table")
    assert tables
    assert not any(table.is_displayed() for table in tables)
    browser.find_element("css selector", "#folded summary").send_keys(Keys.ENTER)
    assert tables[0].is_displayed()
    shades = tables[0].find_elements("css selector", "[class^=shade-]")
    grounds = {shade.value_of_css_property("background-color") for shade in shades}
    assert len(grounds) > 3
    assert browser.get_log("browser") == []


def test_pictures_load_and_say_what_they_show(browser, details):
    browser.get(details)
    pictures = browser.find_elements("css selector", "img, .drawn > svg")
    assert len(pictures) > 3
    for picture in pictures:
        if picture.tag_name == "img":
            browser.execute_script("arguments[0].loading = 'eager'; arguments[0].scrollIntoView()", picture)
            browser.execute_async_script("arguments[0].decode().then(arguments[1])", picture)
        assert picture.rect["width"] > 300
        assert picture.get_attribute("alt") or picture.get_attribute("aria-label")


def test_tables_sort_by_number_and_back(browser, page):
    browser.get(page)
    headers = browser.find_elements("css selector", "#table-runs th button")
    place = [header.text for header in headers].index("accuracy %")
    before = column(browser, "runs", place + 1)
    headers[place].click()
    up = column(browser, "runs", place + 1)
    assert up == sorted(before, key=float)
    assert headers[place].find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    headers[place].click()
    assert column(browser, "runs", place + 1) == sorted(before, key=float, reverse=True)
    headers[1].click()
    assert headers[place].find_element("xpath", "..").get_attribute("aria-sort") == "none"
    assert column(browser, "runs", 2) == sorted(column(browser, "runs", 2), key=str.lower)


def test_that_a_table_sorts_is_seen_before_it_is_clicked(browser, page):
    browser.get(page)
    headers = browser.find_elements("css selector", "thead th")
    assert {header.get_attribute("aria-sort") for header in headers} == {"none"}
    arrow = "return getComputedStyle(arguments[0], '::after').content"
    button = headers[0].find_element("tag name", "button")
    assert "\u2195" in browser.execute_script(arrow, button)
    button.click()
    assert "\u25b2" in browser.execute_script(arrow, button)


def test_the_method_stays_when_a_table_is_moved_sideways(browser, page):
    narrow(browser, 390)
    browser.get(page)
    (frame,) = browser.find_elements("css selector", "#table-runs .scroll")
    cell, other = frame.find_elements("css selector", "tbody tr:first-child > *")[:2]
    before, beyond = cell.rect["x"], other.rect["x"]
    browser.execute_script("arguments[0].scrollLeft = 300", frame)
    assert browser.execute_script("return arguments[0].scrollLeft", frame) > 200
    assert abs(cell.rect["x"] - before) < 1
    assert other.rect["x"] < beyond - 200
    assert cell.rect["width"] < 200, "there must be room for the others"
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def narrow(browser, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_keyboard_reaches_and_sorts(browser, page):
    from selenium.webdriver import ActionChains, Keys

    browser.get(page)
    reached = []
    for _ in range(60):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        focus = browser.switch_to.active_element
        reached.append(focus.tag_name)
        if focus.tag_name == "button":
            break
    assert reached[0] == "a"  # skip to content
    assert reached[-1] == "button"
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    header = browser.switch_to.active_element.find_element("xpath", "..")
    assert header.get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("which", ["page", "details"])
def test_the_page_fits_its_window(browser, request, which, width):
    narrow(browser, width)
    browser.get(request.getfixturevalue(which))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert float(browser.find_element("tag name", "td").value_of_css_property("font-size")[:-2]) >= 14
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_sections_are_linked(browser, page):
    browser.get(page)
    targets = [link.get_attribute("href").partition("#")[2] for link in browser.find_elements("css selector", "nav a")]
    assert 6 < len(targets) < 20, "no wall of links"
    assert len(set(targets)) == len(targets)
    for target in targets:
        assert browser.find_element("id", target)
