"""The report's page in a real browser, headless and without a network."""

from __future__ import annotations

import shutil

import pytest
from make_runs import RUNS

from sepm_eval.report.write import write_report
from sepm_eval.runs.results import read_runs

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="no Chromium with its driver (apt: chromium-driver)")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_report(read_runs([RUNS]), tmp_path_factory.mktemp("page")).resolve().as_uri()


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * 0.0.0.0",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


def column(browser, table, index):
    cells = browser.find_elements("css selector", f"#table-{table} tbody tr > :nth-child({index})")
    return [cell.text.split("\n")[0] for cell in cells]


def test_no_error_and_nothing_injected(browser, page):
    browser.get(page)
    assert browser.title == "Image-emotion evaluation"  # the script tag that a model answered did not run
    assert browser.get_log("browser") == []


def test_pictures_load_and_say_what_they_show(browser, page):
    browser.get(page)
    pictures = browser.find_elements("tag name", "img")
    assert len(pictures) > 5
    for picture in pictures:
        browser.execute_script("arguments[0].loading = 'eager'; arguments[0].scrollIntoView()", picture)
        browser.execute_async_script("arguments[0].decode().then(arguments[1])", picture)
        assert picture.get_property("naturalWidth") > 300
        assert picture.get_attribute("alt")


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
    headers[0].click()
    assert headers[place].find_element("xpath", "..").get_attribute("aria-sort") is None
    assert column(browser, "runs", 1) == sorted(column(browser, "runs", 1))


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
def test_the_page_fits_its_window(browser, page, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.get(page)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert float(browser.find_element("tag name", "td").value_of_css_property("font-size")[:-2]) >= 14
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_sections_are_linked(browser, page):
    browser.get(page)
    targets = [link.get_attribute("href").partition("#")[2] for link in browser.find_elements("css selector", "nav a")]
    assert len(targets) > 8
    assert len(set(targets)) == len(targets)
    for target in targets:
        assert browser.find_element("id", target)
