"""A method's options are checked however it is made, and importing the methods looks for no packages."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from typing import Annotated, Literal, get_args, get_type_hints

import pytest
from pydantic import AfterValidator, Field
from test_own_methods import Answering

from sepm_eval.methods import find_methods
from sepm_eval.methods.options import method
from sepm_eval.methods.sepm import PRESETS
from sepm_eval.methods.sparsevlm import KEPT
from sepm_eval.prompts import WORDINGS


def test_importing_looks_for_no_packages():
    code = "import sys, sepm_eval.methods; print('importlib.metadata' in sys.modules and 'looked up', "
    code += "sepm_eval.plugins._entries.cache_info().currsize)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split()[-1] == "0"


@pytest.mark.parametrize("name", sorted(find_methods()))
@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda cls: cls(gamma=1), r"there is no option 'gamma'; {} takes \["),
        (lambda cls: cls(*[None] * 9), r"there is no option '\d'; {} takes \[|=None: use"),
    ],
)
def test_a_class_called_directly_says_what_it_takes(name, made, why):
    cls = find_methods()[name]
    with pytest.raises(ValueError, match=why.format(cls.__name__)) as caught:
        made(cls)
    assert type(caught.value) is ValueError
    assert "\n" not in str(caught.value)


def test_a_value_is_checked_however_a_method_is_made():
    sepm = find_methods()["sepm"]
    for make in (lambda: sepm(alpha=2), lambda: sepm(2), lambda: dataclasses.replace(sepm(), alpha=2)):
        with pytest.raises(ValueError, match=r"^alpha=2: use a number from 0 up to, but not including, 0\.5$"):
            make()
    with pytest.raises(ValueError, match=r"^vta=True needs foe=True: the attention of the focus"):
        sepm(foe=False)
    with pytest.raises(ValueError, match=r"^beta=1: use a number from 0 up to, but not including, 1, or None$"):
        sepm(beta=1)
    with pytest.raises(ValueError, match=r"^cci=1: use True or False$"):
        sepm(cci=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", True, None])
def test_a_number_without_bounds_is_still_a_number(value):
    @method
    class Free(Answering):
        size: float = 1.0

    with pytest.raises(ValueError, match=rf"^size={value!r}: use a number$"):
        Free(size=value)
    assert Free(size=2) == Free(2.0)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Annotated[int, Field(gt=3)], "a whole number above 3"),
        (Annotated[float, Field(le=0.25)], "a number to 0.25"),
        (Literal["one"], r"one of ['one']"),
        (str, "a text"),
        (str | None, "a text, or None"),
        (tuple[int, ...], "a valid tuple"),  # no words of ours: pydantic's
        (Annotated[str, Field(pattern="^a+$")], "a valid string"),
    ],
)
def test_what_is_allowed_is_said_of_every_kind_of_option(hint, words):
    made = method(type("Kinds", (Answering,), {"__annotations__": {"option": hint}}))
    with pytest.raises(ValueError, match=f"^{re.escape(f'option=[]: use {words}')}$"):
        made(option=[])
    with pytest.raises(ValueError, match=r"^option is missing"):
        made()


def test_a_validator_of_ones_own_gives_its_own_reason():
    def even(value: int) -> int:
        if value % 2:
            raise ValueError("it must be even")
        return value

    made = method(type("Even", (Answering,), {"__annotations__": {"size": Annotated[int, AfterValidator(even)]}}))
    assert made(size=2).size == 2
    with pytest.raises(ValueError, match=r"^size=3: it must be even$"):
        made(size=3)


def test_the_options_written_out_are_those_of_the_tables():
    allowed = {
        name: {field: get_args(hint) for field, hint in get_type_hints(cls).items()}
        for name, cls in find_methods().items()
    }
    assert set(allowed["sepm"]["preset"]) == set(PRESETS) == set(WORDINGS)
    assert set(allowed["zero_shot"]["preset"]) == {None, *WORDINGS}
    assert Literal[tuple(KEPT)] == get_type_hints(find_methods()["sparsevlm"])["budget"]
