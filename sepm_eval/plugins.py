"""Discovery of plug-ins: files in one of our folders, and entry points of other installed packages.

Nothing has to list them. A package adds, for example, a benchmark by an entry point in its ``pyproject.toml``:

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


class Plugin(NamedTuple):
    """A plug-in that was found: an object that can be chosen by name.

    Attributes:
        name: the name it is chosen by.
        value: the object itself.
        origin: where it comes from: a module of ours, or a package and the object that its entry point names.
    """

    name: str
    value: Any
    origin: str


def built_in(package: str, folder: Iterable[str], table: str) -> Iterator[Plugin]:
    """Find the objects that the modules of one of our folders list.

    Args:
        package: the folder's import name.
        folder: the package's ``__path__``.
        table: the name of the variable that maps names to a module's objects, such as "BENCHMARKS"; a module may lack
            it.

    Yields:
        Each object of each module's table.
    """
    for info in pkgutil.iter_modules(folder, prefix=f"{package}."):
        if not info.ispkg:
            for name, value in getattr(importlib.import_module(info.name), table, {}).items():
                yield Plugin(name, value, info.name)


def entries(group: str) -> tuple[EntryPoint, ...]:
    """List the entry points of a group, sorted by name, without loading any; cached for each ``sys.path``."""
    return _entries(group, tuple(sys.path))


def find_entry_point(
    kind: str, name: str, group: str, ours: str | None, known: Callable[[], list[str]]
) -> EntryPoint | None:
    """Find the entry point with a requested name, without loading it.

    Args:
        kind: what such an object is called in messages, for example "method".
        name: the requested name.
        group: the group of entry points.
        ours: the module of ours that defines this name; None if there is none.
        known: returns all existing names, for the message.

    Returns:
        The entry point; None if the name belongs to a module of ours.

    Raises:
        ValueError: nothing has this name, or more than one object has it; the message says where they come from.
    """
    points = [entry for entry in entries(group) if entry.name == name]
    origins = [*([] if ours is None else [ours]), *map(origin_of, points)]
    if not origins:
        raise ValueError(f"unknown {kind} {name!r}; there are {known()}")
    if len(origins) > 1:
        raise ValueError(
            f"two {kind}s are called {name!r}: in {' and in '.join(origins)}; uninstall one of the packages"
        )
    return points[0] if points else None


@functools.lru_cache(maxsize=16)
def _entries(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)))  # takes some 20 ms


@functools.cache
def installed(group: str, check: Callable[[str, Any], None]) -> tuple[Plugin, ...]:
    """Load what other installed packages add to a group; the result is cached for the process.

    An entry point that cannot be used is left out, with one warning that names its package.

    Args:
        group: the group of entry points, such as "sepm_eval.benchmarks"; an entry point's name is the object's name.
        check: a function that takes the name and the loaded object, and raises TypeError or ValueError if the object is
            not of the kind that the group holds.

    Returns:
        The objects that passed the check.
    """
    found = []
    for entry in entries(group):
        try:
            value = entry.load()
            check(entry.name, value)
        except Exception as error:  # foreign code may raise anything, and must not stop commands that do not need it
            logger.warning(
                "%r is left out: %s cannot be used (%s: %s). Fix or uninstall that package",
                *(entry.name, origin_of(entry), type(error).__name__, error),
            )
            continue
        found.append(Plugin(entry.name, value, origin_of(entry)))
    return tuple(found)


def by_name(one: Plugin) -> str:
    """The name that an object is chosen by."""
    return one.name


def merged(
    called: Mapping[str, Callable[[Plugin], str]], ours: Iterable[Plugin], others: Iterable[Plugin] = ()
) -> dict[str, Any]:
    """Join our own objects and those of other packages into one table by name.

    Two of our own objects with the same name are an error. An object of another package whose name is already taken is
    left out, with one warning in a process: a package must not stop the commands that do not need it.

    Args:
        called: the kinds of names that must be unique: what a kind is called in messages, and a function that returns
            this name of an object.
        ours: our own objects, from ``built_in``.
        others: those of other packages, from ``installed``; if two have the same name, the first one is kept.

    Returns:
        The objects, by the name they are chosen by.

    Raises:
        ValueError: two of our own objects have the same name; the message says where both come from.
    """
    known: dict[tuple[str, str], Plugin] = {}
    kept: dict[str, Any] = {}

    def put(one: Plugin) -> str:
        """Put an object into the table; a sentence instead if one of its names is taken."""
        names = [(kind, name(one)) for kind, name in called.items()]
        for kind, name in names:
            if (kind, name) in known:
                return f"two {kind}s are called {name!r}: {known[kind, name].origin} and {one.origin}"
        known.update(dict.fromkeys(names, one))
        kept[one.name] = one.value
        return ""

    for one in ours:
        if clash := put(one):
            raise ValueError(f"{clash}. Rename one")
    for one in others:
        if clash := put(one):
            _warn_once(f"{clash}. The second is left out: rename it, or uninstall its package")
    return kept


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)


def origin_of(entry: EntryPoint) -> str:
    """Where an entry point comes from: the object it names, and its package with its version, if known."""
    return f"{entry.value} ({entry.dist.name} {entry.dist.version})" if entry.dist else entry.value
