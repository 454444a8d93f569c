"""Drives made by four keys, as a person's would be, but for the person: what `world-model-toy --data` learns from.

    python -m benchmarks.keys [FOLDER] [--episodes 20] [--steps 500] [--seed 0]

The autopilot says where to go. A key is held while the wheels or a pedal are not yet where it wants them, and `dreamlap play`'s
own easing makes steering and pedals of that. So actions come in steps, as they do from a keyboard.
"""

import argparse
from pathlib import Path

import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing

from dreamlap.drivers import Autopilot, Person, PerTrack
from dreamlap.drivers.person import PRESS, TURN
from dreamlap.episodes import EpisodeStore
from dreamlap.episodes.record import begin, decide
from dreamlap.mind.world import open_world
from dreamlap.presets import settings_of
from dreamlap.progress import console, meter
from dreamlap.seeds import training_track
from dreamlap.settings import deviations
from dreamlap.track import action_form

DRIVER = "keys"


class Presser:
    """Presses the keys of a `Person` as the autopilot would have it."""

    def __init__(self) -> None:
        self.autopilot, self.person = Autopilot(noise=(0.0, 0.2), speed=(0.6, 1.0)), Person()

    def reset(self, track: CarRacing, rng: np.random.Generator) -> None:
        """See `Solo.reset`."""
        self.autopilot.reset(track, rng)
        self.person.reset(track, rng)
        self.person.let_go()

    def act(self, frame: np.ndarray) -> np.ndarray:
        """See `Solo.act`; the frame is not looked at."""
        steer, gas, brake = self.autopilot.act(frame)
        wanted = {
            "right": steer - self.person.steer > TURN / 2,
            "left": self.person.steer - steer > TURN / 2,
            "up": gas - self.person.gas > -PRESS / 2 and gas > PRESS / 2,
            "down": brake - self.person.brake > -PRESS / 2 and brake > PRESS / 2,
        }
        self.person.held = {key for key, held in wanted.items() if held}
        return self.person.act(frame)


def press(folder: Path, episodes: int = 20, steps: int = 500, seed: int = 0) -> None:
    """Drive episodes of up to so many steps, each on a training track of its own.

    Raises:
        Refused: the folder holds other drives by keys, of another seed or length.
    """
    config, store = settings_of("world-model-toy").track, EpisodeStore(folder)
    driver, world, form = PerTrack(Presser, 1), open_world(config), action_form(config.actions)
    about = {"driver": DRIVER, "made": {"driver": {"kind": DRIVER}, "track": deviations(config)}}
    with meter("drives by keys", episodes) as bar:
        for number in range(episodes):
            tape = begin(driver, 0, world, training_track(DRIVER, number, seed=seed), about)
            while len(tape.actions) < steps and not tape.terminated:
                tape.step(decide(driver, [tape], form)[0])
            store.write(f"{DRIVER}-{number:05d}", tape.episode())
            bar.advance(1)
    world.close()


def main() -> None:
    """Drive, and say what is there."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, nargs="?", default=Path("runs/keys"))
    options.add_argument("--episodes", type=int, default=20)
    options.add_argument("--steps", type=int, default=500)
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    press(asked.folder, asked.episodes, asked.steps, asked.seed)
    console.print(EpisodeStore(asked.folder).summary())


if __name__ == "__main__":
    main()
