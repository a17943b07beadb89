"""Run lmms-eval in a process that cannot import sepm_eval and knows no entry point of it: ``without_us.py ...``."""

from __future__ import annotations

import importlib.metadata
import sys

OURS = "sepm_eval"


def main() -> None:
    class Nowhere:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == OURS:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Nowhere())
    known = importlib.metadata.entry_points

    def without_ours(**wanted):
        found = known(**wanted)  # of a group; Python 3.10 and 3.11 give a table of all groups where none is named
        return importlib.metadata.EntryPoints(one for one in found if OURS not in one.value) if wanted else found

    importlib.metadata.entry_points = without_ours
    from lmms_eval.__main__ import cli_evaluate

    cli_evaluate()
    assert not [name for name in sys.modules if name.partition(".")[0] == OURS]


if __name__ == "__main__":
    main()
