"""A game: episodes one after the other, and what keys do about them. It knows of no window."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from dreamlap.agent import Agent
from dreamlap.drivers import Person
from dreamlap.drivers.person import ARROWS
from dreamlap.named import PERSON

LINGER = 100
"""Steps for which an episode that is over stays in sight, and can still be discarded."""


class Phase(Enum):
    """Where the present episode stands; its value is what a person is told."""

    READY = "Press an arrow key, or W, to drive"
    DRIVING = ""
    PAUSED = "Paused. P goes on"
    OVER = "Over"
    ENDED = "The end"


class Drive(Protocol):
    """What a game goes on with: see `Place`."""

    agent: Agent | None
    dreaming: bool

    @property
    def other(self) -> str | None: ...

    @property
    def person(self) -> Person | None: ...

    @property
    def rewards(self) -> Sequence[float]: ...

    @property
    def over(self) -> bool: ...

    @property
    def ending(self) -> str: ...

    def begin(self, seed: int) -> None: ...

    def step(self) -> None: ...

    def switch_world(self, seed: int) -> None: ...

    def switch_driver(self) -> None: ...


class Game:
    """Begins episodes, lets a place go on step by step, and hands on those that were driven to their end.

    The keys have pygame's names; those that drive have the arrows'. An episode is over when the track ends it or after `steps`
    steps; it is kept a moment later, and it alone: none that was restarted, discarded or left, be it for the other world.
    """

    def __init__(
        self,
        place: Drive,
        seed_of: Callable[[int], int],
        keep: Callable[[int], bool],
        episodes: int,
        steps: int,
        first: int = 0,
    ) -> None:
        """A game of `episodes` whole episodes.

        Args:
            place: where one drives. A person at the wheel gets the arrow keys, and begins when ready.
            seed_of: the seed of an episode, given its number.
            keep: told the number of each episode that is kept, while `place` still holds it -> whether it counts.
            episodes: how many are to count.
            steps: the most of an episode.
            first: the first episode's number.
        """
        self.place, self.seed_of, self.keep = place, seed_of, keep
        self.episodes, self.steps, self.number, self.kept, self.slow = episodes, steps, first, 0, False
        self.unfinished = False
        """Whether an episode that had begun was left when the game ended."""
        self.keys = {
            "p": self.pause, "space": self.pause, "r": self.begin, "n": self.discard, "backspace": self.discard,
            "t": self.switch_world, "c": self.switch_driver, "m": self.slow_down, "escape": self.end,
        }  # fmt: skip
        self.begin()

    @property
    def message(self) -> str:
        """What a person is told now."""
        if self.phase is not Phase.OVER:
            return self.phase.value
        return f"{self.place.ending.capitalize()}. Return {sum(self.place.rewards):.0f}"

    @property
    def help(self) -> list[str]:
        """What keys do now."""
        place = self.place
        keys = {
            "arrows, WASD drive": place.person,
            "T real track" if place.dreaming else "T dream on from here": place.agent,
            "C you drive" if place.other == PERSON else "C agent drives": place.other,
            "M full speed" if self.slow else "M slow motion": True,
        }
        return [words for words, offered in keys.items() if offered] + ["P pause", "R restart", "N next", "Esc end"]

    def press(self, key: str) -> None:
        """A key goes down."""
        if self.place.person and key in ARROWS:
            self.place.person.held.add(key)
            if self.phase is Phase.READY:
                self.phase = Phase.DRIVING
        elif key in self.keys:
            self.keys[key]()

    def move(self, control: str, share: float) -> None:
        """The stick or a trigger of a gamepad moves: `steer` from -1 to 1, `gas` or `brake` from 0 to 1."""
        if self.place.person:
            self.place.person.moved[control] = share
            if self.phase is Phase.READY and share:
                self.phase = Phase.DRIVING

    def release(self, key: str) -> None:
        """A key comes up."""
        if self.place.person:
            self.place.person.held.discard(key)

    def tick(self) -> None:
        """A fiftieth of a second goes by."""
        if self.phase is Phase.DRIVING:
            self.place.step()
            if self.place.over or len(self.place.rewards) >= self.steps:
                self.phase = Phase.OVER
        elif self.phase is Phase.OVER:
            self.linger -= 1
            if self.linger == 0 and self._settle():
                self.begin()

    def begin(self) -> None:
        """Begin the present episode, or begin it again."""
        self.place.begin(self.seed_of(self.number))
        self._wait()

    def pause(self) -> None:
        """Stand still, or go on."""
        self.phase = {Phase.DRIVING: Phase.PAUSED, Phase.PAUSED: Phase.DRIVING}.get(self.phase, self.phase)

    def slow_down(self) -> None:
        """Begin slow motion, or end it."""
        self.slow = not self.slow

    def discard(self) -> None:
        """Forget the present episode and begin another."""
        self.number += 1
        self.begin()

    def switch_world(self) -> None:
        """Leave for the other world, where another episode begins. One that is over is kept before."""
        driving = self.phase is Phase.DRIVING
        if self.place.agent and (self.phase is not Phase.OVER or self._settle()):
            self.place.switch_world(self.seed_of(self.number))
            self._wait()
            self.phase = Phase.DRIVING if driving else self.phase

    def switch_driver(self) -> None:
        """Give the wheel to the other driver. An episode that is over is kept before, and that driver begins the next."""
        if not self.place.other:
            return
        if self.phase is Phase.OVER and self._settle():
            self.begin()
        if self.phase is not Phase.ENDED:
            self._give_wheel()

    def _give_wheel(self) -> None:
        if self.place.person:
            self.place.person.let_go()
        self.place.switch_driver()
        if not self.place.rewards:  # nobody has driven yet: the episode is the new driver's alone
            self.begin()

    def end(self) -> None:
        """End the game. An episode that is over is kept, one that is not is left."""
        if self.phase is Phase.OVER:
            self._settle()
        self.unfinished = self.phase in (Phase.DRIVING, Phase.PAUSED) and bool(self.place.rewards)
        self.phase = Phase.ENDED

    def _wait(self) -> None:
        """Until a person is ready; others are at once."""
        self.linger = LINGER
        self.phase = Phase.READY if self.place.person else Phase.DRIVING

    def _settle(self) -> bool:
        """Keep the episode that is over -> whether another follows."""
        self.kept += self.keep(self.number)
        self.number += 1
        if self.kept >= self.episodes:
            self.phase = Phase.ENDED
        return self.phase is not Phase.ENDED
