"""What a person sees while something takes longer than a few seconds: how far, how fast, how long still."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

console = Console(highlight=False)


class RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """The speed lately, or of the whole task once it is finished."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f}/s" if speed else "", style="progress.data.speed")


class Meter:
    """One bar: `advance` it, and tell it what to say beside the numbers."""

    def __init__(self, progress: Progress, title: str, total: float, completed: float):
        self._progress = progress
        self._task = progress.add_task(title, total=total, completed=int(completed), note="")

    def advance(self, steps: float = 1, note: str | None = None) -> None:
        """Move on by `steps`; `note` replaces the text at the end of the line."""
        self._progress.update(self._task, advance=steps, **({} if note is None else {"note": note}))


@contextmanager
def meter(title: str, total: float, completed: float = 0) -> Iterator[Meter]:
    """A progress bar; without a terminal, one line when it is done."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield Meter(progress, title, total, completed)
