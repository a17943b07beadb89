"""The explorer, which shows runs picture by picture, as a local server or as files beside a report."""

from importlib import resources

PAGE = resources.files("sepm_eval.view") / "page"
PARTS = ("view.css", "state.js", "overlay.js", "rows.js", "item.js", "start.js")  # the page's files besides index.html
