"""Makes docs/images/report.png: the first screen of a report on made-up answers, as a browser shows it.

    python docs/images/report.py

Needs Chromium with its driver. Which answers are right is drawn at random (tests/make_runs.py), so that the picture
shows how a report looks and nothing about any model or method.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from selenium import webdriver

from sepm_eval.report.write import write_report
from sepm_eval.runs.results import read_runs

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1400, 1250
SKILLS = {  # share of the answers that are right, roughly
    "zero_shot": 0.42,
    "zero_shot_cot": 0.38,
    "sparsevlm": 0.44,
    "divprune": 0.40,
    "random_drop": 0.46,
    "sepm,beta=0.1": 0.52,
    "sepm": 0.54,
    "blind": 0.05,
    "permute": 0.40,
}


def made_up(folder: Path) -> None:
    """Write runs of all these methods below a folder."""
    sys.path.insert(0, str(HERE.parent.parent / "tests"))
    import make_runs

    for task, count in (("emoset", 800), ("emotion6", 594)):
        make_runs.N[task] = count
        for method, skill in SKILLS.items():
            make_runs.run(folder, "sepm_llava", make_runs.LLAVA, method, task, skill, "20261101_120000")
    for path in (folder / "journals").glob("*divprune*"):  # the journals that are made up say that nothing was dropped
        lines = [{**line, "tokens_left": 21} for line in make_runs.read_lines(path)]
        make_runs.write_lines(path, lines)


def main() -> None:
    """Write the report, and take its picture."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"):
        options.add_argument(argument)
    with tempfile.TemporaryDirectory() as folder:
        made_up(Path(folder))
        page = write_report(read_runs([Path(folder)]), Path(folder) / "report")
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False},
            )
            browser.get(page.resolve().as_uri())
            browser.save_screenshot(str(HERE / "report.png"))
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
