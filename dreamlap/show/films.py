"""What videos show: drives, dreams and episodes as pictures one after the other, a picture a step."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import gymnasium
import numpy as np
import torch

from dreamlap.agent import Agent, Starts
from dreamlap.config.parts import LIMIT
from dreamlap.episodes import Episode, EpisodeFile
from dreamlap.episodes.store import CHUNK
from dreamlap.expert import Expert, to_gray
from dreamlap.measure.memory import draw, dream_along, lived, see
from dreamlap.memory import mixture
from dreamlap.mind import Dream, DreamConfig
from dreamlap.parallel import own_settings
from dreamlap.progress import meter
from dreamlap.show.glimpse import ZOOM, moments, shown_frames
from dreamlap.show.panels import Board, mosaic
from dreamlap.track import to_frame
from dreamlap.track.frames import STOCK

LOOKS = ("the track", "V's reconstruction", "M's prediction, one step before")
LOOKS_OF_EXPERT = ("the track", "what the expert sees")


class DriveFilm:
    """One drive on the stock track `seed`; iterating drives. The zoom at its start is driven, but not shown.

    `reward` is what was earned so far, `road` the middle of the track's tiles (x, y), `path` where the car was: (x, y, whether
    all its wheels were on the grass).
    """

    def __init__(self, agent: Agent | Expert, seed: int, steps: int, board: Board):
        self.agent, self.seed, self.steps, self.board = agent, seed, steps, board
        self.reward = 0.0
        self.road: list[tuple[float, float]] = []
        self.path: list[tuple[float, float, bool]] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        """Drive: T steps after the zoom make T + 1 pictures (H, W, 3) uint8."""
        self.reward, self.path = 0.0, []
        self.agent.reset()
        with (
            gymnasium.make("CarRacing-v3") as track,
            own_settings(),
            meter("recording a drive", min(ZOOM + self.steps, LIMIT)) as bar,
        ):
            frame, info = track.reset(seed=self.seed)
            self.road = [(float(x), float(y)) for _, _, x, y in track.get_wrapper_attr("track")]
            step, over, action = 0, False, None
            while step < ZOOM + self.steps and not over:
                looks = looks_of(self.agent, frame) if step >= ZOOM else ()  # before `act`, which moves M's memory on
                action = self.agent.act(frame)
                if looks:
                    yield self.board.compose(looks, _words(step, self.reward), action)
                frame, reward, terminated, truncated, info = track.step(action)
                step, over, self.reward = step + 1, terminated or truncated, self.reward + float(reward)
                self.path.append(_place(track.get_wrapper_attr("car")))
                bar.advance(note=f"reward {self.reward:.0f}")
            ending = "    lap finished" if info.get("lap_finished") else ""
            yield self.board.compose(looks_of(self.agent, frame), _words(step, self.reward) + ending, action)


def _place(car: Any) -> tuple[float, float, bool]:
    return float(car.hull.position.x), float(car.hull.position.y), not any(wheel.tiles for wheel in car.wheels)


def titles_of(agent: Agent | Expert) -> tuple[str, ...]:
    """What `looks_of` shows, in a few words each."""
    return LOOKS_OF_EXPERT if isinstance(agent, Expert) else LOOKS


@torch.no_grad()
def looks_of(agent: Agent | Expert, frame: np.ndarray) -> tuple[np.ndarray, ...]:
    """The frame (96, 96, 3) as an agent sees it, V's reconstruction, and M's prediction; of an expert, its gray copy."""
    seen = agent.config.track
    shown, small = to_frame(frame, STOCK, seen.bar), to_frame(frame, seen.size, seen.bar)
    if isinstance(agent, Expert):
        return shown, np.repeat(to_gray(small)[..., None], 3, -1)
    z, _ = agent.perceive(small[None], agent.state)
    expected = mixture.mean(agent.memory.foresee(agent.state).z)
    drawn, foreseen = agent.vision.decode(torch.cat([z, expected])).cpu().numpy()
    return shown, drawn, foreseen


class DreamFilm:
    """The agent in its own dream; iterating dreams. `reward` is what M predicted so far."""

    def __init__(self, agent: Agent, seed: int, steps: int, board: Board, first: np.ndarray | None = None):
        """`first`: a frame (S, S, 3) uint8 to begin with, shown beside the dream, in place of a moment of a drive."""
        self.agent, self.seed, self.steps, self.board, self.first = agent, seed, steps, board, first
        self.reward = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Dream: one picture (H, W, 3) uint8 a step."""
        self.reward = 0.0
        beside = [] if self.first is None else [self.first]
        if beside:
            begin = Starts(see(self.agent, beside[0][None]), self.agent.memory.initial(1))
        else:
            begin = moments(self.agent, self.seed)
        dream = Dream(self.agent, 1, DreamConfig(horizon=self.steps), begin)
        observation = dream.reset([self.seed])
        with own_settings(), meter("recording a dream", self.steps) as bar:
            for step in range(self.steps):
                with torch.no_grad():
                    action = self.agent.controller.act(observation)
                shown = self.agent.actions.to_stock(action[0].cpu().numpy())
                yield self.board.compose([*beside, dream.render()[0]], _words(step, self.reward), shown)
                observation, reward = dream.step(action)[:2]
                self.reward += float(reward[0])
                bar.advance(note=f"reward {self.reward:.0f}")


class PredictionFilm:
    """A drive, V's reconstruction of it, and M's dream of it: M is told the actions, and sees a frame every `every` steps."""

    def __init__(self, agent: Agent, drive: Episode, first: int, steps: int, every: int, board: Board):
        """`first`: the frame from which M dreams on, having lived through all before; `steps`: the most steps from there."""
        self.agent, self.drive, self.first, self.every, self.board = agent, drive, first, every, board
        self.last = min(first + steps, len(drive))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Dream along: frames `first` to `last` of the drive make as many pictures (H, W, 3) uint8."""
        z, states, actions = lived(self.agent, self.drive)
        with own_settings(), meter("recording M's dream", self.last + 1 - self.first) as bar:
            for start in range(self.first, self.last + 1, self.every):
                now, told = slice(start, start + 1), actions[start : min(start + self.every - 1, self.last)]
                dreamed = draw(self.agent, dream_along(self.agent.memory, z[now], states[now], told[None], start).z[0])
                seen = draw(self.agent, z[start : start + len(dreamed)])
                for since, drawn in enumerate(zip(seen, dreamed, strict=True)):
                    yield self._picture(start + since, since, *drawn)
                    bar.advance()

    def _picture(self, step: int, since: int, seen: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        real, action = self.drive.frames[step], self.drive.actions[step] if step < len(self.drive) else None
        off = np.sqrt(np.square(drawn.astype(np.float32) - real).mean())
        dreamed = f"dreamed {since} step{'s' * (since != 1)}" if since else "in sync"
        return self.board.compose([real, seen, drawn], f"step {step}    {dreamed}    error {off:.1f} of 255", action)


class ReconstructionFilm:
    """A drive beside its reconstructions, from all of V's latents and, where V has more than z, from z alone."""

    def __init__(self, agent: Agent, drive: Episode, board: Board):
        self.agent, self.drive, self.board = agent, drive, board

    @torch.no_grad()
    def __iter__(self) -> Iterator[np.ndarray]:
        """Every frame of the drive after the zoom makes a picture (H, W, 3) uint8."""
        frames = shown_frames(self.agent, self.drive)
        with own_settings(), meter("recording reconstructions", len(frames)) as bar:
            for step, frame in enumerate(frames, len(self.drive.frames) - len(frames)):
                seen, vision = torch.from_numpy(frame[None]).to(self.agent.state.device), self.agent.vision
                alone = [vision.decode(vision.encode(seen).mu)] if vision.more_than_z else []
                drawn = torch.cat([vision.reconstruct(seen), *alone]).cpu().numpy()
                off = np.sqrt(np.square(drawn - frame.astype(np.float32)).mean((1, 2, 3)))
                errors = " and ".join(f"{error:.1f}" for error in off)
                yield self.board.compose([frame, *drawn], f"step {step}    error {errors} of 255")
                bar.advance()


def _words(step: int, reward: float) -> str:
    return f"step {step}    reward {reward:.1f}"


def film_episodes(episodes: list[EpisodeFile], side: int) -> Iterator[np.ndarray]:
    """All episodes at once, each in a square of `side` pixels, until the longest has ended."""
    last = [episode.frames(0, 1)[0] for episode in episodes]
    with meter("recording episodes", max(map(len, episodes)) + 1) as bar:
        for frames in zip_longest(*map(_frames, episodes)):
            last = [old if new is None else new for new, old in zip(frames, last, strict=True)]
            yield mosaic([old // 2 if new is None else new for new, old in zip(frames, last, strict=True)], side)
            bar.advance()


def _frames(episode: EpisodeFile) -> Iterator[np.ndarray]:
    for i in range(-(-episode.shape[0] // CHUNK)):
        yield from episode.chunk(i)
