"""A person drives: what keys do, what is kept, and all of it with real keys in a real window."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch

import dreamlap
from dreamlap.agent import Agent
from dreamlap.control import Linear
from dreamlap.drivers import DriverConfig, Person, PerTrack, build_driver
from dreamlap.drivers.autopilot import LOCK
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.learn.cmaes import CMAESConfig, train_cmaes
from dreamlap.play import Display, display, game
from dreamlap.play.game import Game, Phase
from dreamlap.play.place import Place
from dreamlap.play.play import next_number
from dreamlap.play.window import Window
from dreamlap.run import Stage
from dreamlap.track import FastCarRacing, TrackConfig


class FakePlace:
    """Ends every episode after `length` steps, each worth 1."""

    def __init__(self, length: int = 1000) -> None:
        self.length, self.begun = length, []

    def begin(self, seed: int) -> None:
        self.begun.append(seed)
        self.rewards: list[float] = []

    def step(self) -> None:
        self.rewards.append(1.0)

    @property
    def over(self) -> bool:
        return len(self.rewards) >= self.length


def new_game(place: FakePlace, episodes: int = 2, steps: int = 5, person: Person | None = None) -> tuple[Game, list[int]]:
    kept: list[int] = []
    return Game(place, lambda number: 100 + number, kept.append, episodes, steps, person, first=3), kept


def tick(game: Game, times: int) -> None:
    for _ in range(times):
        game.tick()


@pytest.mark.parametrize(("length", "steps"), [(1000, 5), (4, 1000)])
def test_episodes_end_by_the_clock_or_by_the_track_and_are_kept_a_moment_later(length: int, steps: int) -> None:
    place = FakePlace(length)
    playing, kept = new_game(place, steps=steps)
    tick(playing, min(length, steps))
    assert playing.phase is Phase.OVER
    assert len(place.rewards) == min(length, steps)
    tick(playing, game.LINGER)
    assert kept == [3]
    assert place.begun == [103, 104]
    tick(playing, min(length, steps) + game.LINGER)
    assert kept == [3, 4]
    assert playing.phase is Phase.ENDED


def test_a_person_begins_when_ready_and_pauses() -> None:
    place, person = FakePlace(), Person()
    playing, _ = new_game(place, person=person)
    tick(playing, 9)
    assert place.rewards == []
    playing.press("up")
    tick(playing, 2)
    playing.press("p")
    tick(playing, 9)
    assert len(place.rewards) == 2
    assert person.held == {"up"}
    playing.press("space")
    playing.release("up")
    tick(playing, 1)
    assert len(place.rewards) == 3
    assert person.held == set()


def test_what_was_discarded_restarted_or_left_is_not_kept() -> None:
    place = FakePlace()
    playing, kept = new_game(place, episodes=1)
    tick(playing, 2)
    playing.press("r")
    assert place.begun == [103, 103]
    playing.press("d")
    assert place.begun[2:] == [104]
    tick(playing, 5)
    assert playing.phase is Phase.OVER
    playing.press("backspace")
    tick(playing, 3)
    playing.press("escape")
    assert playing.phase is Phase.ENDED
    assert kept == []


def test_leaving_keeps_an_episode_that_is_over() -> None:
    playing, kept = new_game(FakePlace())
    tick(playing, 5)
    playing.press("escape")
    assert kept == [3]


def test_steering_and_pedals_ease_in_and_out() -> None:
    person, nothing = Person(), np.empty(0)
    person.held |= {"left", "up"}
    first = person.act(nothing)
    assert -LOCK < first[0] < 0 < first[1] < 1
    last = [person.act(nothing) for _ in range(20)][-1]
    assert last[0] == pytest.approx(-LOCK)
    assert 0 < last[1] < 0.2  # full gas while turning would spin the car
    person.held = {"down"}
    braking = [person.act(nothing) for _ in range(20)]
    assert -LOCK < braking[0][0] < 0
    assert braking[-1].tolist() == pytest.approx([0, 0, 0.8])
    person.held = {"left", "right", "up"}
    assert person.act(nothing)[0] == 0
    assert person.act(nothing).dtype == np.float32


def test_a_person_drives_in_a_dream_(agent: Agent, tmp_path: Path) -> None:
    agent.memory.scalar_head.bias.data[1] = -50.0  # M is sure that it goes on
    agent.save(tmp_path)
    person = Person()
    place = Place(PerTrack(lambda: person, 1), "person", TrackConfig(dream=str(tmp_path)))
    place.begin(7)
    person.held = {"right"}
    for _ in range(5):
        place.step()
    assert len(place.rewards) == 5
    assert place.action[0] > 0.1
    assert place.picture().get_size() == (700, 560)
    assert not place.over


def test_persons_drive_in_windows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="dreamlap play --record"):
        build_driver(DriverConfig("person"), 1)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    with pytest.raises(RuntimeError, match="xvfb-run"):
        Window("unseen")


def test_numbers_go_on_after_the_last(tmp_path: Path) -> None:
    for name in ("person-s0-00004", "person-s0-00002", "person-s01-00009", "agent-s0-00008"):
        (tmp_path / f"{name}.episode").touch()
    assert next_number(EpisodeStore(tmp_path), "person-s0") == 5
    assert next_number(EpisodeStore(tmp_path), "person-s7") == 0


def test_showing_the_best_changes_nothing(tmp_path: Path, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(display, "STEPS", 3)
    monkeypatch.setattr(game, "LINGER", 1)
    agent.controller = Linear(4, 8, 2)
    config, trained = CMAESConfig(generations=2, population=4, rollouts=1, steps=20), []
    shown: list[tuple[torch.Tensor, int]] = []
    window = Display()

    def show(candidate: torch.Tensor, generation: int) -> None:
        shown.append((candidate, generation))
        window(agent, candidate, generation)

    for name, with_window in (("without", None), ("with", show)):
        controller = Linear(4, 8, 2)
        train_cmaes(Stage(tmp_path / name), controller, _smallness, config, 0, show=with_window)
        trained.append(torch.cat([p.flatten() for p in controller.parameters()]))
    assert torch.equal(*trained)
    assert [generation for _, generation in shown] == [1, 2]
    assert window.window is not None
    window.window.close()


def _smallness(candidates: torch.Tensor, seeds: list[int]) -> np.ndarray:
    return -candidates.square().sum(1).double().numpy()


needs_x = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")),
    reason="real keys need Xvfb and xdotool (Debian: apt install xvfb xdotool)",
)


@pytest.fixture
def screen() -> Iterator[dict[str, str]]:
    """The environment of a virtual display."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        number, source = server.stdout.readline().strip(), str(Path(dreamlap.__file__).parents[1])
        yield {**os.environ, "DISPLAY": f":{number}", "SDL_VIDEODRIVER": "x11", "PYTHONPATH": source}
        server.terminate()


@needs_x
@pytest.mark.timeout(800)
def test_real_keys_in_a_real_window(screen: dict[str, str], tmp_path: Path) -> None:
    def keys(*words: str) -> None:
        subprocess.run(["xdotool", *words], env=screen, check=True, capture_output=True)

    def front() -> str:
        asked = ["xdotool", "getwindowfocus", "getwindowname"]
        return subprocess.run(asked, env=screen, capture_output=True, text=True).stdout

    def line(output: IO[str]) -> str:
        return output.readline().strip()

    command = ["play", "--record", "human", "--episodes", "9", "--steps", "40", "--fps", "100", "--track.size", "32"]
    with subprocess.Popen(
        [sys.executable, "-m", "dreamlap", *command], cwd=tmp_path, env=screen, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        while "dreamlap: person drives, kept in human" not in front():
            assert process.poll() is None
            time.sleep(0.2)
        keys("keydown", "Up", "keydown", "Left")
        assert line(process.stdout).startswith("episode 1: return")
        keys("keyup", "Up", "keyup", "Left")
        keys("keydown", "Down", "sleep", "0.1", "keyup", "Down", "key", "d")  # a second one, discarded
        keys("keydown", "Right", "sleep", "0.1", "keyup", "Right", "key", "r")  # a third one, begun again
        keys("keydown", "Up", "key", "p")
        time.sleep(1)
        store = EpisodeStore(tmp_path / "human")
        assert store.names() == ["person-s0-00000"]
        keys("key", "p")
        assert line(process.stdout).startswith("episode 2: return")
        keys("keydown", "Down", "sleep", "0.1", "key", "p", "key", "Escape")  # a fourth one, left
        assert "kept 2 episodes in human" in process.stdout.read()
    assert process.returncode == 0
    assert store.names() == ["person-s0-00000", "person-s0-00002"]
    turning, straight = store
    assert straight.array("actions")[:, 0].tolist() == [0.0] * 40
    assert straight.array("actions")[:, 1].max() > 0.9
    assert straight.array("speeds")[-1] > 10
    assert turning.array("actions")[:, 0].min() < -0.3
    assert turning.array("actions")[:, 0].max() <= 0
    assert max(episode.array("actions")[:, 2].max() for episode in store) == 0
    for episode in store:
        assert episode.about["driver"] == "person"
        _assert_in_step(episode.episode())


def _assert_in_step(episode: Episode) -> None:
    """The same actions on the same track give the same frames and rewards."""
    track = FastCarRacing(size=32)
    frame, _ = track.reset(seed=episode.about["track"])
    assert np.array_equal(frame, episode.frames[0])
    for t, action in enumerate(episode.actions):
        frame, reward, _, _, _ = track.step(action)
        assert np.array_equal(frame, episode.frames[t + 1])
        assert np.float32(reward) == episode.rewards[t]
