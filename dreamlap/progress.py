"""What a person sees while something takes longer than a few seconds: how far, how fast, how long still."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")

console = Console(highlight=False)


class RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """The speed lately, or of the whole task once it is finished."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.{0 if speed >= 10 else 1}f}/s" if speed else "", style="progress.data.speed")


class Meter:
    """One bar: `advance` it, and tell it what to say beside the numbers."""

    def __init__(self, progress: Progress, title: str, total: float, completed: float):
        self._progress = progress
        self._task = progress.add_task(title, total=total, completed=int(completed), note="")

    def advance(self, steps: float = 1, note: str | None = None) -> None:
        """Move on by `steps`; `note` replaces the text at the end of the line."""
        if note is not None:
            self._progress.update(self._task, note=note)
        self._progress.advance(self._task, steps)

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """The items themselves, counted as they go by."""
        for item in items:
            yield item
            self.advance()


@contextmanager
def meter(title: str, total: float, completed: float = 0) -> Iterator[Meter]:
    """A progress bar; without a terminal, one line when it is done."""
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield Meter(progress, title, total, completed)
