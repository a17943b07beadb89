"""What is found by being there: files of one of our folders, and entry points of other installed packages.

A package adds a benchmark, say, by an entry point in its ``pyproject.toml``:

    [project.entry-points."sepm_eval.benchmarks"]
    my_pictures = "my_package.pictures:MY_PICTURES"
"""

from __future__ import annotations

import functools
import importlib
import logging
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)


class Found(NamedTuple):
    """One thing that can be chosen by name.

    Attributes:
        name: the name it is chosen by.
        value: what it is.
        home: where it comes from: a module of ours, or a package and the object that its entry point names.
    """

    name: str
    value: Any
    home: str


def in_folder(package: str, folder: Iterable[str], table: str) -> Iterator[Found]:
    """What the modules of one of our folders list.

    Args:
        package: the folder's import name.
        folder: its ``__path__``.
        table: the variable that lists a module's things by name, such as "BENCHMARKS"; a module may have none.
    """
    for info in pkgutil.iter_modules(folder, prefix=f"{package}."):
        if not info.ispkg:
            for name, value in getattr(importlib.import_module(info.name), table, {}).items():
                yield Found(name, value, info.name)


def entries(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, by name; nothing is loaded. They are looked up once for each ``sys.path``."""
    return _entries(group, tuple(sys.path))


def entry_named(
    kind: str, name: str, group: str, ours: str | None, known: Callable[[], list[str]]
) -> EntryPoint | None:
    """The entry point that a name asked for stands for; None if it is ours. Nothing is loaded.

    Args:
        kind: what such things are called, for messages.
        name: what was asked for.
        group: the group of entry points.
        ours: the module of ours that has it; None if none has.
        known: gives all names there are.

    Raises:
        ValueError: there is none of this name, or more than one; the message says where they come from.
    """
    points = [entry for entry in entries(group) if entry.name == name]
    homes = [*([] if ours is None else [ours]), *map(home, points)]
    if not homes:
        raise ValueError(f"unknown {kind} {name!r}; there are {known()}")
    if len(homes) > 1:
        raise ValueError(f"two {kind}s are called {name!r}: in {' and in '.join(homes)}; uninstall one of the packages")
    return points[0] if points else None


@functools.lru_cache(maxsize=16)
def _entries(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)))  # some 20 ms


@functools.cache
def outside(group: str, check: Callable[[str, Any], None]) -> tuple[Found, ...]:
    """What other installed packages add. One that cannot be used is left out with one warning that names its package.

    The packages are asked once in a process.

    Args:
        group: the group of entry points, such as "sepm_eval.benchmarks"; an entry's name is the thing's name.
        check: is given the name and the loaded value, and raises TypeError or ValueError if it is not what the group
            holds.
    """
    found = []
    for entry in entries(group):
        try:
            value = entry.load()
            check(entry.name, value)
        except Exception as error:  # other people's code may raise anything, and must not stop what does not need it
            logger.warning(
                "%r is left out: %s cannot be used (%s: %s). Mend or uninstall that package",
                *(entry.name, home(entry), type(error).__name__, error),
            )
            continue
        found.append(Found(entry.name, value, home(entry)))
    return tuple(found)


def by_name(one: Found) -> str:
    """The name that a thing is chosen by."""
    return one.name


def joined(
    called: Mapping[str, Callable[[Found], str]], ours: Iterable[Found], others: Iterable[Found] = ()
) -> dict[str, Any]:
    """All that was found, by name.

    Two of ours with one name are a fault of ours. One of another package whose name is taken is left out, with one
    warning in a process: a package must not stop the commands that do not need it.

    Args:
        called: what must not occur twice: what these things are called, and how one gives that name.
        ours: from ``in_folder``.
        others: from ``outside``; of two with one name the first stays.

    Raises:
        ValueError: two of ours have one name; the message says where both come from.
    """
    homes: dict[tuple[str, str], Found] = {}
    kept: dict[str, Any] = {}
    for own, one in (*((True, one) for one in ours), *((False, one) for one in others)):
        names = [(kind, name(one)) for kind, name in called.items()]
        clash = next(((kind, name) for kind, name in names if (kind, name) in homes), None)
        if clash is None:
            homes.update(dict.fromkeys(names, one))
            kept[one.name] = one.value
            continue
        told = f"two {clash[0]}s are called {clash[1]!r}: {homes[clash].home} and {one.home}"
        if own:
            raise ValueError(f"{told}. Rename one")
        _warn_once(f"{told}. The second is left out: rename it, or uninstall its package")
    return kept


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)


def home(entry: EntryPoint) -> str:
    """Where an entry point is from: its package, and the object it names."""
    return f"{entry.value} ({entry.dist.name} {entry.dist.version})" if entry.dist else entry.value
