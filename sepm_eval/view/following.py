"""Follow runs while they are written: a thread reads what is new, and the page asks for the current version."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sepm_eval.runs.host_logs import RESULTS, SAMPLES
from sepm_eval.runs.outcomes import Outcome, Run
from sepm_eval.runs.results import files_below, readable_runs
from sepm_eval.view.catalog import Catalog, Items, catalog
from sepm_eval.view.details import details
from sepm_eval.view.journals import Journals
from sepm_eval.view.live import LiveRuns

logger = logging.getLogger(__name__)

# Pause between two looks: at least so many seconds, and at least so many times as long as the last look took.
_LEAST, _SHARE = 1.0, 5


@dataclass(frozen=True)
class Version:
    """What the page shows at one time.

    Attributes:
        number: the number of the version, which counts up.
        shown: all runs.
        answers: the result of ``shown.answers_of()``.
        content: the list of items as JSON.
    """

    number: int
    shown: Catalog
    answers: Mapping[int, Sequence[tuple[int, Outcome]]]
    content: str


@dataclass
class Following:
    """The runs below some folders, which are read again when something was written there.

    Attributes:
        folders: the folders.
        version: the current version.
    """

    folders: Sequence[Path]
    version: Version = field(init=False)
    _journals: Journals = field(init=False, repr=False)
    _live: LiveRuns = field(init=False, repr=False)
    _items: Items = field(default_factory=Items, repr=False)
    _logs: dict[Path, tuple[int, int]] = field(default_factory=dict, repr=False)
    _finished: tuple[list[Run], list[str]] = field(default=([], []), repr=False)
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _reading: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._journals = Journals(self.folders)
        self._live = LiveRuns(self._journals)
        self.version = self._version(0, Catalog((), self._items), reading=True)

    def start(self) -> None:
        """Start to read, in a thread that ends with the process."""
        threading.Thread(target=self._follow, name="follow the runs", daemon=True).start()

    def stop(self) -> None:
        """Tell the thread to end."""
        self._stop.set()

    def look(self) -> bool:
        """Read what is new.

        Returns:
            Whether there is a new version.
        """
        with self._reading:
            notes = []
            try:
                logs = self._stamps()
                written = self._journals.read_on()
                if not self.version.number or logs != self._logs:
                    self._finished, self._logs = readable_runs(self.folders), logs
                elif not written:
                    return False
            except (ValueError, OSError) as error:
                notes.append(str(error))
            finished, damaged = self._finished
            shown = catalog(finished, self._live.runs(finished), [*notes, *damaged, *self._journals.flaws], self._items)
            self.version = self._version(self.version.number + 1, shown)
        return True

    def details(self, item: int) -> str:
        """The data of the page of one item, as JSON.

        Raises:
            LookupError: there is no such item.
        """
        with self._reading:
            now = self.version
            if not 0 <= item < len(now.shown.items.keys):
                raise LookupError(f"there is no item {item}")
            return json.dumps(details(now.shown, now.answers, [item], self._journals))

    def picture(self, item: int) -> str:
        """The file of an item's picture, as the runs name it; "" if none does.

        Raises:
            LookupError: there is no such item.
        """
        return self._items.pictures[item] if item >= 0 else ""

    def _follow(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self.look()
            except Exception as error:  # the page must not stop updating without saying why
                logger.exception("reading the runs failed")
                shown = Catalog((), self._items, (f"reading the runs failed: {type(error).__name__}: {error}",))
                self.version = self._version(self.version.number + 1, shown)
                return
            self._stop.wait(max(_LEAST, _SHARE * (time.monotonic() - began)))

    def _stamps(self) -> dict[Path, tuple[int, int]]:
        """Size and modification time of every log, which change when the log does."""
        found = {}
        for path in [*files_below(self.folders, f"*{RESULTS}"), *files_below(self.folders, f"*{SAMPLES}*.jsonl")]:
            try:
                stat = path.stat()
            except OSError:  # it was renamed or deleted meanwhile
                continue
            found[path] = stat.st_size, stat.st_mtime_ns
        return found

    def _version(self, number: int, shown: Catalog, reading: bool = False) -> Version:
        where = ", ".join(map(str, self.folders))
        content = {
            **shown.as_json(),
            **{"version": number, "follow": True, "reading": reading, "where": where},
            **{"chunk": 1, "pictures": {"root": "items/picture/", "small": "?small=1"}},
        }
        return Version(number, shown, shown.answers_of(), json.dumps(content, allow_nan=False))
