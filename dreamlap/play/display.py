"""The best of every generation at the wheel, in a window, while evolution waits."""

import copy

from torch import Tensor
from torch.nn.utils import vector_to_parameters

from dreamlap.agent import Agent
from dreamlap.drivers import AgentDriver
from dreamlap.parallel import own_settings
from dreamlap.play.game import Game
from dreamlap.play.place import Place
from dreamlap.play.window import Window, check_seen
from dreamlap.seeds import training_track

STEPS, FPS = 500, 50
"""Of a drive: ten seconds in the track's own time."""


class Display:
    """Shows candidates, and changes nothing in them nor in who trains them. Esc closes it, and training goes on without."""

    def __init__(self) -> None:
        """Open the window, before hours of training rather than after.

        Raises:
            RuntimeError: there is no display, or nobody sees it.
        """
        self.window: Window | None = Window("the best of each generation")
        check_seen()

    def __call__(self, agent: Agent, candidate: Tensor, generation: int) -> None:
        """Let the agent with the weights `candidate` (D,) for its C drive one track."""
        if self.window is None:
            return
        shown = copy.deepcopy(agent)
        vector_to_parameters(candidate, shown.controller.parameters())
        place = Place({f"the best of generation {generation}": AgentDriver(shown, 1)}, agent.config.track, shown)
        steps = place.config.decisions(STEPS)
        game = Game(place, lambda n: training_track("display", n, seed=generation), lambda _: True, 1, steps)
        with own_settings():
            self.window.run(game, place, FPS)
        if game.linger:  # it did not end by itself
            self.window.close()
            self.window = None
