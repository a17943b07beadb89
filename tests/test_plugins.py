"""Things found by being there: files of our folders, and entry points of other packages."""

from __future__ import annotations

import sys

import pytest

from sepm_eval.plugins import Plugin, _entries, _warn_once, built_in, by_name, installed, merged

GROUP = "sepm_eval.of_this_test"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put packages on the path as an installer does: a module, and a .dist-info that names its entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))
    installed.cache_clear()
    _entries.cache_clear()
    _warn_once.cache_clear()

    def write(package: str, code: str, **entries: str) -> None:
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {module}:{value}\n" for name, value in entries.items())
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")

    yield write
    installed.cache_clear()
    _entries.cache_clear()
    _warn_once.cache_clear()
    for name in ("first_one", "second_one"):
        sys.modules.pop(name, None)


def whole_number(name, value):
    if not isinstance(value, int):
        raise TypeError(f"it is {value!r}, not a number")


def test_entry_points_give_values_and_say_whose_they_are(install):
    install("first-one", "A, B = 1, 2", a="A", b="B")
    assert installed(GROUP, whole_number) == (
        Plugin("a", 1, "first_one:A (first-one 1.0)"),
        Plugin("b", 2, "first_one:B (first-one 1.0)"),
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("A = 'text'", "TypeError: it is 'text', not a number"),
        ("B = 1", "AttributeError: "),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("A = 1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_package_is_one_warning_and_the_others_work(install, caplog, code, reason):
    install("first-one", code, a="A")
    install("second-one", "C = 3", c="C")
    for _ in range(2):
        assert [one.name for one in installed(GROUP, whole_number)] == ["c"]
    (message,) = caplog.messages
    assert message.startswith("'a' is left out: first_one:A (first-one 1.0) cannot be used (")
    assert reason in message
    assert message.endswith("Fix or uninstall that package")


def test_nothing_is_found_where_nobody_registers():
    assert installed("sepm_eval.nobody", whole_number) == ()


def test_of_two_packages_with_one_name_the_second_is_left_out_with_one_warning(install, caplog):
    install("second-one", "A, B = 2, 3", a="A", b="B")
    install("first-one", "A = 1", a="A")
    for _ in range(2):
        assert merged({"number": by_name}, [], installed(GROUP, whole_number)) == {"a": 1, "b": 3}
    (message,) = caplog.messages
    assert message == (
        "two numbers are called 'a': first_one:A (first-one 1.0) and second_one:A (second-one 1.0). "
        "The second is left out: rename it, or uninstall its package"
    )


def test_one_of_ours_goes_before_that_of_a_package(install, caplog):
    install("first-one", "A = 1", a="A")
    assert merged({"digit": by_name}, [Plugin("a", 7, "sepm_eval.sevens")], installed(GROUP, whole_number)) == {"a": 7}
    assert "two digits are called 'a': sepm_eval.sevens and first_one:A (first-one 1.0)" in caplog.text


def test_what_is_left_out_takes_no_name_from_others():
    """Left out for one of its two names, it does not keep the other."""
    called = {"name": by_name, "value": lambda one: one.value}
    others = [Plugin("b", 1, "y"), Plugin("b", 2, "z")]
    assert merged(called, [Plugin("a", 1, "x")], others) == {"a": 1, "b": 2}


def test_two_of_ours_with_one_name_are_an_error_that_names_both():
    with pytest.raises(ValueError, match=r"^two numbers are called 'a': x and y\. Rename one$"):
        merged({"number": by_name}, [Plugin("a", 1, "x"), Plugin("a", 2, "y")])


def test_joined_keeps_the_order():
    assert list(merged({"letter": by_name}, [Plugin("b", 1, "x")], [Plugin("a", 2, "y")]).items()) == [
        ("b", 1),
        ("a", 2),
    ]


def test_a_folder_is_read_module_by_module(tmp_path, monkeypatch):
    folder = tmp_path / "of_letters"
    (folder / "deeper").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "deeper" / "__init__.py").write_text("raise AssertionError('a package is no module of the folder')")
    (folder / "a.py").write_text("LETTERS = {'a': 1}")
    (folder / "none.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list(built_in("of_letters", [str(folder)], "LETTERS")) == [Plugin("a", 1, "of_letters.a")]
