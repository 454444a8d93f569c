"""A game: episodes one after the other, and what keys do about them. It knows of no window."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from dreamlap.drivers import Person
from dreamlap.drivers.person import ARROWS

LINGER = 100
"""Steps for which an episode that is over stays in sight, and can still be discarded."""


class Phase(Enum):
    """Where the present episode stands; its value is what a person is told."""

    READY = "an arrow key drives off"
    DRIVING = ""
    PAUSED = "paused: P goes on"
    OVER = "over"
    ENDED = "the end"


class Drive(Protocol):
    """What a game goes on with: see `Place`."""

    @property
    def rewards(self) -> Sequence[float]: ...

    @property
    def over(self) -> bool: ...

    def begin(self, seed: int) -> None: ...

    def step(self) -> None: ...


class Game:
    """Begins episodes, lets a place go on step by step, and hands on those that were driven to their end.

    The keys have pygame's names. An episode is over when the track ends it or after `steps` steps; it is kept a moment
    later, and it alone: none that was restarted, discarded or left.
    """

    def __init__(
        self,
        place: Drive,
        seed_of: Callable[[int], int],
        keep: Callable[[int], None],
        episodes: int,
        steps: int,
        person: Person | None = None,
        first: int = 0,
    ) -> None:
        """A game of `episodes` whole episodes.

        Args:
            place: where one drives.
            seed_of: the seed of an episode, given its number.
            keep: told the number of each episode that is kept, while `place` still holds it.
            episodes: how many to keep.
            steps: the most of an episode.
            person: at the wheel, if it is one: gets the arrow keys, and begins when ready.
            first: the first episode's number.
        """
        self.place, self.seed_of, self.keep, self.person = place, seed_of, keep, person
        self.episodes, self.steps, self.number, self.kept = episodes, steps, first, 0
        self.keys = {
            "p": self.pause, "space": self.pause, "r": self.begin, "d": self.discard, "backspace": self.discard,
            "escape": self.end,
        }  # fmt: skip
        self.begin()

    def press(self, key: str) -> None:
        """A key goes down."""
        if self.person and key in ARROWS:
            self.person.held.add(key)
            if self.phase is Phase.READY:
                self.phase = Phase.DRIVING
        elif key in self.keys:
            self.keys[key]()

    def release(self, key: str) -> None:
        """A key comes up."""
        if self.person:
            self.person.held.discard(key)

    def tick(self) -> None:
        """A fiftieth of a second goes by."""
        if self.phase is Phase.DRIVING:
            self.place.step()
            if self.place.over or len(self.place.rewards) >= self.steps:
                self.phase = Phase.OVER
        elif self.phase is Phase.OVER:
            self.linger -= 1
            if self.linger == 0:
                self._settle()

    def begin(self) -> None:
        """Begin the present episode, or begin it again."""
        self.place.begin(self.seed_of(self.number))
        self.linger = LINGER
        self.phase = Phase.READY if self.person else Phase.DRIVING

    def pause(self) -> None:
        """Stand still, or go on."""
        self.phase = {Phase.DRIVING: Phase.PAUSED, Phase.PAUSED: Phase.DRIVING}.get(self.phase, self.phase)

    def discard(self) -> None:
        """Forget the present episode and begin another."""
        self.number += 1
        self.begin()

    def end(self) -> None:
        """End the game. An episode that is over is kept, one that is not is left."""
        if self.phase is Phase.OVER:
            self._keep()
        self.phase = Phase.ENDED

    def _settle(self) -> None:
        self._keep()
        if self.kept == self.episodes:
            self.phase = Phase.ENDED
        else:
            self.discard()

    def _keep(self) -> None:
        self.keep(self.number)
        self.kept += 1
