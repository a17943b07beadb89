"""Makes the pictures of the explorer in this folder, from the demo's runs, which ``make demo`` makes.

    python docs/images/view.py

Needs Chromium with its driver.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from selenium import webdriver

from sepm_eval.report.links import link_to_items
from sepm_eval.runs.results import read_runs
from sepm_eval.view.static import write_items

HERE = Path(__file__).parent
RUNS = Path("results/demo/run")
SIZES = {"view-list": (1200, 760), "view-item": (1200, 1500), "view-phone": (390, 1100)}


def main() -> None:
    """Write one picture for each of the sizes."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    driver = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=driver)
    runs = read_runs([RUNS])
    sepm = next(run for run in runs if run.variant == "sepm")
    item = next(one for one in sepm.outcomes if one.item.startswith("unseen/") and one.score.correct)
    parts = {
        "view-list": link_to_items(method="sepm", outcome="flipped"),
        "view-item": link_to_items(method="sepm", item=item.item),
        "view-phone": link_to_items(method="sepm", item=item.item),
    }
    with tempfile.TemporaryDirectory() as folder:
        page = write_items(runs, [RUNS], Path(folder))
        for name, (width, height) in SIZES.items():
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get("about:blank")
            browser.get(f"file://{quote(str(page))}#{parts[name].partition('#')[2]}")
            time.sleep(2)  # for the pictures
            browser.execute_script("document.querySelector('.path')?.remove()")  # it names a folder of this machine
            browser.save_screenshot(str(HERE / f"{name}.png"))
            print(HERE / f"{name}.png")
    browser.quit()


if __name__ == "__main__":
    main()
