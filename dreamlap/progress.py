"""What is printed: results to standard output; to standard error what goes on meanwhile: how far, how fast, how long still."""

import errno
import io
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Literal, TextIO, TypeVar, cast

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

UNREAD = 128 + 13
"""Exit status if whoever read the output went away: a shell's for SIGPIPE."""


class Steady(io.TextIOBase):
    """A standard stream, as long as somebody reads it. If the reader goes away, or its disk is full, work goes on."""

    def __init__(self, name: Literal["stdout", "stderr"]):
        self._name = name

    @property
    def _stream(self) -> Any:
        return getattr(sys, self._name)  # as it is now: tests and notebooks put others in its place

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The stream's own."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether a person looks."""
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        """The stream's own."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write, if anybody listens; what the encoding lacks becomes a question mark."""
        if self._stream is not None:
            with self._alone():
                self._stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """See `write`."""
        if self._stream is not None:
            with self._alone():
                self._stream.flush()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):  # a closed pipe, a full disk, a closed file
            _give_up(self._stream)


def open_streams() -> None:
    """Let whatever prints do so: a terminal that lacks a sign shows a question mark; a stream that is closed takes all."""
    for name in ("stdout", "stderr"):
        if (stream := getattr(sys, name)) is None:
            nowhere = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
            os.set_inheritable(nowhere.fileno(), True)  # it has the number of what was closed, which workers expect to find
            setattr(sys, name, nowhere)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _give_up(stream: TextIO) -> None:
    """Send what a stream still holds nowhere, or Python complains when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def end_if_nobody_reads() -> None:
    """End the program in silence if the reader of a standard stream went away, as `head` does. To find out, print a line."""
    for stream in (sys.stdout, sys.stderr):
        try:
            print(file=stream, flush=True)
        except BrokenPipeError:
            _give_up(stream)
            sys.exit(UNREAD)


def print_for_programs(text: str) -> None:
    """Print what another program reads: unlike `console`, which is for people, this fails if it is not written.

    Raises:
        OSError: it is not.
        SystemExit: that program went away.
    """
    try:
        if sys.__stdout__ is None:
            raise OSError(errno.EBADF, "it is closed")
        print(text, flush=True)
    except BrokenPipeError:
        _give_up(sys.stdout)
        sys.exit(UNREAD)
    except OSError as error:
        _give_up(sys.stdout)
        raise OSError(error.errno, error.strerror, "standard output") from error


def counted(count: int, what: str) -> str:
    """So many of them: "1 track", "2,000 tracks"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


CONTROL = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
"""Characters that a terminal obeys, tabs and ends of lines excepted. A file from elsewhere may hold them."""


class Printer(Console):
    """Prints texts as they are, square brackets too, and leaves the breaking of lines to the terminal. It never commands it by
    what it was given."""

    def __init__(self, name: Literal["stdout", "stderr"]):
        super().__init__(highlight=False, markup=False, soft_wrap=True, file=cast(TextIO, Steady(name)))

    def print(self, *objects: Any, **how: Any) -> None:
        """As rich's."""
        super().print(*(each.translate(CONTROL) if isinstance(each, str) else each for each in objects), **how)


console = Printer("stdout")
"""For results: what somebody would keep, or give to another program."""
notes = Printer("stderr")
"""For what is only to be seen: progress, what goes on, what went wrong."""

QUIET = 30.0
"""Seconds between two lines of progress where no terminal shows a bar."""
SOON = 5.0
"""Seconds until the first of them."""


class RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """Of the last half minute, or of the whole task once it is finished."""
        return Text(_rate(task), style="progress.data.speed")


def _rate(task: Task) -> str:
    speed = (task.completed - task.fields["before"]) / task.finished_time if task.finished_time else task.speed
    return f"{speed:,.{0 if speed >= 10 else 1}f}/s" if speed else ""


class Meter:
    """One bar: `advance` it, and tell it what to say beside the numbers. Without a terminal it prints a line now and then."""

    def __init__(self, progress: Progress, title: str, total: float, completed: float):
        self._progress, self._told = progress, time.monotonic() - QUIET + SOON
        self._task = progress.add_task(title, total=total, completed=int(completed), note="", before=completed)
        progress.advance(self._task, 0)  # or the rate would leave out what comes first, which may be half of it

    def advance(self, steps: float = 1, note: str | None = None) -> None:
        """Move on by `steps`; `note` replaces the text at the end of the line."""
        if note is not None:
            self._progress.update(self._task, note=note)
        self._progress.advance(self._task, steps)
        if self._progress.disable and time.monotonic() - self._told >= QUIET:
            self.tell()

    def tell(self) -> None:
        """Print how far it is, in a line."""
        task, self._told = next(task for task in self._progress.tasks if task.id == self._task), time.monotonic()
        left = None if task.finished else task.time_remaining
        parts = [
            f"{task.completed:,.0f} of {task.total:,.0f}",
            _rate(task),
            f"{timedelta(seconds=int(left))} left" if left is not None else "",
            task.fields["note"],
        ]
        notes.print(f"{task.description}: {', '.join(filter(None, parts))}")

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """The items themselves, counted as they go by."""
        for item in items:
            yield item
            self.advance()


@contextmanager
def meter(title: str, total: float, completed: float = 0) -> Iterator[Meter]:
    """A progress bar; without a terminal, a line every half minute and one when it is done."""
    columns = (
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=notes, disable=not notes.is_terminal) as progress:
        bar = Meter(progress, title, total, completed)
        try:
            yield bar
        finally:
            if progress.disable:
                bar.tell()
