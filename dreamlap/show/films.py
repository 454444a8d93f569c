"""What is on film: drives, dreams and episodes as pictures one after the other, a picture a step."""

from collections.abc import Iterator
from itertools import zip_longest

import gymnasium
import numpy as np
import torch

from dreamlap.agent import Agent
from dreamlap.episodes import EpisodeFile
from dreamlap.episodes.store import CHUNK
from dreamlap.memory import mixture
from dreamlap.mind import Dream, DreamConfig
from dreamlap.parallel import one_thread
from dreamlap.progress import meter
from dreamlap.show.panels import Board, mosaic
from dreamlap.track import to_frame
from dreamlap.track.frames import STOCK


class DriveFilm:
    """One drive on the stock track `seed`; iterating drives. `reward` is what was earned so far."""

    def __init__(self, agent: Agent, seed: int, steps: int, board: Board):
        self.agent, self.seed, self.steps, self.board = agent, seed, steps, board
        self.reward = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Drive: T steps make T + 1 pictures (H, W, 3) uint8."""
        self.reward = 0.0
        self.agent.reset()
        with gymnasium.make("CarRacing-v3") as track, one_thread(), meter("filming a drive", self.steps) as bar:
            frame, info = track.reset(seed=self.seed)
            step, over, action = 0, False, None
            while step < self.steps and not over:
                looks = self._looks(frame)  # before `act`, which moves M's memory on
                action = self.agent.act(frame)
                yield self.board.compose(looks, _words(step, self.reward), action)
                frame, reward, terminated, truncated, info = track.step(action)
                step, over, self.reward = step + 1, terminated or truncated, self.reward + float(reward)
                bar.advance(note=f"reward {self.reward:.0f}")
            ending = "    lap finished" if info.get("lap_finished") else ""
            yield self.board.compose(self._looks(frame), _words(step, self.reward) + ending, action)

    @torch.no_grad()
    def _looks(self, frame: np.ndarray) -> tuple[np.ndarray, ...]:
        """The frame (96, 96, 3) as V is shown it, as V draws it, and as M expected it."""
        agent, seen = self.agent, self.agent.config.track
        z, _ = agent.perceive(to_frame(frame, seen.size, seen.bar)[None], agent.state)
        expected = mixture.mean(agent.memory.predict(agent.memory.h(agent.state)).z)
        drawn, foreseen = agent.vision.decode(torch.cat([z, expected])).cpu().numpy()
        return to_frame(frame, STOCK, seen.bar), drawn, foreseen


class DreamFilm:
    """The agent in its own dream; iterating dreams. `reward` is what M promised so far."""

    def __init__(self, agent: Agent, seed: int, steps: int, board: Board):
        self.agent, self.seed, self.steps, self.board = agent, seed, steps, board
        self.reward = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Dream: one picture (H, W, 3) uint8 a step."""
        self.reward = 0.0
        dream = Dream(self.agent, 1, DreamConfig(horizon=self.steps))
        observation = dream.reset([self.seed])
        with one_thread(), meter("filming a dream", self.steps) as bar:
            for step in range(self.steps):
                with torch.no_grad():
                    action = self.agent.controller.act(observation)
                shown = self.agent.actions.to_stock(action[0].cpu().numpy())
                yield self.board.compose([dream.render()], _words(step, self.reward), shown)
                observation, reward = dream.step(action)[:2]
                self.reward += float(reward[0])
                bar.advance(note=f"reward {self.reward:.0f}")


def _words(step: int, reward: float) -> str:
    return f"step {step}    reward {reward:.1f}"


def film_episodes(episodes: list[EpisodeFile], side: int) -> Iterator[np.ndarray]:
    """All episodes at once, each in a square of `side` pixels, until the longest has ended."""
    last = [episode.frames(0, 1)[0] for episode in episodes]
    with meter("filming episodes", max(map(len, episodes)) + 1) as bar:
        for frames in zip_longest(*map(_frames, episodes)):
            last = [old if new is None else new for new, old in zip(frames, last, strict=True)]
            yield mosaic([old // 2 if new is None else new for new, old in zip(frames, last, strict=True)], side)
            bar.advance()


def _frames(episode: EpisodeFile) -> Iterator[np.ndarray]:
    for i in range(-(-episode.shape[0] // CHUNK)):
        yield from episode.chunk(i)
