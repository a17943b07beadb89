"""The benchmarks, one file each, which reads the official layout on disk; each file ends with a BENCHMARKS table.

Other packages add benchmarks by entry points of the group ``sepm_eval.benchmarks``: name -> a ``Benchmark``. An item
list says which pictures are evaluated: a benchmark has named item lists, and a user may give another as a CSV file.
"""

from __future__ import annotations

from typing import Any

from sepm_eval.datasets.benchmark import Benchmark as Benchmark
from sepm_eval.datasets.environment import DATA_VARIABLE as DATA_VARIABLE
from sepm_eval.datasets.environment import LISTS_VARIABLE as LISTS_VARIABLE
from sepm_eval.datasets.environment import data_folder as data_folder
from sepm_eval.datasets.environment import list_settings as list_settings
from sepm_eval.datasets.lists import interleaved as interleaved
from sepm_eval.datasets.lists import proportional as proportional
from sepm_eval.datasets.lists import whole as whole
from sepm_eval.datasets.names import read_text as read_text
from sepm_eval.datasets.names import safe_path as safe_path
from sepm_eval.datasets.types import HubCopy as HubCopy
from sepm_eval.datasets.types import Item as Item
from sepm_eval.datasets.types import ItemList as ItemList
from sepm_eval.datasets.types import MissingData as MissingData
from sepm_eval.datasets.types import OwnQuestion as OwnQuestion
from sepm_eval.plugins import Plugin, built_in, by_name, installed, merged

GROUP = "sepm_eval.benchmarks"


def find_benchmarks() -> dict[str, Benchmark]:
    """Find all benchmarks, those of the files in this folder and those of other packages, by their names.

    A benchmark of another package is left out with a warning if its name, here or in VLMEvalKit, is already taken.

    Raises:
        ValueError: two files define a benchmark of the same name; the message says which.
    """
    called = {"benchmark": by_name, "VLMEvalKit data set": _table_name}
    return merged(called, built_in(__name__, __path__, "BENCHMARKS"), installed(GROUP, _check))


def _table_name(one: Plugin) -> str:
    """The name in VLMEvalKit in lower case, because users may type it in capitals or not."""
    return one.value.table_name.lower()


def _check(name: str, value: Any) -> None:
    """Make sure that an object is a benchmark of this name.

    Raises:
        TypeError: it is not a ``Benchmark``.
        ValueError: the benchmark has another name.
    """
    if not isinstance(value, Benchmark):
        raise TypeError(f"expected a sepm_eval.datasets.Benchmark, found {type(value).__name__}")
    if value.name != name:
        raise ValueError(f"the entry point is called {name!r}, its benchmark {value.name!r}; give both one name")
