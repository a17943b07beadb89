"""One progress bar for a whole plan, with an estimate of the remaining time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

_FORMAT = (
    "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} questions, {elapsed} gone, about {remaining} left{postfix}"
)


class PlanBar:
    """Counts the questions of all models and tasks of a plan; a question asked with several methods counts once.

    The remaining time is computed from the present speed, so it changes if a slower model follows.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """Open the bar with a total of zero questions.

        Args:
            quiet: show nothing.
        """
        self._bar = tqdm(total=0, desc="plan", bar_format=_FORMAT, disable=quiet)

    def expect(self, questions: int) -> None:
        """Add to the number of questions to be asked; a negative number removes questions that need not be asked."""
        self._bar.total = max((self._bar.total or 0) + questions, self._bar.n)
        self._bar.refresh()

    def name(self, doing: str) -> None:
        """Show in front of the bar what is being done now."""
        self._bar.set_description_str(doing)

    def advance(self, questions: int, said: str = "") -> None:
        """Count questions as answered.

        Args:
            questions: number of questions.
            said: text shown behind the bar, such as the running accuracy.
        """
        self._bar.set_postfix_str(said, refresh=False)
        self._bar.update(questions)

    def close(self) -> None:
        """Finish the bar; it stays on the screen as it is."""
        self._bar.close()


@contextmanager
def progress(total: int, doing: str, quiet: bool, plan_bar: PlanBar | None) -> Iterator[Callable[[int, str], None]]:
    """Show the progress of some questions: on the plan's bar if there is one, otherwise on a bar of their own.

    Args:
        total: number of questions.
        doing: text in front of the bar.
        quiet: show nothing on a bar of their own.
        plan_bar: the plan's bar, or None.

    Yields:
        A function to call after each batch with the number of questions done so far and the text behind the bar.
    """
    done = 0
    with tqdm(total=total, desc=doing, disable=quiet or plan_bar is not None) as bar:

        def show(by_now: int, said: str) -> None:
            nonlocal done
            more, done = by_now - done, by_now
            if plan_bar is not None:
                plan_bar.advance(more, said)
            bar.set_postfix_str(said, refresh=False)
            bar.update(more)

        yield show
