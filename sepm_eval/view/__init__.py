"""Runs looked at picture by picture: the explorer, as a local server and as files beside a report."""

from importlib import resources

PAGE = resources.files("sepm_eval.view") / "page"
PARTS = ("view.css", "state.js", "overlay.js", "rows.js", "item.js", "start.js")  # of the page, beside index.html
