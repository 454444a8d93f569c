"""The stock track, drawn fast."""

import math
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from gymnasium import spaces
from gymnasium.envs.box2d.car_dynamics import SIZE, WHEELPOS
from gymnasium.envs.box2d.car_racing import SCALE, ZOOM, CarRacing
from gymnasium.error import ResetNeeded
from gymnasium.utils import EzPickle

from dreamlap.errors import Refused
from dreamlap.settings import ANY, bounded, least
from dreamlap.track.actions import FIVE_NAMES
from dreamlap.track.actions import STOCK as STOCK_FORM
from dreamlap.track.car import lay_car
from dreamlap.track.frames import ROAD_ROWS, STOCK, to_frame
from dreamlap.track.ground import Ground
from dreamlap.track.panel import lay_panel
from dreamlap.track.physics import QuickCar, Referee

OPTIONS = ("start_tile", "reverse", "randomize")
"""What may be said to the reset of a track."""


class FastCarRacing(CarRacing):
    """Gymnasium's `CarRacing`, the same race to the bit, with its observation drawn some thirty times faster.

    Track, car, physics, rewards and endings are gymnasium's; only the drawing of the observation is ours. `render()`
    stays stock. Like `CarRacing` itself it ends no episode after 1,000 steps: registration adds that limit.
    """

    blind = False
    """True skips drawing: observations are black, all else is as before. May be set and unset at any time."""

    @bounded
    def __init__(
        self,
        render_mode: str | None = None,
        verbose: bool = False,
        lap_complete_percent: Annotated[float, ANY] = 0.95,
        domain_randomize: bool = False,
        continuous: bool = True,
        size: Annotated[int, least(1, 1024)] = STOCK,
        bar: bool = True,
        repeat: Annotated[int, least(1, 10_000)] = 1,
    ) -> None:
        """Takes stock's own arguments and three more.

        Args:
            render_mode: stock's.
            verbose: stock's.
            lap_complete_percent: stock's.
            domain_randomize: stock's.
            continuous: stock's.
            size: width and height of the observation, in pixels.
            bar: whether the observation shows the instrument bar.
            repeat: how many steps of the stock track one step lasts; rewards add up, and only the last frame is drawn.

        Raises:
            SettingError: an argument has another type, or is out of its bounds.
        """
        stock = (render_mode, verbose, lap_complete_percent, domain_randomize, continuous)
        super().__init__(*stock)
        EzPickle.__init__(self, *stock, size, bar, repeat)
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.size, self.bar, self.repeat = size, bar, repeat
        self._canvas = np.zeros((STOCK, STOCK, 4), np.uint8)
        self._ground = Ground()
        self._painted = False
        self._start: int | None = 0
        self._reverse = False
        self._new = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode on a new track.

        Args:
            seed: of the track, as stock.
            options: stock's `randomize`, and `start_tile`: the car stands at rest on that tile, counted round the lap,
                instead of the first; "random" draws one once the track is made, which is therefore the same. With `reverse`
                the lap is driven the other way round: stock's go round to the left, and sharp right turns are rare on them.

        Raises:
            Refused: there is no such option, or it does nothing here.
            TypeError: `start_tile` is neither a whole number nor "random", or another option is not true or false.
        """
        options = read_options(options)
        if options.get("randomize") and not self.domain_randomize:
            raise Refused("`randomize` does nothing on a track in stock's colours: make it with domain_randomize=True")
        start = options.get("start_tile", 0)
        self._start = None if start == "random" else operator.index(start)
        self._reverse = bool(options.get("reverse"))
        frame, info = super().reset(seed=seed, options=options)
        self._turn_track(-self._head)
        return frame, info

    def step(self, action: np.ndarray | int) -> tuple[Any, Any, bool, Literal[False], dict[str, Any]]:
        """One fiftieth of a second, as stock, or `repeat` of them.

        Raises:
            Refused: the action is not one: steer, gas and brake, all finite, or with `continuous=False` one of five.
            ResetNeeded: no episode has begun.
        """
        if self.car is None:
            raise ResetNeeded("call reset() first: no episode has begun")
        if self._new:  # stock's reset steps once, without an action, when it has built the car
            self._new = False
            self._prepare_car()
            return super().step(action)
        action = STOCK_FORM.read(action) if self.continuous else self._one_of_five(action)
        if self.repeat == 1:
            return super().step(action)
        blind, left, over, total = self.blind, self.repeat, False, 0.0
        frame, info = None, {}
        while left and not over:
            left -= 1
            self.blind = blind or left > 0  # the last frame is drawn in its step, as stock's are: before the score counts it
            frame, reward, over, _, info = super().step(action)
            total += float(reward)
        self.blind = blind
        return self._observe() if left else frame, total, over, False, info

    def close(self) -> None:
        """Ends it as stock, and leaves the memory of its picture to the next track."""
        self._ground.close()
        self._painted = False
        super().close()

    def _one_of_five(self, action: Any) -> int:
        if not self.action_space.contains(action):
            raise Refused(f"an action is a whole number from 0 to 4 ({', '.join(FIVE_NAMES)}), not {action!r:.60}")
        return int(action)

    def _prepare_car(self) -> None:
        assert self.car is not None
        self.car.__class__ = QuickCar
        if self._head or self._reverse:  # stock hangs the wheels on as if the car pointed north, as it does on the first tile
            for w, (x, y) in zip(self.car.wheels, WHEELPOS, strict=True):
                w.position = self.car.hull.GetWorldPoint((x * SIZE, y * SIZE))

    def _create_track(self) -> bool:
        if not super()._create_track():
            return False
        if self._reverse:
            self.track = [(alpha, beta + math.pi, x, y) for alpha, beta, x, y in self.track[::-1]]
        tiles = len(self.track)
        self._head = int(self.np_random.integers(tiles)) if self._start is None else self._start % tiles
        self._turn_track(self._head)
        self.world.contactListener = self.contactListener_keepref = Referee(self, self.lap_complete_percent)
        self._painted, self._new = False, True
        return True

    def _turn_track(self, tiles: int) -> None:
        """Begins the list of tiles elsewhere: stock's reset puts the car at its head."""
        self.track = self.track[tiles:] + self.track[:tiles]

    def repaint(self, tile: Any) -> None:
        """Takes the shade off a road tile, as touching it does."""
        if self._painted:
            self._ground.repaint(tile.idx, self.road_color)

    def _render(self, mode: str) -> Any:
        drawn = mode == "state_pixels" and self.car is not None
        return self._observe() if drawn else super()._render(mode)

    def _observe(self) -> np.ndarray:
        """(size, size, 3) uint8."""
        if self.blind:
            return np.zeros((self.size, self.size, 3), np.uint8)
        if not self._painted:
            self._ground.paint(self.road_poly, self.bg_color, self.grass_color)
            self._painted = True
        assert self.car is not None
        x, y = self.car.hull.position
        zoom = 0.1 * SCALE * max(1 - self.t, 0) + ZOOM * SCALE * min(self.t, 1)
        self._ground.view(x, y, self.car.hull.angle, zoom, self._canvas[:ROAD_ROWS])
        lay_car(self.car, zoom, self._canvas)
        self._lay_over(zoom, self._canvas[:ROAD_ROWS])
        lay_panel(self.car, self.reward, self._canvas[ROAD_ROWS:])
        seen = to_frame(self._canvas, self.size, self.bar)
        return cv2.cvtColor(seen, cv2.COLOR_RGBA2RGB)

    def _lay_over(self, zoom: float, road: np.ndarray) -> None:
        """What lies over road and car, (84, 96, 4) uint8, if the window has `zoom` pixels a unit: nothing."""


def read_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """What may be said to the reset of a track, as it was said.

    Raises:
        Refused: there is no such option.
        TypeError: an option has another type.
    """
    options = dict(options or {})
    for name, value in options.items():
        if name not in OPTIONS:
            raise Refused(f"a track has no option {name!r}; it has {', '.join(OPTIONS)}")
        if name == "start_tile":
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole and not (isinstance(value, str) and value == "random"):
                raise TypeError(f'`start_tile` is {value!r}, and it must be a whole number or "random"')
        elif not isinstance(value, bool | np.bool_):
            raise TypeError(f"`{name}` is {value!r}, and it must be true or false")
    return options
