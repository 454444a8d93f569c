"""A person drives: what keys do, what is kept, and all of it with real keys in a real window."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pygame
import pytest
import torch

import dreamlap
from dreamlap.agent import Agent, load_agent
from dreamlap.control import Linear
from dreamlap.drivers import AgentDriver, DriverConfig, Person, build_driver
from dreamlap.drivers.autopilot import LOCK
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.errors import Failed
from dreamlap.learn.cmaes import CMAESConfig, train_cmaes
from dreamlap.learn.rollouts import Rollouts
from dreamlap.play import Display, display, game, play
from dreamlap.play.game import Game, Phase
from dreamlap.play.keys import key_named
from dreamlap.play.observer import View
from dreamlap.play.place import Place
from dreamlap.play.play import make_place, next_number
from dreamlap.play.scene import Scene
from dreamlap.play.tally import Outcome, summary
from dreamlap.play.window import IN_DREAM, Window
from dreamlap.run import Stage
from dreamlap.track import FastCarRacing, TrackConfig


class FakePlace:
    """Ends every episode after `length` steps, each worth 1. Two drivers: a person, if there is one, and an agent."""

    ending = "time is over"
    agent: Agent | None = None

    def __init__(self, length: int = 1000, person: Person | None = None) -> None:
        self.length, self.begun, self.dreaming = length, [], False
        self.drivers: list[Person | None] = [person, None] if person else [None]

    @property
    def person(self) -> Person | None:
        return self.drivers[0]

    @property
    def other(self) -> str | None:
        return "another" if len(self.drivers) > 1 else None

    def begin(self, seed: int) -> None:
        self.begun.append(seed)
        self.rewards: list[float] = []

    def step(self) -> None:
        self.rewards.append(1.0)

    def switch_world(self, seed: int) -> None:
        self.dreaming = not self.dreaming
        self.begin(seed)

    def switch_driver(self) -> None:
        self.drivers.reverse()

    @property
    def over(self) -> bool:
        return len(self.rewards) >= self.length


def new_game(place: FakePlace, episodes: int = 2, steps: int = 5) -> tuple[Game, list[int]]:
    kept: list[int] = []

    def keep(number: int) -> bool:
        kept.append(number)
        return True

    return Game(place, lambda number: 100 + number, keep, episodes, steps, first=3), kept


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
    person = Person()
    place = FakePlace(person=person)
    playing, _ = new_game(place)
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
    playing.press("n")
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


def test_what_does_not_count_is_not_among_the_episodes_asked_for() -> None:
    place, counts = FakePlace(), [False, False, True]
    playing = Game(place, lambda number: number, counts.__getitem__, episodes=1, steps=5)
    tick(playing, 3 * (5 + game.LINGER) - 1)
    assert playing.phase is Phase.OVER
    tick(playing, 1)
    assert playing.phase is Phase.ENDED
    assert playing.kept == 1


def test_a_switch_of_the_world_leaves_the_episode_and_drives_on_in_another(agent: Agent) -> None:
    place = FakePlace()
    playing, kept = new_game(place)
    playing.press("t")
    assert not place.dreaming  # there is no agent, so no dream
    place.agent = agent
    tick(playing, 2)
    playing.press("t")
    assert place.dreaming
    assert (place.begun, place.rewards, playing.phase) == ([103, 103], [], Phase.DRIVING)
    tick(playing, 5)
    playing.press("t")  # this one is over: it is kept
    assert kept == [3]
    assert place.begun[2:] == [104]


def test_a_switch_of_the_driver_goes_on_with_the_episode() -> None:
    person = Person()
    place = FakePlace(person=person)
    playing, _ = new_game(place, steps=50)
    playing.press("up")
    tick(playing, 2)
    playing.press("c")
    tick(playing, 2)
    assert len(place.rewards) == 4
    assert person.held == set()
    assert "A you drive" not in playing.help  # its name is not "person"
    playing.press("c")
    playing.press("up")
    tick(playing, 2)
    assert len(place.rewards) == 6
    assert person.held == {"up"}
    playing.press("r")
    playing.press("c")  # before the person drives: the agent begins at once
    tick(playing, 1)
    assert len(place.rewards) == 1


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


@pytest.fixture
def dreamer(agent: Agent, tmp_path: Path) -> Path:
    """An agent's folder, whose M is sure that it goes on."""
    agent.memory.scalar_head.bias.data[1] = -50.0
    agent.save(tmp_path / "dreamer")
    return tmp_path / "dreamer"


def drive(place: Place, steps: int) -> None:
    for _ in range(steps):
        place.step()


def test_a_person_drives_in_a_dream(dreamer: Path) -> None:
    place = make_place(DriverConfig("person"), dreamer, TrackConfig())
    place.begin(7)
    assert place.person
    place.person.held = {"right"}
    drive(place, 5)
    assert len(place.rewards) == 5
    assert place.action[0] > 0.1
    assert place.picture(560).get_size() == (700, 560)
    assert not place.over


def test_a_dream_goes_on_from_the_moment_where_the_track_was_left(dreamer: Path) -> None:
    place = make_place(DriverConfig(str(dreamer)), None, TrackConfig())
    place.begin(7)
    drive(place, 9)
    assert place.agent
    assert place.observer
    assert isinstance(place.driver, AgentDriver)
    now = place.observer.now
    assert torch.equal(now.z, place.agent.perceive(place.tape.frames[-1][None], now.state)[0])
    assert torch.equal(now.state, place.driver.state)
    place.switch_world(7)
    for part, left in zip(place.observer.now, now, strict=True):
        assert torch.equal(part, left)
    assert np.array_equal(place.tape.frames[0], place.observer.view().reconstruction)
    drive(place, 3)
    place.switch_world(7)
    assert np.array_equal(place.tape.frames[0], FastCarRacing(size=place.config.size).reset(seed=7)[0])


def test_only_what_the_command_named_is_at_home(dreamer: Path) -> None:
    place = make_place(DriverConfig("person"), dreamer, TrackConfig())
    place.begin(7)
    assert place.at_home
    place.switch_driver()
    assert (place.who, place.at_home) == (str(dreamer), False)  # two have driven this episode
    place.begin(7)
    assert not place.at_home
    place.switch_driver()
    place.begin(7)
    assert place.at_home
    place.switch_world(7)
    assert not place.at_home
    place.switch_world(7)
    assert not place.at_home  # a dream that goes on from the track is not one of the agent's own
    place.begin(8)
    assert place.at_home


def test_an_episode_tells_why_it_ended() -> None:
    place = make_place(DriverConfig("autopilot"), None, TrackConfig())
    place.begin(7)
    drive(place, 1)
    assert place.ending == "time is over"
    place.track.tile_visited_count = len(place.track.track)
    drive(place, 1)
    assert (place.over, place.ending) == (True, "lap finished")
    place.begin(7)
    assert place.track.car
    place.track.car.hull.position = (400.0, 0.0)
    drive(place, 1)
    assert (place.over, place.ending) == (True, "left the playfield")


def test_the_autopilot_leaves_dreams_to_others(dreamer: Path) -> None:
    with pytest.raises(ValueError, match="autopilot steers by the real track"):
        make_place(DriverConfig("autopilot"), dreamer, TrackConfig())
    place = make_place(DriverConfig("autopilot"), None, TrackConfig())
    place.begin(7)
    place.switch_world(7)
    assert (place.dreaming, place.who, place.other) == (True, "person", None)


def test_frames_that_the_included_agent_does_not_know_have_no_views() -> None:
    place = make_place(DriverConfig("person"), None, TrackConfig(size=32))
    place.begin(7)
    assert (place.agent, place.view(), place.other) == (None, None, None)


def test_the_track_is_shown_as_gymnasium_shows_it() -> None:
    track = FastCarRacing(render_mode="rgb_array")
    track.reset(seed=3)
    scene = Scene(track)
    for step in range(70):
        if step in (0, 30, 69):
            track.render()
            assert track.surf
            stock = pygame.surfarray.array3d(track.surf.subsurface((0, 0, 1000, 700))).astype(float)
            assert np.abs(pygame.surfarray.array3d(scene.draw(700)) - stock).mean() < 0.1
        track.step(np.array([0.1, 0.5, 0], np.float32))


def test_a_session_ends_with_a_summary() -> None:
    laps = [Outcome("person", "track", 800.0 + i, 1000 - i, "lap finished") for i in range(3)]
    table = summary([*laps, Outcome("champion", "dream", 12.0, 50, "the dream predicted the end")])
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows == [
        ("person", "track", "3", "801", "802", "3", "20.0 s"),
        ("champion", "dream", "1", "12", "12", "0", "–"),
    ]


def post(kind: int, key: str) -> None:
    pygame.event.post(pygame.event.Event(kind, key=pygame.key.key_code(key), scancode=0))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that nobody sees is taken for one that somebody does."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr("dreamlap.play.window.INVISIBLE", ())


LATIN, RUSSIAN = "prntcm", {"p": 0x437, "r": 0x43A, "n": 0x442, "t": 0x435, "c": 0x441, "m": 0x44C}


@pytest.mark.parametrize("letter", LATIN)
def test_commands_go_by_their_letter_or_else_by_its_place(letter: str) -> None:
    place = getattr(pygame, f"KSCAN_{letter.upper()}")
    assert key_named(ord(letter), place) == letter
    assert key_named(ord(letter), pygame.KSCAN_X) == letter  # another layout with Latin letters
    assert key_named(RUSSIAN[letter], place) == letter


@pytest.mark.parametrize(
    ("places", "name"),
    [("UP W KP8", "up"), ("LEFT A KP4", "left"), ("DOWN S KP2", "down"), ("RIGHT D KP6", "right")],
)
def test_keys_that_drive_go_by_their_place(places: str, name: str) -> None:
    for place in places.split():
        for printed in (ord("q"), 0x444, ord("r")):
            assert key_named(printed, getattr(pygame, f"KSCAN_{place}")) == name
    assert key_named(pygame.key.key_code(name), 0) == name


def test_other_keys_keep_their_names() -> None:
    for name in ("space", "backspace", "escape", "return", "x"):
        assert key_named(pygame.key.key_code(name), 0) == name


def test_a_gamepad_drives(seen: None) -> None:
    person = Person()
    playing, _ = new_game(FakePlace(person=person), steps=1000)
    window = Window("pad")

    def event(kind: int, **what: Any) -> None:
        pygame.event.post(pygame.event.Event(kind, instance_id=0, **what))
        window._listen(playing)

    pygame.event.clear()
    event(pygame.CONTROLLERAXISMOTION, axis=pygame.CONTROLLER_AXIS_LEFTX, value=2000)  # a stick at rest
    assert playing.phase is Phase.READY
    event(pygame.CONTROLLERAXISMOTION, axis=pygame.CONTROLLER_AXIS_TRIGGERRIGHT, value=16384)
    assert playing.phase is Phase.DRIVING
    event(pygame.CONTROLLERAXISMOTION, axis=pygame.CONTROLLER_AXIS_LEFTX, value=-32768)
    steer, gas, brake = [person.act(np.zeros((96, 96, 3), np.uint8)) for _ in range(40)][-1]
    assert steer == pytest.approx(-LOCK)
    assert 0 < gas < 0.5
    assert brake == 0
    event(pygame.CONTROLLERBUTTONDOWN, button=pygame.CONTROLLER_BUTTON_START)
    assert playing.phase is Phase.PAUSED
    event(pygame.CONTROLLERBUTTONDOWN, button=pygame.CONTROLLER_BUTTON_START)
    event(pygame.CONTROLLERAXISMOTION, axis=pygame.CONTROLLER_AXIS_TRIGGERRIGHT, value=0)
    event(pygame.CONTROLLERBUTTONDOWN, button=pygame.CONTROLLER_BUTTON_B)
    assert "down" in person.held
    event(pygame.CONTROLLERBUTTONUP, button=pygame.CONTROLLER_BUTTON_B)
    assert not person.held
    steer, gas, brake = [person.act(np.zeros((96, 96, 3), np.uint8)) for _ in range(40)][-1]
    assert gas == brake == 0
    window.close()


@pytest.mark.parametrize("driver", ["dummy", "offscreen"])
def test_a_person_is_told_that_nobody_sees_the_window(driver: str, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    with pytest.raises(Failed, match=f"nobody sees this window: SDL_VIDEODRIVER is {driver}"):
        play("person", None, None, TrackConfig(), episodes=1, steps=10, seed=0, random_start=0.0, fps=0)
    with pytest.raises(Failed, match="nobody sees this window"):
        Display()
    returns = play("autopilot", None, None, TrackConfig(), episodes=1, steps=10, seed=0, random_start=0.0, fps=0)
    assert len(returns) == 1


def test_switches_leave_recordings_whole(dreamer: Path, tmp_path: Path, seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of posted keys: whatever is switched, only what a person drove whole on the track is recorded."""
    monkeypatch.setattr(game, "LINGER", 1)
    script = {0: "up", 4: "t", 7: "c", 9: "t", 11: "c", 24: "up", 38: "up", 42: "c", 64: "c", 75: "up", 90: "escape"}
    frames, draw = [], Window.draw

    def draw_and_press(window: Window, playing: Game, place: Place, recording: bool = False) -> None:
        draw(window, playing, place, recording)
        if key := script.get(len(frames)):
            post(pygame.KEYDOWN, key)
        frames.append((place.at_home, window.screen.get_size()))
        if len(frames) == 30:
            pygame.display.set_mode((500, 700), pygame.RESIZABLE)

    monkeypatch.setattr(Window, "draw", draw_and_press)
    known = load_agent(dreamer).config.track
    store = EpisodeStore(tmp_path / "human")
    returns = play("person", None, store.folder, known, episodes=9, steps=10, seed=0, random_start=0.0, fps=0)
    assert {size for _, size in frames} == {(1050, 636), (500, 700)}
    assert {home for home, _ in frames} == {True, False}
    assert (len(store.names()), len(returns)) == (2, 6)
    for episode in store:
        assert (episode.about["driver"], len(episode)) == ("person", 10)
        _assert_in_step(episode.episode())


@pytest.mark.parametrize(("ended", "table"), [(0, "No episode was driven to its end."), (1, "This session")])
def test_an_episode_that_is_left_is_told(
    ended: int, table: str, seen: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(game, "LINGER", 1)
    draw = Window.draw

    def draw_and_leave(window: Window, playing: Game, place: Place, recording: bool = False) -> None:
        draw(window, playing, place, recording)
        if playing.kept == ended and len(place.rewards) == 4:
            post(pygame.KEYDOWN, "escape")

    monkeypatch.setattr(Window, "draw", draw_and_leave)
    returns = play("autopilot", None, None, TrackConfig(), episodes=3, steps=6, seed=0, random_start=0.0, fps=0)
    told = capsys.readouterr().out
    assert len(returns) == ended
    assert re.search(rf"episode {ended + 1}: return -?\d+\.\d in 4 steps, not finished", told)
    assert told.count(": return ") == ended + 1
    assert table in told


@pytest.mark.parametrize("size", [(1050, 636), (700, 500), (500, 700), (263, 160)])
def test_words_fit_a_window_of_any_size(
    size: tuple[int, int], dreamer: Path, seen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, drawn, longest = Window("small"), [], "reward +10.0   off road 100%   end 100%"
    pygame.display.set_mode(size, pygame.RESIZABLE)
    draw = Window._words

    def words(window: Window, size: float, text: str, color: str, room: float) -> pygame.Surface:
        drawn.append((text, (shown := draw(window, size, text, color, room)).get_width(), room * window.unit))
        return shown

    monkeypatch.setattr(Window, "_words", words)
    for dream in (None, dreamer):
        place = make_place(DriverConfig("person"), dream, TrackConfig())
        place.view = lambda: View(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8), longest)
        window.draw(Game(place, lambda number: 7, lambda number: True, 1, 1000), place)
    window.close()
    assert {longest, IN_DREAM[1], "Esc end"} <= {text for text, *_ in drawn}
    assert all(width <= room for _, width, room in drawn)


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


def test_showing_the_best_changes_nothing(tmp_path: Path, agent: Agent, seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
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


def _smallness(candidates: torch.Tensor, seeds: list[int]) -> Rollouts:
    return Rollouts(-candidates.square().sum(1, keepdim=True).double().numpy().repeat(len(seeds), 1), 0)


needs_x = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")),
    reason="real keys need Xvfb and xdotool (Debian: apt install xvfb xdotool)",
)


@pytest.fixture
def screen() -> Iterator[dict[str, str]]:
    """The environment of a virtual display."""
    # Without -noreset the server begins again whenever its last client leaves: a window that opens just then finds no display.
    command = ["Xvfb", "-noreset", "-displayfd", "1", "-screen", "0", "1024x768x24"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        number, source = server.stdout.readline().strip(), str(Path(dreamlap.__file__).parents[1])
        yield {**os.environ, "DISPLAY": f":{number}", "SDL_VIDEODRIVER": "x11", "PYTHONPATH": source}
        server.terminate()


@needs_x
def test_a_window_loads_no_compiler(screen: dict[str, str]):
    """Mesa's OpenGL brings LLVM; triton, where it is installed, brings another, and the two crash the interpreter."""
    code = (
        "import dreamlap, pygame\n"
        "pygame.display.init(); pygame.display.set_mode((64, 64)); pygame.display.flip()\n"
        "print(pygame.display.get_driver(), 'LLVM' in open('/proc/self/maps').read())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=screen, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "x11 False", done.stderr


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
        while "dreamlap: recording to human" not in front():
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.2)
        keys("keydown", "Up", "keydown", "Left")
        assert line(process.stdout).startswith("episode 1: return")
        keys("keyup", "Up", "keyup", "Left")
        keys("keydown", "Down", "sleep", "0.1", "keyup", "Down", "key", "n")  # a second one, discarded
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
    track = FastCarRacing(size=episode.frames.shape[1])
    frame, _ = track.reset(seed=episode.about["track"])
    assert np.array_equal(frame, episode.frames[0])
    for t, action in enumerate(episode.actions):
        frame, reward, _, _, _ = track.step(action)
        assert np.array_equal(frame, episode.frames[t + 1])
        assert np.float32(reward) == episode.rewards[t]
