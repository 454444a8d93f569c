"""Episodes: kept whole or not at all, read back exactly, and aligned with what M learns from."""

import gc
import math
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zstandard
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import load_file, save

from dreamlap.agent import Agent
from dreamlap.drivers import DriverConfig
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.episodes.latents import encode_episodes, join, keep_latents, load_latents, save_latents, windows
from dreamlap.episodes.record import collect
from dreamlap.episodes.sampler import FrameSampler
from dreamlap.episodes.store import CHUNK, SMALL
from dreamlap.errors import Refused
from dreamlap.track import PEDAL, FastCarRacing, TrackConfig
from dreamlap.weights import checksum


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


@pytest.mark.parametrize("memory", [2**30, CHUNK * 32 * 32 * 3 * 6])
def test_any_frame_is_as_likely_as_any_other_and_is_seldom_decoded(tmp_path: Path, memory: int):
    store, decoded = EpisodeStore(tmp_path), Counter[tuple[int, int]]()
    chance = np.random.default_rng(0)
    lengths = (70, 5, 33, 120, 16)
    for number, steps in enumerate(lengths):
        frames = chance.integers(255, size=(steps + 1, 32, 32, 3), dtype=np.uint8)
        nothing = np.zeros(steps, np.float32)
        store.write(f"e{number}", Episode(frames, np.zeros((steps, 3), np.float32), nothing, np.zeros(steps + 1), True, False))
    episodes = list(store)
    for number, one in enumerate(episodes):
        whole = one.chunk
        one.chunk = lambda index, number=number, whole=whole: decoded.update([(number, index)]) or whole(index)
    sampler, batches, size = FrameSampler(episodes, memory), 1500, 24
    drawn = np.concatenate([sampler.batch(7, i, size) for i in range(batches)])
    counts = np.bincount(drawn, minlength=len(sampler))
    assert len(counts) == len(sampler) == sum(lengths) + len(lengths)
    expected = batches * size / len(sampler)
    grouped = [part.mean() for part in np.split(counts, sampler.starts[1:-1])]
    assert grouped == pytest.approx([expected] * 5, rel=0.15)  # short episodes and last chunks as much as others
    assert counts.min() > expected / 2
    assert np.array_equal(sampler.batch(7, 3, size), FrameSampler(list(store), memory).batch(7, 3, size))
    assert not np.array_equal(sampler.batch(7, 3, size), sampler.batch(8, 3, size))
    for i in range(300):
        sampler[sampler.batch(7, i, size)]
    few = sum(-(-(steps + 1) // CHUNK) for steps in lengths) if memory == 2**30 else 300 * 2.2 + 6
    assert sum(decoded.values()) <= few  # of two chunks that come in with a batch, each once


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

    monkeypatch.setattr(Path, "write_bytes", full)
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
    kept = load_latents([tmp_path / "kept.safetensors"], torch.device("cpu"))
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


def flipped(path: Path, where: float) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def read_or_refused(store: EpisodeStore, name: str) -> str:
    """What a file holds; `refused` if it was, by its name."""
    try:
        return store.open(name).episode().identity
    except Refused as refused:
        return "refused" if f"{name}.episode is not a whole episode" in str(refused) else str(refused)


@given(where=st.floats(0, 1))
@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_one_changed_bit_is_noticed(tmp_path: Path, episode: Episode, where: float):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    whole = (tmp_path / "one.episode").read_bytes()
    flipped(tmp_path / "one.episode", where)
    assert read_or_refused(store, "one") in (episode.identity, "refused")
    (tmp_path / "one.episode").write_bytes(whole)


def rewritten(path: Path, told: dict[str, str] | None = None, **changes: np.ndarray) -> None:
    """A file of an older version, which had no checksums, with other arrays, or told otherwise."""
    with safe_open(str(path), framework="numpy") as file:
        names = list(file.keys())
        arrays = {name: file.get_tensor(name) for name in names}
        about = file.metadata()["about"]
    save_file(arrays | changes, str(path), {"about": about} | (told or {}))


def test_episodes_of_an_older_version_are_read(tmp_path: Path, episode: Episode):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    rewritten(tmp_path / "one.episode")
    assert store.open("one").identity == episode.identity


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": np.array([41, 2**20, 2**20, 3])}, "frames are of shape"),
        ({"shape": np.array([41, -64, 64, 3])}, "frames are of shape"),
        ({"shape": np.array([10**9, 64, 64, 3])}, "claims 1,000,000,000 frames"),
        ({"shape": np.array([41, 64, 64])}, r"shape are of shape \(3,\)"),
        ({"offsets": np.array([0, 10**12, 2 * 10**12, 3 * 10**12])}, "do not fill its frames"),
        ({"offsets": np.array([0, 9, 5, 20])}, "do not fill its frames"),
        ({"offsets": np.array([0, 9])}, r"offsets are of shape \(2,\) int64, not \(4,\)"),
        ({"actions": np.zeros((39, 3), np.float32)}, "actions are of shape"),
        ({"rewards": np.zeros(41, np.float32)}, "rewards are of shape"),
        ({"actions": np.full((40, 3), np.nan, np.float32)}, "the action of step 0 is no number"),
        ({"actions": np.full((40, 3), 77, np.float32)}, "outside the track's range.*: 77, 77, 77"),
        ({"actions": np.zeros((40, 3), np.int64)}, r"actions are of shape \(40, 3\) int64, not \(40, 3\) float32"),
        ({"actions": np.zeros((40, 3), bool)}, "actions are of shape .* bool"),
        ({"rewards": np.full(40, np.inf, np.float32)}, "the reward of step 0 is no number"),
        ({"rewards": np.where(np.arange(40) == 3, np.float32(np.nan), np.float32(1))}, "the reward of step 3 is no number"),
        ({"speeds": np.full(41, -np.inf, np.float32)}, "the speed of step 0 is no number"),
        ({"shape": np.array([41.0, 64, 64, 3])}, "shape are of shape .* float64"),
        ({"offsets": np.array([0, 9, 5, 20], np.uint64)}, "offsets are of shape .* uint64"),
        ({"frames": np.zeros(20, np.int16), "offsets": np.array([0, 5, 9, 20])}, "do not fill its frames"),
    ],
)
def test_what_is_read_is_checked_as_what_is_written(tmp_path: Path, episode: Episode, changes: dict, message: str):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    rewritten(tmp_path / "one.episode", **changes)
    with pytest.raises(Refused, match=rf"one\.episode is not a whole episode \(.*{message}.*\): delete it, or copy it again"):
        store.open("one")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("[" * 100_000, "recursion"),
        ('[["terminated", true], ["truncated", false]]', "does not say how it ended"),
        ('{"terminated": true}', "does not say how it ended"),
        ('{"terminated": "no", "truncated": true}', "terminated = 'no', which is no bool"),
        ('{"terminated": false, "truncated": true, "made": [1]}', r"made = \[1\], which is no dict"),
        ('{"terminated": false, "truncated": true, "made": {"track": [1]}}', r"on the track \[1\]"),
        ('{"terminated": false, "truncated": true, "track": 1.5}', "track = 1.5, which is no int"),
        ('{"terminated": false, "truncated": true, "driver": null}', "driver = None, which is no str"),
    ],
)
def test_what_a_file_says_about_itself_is_checked(tmp_path: Path, episode: Episode, about: str, message: str):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    rewritten(tmp_path / "one.episode", {"about": about})
    with pytest.raises(Refused, match=rf"one\.episode is not a whole episode \(.*{message}"):
        store.open("one")


def test_what_an_episode_says_about_itself_is_checked_before_it_is_kept(tmp_path: Path, episode: Episode):
    with pytest.raises(Refused, match=r"one: it says made = \[1\], which is no dict"):
        EpisodeStore(tmp_path).write("one", replace(episode, about={"made": [1]}))
    assert list(tmp_path.iterdir()) == []


def test_an_identity_without_a_checksum_is_not_believed(tmp_path: Path, episode: Episode):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    rewritten(tmp_path / "one.episode", {"identity": episode.identity}, actions=episode.actions * 0)
    assert store.open("one").identity == replace(episode, actions=episode.actions * 0).identity != episode.identity


def test_an_identity_that_has_changed_is_refused(tmp_path: Path, episode: Episode):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    path, other = tmp_path / "one.episode", "0" * len(episode.identity)
    path.write_bytes(path.read_bytes().replace(episode.identity.encode(), other.encode()))
    with pytest.raises(Refused, match="its checksum differs"):
        store.open("one")


def test_the_checksum_of_an_older_version_which_left_the_identity_out_is_read(tmp_path: Path, episode: Episode):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    with safe_open(str(tmp_path / "one.episode"), framework="numpy") as file:
        guarded = [(name, file.get_tensor(name)) for name in SMALL]
        about = file.metadata()["about"]
    told = {"identity": episode.identity, "checksum": checksum(guarded, about)}
    rewritten(tmp_path / "one.episode", told)
    assert store.open("one").identity == episode.identity
    rewritten(tmp_path / "one.episode", told, rewards=episode.rewards + 1)
    with pytest.raises(Refused, match="its checksum differs"):
        store.open("one")


def test_an_episode_is_checked_as_the_numbers_that_its_file_has(tmp_path: Path, episode: Episode):
    store = EpisodeStore(tmp_path)
    with np.errstate(over="ignore"), pytest.raises(Refused, match="one: the reward of step 0 is no number"):
        store.write("one", replace(episode, rewards=np.full(40, 1e39)))
    store.write("one", replace(episode, rewards=episode.rewards.astype(float)))
    assert store.open("one").identity == store.open("one").episode().identity == episode.identity


def test_a_chunk_that_claims_more_than_its_frames_is_refused(tmp_path: Path, episode: Episode):
    store = EpisodeStore(tmp_path)
    for bomb in (
        zstandard.compress(bytes(2**26)),
        bytes.fromhex("28b52ffd") + b"\xe0" + (2**40).to_bytes(8, "little") + b"\1\0\0",
    ):
        store.write("one", episode)
        frames, offsets = np.frombuffer(bomb * 3, np.uint8), np.arange(4) * len(bomb)
        rewritten(tmp_path / "one.episode", frames=frames, offsets=offsets)
        with pytest.raises(Refused, match=r"one\.episode .*chunk 0 claims [\d,]+ bytes, and its frames have 196,608"):
            store.open("one").frames()
        (tmp_path / "one.episode").unlink()


@pytest.mark.parametrize(
    ("name", "value"),
    [("rewards", math.nan), ("rewards", math.inf), ("actions", math.nan), ("actions", -math.inf), ("actions", 77.0)],
)
def test_what_is_no_number_is_not_kept(tmp_path: Path, episode: Episode, name: str, value: float):
    broken = getattr(episode, name).copy()
    broken[7] = value
    with pytest.raises(Refused, match=f"one: the {name[:-1]} of step 7 is no number"):  # or outside the track's range
        EpisodeStore(tmp_path).write("one", replace(episode, **{name: broken}))
    EpisodeStore(tmp_path).write("one", replace(episode, rewards=np.full(40, np.nan, np.float32)))  # nobody recorded any
    assert not EpisodeStore(tmp_path).open("one").knows("rewards")


def test_an_episode_of_no_steps_is_not_kept(tmp_path: Path, episode: Episode):
    nothing = replace(episode, frames=episode.frames[:1], actions=episode.actions[:0], rewards=episode.rewards[:0])
    with pytest.raises(Refused, match="one step or more"):
        EpisodeStore(tmp_path).write("one", nothing)


def test_nothing_complete_is_replaced(tmp_path: Path, episode: Episode):
    store = EpisodeStore(tmp_path)
    store.write("one", episode)
    store.write("one", replace(episode, about={"told": "otherwise"}))  # the same one again
    with pytest.raises(Refused, match=r"one\.episode is there already and is another episode"):
        store.write("one", replace(episode, rewards=episode.rewards + 1))
    assert store.open("one").about["driver"] == "test"
    (tmp_path / "one.episode").write_bytes(b"torn")
    store.write("one", replace(episode, rewards=episode.rewards + 1))  # a broken one may be
    assert store.open("one").array("rewards")[0] == 1


def drive(folder: Path, episodes: int = 2, steps: int = 40, **how: Any) -> list[str]:
    driver, track = DriverConfig(how.pop("kind", "correlated")), TrackConfig(size=how.pop("size", 64))
    return collect(EpisodeStore(folder), "c", episodes, driver, track, seed=0, steps=steps, workers=1, **how)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.episode")}


@pytest.mark.parametrize(
    "other", [{"steps": 50}, {"size": 48}, {"random_start": 1.0}, {"reverse": 1.0}, {"kind": "random"}, {"patience": 9}]
)
def test_other_settings_stand_beside_and_say_so(tmp_path: Path, other: dict, capsys: pytest.CaptureFixture[str]):
    assert drive(tmp_path) == ["c-00000", "c-00001"]
    before = contents(tmp_path)
    names = drive(tmp_path, **other)
    said = " ".join(capsys.readouterr().err.split())
    assert "episodes of that name already, made with other settings" in said
    assert len(set(names) | {"c-00000", "c-00001"}) == 4
    assert {name: content for name, content in contents(tmp_path).items() if name in before} == before
    again = contents(tmp_path)
    assert drive(tmp_path, **other) == names
    assert contents(tmp_path) == again
    assert "nothing is driven" in capsys.readouterr().err


def test_an_episode_that_earns_nothing_for_long_is_over(tmp_path: Path):
    drive(tmp_path / "long", episodes=6, steps=120)
    drive(tmp_path / "short", episodes=6, steps=120, patience=30)
    both = [
        {file.about["track"]: file.array("rewards") for file in EpisodeStore(tmp_path / name)} for name in ("long", "short")
    ]
    lengths = set()
    for track, long in both[0].items():
        idle = [not (long[max(0, t - 29) : t + 1] > 0).any() and t >= 29 for t in range(len(long))]
        end = idle.index(True) + 1 if any(idle) else len(long)
        assert np.array_equal(both[1][track], long[:end])
        lengths.add(end)
    assert min(lengths) < 120  # a random walk leaves the road
    assert not any(file.terminated for file in EpisodeStore(tmp_path / "short") if len(file) < 120)


def test_more_episodes_are_driven_beside_those_that_are_there(tmp_path: Path):
    drive(tmp_path / "some")
    before = contents(tmp_path / "some")
    drive(tmp_path / "some", episodes=3)
    drive(tmp_path / "all", episodes=3)
    assert {name: content for name, content in contents(tmp_path / "some").items() if name in before} == before
    identities = [[file.identity for file in EpisodeStore(tmp_path / name)] for name in ("some", "all")]
    assert identities[0] == identities[1]


def test_drivers_of_one_name_are_told_apart(tmp_path: Path, agent: Agent, capsys: pytest.CaptureFixture[str]):
    for name, shift in (("a", 0.0), ("b", 0.5)):
        torch.nn.init.constant_(next(agent.controller.parameters()), shift)
        agent.save(tmp_path / name / "agent")
        drive(tmp_path / "d", kind=str(tmp_path / name / "agent"))
    drivers = Counter(file.about["driver"] for file in EpisodeStore(tmp_path / "d"))
    assert drivers == {str(tmp_path / "a/agent"): 2, str(tmp_path / "b/agent"): 2}
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    capsys.readouterr()
    drive(tmp_path / "d", kind=str(tmp_path / "elsewhere/agent"))  # the same driver at another place
    assert "nothing is driven" in capsys.readouterr().err


def test_episodes_that_do_not_say_what_made_them_are_taken_at_their_word(tmp_path: Path):
    drive(tmp_path)
    store = EpisodeStore(tmp_path)
    for name in store.names():
        old = store.open(name).episode()
        (tmp_path / f"{name}.episode").unlink()
        store.write(name, replace(old, about={key: value for key, value in old.about.items() if key != "made"}))
    before = contents(tmp_path)
    assert drive(tmp_path) == ["c-00000", "c-00001"]
    assert contents(tmp_path) == before


def test_encoding_that_was_interrupted_goes_on_after_the_last_lot(
    tmp_path: Path, episode: Episode, agent: Agent, monkeypatch: pytest.MonkeyPatch
):
    store, looked = EpisodeStore(tmp_path / "episodes"), []
    for i in range(5):
        store.write(f"e{i}", replace(episode, rewards=episode.rewards + i))
    monkeypatch.setattr("dreamlap.episodes.latents.LOT", 2)

    def keep(until: int = 5) -> tuple[list[str], str]:
        def counted(looks: Iterable[None]) -> Iterator[None]:
            for look in looks:
                if len(looked) == until:
                    raise KeyboardInterrupt
                looked.append(look)
                yield look

        looked.clear()
        look = partial(encode_episodes, agent.vision, form=PEDAL, bar=True, counted=counted)
        return keep_latents(tmp_path, list(store), look, counted)

    with pytest.raises(KeyboardInterrupt):
        keep(3)
    before = (tmp_path / "latents.safetensors").stat().st_mtime_ns
    assert not (tmp_path / "latents-1.safetensors").exists()
    names, fingerprint = keep()
    assert len(looked) == 5  # all are counted, and the first two were not looked at again
    assert (tmp_path / "latents.safetensors").stat().st_mtime_ns == before
    assert names == ["latents.safetensors", "latents-1.safetensors", "latents-2.safetensors"]
    kept = load_latents([tmp_path / name for name in names], torch.device("cpu"))
    at_once = encode_episodes(agent.vision, store, PEDAL, bar=True)
    for column in fields(kept):
        torch.testing.assert_close(getattr(kept, column.name), getattr(at_once, column.name), msg=column.name)
    flipped(tmp_path / "latents-1.safetensors", 0.9)
    assert keep() == (names, fingerprint)  # what was broken is made again, to the bit
    assert (tmp_path / "latents.safetensors").stat().st_mtime_ns == before


def test_latents_have_a_checksum(tmp_path: Path, episode: Episode, agent: Agent):
    EpisodeStore(tmp_path).write("one", episode)
    latents = encode_episodes(agent.vision, EpisodeStore(tmp_path), PEDAL, bar=True)
    save_latents(tmp_path / "l.safetensors", latents)
    flipped(tmp_path / "l.safetensors", 0.9)
    with pytest.raises(Refused, match=r"l\.safetensors .*delete it and run the same command again"):
        load_latents([tmp_path / "l.safetensors"], torch.device("cpu"))
    latents.mu[3] = math.nan
    with pytest.raises(Refused, match="mu holds NaN"):
        save_latents(tmp_path / "m.safetensors", latents)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"mu": t["mu"].bfloat16()}, r"mu is torch\.bfloat16, not torch\.float32"),
        (lambda t: {"length": t["length"].float()}, r"length is torch\.float32, not torch\.int64"),
        (lambda t: {"reward": t["reward"][:, None]}, r"reward is of shape \(41, 1\)"),
        (lambda t: {"mu": t["mu"][:, :3]}, r"41 rows of 3 latents, and holds .*log_sigma \(41, 4\)"),
        (lambda t: {"length": t["length"] * 3}, r"121 rows of 4 latents, and holds .*mu \(41, 4\)"),
        (lambda t: {"more": t["mu"].clone()}, "it holds more"),
    ],
)
def test_latents_of_another_type_or_shape_are_refused(
    tmp_path: Path, episode: Episode, agent: Agent, change: Callable, message: str
):
    EpisodeStore(tmp_path).write("one", episode)
    file = tmp_path / "l.safetensors"
    save_latents(file, encode_episodes(agent.vision, EpisodeStore(tmp_path), PEDAL, bar=True))
    tensors = load_file(str(file))
    changed = {name: part.contiguous() for name, part in (tensors | change(tensors)).items()}
    summed = {"checksum": "x"} if changed["mu"].dtype is torch.bfloat16 else None  # numpy, which sums, has no such type
    file.write_bytes(save(changed, summed))
    with pytest.raises(
        Refused, match=rf"l\.safetensors cannot be read \(.*{message}.*delete it and run the same command again"
    ):
        load_latents([file], torch.device("cpu"))


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"steps": -5}, {"random_start": 7.0}, {"reverse": math.nan}])
def test_python_callers_are_checked_as_the_command_line_is(tmp_path: Path, wrong: dict):
    with pytest.raises(Refused, match=f"--{next(iter(wrong)).replace('_', '-')} .* is out of bounds"):
        drive(tmp_path / "d", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_many_episodes_need_few_files(tmp_path: Path, episode: Episode, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dreamlap.episodes.store._opened", lru_cache(8)(lambda path, _: safe_open(path, framework="numpy")))
    store = EpisodeStore(tmp_path)
    for i in range(40):
        store.write(f"x-{i:02d}", replace(episode, rewards=episode.rewards + i))
    maps = Path("/proc/self/maps")
    before = maps.read_text().count(str(tmp_path)) if maps.exists() else 0
    held = list(store)
    for i, file in enumerate(held):
        np.testing.assert_array_equal(file.array("rewards"), episode.rewards + i)
        np.testing.assert_array_equal(file.frames(3, 5), episode.frames[3:5])
    if maps.exists():
        assert maps.read_text().count(str(tmp_path)) - before <= 8
    (tmp_path / "x-00.episode").unlink()
    store.write("x-00", replace(episode, rewards=episode.rewards - 1))
    (tmp_path / "x-01.episode").unlink()
    for file in held[:2]:
        with pytest.raises(Refused, match=r"\.episode has changed or is gone"):
            file.frames()
