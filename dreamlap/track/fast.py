"""The stock track, drawn fast."""

from typing import Any

import cv2
import numpy as np
from gymnasium import spaces
from gymnasium.envs.box2d.car_racing import SCALE, ZOOM, CarRacing
from gymnasium.utils import EzPickle

from dreamlap.track.car import lay_car
from dreamlap.track.frames import ROAD_ROWS, STOCK, to_frame
from dreamlap.track.ground import Ground
from dreamlap.track.panel import lay_panel
from dreamlap.track.physics import QuickCar, Referee


class FastCarRacing(CarRacing):
    """Gymnasium's `CarRacing`, same race to the bit, with its observation drawn some twenty times faster.

    Track, car, physics, rewards and endings are gymnasium's own code; only the drawing of the observation is ours.
    `render()` stays stock. Beyond stock, `reset` takes the option `start_tile`.
    """

    def __init__(
        self,
        render_mode: str | None = None,
        verbose: bool = False,
        lap_complete_percent: float = 0.95,
        domain_randomize: bool = False,
        continuous: bool = True,
        size: int = STOCK,
        bar: bool = True,
    ) -> None:
        """Takes stock's own arguments and two more.

        Args:
            render_mode: stock's.
            verbose: stock's.
            lap_complete_percent: stock's.
            domain_randomize: stock's.
            continuous: stock's.
            size: width and height of the observation, in pixels.
            bar: whether the observation shows the instrument bar.
        """
        stock = (render_mode, verbose, lap_complete_percent, domain_randomize, continuous)
        super().__init__(*stock)
        EzPickle.__init__(self, *stock, size, bar)
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.size, self.bar = size, bar
        self.blind = False
        """True skips drawing: observations are black, everything else is as before."""
        self._ground = Ground()
        self._canvas = np.zeros((STOCK, STOCK, 4), np.uint8)
        self._start: int | str = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode on a new track.

        Args:
            seed: of the track, as stock.
            options: stock's `randomize`, and `start_tile`: the car stands on that tile instead of the first; "random"
                draws one after the track, which is therefore the same.

        Raises:
            ValueError: `start_tile` is no tile of this track.
        """
        self._start = (options or {}).get("start_tile", 0)
        frame, info = super().reset(seed=seed, options=options)
        assert self.car is not None
        self.car.__class__ = QuickCar  # stock's reset builds its own class of car
        return frame, info

    def _create_track(self) -> bool:
        if not super()._create_track():
            return False
        self.world.contactListener = self.contactListener_keepref = Referee(self, self.lap_complete_percent)
        if not self.blind:
            self._ground.paint(self.road_poly, self.bg_color, self.grass_color)
        return True

    def repaint(self, tile: Any) -> None:
        """Takes the shade off a road tile, as touching it does."""
        if not self.blind:
            self._ground.repaint(tile.fixtures[0].shape.vertices, self.road_color)

    def _render(self, mode: str) -> Any:
        return self._observe() if mode == "state_pixels" else super()._render(mode)

    def _observe(self) -> np.ndarray:
        """(size, size, 3) uint8."""
        if self.blind or self.car is None:
            return np.zeros((self.size, self.size, 3), np.uint8)
        zoom = 0.1 * SCALE * max(1 - self.t, 0) + ZOOM * SCALE * min(self.t, 1)
        x, y = self.car.hull.position
        self._ground.view(x, y, self.car.hull.angle, zoom, self._canvas[:ROAD_ROWS])
        lay_car(self.car, zoom, self._canvas)
        lay_panel(self.car, self.reward, self._canvas[ROAD_ROWS:])
        return cv2.cvtColor(to_frame(self._canvas, self.size, self.bar), cv2.COLOR_BGRA2BGR)
