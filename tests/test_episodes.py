"""Episodes: kept whole or not at all, read back exactly, and aligned with what M learns from."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamlap.agent import Agent
from dreamlap.drivers import DriverConfig
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.episodes.latents import encode_episodes, join, load_latents, save_latents, windows
from dreamlap.episodes.record import collect
from dreamlap.episodes.store import CHUNK, FrameSampler
from dreamlap.track import PEDAL, FastCarRacing, TrackConfig


def test_what_is_written_is_read(tmp_path: Path, episode: Episode):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    read = store.open("one").episode()
    for name in ("frames", "actions", "rewards", "speeds"):
        np.testing.assert_array_equal(getattr(read, name), getattr(episode, name))
    assert (read.terminated, read.truncated, read.about) == (True, False, {"driver": "test"})


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (CHUNK - 1, CHUNK + 1), (5, 37), (40, 41)])
def test_any_window_is_the_same_as_a_slice(tmp_path: Path, episode: Episode, start: int, stop: int):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    np.testing.assert_array_equal(store.open("one").frames(start, stop), episode.frames[start:stop])


def test_a_frame_costs_one_chunk(tmp_path: Path, episode: Episode, monkeypatch: pytest.MonkeyPatch):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    sampler = FrameSampler(list(store))
    decoded = []
    monkeypatch.setattr(type(sampler.episodes[0]), "chunk", lambda self, i: decoded.append(i) or episode.frames[i * CHUNK :])
    assert sampler[np.array([17, 18, 17])][:, 0, 0, 0].tolist() == [17, 18, 17]
    assert decoded == [1]


def test_a_sampler_that_is_gone_keeps_no_frames(tmp_path: Path, episode: Episode):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    sampler = FrameSampler(list(store))
    sampler[np.zeros(1, np.int64)]
    gone = weakref.ref(sampler)
    gc.disable()  # nothing but the last reference may free it
    try:
        del sampler
        assert gone() is None
    finally:
        gc.enable()


def test_a_broken_file_is_named_and_the_others_survive(tmp_path: Path, episode: Episode):
    store = EpisodeStore(tmp_path)
    store.write("good", episode)
    store.write("torn", episode)
    torn = tmp_path / "torn.episode"
    torn.write_bytes(torn.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"torn\.episode is not a whole episode"):
        store.open("torn")
    assert len(store.open("good")) == 40
    with pytest.raises(FileNotFoundError, match="data info"):
        store.open("absent")


def test_a_failed_write_leaves_nothing(tmp_path: Path, episode: Episode, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dreamlap.episodes.store.save_file", full)
    with pytest.raises(OSError, match=r"No space left on device: .*one\.episode"):
        EpisodeStore(tmp_path).write("one", episode)
    assert list(tmp_path.iterdir()) == []


def test_windows_are_aligned(tmp_path: Path, episode: Episode, agent: Agent):
    """Row t: the latent of frame t, the action done there, the reward it earned, and the latent of frame t + 1 next."""
    store = EpisodeStore(tmp_path)
    store.write("a", episode)
    store.write("b", episode)
    latents = encode_episodes(agent.vision, store, PEDAL, bar=True)
    assert latents.steps == 80
    assert latents.start.tolist() == [0, 41]
    cut = windows(latents, torch.tensor([1, 1]), torch.tensor([3, 35]), 10)
    torch.testing.assert_close(cut.reward[0], torch.arange(3.0, 13.0))
    torch.testing.assert_close(cut.action[0, :, 0], torch.arange(3.0, 13.0) / 100)
    seen = agent.vision.encode(torch.from_numpy(episode.frames)).mu
    torch.testing.assert_close(cut.mu[0], seen[3:14], rtol=1e-3, atol=1e-4)
    assert cut.mask[0].tolist() == [1] * 10
    assert cut.mask[1].tolist() == [1] * 5 + [0] * 5
    assert cut.end[1].tolist() == [0] * 4 + [1] + [0] * 5
    save_latents(tmp_path / "kept.safetensors", latents)
    kept = load_latents(tmp_path / "kept.safetensors", torch.device("cpu"))
    torch.testing.assert_close(join([kept, latents]).mu[:82], latents.mu)


def test_collecting_is_the_same_with_any_workers_and_replays_on_the_track(tmp_path: Path):
    driver, track = DriverConfig("autopilot", noise=(0.3, 0.3)), TrackConfig()
    for workers in (1, 2):
        collect(EpisodeStore(tmp_path / str(workers)), "auto", 3, driver, track, seed=5, steps=40, workers=workers)
    one, two = EpisodeStore(tmp_path / "1"), EpisodeStore(tmp_path / "2")
    assert one.names() == two.names() == ["auto-00000", "auto-00001", "auto-00002"]
    for name in one.names():
        first, second = one.open(name).episode(), two.open(name).episode()
        np.testing.assert_array_equal(first.frames, second.frames)
        np.testing.assert_array_equal(first.actions, second.actions)
    recorded = one.open("auto-00001").episode()
    env = FastCarRacing(size=64)
    frame, _ = env.reset(seed=recorded.about["track"])
    np.testing.assert_array_equal(frame, recorded.frames[0])
    for t, action in enumerate(recorded.actions):
        frame, reward, *_ = env.step(action)
        np.testing.assert_array_equal(frame, recorded.frames[t + 1])
        assert reward == pytest.approx(recorded.rewards[t])
    env.close()
