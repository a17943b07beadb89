"""One file per benchmark, from its official layout on disk to items; each ends with BENCHMARKS.

Other packages add benchmarks by entry points of the group ``sepm_eval.benchmarks``: name -> a ``Benchmark``. Which
pictures are evaluated is data: a benchmark has named item lists, and a user may give one as a CSV file.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from sepm_eval.datasets.benchmark import Benchmark as Benchmark
from sepm_eval.datasets.environment import DATA_VARIABLE as DATA_VARIABLE
from sepm_eval.datasets.environment import LISTS_VARIABLE as LISTS_VARIABLE
from sepm_eval.datasets.environment import data_folder as data_folder
from sepm_eval.datasets.environment import list_settings as list_settings
from sepm_eval.datasets.lists import interleaved as interleaved
from sepm_eval.datasets.lists import proportional as proportional
from sepm_eval.datasets.lists import whole as whole
from sepm_eval.datasets.names import inside as inside
from sepm_eval.datasets.names import read_text as read_text
from sepm_eval.datasets.types import Item as Item
from sepm_eval.datasets.types import ItemList as ItemList
from sepm_eval.datasets.types import MissingData as MissingData
from sepm_eval.outside import in_folder, joined, outside

GROUP = "sepm_eval.benchmarks"


def find_benchmarks() -> dict[str, Benchmark]:
    """Every benchmark by its name: those of the files in this folder, and those of other packages.

    Raises:
        ValueError: two have the same name, or the same name in VLMEvalKit; the message says where both come from.
    """
    found = [*chain(in_folder(__name__, __path__, "BENCHMARKS"), outside(GROUP, _check))]
    joined("VLMEvalKit data set", (one._replace(name=one.value.table_name) for one in found))
    return joined("benchmark", found)


def _check(name: str, value: Any) -> None:
    """Refuse what is no benchmark of this name.

    Raises:
        TypeError: it is no ``Benchmark``.
        ValueError: it has another name.
    """
    if not isinstance(value, Benchmark):
        raise TypeError(f"expected a sepm_eval.datasets.Benchmark, found {type(value).__name__}")
    if value.name != name:
        raise ValueError(f"the entry point is called {name!r}, its benchmark {value.name!r}; give both one name")
