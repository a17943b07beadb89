"""What a method may need: special abilities of the model, a suitable question, and checkpoints of its own."""

from __future__ import annotations

from collections.abc import Collection

from sepm_eval.backbone.abilities import MEANINGS
from sepm_eval.backbone.checkpoints import checkpoint_revision
from sepm_eval.types import Question


def check_needs(method: object, supports: Collection[str], model: str, *, called: str = "") -> None:
    """Make sure that a model can do what a method needs.

    Args:
        method: the method, with its options, on which its needs may depend. A method without ``needs`` needs nothing.
        supports: the abilities of the model, see ``Backbone.supports``.
        model: the name of the model, for the message.
        called: what the message calls the method; by default its class with its options.

    Raises:
        ValueError: the model lacks an ability.
    """
    lacking = sorted(getattr(method, "needs", frozenset()) - set(supports))
    if lacking:
        wanted = " and ".join(f"{name} ({MEANINGS[name]})" for name in lacking)
        remedy = "; set reuse=False" if lacking == ["reuse"] else "; choose another method or other options of it"
        raise ValueError(
            f"{called or method} needs a model that supports {wanted}, and {model} supports "
            f"{', '.join(sorted(supports)) or 'none of that'}{remedy}"
        )


def other_weights(method: object) -> dict[str, str]:
    """Identify the weights that a method loads besides the model's (``Method.checkpoints``).

    Returns:
        For each option that names a checkpoint, its hub commit or the digest of the folder's files, as for a model (see
        ``checkpoint_revision``); empty for a method that loads none.

    Raises:
        FileNotFoundError: there is no such checkpoint; the message names the option.
        ValueError: the checkpoint is damaged; the message names the option.
    """
    found = {}
    for option, place in getattr(method, "checkpoints", {}).items():
        try:
            found[option] = checkpoint_revision(place)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{option}={place}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{option}={place}: {error}") from error
    return found


def check_question(method: object, question: Question) -> None:
    """Make sure that a method with its options can answer a question, if the method defines ``check_question``.

    Raises:
        ValueError: the method cannot answer this question.
    """
    check = getattr(method, "check_question", None)
    if check is not None:
        check(question)
