"""Exchange: what others recorded comes in aligned or is refused by name, what we hand on comes back the same."""

import errno
import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from dreamlap.agent import Agent
from dreamlap.cli import main
from dreamlap.config.run import Config
from dreamlap.control import ControllerConfig
from dreamlap.device import choose_autocast
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.episodes.latents import encode_episodes, windows
from dreamlap.errors import Refused
from dreamlap.exchange import Format, Recording, episode_of, export_episodes, import_episodes
from dreamlap.exchange.array_file import load
from dreamlap.exchange.png import _text, in_order
from dreamlap.exchange.text import ACTION, numbers
from dreamlap.learn.memory import MemoryTraining, fit_memory, memory_losses
from dreamlap.learn.ppo import PPOConfig
from dreamlap.learn.vision import VisionTraining, fit_vision
from dreamlap.measure.vision import probe_speed
from dreamlap.pipeline import collect_round
from dreamlap.plan import Run, check_data
from dreamlap.run import Stage
from dreamlap.track import PEDAL, TrackConfig, to_frame

FULL = choose_autocast("float32", torch.device("cpu"))
STEPS = 6


def drive(seed: int = 0, steps: int = STEPS, side: int = 32, terminated: bool = False) -> Episode:
    """An episode of noise, so that nothing that is lost comes back by chance."""
    chance = np.random.default_rng(seed)
    frames = chance.integers(0, 256, (steps + 1, side, side, 3), np.uint8)
    actions = chance.uniform([-1, 0, 0], 1, (steps, 3)).astype(np.float32)
    rewards = chance.normal(size=steps).astype(np.float32)
    speeds = np.arange(steps + 1, dtype=np.float32)
    return Episode(frames, actions, rewards, speeds, terminated, not terminated, {"driver": "test", "track": seed})


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    """Two episodes of different lengths and ends."""
    store = EpisodeStore(tmp_path / "ours")
    store.write("a", drive(0))
    store.write("b", drive(1, steps=4, terminated=True))
    return store


def silent(episode: Episode) -> Episode:
    """The same episode with its rewards forgotten."""
    unknown = np.full(len(episode), np.nan, np.float32)
    return Episode(episode.frames, episode.actions, unknown, np.full(len(episode) + 1, np.nan, np.float32), False, True)


def write_png(folder: Path, count: int, lines: str, side: int = 32, name: str = "frame_{}.png") -> Path:
    """A folder of `count` PNG files, frame t being of grey level t, and its actions."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(count):
        Image.new("RGB", (side, side), (t, t, t)).save(folder / name.format(t))
    (folder / "actions.txt").write_text(lines)
    return folder


def write_npy(folder: Path, **arrays: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"car_racing_recorded_{name}.npy", array)
    return folder


def numbered(steps: int, frames: int, side: int = 32) -> dict[str, np.ndarray]:
    """Arrays in which everything of row t is t."""
    t = np.arange(steps, dtype=np.float32)
    return {
        "frames": np.arange(frames, dtype=np.uint8)[:, None, None, None] * np.ones((1, side, side, 3), np.uint8),
        "actions": np.stack([t / 100] * 3, 1),
        "rewards": t,
    }


@pytest.mark.parametrize("kind", ["minari", "npy", "png"])
def test_what_is_handed_on_comes_back_the_same(store: EpisodeStore, tmp_path: Path, kind: Format):
    out, back = tmp_path / "carracing-v0", EpisodeStore(tmp_path / "back")
    assert export_episodes(store, out, kind) == 2
    assert import_episodes(out, back) == 2
    for ours, name in zip(store, back.names(), strict=True):
        first, second = ours.episode(), back.open(name).episode()
        for array in ("frames", "actions", "rewards"):
            np.testing.assert_array_equal(getattr(first, array), getattr(second, array), strict=True)
        if kind != "png":  # text says nothing of how an episode ended
            assert (first.terminated, first.truncated) == (second.terminated, second.truncated)
        assert second.about["source"] == kind
        assert second.about["file"].startswith(str(out))
        assert np.isnan(second.speeds).all()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with pytest.raises(ValueError, match="there already"):
        export_episodes(store, out, kind)


@pytest.mark.parametrize("kind", ["minari", "npy", "png"])
def test_what_has_no_rewards_comes_back_without(tmp_path: Path, kind: Format):
    store, back = EpisodeStore(tmp_path / "ours"), EpisodeStore(tmp_path / "back")
    store.write("a", silent(drive()))
    export_episodes(store, tmp_path / "carracing-v0", kind)
    import_episodes(tmp_path / "carracing-v0", back)
    assert not next(iter(back)).knows("rewards")
    assert "1 without rewards" in back.summary()


def test_minari_itself_reads_what_we_write(store: EpisodeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    minari = pytest.importorskip("minari")
    with pytest.raises(ValueError, match="such as carracing-v0"):
        export_episodes(store, tmp_path / "plain", "minari")
    assert not (tmp_path / "plain").exists()
    export_episodes(store, tmp_path / "carracing-v0", "minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    dataset = minari.load_dataset("carracing-v0")
    assert (dataset.total_episodes, dataset.total_steps) == (2, STEPS + 4)
    np.testing.assert_array_equal(dataset[1].observations, drive(1, steps=4).frames)
    assert dataset[1].terminations.tolist() == [False, False, False, True]


@given(arrays(np.float32, (3, 3), elements=st.floats(-1, 1, width=32)))
def test_text_keeps_every_bit_of_an_action(tmp_path_factory: pytest.TempPathFactory, actions: np.ndarray):
    path = tmp_path_factory.mktemp("text") / "actions.txt"
    path.write_text(_text(actions))
    np.testing.assert_array_equal(numbers(path, ACTION)[0].astype(np.float32), actions)


def test_lines_are_read_in_any_writing(tmp_path: Path):
    path = tmp_path / "actions.txt"
    path.write_text(
        "steer, gas, brake\n0.1 0.2 0.3\n0.1,0.2,0.3\n\n[0.1, 0.2, 0.3]\n[ 0.1  2e-1 .3 ]\n"
        "Step 5: (0.1; 0.2; 0.3)\narray([0.1, 0.2, 0.3], dtype=float32)\n"
    )
    actions, lines = numbers(path, ACTION)
    np.testing.assert_allclose(actions, [[0.1, 0.2, 0.3]] * 6)
    assert lines == [2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("frames", "align", "first_frame", "first_action", "steps"),
    [(5, "before", 0, 0, 4), (5, "after", 0, 1, 4), (6, "before", 0, 0, 5), (6, "after", 0, 0, 5)],
)
def test_frames_and_actions_are_aligned(frames: int, align, first_frame: int, first_action: int, steps: int):
    """Five actions: with five frames the step that lacks one is dropped, the last or the first; with six none."""
    given = numbered(5, frames)
    ends = np.arange(5) == 4
    recording = Recording("here", str, frames, given["frames"], given["actions"], given["rewards"], ends)
    episode = episode_of(recording, align=align)
    assert len(episode) == steps
    np.testing.assert_array_equal(episode.frames[:, 0, 0, 0], first_frame + np.arange(steps + 1))
    np.testing.assert_allclose(episode.actions[:, 0], (first_action + np.arange(steps)) / 100)
    np.testing.assert_array_equal(episode.rewards, first_action + np.arange(steps))
    kept = not (frames == 5 and align == "before")  # the end came with the step that was dropped
    assert (episode.terminated, episode.truncated) == (kept, not kept)


def test_folders_are_read_in_the_order_of_their_numbers(tmp_path: Path):
    for number in (2, 10):
        lines = "".join(f"{t / 100} 0 {number / 100}\n" for t in range(12))
        write_png(tmp_path / f"MDN-RNN/episode_{number}", 12, lines)
    store = EpisodeStore(tmp_path / "store")
    assert import_episodes(tmp_path / "MDN-RNN", store) == 2
    assert store.names() == ["MDN-RNN-00000", "MDN-RNN-00001"]
    first, second = (file.episode() for file in store)
    assert first.frames[:, 0, 0, 0].tolist() == list(range(12))  # frame_10 after frame_9
    np.testing.assert_allclose(first.actions[:, 0], np.arange(11) / 100)
    assert (first.actions[0, 2], second.actions[0, 2]) == (np.float32(0.02), np.float32(0.1))
    assert np.isnan(first.rewards).all()
    assert first.about["file"].endswith("episode_2")


def test_flat_arrays_are_cut_into_episodes(tmp_path: Path):
    flat = numbered(10, 10)
    folder, store = write_npy(tmp_path / "toy", **flat), EpisodeStore(tmp_path / "store")
    with pytest.raises(ValueError, match="--episode-length"):
        import_episodes(folder, store)
    assert import_episodes(folder, store, length=4) == 3
    assert [len(file) for file in store] == [3, 3, 1]
    assert store.open("toy-00001").episode().rewards.tolist() == [4, 5, 6]
    whole = write_npy(tmp_path / "whole", **numbered(5, 6))
    with pytest.raises(Refused, match="holds whole episodes, of 6 frames: --episode-length 2 is for those that lie end to end"):
        import_episodes(whole, EpisodeStore(tmp_path / "cut"), length=2)
    assert import_episodes(whole, EpisodeStore(tmp_path / "uncut"), length=500) == 1
    export_episodes(store, tmp_path / "pictures", "png")
    with pytest.raises(Refused, match="--episode-length 2 is for arrays in which episodes lie end to end"):
        import_episodes(tmp_path / "pictures", EpisodeStore(tmp_path / "drawn"), length=2)
    write_npy(folder, dones=np.isin(np.arange(10), [2, 9]))
    ended = EpisodeStore(tmp_path / "ended")
    assert import_episodes(folder, ended, align="after") == 2
    first, second = (file.episode() for file in ended)
    assert (first.rewards.tolist(), second.rewards.tolist()) == ([1, 2], [4, 5, 6, 7, 8, 9])
    assert second.frames[:, 0, 0, 0].tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert first.terminated
    assert second.terminated


@pytest.mark.parametrize("frames", [5, 6])
def test_arrays_may_have_an_axis_for_episodes(tmp_path: Path, frames: int):
    stacked = {name: np.stack([array] * 2) for name, array in numbered(5, frames).items()}
    store = EpisodeStore(tmp_path / "store")
    assert import_episodes(write_npy(tmp_path / "toy", **stacked), store) == 2
    assert [len(file) for file in store] == [frames - 1] * 2
    assert store.open("toy-00001").array("rewards").tolist() == list(range(frames - 1))


def test_frames_are_scaled_when_asked_and_never_else(tmp_path: Path):
    frames = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), np.uint8)
    actions = np.zeros((3, 3), np.float32)
    assert episode_of(Recording("here", str, 4, frames, actions)).frames.shape == (4, 96, 96, 3)
    scaled = episode_of(Recording("here", str, 4, frames, actions), resize=64)
    np.testing.assert_array_equal(scaled.frames[2], to_frame(frames[2], 64, bar=True))  # what an agent would be shown
    wide = np.zeros((4, 40, 60, 3), np.uint8)
    with pytest.raises(ValueError, match=r"60x40 pixels and not square: --resize"):
        episode_of(Recording("here", str, 4, wide, actions))
    assert episode_of(Recording("here", str, 4, wide, actions), resize=32).frames.shape == (4, 32, 32, 3)


def good() -> dict:
    return {"count": 4, **numbered(3, 4)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 4, "actions": np.zeros((5, 3)), "rewards": None}, "4 frames for 5 actions.*every step"),
        ({"actions": np.zeros((3, 2))}, "three numbers a step"),
        ({"actions": np.zeros(3, int)}, "continuous CarRacing"),
        ({"actions": np.array([[0, 0, 0], [0, 1.4, 0], [0, 0, 0]])}, r"line 1: the action 0, 1.4, 0 is outside.*Clip"),
        ({"actions": np.array([[0, 0, 0], [0, 0, 0], [np.nan, 0, 0]])}, "line 2.*outside"),
        ({"rewards": np.zeros(4)}, "rewards of shape"),
        ({"rewards": np.array([0, np.nan, 1])}, "line 1: this step has the reward nan"),
        ({"rewards": np.array([0, 0, 1e39])}, r"line 2: this step has the reward 1e\+39; give every step one"),
        ({"ends": np.array([False, True, False])}, "line 1: the episode ends here and goes on"),
        ({"cuts": np.array(["a", "b", "c"])}, "not a bool"),
        ({"frames": np.zeros((4, 32, 32, 3), np.float32)}, r"float32, and uint8.*astype"),
        ({"frames": np.zeros((4, 3, 32, 32), np.uint8)}, "transpose"),
        ({"frames": np.zeros((4, 32, 32), np.uint8)}, "height, width, 3"),
        ({"frames": [*np.zeros((3, 32, 32, 3), np.uint8), np.zeros((16, 16, 3), np.uint8)]}, "frame 3 is"),
        ({"frames": np.zeros((3, 32, 32, 3), np.uint8)}, "3 frames where 4 were announced"),
        ({"frames": np.zeros((4, 1, 5000, 3), np.uint8)}, "not square"),
        ({"count": 10**6, "actions": np.zeros((10**6, 3)), "rewards": None}, "too much for one episode.*--episode-length"),
        ({"count": 1, "actions": np.zeros((1, 3)), "rewards": None}, "make no step"),
    ],
)
def test_what_is_no_episode_is_refused_with_the_reason(changes: dict, message: str):
    assert len(episode_of(Recording("here", lambda i: f"line {i}", **good()))) == 3
    with pytest.raises(ValueError, match=message):
        episode_of(Recording("here", lambda i: f"line {i}", **(good() | changes)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0 0 0\n\n0 zero 0\n0 0 0\n", r"actions.txt, line 3: '0 zero 0' is not three numbers"),
        ("0 0 0\n0 0\n0 0 0\n", r"actions.txt, line 2: '0 0' is not three numbers"),
        ("head\n0 0 0\n0 0 0\n\n0 0 -2\n", r"actions.txt, line 5: the action 0, 0, -2 is outside"),
        ("0 0 0\n" * 9, "3 frames for 9 actions"),
    ],
)
def test_a_bad_folder_is_named_and_the_others_come_in(tmp_path: Path, lines: str, message: str):
    write_png(tmp_path / "set/episode_0", 3, lines)
    write_png(tmp_path / "set/episode_1", 3, "0 0 0\n" * 3)
    store = EpisodeStore(tmp_path / "store")
    with pytest.raises(ValueError, match=rf"1 of 2 episodes were refused, the other 1 .*\n.*{message}"):
        import_episodes(tmp_path / "set", store)
    assert os.listdir(store.folder) == ["set-00000.episode"]


def test_arrays_with_a_reward_that_float32_does_not_hold_are_named_and_the_others_come_in(tmp_path: Path):
    for name, reward in (("a", 1e39), ("b", 1), ("c", 2)):
        write_npy(tmp_path / "set" / name, **numbered(3, 4) | {"rewards": np.full(3, reward)})
    write_png(tmp_path / "set/d", 3, steers(2))
    (tmp_path / "set/d/rewards.txt").write_text("0\n1e39\n")
    store = EpisodeStore(tmp_path / "store")
    with pytest.raises(Refused, match=r"2 of 4 .*\n.*a/.*\.npy, row 0: .* reward 1e\+39; give .*\n.*line 2: .* reward 1e\+39"):
        import_episodes(tmp_path / "set", store)
    assert [file.array("rewards").tolist() for file in store] == [[1] * 3, [2] * 3]


def test_a_folder_without_actions_or_with_torn_or_grey_frames_is_refused(tmp_path: Path):
    folder = write_png(tmp_path / "episode", 3, "0 0 0\n" * 3)
    store = EpisodeStore(tmp_path / "store")
    whole = (folder / "frame_1.png").read_bytes()
    (folder / "frame_1.png").write_bytes(whole[:60])
    with pytest.raises(ValueError, match=r"frame_1\.png cannot be read as a frame"):
        import_episodes(folder, store)
    Image.new("L", (32, 32)).save(folder / "frame_1.png")
    with pytest.raises(ValueError, match="mode L, and colour"):
        import_episodes(folder, store)
    Image.new("RGB", (20_000, 1)).save(folder / "frame_1.png")
    with pytest.raises(ValueError, match="20000x1 pixels are no frame"):
        import_episodes(folder, store)
    (folder / "frame_1.png").write_bytes(b"GIF89a" + bytes(50))
    with pytest.raises(ValueError, match="cannot be read as a frame"):
        import_episodes(folder, store)
    (folder / "actions.txt").unlink()
    with pytest.raises(ValueError, match=r"no actions\.txt"):
        import_episodes(folder, store)
    with pytest.raises(ValueError, match="no episodes in"):
        import_episodes(write_npy(tmp_path / "nothing"), store)
    assert not store.folder.exists()


class Trap:
    """Unpickling it would say so."""

    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


def test_arrays_that_lie_are_refused(tmp_path: Path):
    def refused(message: str, **changes: np.ndarray) -> None:
        with pytest.raises(ValueError, match=message):
            import_episodes(write_npy(tmp_path / "toy", **(numbered(3, 4) | changes)), store)

    store = EpisodeStore(tmp_path / "store")
    refused(r"actions\.npy holds Python objects", actions=np.array([Trap()], object))
    refused("do not belong together", actions=np.zeros((7, 3)))
    refused(
        "differ in their first axis",
        frames=np.zeros((2, 4, 32, 32, 3), np.uint8),
        actions=np.zeros((1, 3, 3)),
        rewards=np.zeros((2, 3)),
    )
    refused("needed are frames", frames=np.zeros(5, np.uint8))
    folder = write_npy(tmp_path / "toy", **numbered(3, 4))
    with (folder / "car_racing_recorded_frames.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 64, 64, 3)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ValueError, match=r"frames\.npy cannot be read"):
        import_episodes(folder, store)
    with (folder / "car_racing_recorded_frames.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(ValueError, match="archive of arrays"):
        import_episodes(folder, store)
    write_npy(folder, **numbered(3, 4))
    (folder / "car_racing_recorded_actions.npy").unlink()
    with pytest.raises(ValueError, match=r"frames\.npy has no file of actions beside it"):
        import_episodes(folder, store)
    assert not store.folder.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"terminations": np.arange(4) == 3, "truncations": np.zeros((4, 1))}, r"cuts \(4, 1\).*all else \(N,\)"),
        ({"dones": np.array(["False"] * 4)}, "its dones are of type <U5: write 0 or 1"),
        ({"dones": np.zeros(4, [("a", int)])}, "its dones are of type"),
        ({"dones": np.zeros(4, "datetime64[s]")}, "its dones are of type"),
    ],
)
def test_flags_that_say_nothing_refuse_their_arrays_and_the_others_come_in(tmp_path: Path, flags: dict, message: str):
    write_npy(tmp_path / "set/a", **numbered(4, 4), **flags)
    write_npy(tmp_path / "set/b", **numbered(3, 4))
    store = EpisodeStore(tmp_path / "store")
    with pytest.raises(Refused, match=rf"1 of 2 .*\n.*a/.*frames\.npy: .*{message}"):
        import_episodes(tmp_path / "set", store)
    assert [len(file) for file in store] == [3]


def read_or_refused(path: Path) -> list[int] | str:
    """The array `a` of an archive; or `cannot be read`, if that is said of it by its name."""
    try:
        return load(path, "a").tolist()
    except Refused as refused:
        return str(refused).removeprefix(f"{path} ").partition(" (")[0]


@given(st.integers(0, 400), st.sampled_from([zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED]))
def test_an_archive_with_a_broken_byte_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, place: int, how: int):
    path = tmp_path_factory.mktemp("archive") / "x.npz"
    np.lib.format.write_array(array := io.BytesIO(), np.arange(50))
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("a.npy", array.getvalue())
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 0x55
    path.write_bytes(data)
    assert read_or_refused(path) in (list(range(50)), "cannot be read")


def test_a_dataset_that_reaches_out_of_its_file_is_refused(store: EpisodeStore, tmp_path: Path):
    folder, back = tmp_path / "carracing-v0", EpisodeStore(tmp_path / "back")
    export_episodes(store, folder, "minari")
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        del file["episode_0/observations"]
        file["episode_0/observations"] = h5py.ExternalLink("/etc/passwd", "/")
        del file["episode_1/observations"]
        file["episode_1"].create_dataset("observations", (10**6, 64, 64, 3), np.uint8, chunks=True)  # pyright: ignore
    with pytest.raises(ValueError, match=r"2 of 2 .*\n.*observations lies in another place.*\n.*more than 2 GB"):
        import_episodes(folder, back)
    metadata = folder / "data/metadata.json"
    kept = json.loads(metadata.read_text())
    metadata.write_text(json.dumps({k: v for k, v in kept.items() if k != "action_space"} | {"env_spec": "anything"}))
    with pytest.raises(ValueError, match="does not say its action_space"):
        import_episodes(folder, back)
    assert not back.folder.exists()


def jpeg(side: int, claimed: int | None = None) -> np.ndarray:
    """The bytes of a grey JPEG; `claimed`: the side that its header tells instead."""
    Image.new("RGB", (side, side)).save(file := io.BytesIO(), "JPEG")
    data = bytearray(file.getvalue())
    place = data.find(b"\xff\xc0") + 5
    data[place : place + 4] = (claimed or side).to_bytes(2, "big") * 2
    return np.frombuffer(data, np.uint8)


def test_a_dataset_that_lies_refuses_its_bad_episodes_and_the_others_come_in(tmp_path: Path):
    store, folder, back = EpisodeStore(tmp_path / "ours"), tmp_path / "carracing-v0", EpisodeStore(tmp_path / "back")
    pictures = {
        "bomb": [jpeg(32, 60_000)] * 5,
        "grows": [jpeg(32)] * 4 + [jpeg(32, 9_000)],
        "shrinks": [jpeg(32)] * 4 + [jpeg(1)],  # which NumPy would stretch to the size of the first
        "none": [],
        "text": [np.frombuffer(b"no picture", np.uint8)] * 5,
        "rewards": [jpeg(32)] * 5,
        "group": [jpeg(32)] * 5,
        "good": [jpeg(32)] * 5,
    }
    for number in range(len(pictures)):
        store.write(f"e{number}", drive(number, steps=4))
    export_episodes(store, folder, "minari")
    metadata = json.loads((folder / "data/metadata.json").read_text())
    (folder / "data/metadata.json").write_text(json.dumps(metadata | {"jpeg_encoding": True}))
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        for number, rows in enumerate(pictures.values()):
            del file[f"episode_{number}/observations"]
            kept = file.create_dataset(f"episode_{number}/observations", (len(rows),), h5py.vlen_dtype(np.uint8))
            for t, row in enumerate(rows):
                kept[t] = row
        del file["episode_5/rewards"], file["episode_6/rewards"]
        file["episode_5/rewards"] = np.full(4, 1e39)
        file.create_group("episode_6/rewards")
    reasons = [
        r"episode 0 cannot be read \(.*3600000000 pixels.*\): copy the dataset again",
        r"episode 1 cannot be read \(its 5 frames are of 2 sizes",
        r"episode 2 cannot be read \(its 5 frames are of 2 sizes",
        r"episode 3 cannot be read \(its 0 frames are of 0 sizes",
        r"episode 4 cannot be read \(cannot identify image file",
        r"episode 5, step 0: this step has the reward 1e\+39",
        r"episode 6 cannot be read \(AssertionError\(\)\): copy the dataset again",
    ]
    with pytest.raises(Refused, match="7 of 8 .*" + "".join(rf"\n.*{reason}.*" for reason in reasons)):
        import_episodes(folder, back)
    np.testing.assert_array_equal(next(iter(back)).array("actions"), drive(7, steps=4).actions)


def test_m_is_taught_rewards_only_where_there_are_some(agent: Agent, tmp_path: Path):
    store = EpisodeStore(tmp_path / "store")
    store.write("a", drive(0, side=64))
    store.write("b", silent(drive(1, side=64)))
    latents = encode_episodes(agent.vision, store, PEDAL, bar=True)
    noise = torch.zeros(1, STEPS + 1, 4)

    def losses(*episodes: int) -> dict[str, torch.Tensor]:
        batch = windows(latents, torch.tensor(episodes), torch.zeros(len(episodes), dtype=torch.long), STEPS)
        return memory_losses(agent.memory, batch, noise.expand(len(episodes), -1, -1), FULL)

    assert losses(1)["reward"] == 0
    assert all(loss.isfinite() for loss in losses(0, 1).values())
    torch.testing.assert_close(losses(0, 1)["reward"], losses(0)["reward"])
    torch.testing.assert_close(losses(0, 1)["z"], (losses(0)["z"] + losses(1)["z"]) / 2)


def test_v_and_m_learn_without_rewards(agent: Agent, tmp_path: Path):
    store = EpisodeStore(tmp_path / "store")
    store.write("a", silent(drive(0, side=64)))
    files = list(store)
    training = VisionTraining(updates=2, batch=4)
    fit_vision(Stage(tmp_path / "v"), agent.vision, files, training, True, 0, FULL)
    assert np.isnan(probe_speed(agent.vision, files, files))
    before = agent.memory.scalar_head.weight.detach().clone()
    latents = encode_episodes(agent.vision, files, PEDAL, bar=True)
    short, shown = MemoryTraining(updates=2, batch=4, window=4), torch.ones(1, dtype=torch.bool)
    fit_memory(Stage(tmp_path / "m"), agent.memory, latents, shown, 0, short, 0, FULL)
    changed = (agent.memory.scalar_head.weight != before).any(1)
    assert changed.tolist() == [False, True, True]  # the reward's row was left alone
    metrics = Stage(tmp_path / "m").metrics()
    assert len(metrics) == 2
    assert all("reward" not in line for line in metrics)


def test_c_is_refused_a_dream_without_rewards_before_anything_is_done(tmp_path: Path):
    store = EpisodeStore(tmp_path / "store")
    with pytest.raises(ValueError, match="no episodes in"):
        check_data(store.folder, Config(), "vision")
    store.write("a", silent(drive(side=64)))
    with pytest.raises(ValueError, match=r"hold no rewards.*dreamlap train memory"):
        check_data(store.folder, Config(), "controller")
    check_data(store.folder, Config(), "memory")
    check_data(store.folder, Config(controller=ControllerConfig(mind="awake"), ppo=PPOConfig(num_envs=8)), "controller")
    with pytest.raises(ValueError, match=r"are 64x64, and V is to see 48x48: .*--resize 48"):
        check_data(store.folder, Config(track=TrackConfig(size=48)), "memory")
    store.write("b", drive(side=64))
    check_data(store.folder, Config(), "controller")


def test_returns_are_of_episodes_with_rewards(tmp_path: Path, agent: Agent):
    store = EpisodeStore(tmp_path / "store")
    store.write("a", silent(drive(side=64)))
    store.write("b", drive(side=64))
    run = Run(tmp_path / "run", Config(), store.folder)
    collect_round(run, 0, run.stage(0, "collect"), agent)
    done = json.loads((tmp_path / "run/round-0/collect/done.json").read_text())
    assert (done["returns"], done["steps"]) == ([pytest.approx(drive(side=64).rewards.sum())], 2 * STEPS)


@pytest.mark.usefixtures("store")
def test_by_the_command_that_a_user_types(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("png", "npy", "minari"):
        main(["data", "export", "ours", f"{kind}-v0", "--to", kind])
        main(["data", "import", f"{kind}-v0", kind, "--resize", "16"])
        assert "frames 16x16" in capsys.readouterr().out
    (tmp_path / "png-v0/episode_0/actions.txt").write_text("[/oops 1]\n")
    with pytest.raises(SystemExit):
        main(["data", "import", "png-v0", "again"])
    assert "[/oops 1]" in capsys.readouterr().err.replace("\n", "")
    with pytest.raises(SystemExit):  # 32x32, and V is to see 64x64
        main(["train", "vision", "debug", "--data", "ours"])
    assert "are 32x32" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "runs").exists()


def steers(count: int) -> str:
    """Lines of actions whose steer is their number in hundredths."""
    return "".join(f"{t / 100} 0 0\n" for t in range(count))


@given(st.integers(0, 9), st.lists(st.integers(0, 8), min_size=3, max_size=8, unique=True), st.randoms(use_true_random=False))
def test_frames_come_in_the_order_of_their_numbers_or_a_gap_is_refused(start: int, numbers: list[int], chance):
    rising = sorted(numbers)
    chance.shuffle(numbers)
    shots = [Path(f"/x/run_3_{start + number}.{chance.choice(['png', 'PNG', 'jpg'])}") for number in numbers]
    if len(set(np.diff(rising))) == 1:
        assert [int(shot.stem[6:]) for shot in in_order(shots)] == [start + number for number in rising]
    else:
        with pytest.raises(Refused, match="missing between run_3_"):
            in_order(shots)


@pytest.mark.parametrize("frames", [6, 7])
@pytest.mark.parametrize("lost", range(1, 5))
def test_a_missing_frame_never_shifts_the_actions(tmp_path: Path, frames: int, lost: int):
    """Six actions with seven frames, or with six; then a frame in the middle is lost, and the counts still fit or nearly do."""
    folder, store = write_png(tmp_path / "e", frames, steers(6)), EpisodeStore(tmp_path / "store")
    (folder / f"frame_{lost}.png").unlink()
    with pytest.raises(Refused, match=rf"missing between frame_{lost - 1}\.png and frame_{lost + 1}\.png"):
        import_episodes(folder, store)
    assert not store.folder.exists()


def test_a_first_frame_that_is_missing_is_seen_by_the_other_episodes(tmp_path: Path):
    for name in ("e_0", "e_1"):
        write_png(tmp_path / "set" / name, 5, steers(4))
    (tmp_path / "set/e_1/frame_0.png").unlink()
    with pytest.raises(Refused, match=r"1 of 2 .*\n.*e_1: frame 0 is missing before frame_1\.png"):
        import_episodes(tmp_path / "set", EpisodeStore(tmp_path / "store"))


@pytest.mark.parametrize("twin", ["frame_2 (1).png", "frame_02.png", "frame_2.jpg", "mask_2.png", "cover.png"])
def test_a_second_picture_of_a_step_is_refused_by_name(tmp_path: Path, twin: str):
    folder = write_png(tmp_path / "e", 5, steers(5))
    Image.new("RGB", (32, 32)).save(folder / twin)
    with pytest.raises(Refused, match=r"is not named as the others|has the number of"):
        import_episodes(folder, EpisodeStore(tmp_path / "store"))


def test_pictures_are_found_in_any_spelling_and_one_folder_deeper_and_turned_as_they_say(tmp_path: Path):
    folder = tmp_path / "set/deep/episode"
    (folder / "inner").mkdir(parents=True)
    (folder / "Actions.TXT").write_text(steers(3))
    upside_down = Image.Exif()
    upside_down[0x0112] = 3
    for t, suffix in enumerate(("png", "PNG", "jpg", "JPEG")):
        picture = Image.new("RGB", (16, 16), (255, 0, 0))
        picture.paste((0, 0, 255), (0, 8, 16, 16))
        picture.rotate(180).save(folder / f"inner/f{t}.{suffix}", exif=upside_down)
    store = EpisodeStore(tmp_path / "store")
    assert import_episodes(tmp_path / "set", store) == 1
    frames = next(iter(store)).frames().astype(int)
    assert (frames[:, 2, 8, 0] > 200).all()
    assert (frames[:, 13, 8, 2] > 200).all()


def test_what_a_system_leaves_behind_is_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_png(tmp_path / "set/e", 4, steers(3))
    for name in ("._frame_0.png", "._actions.txt", "Thumbs.db", "desktop.ini", ".DS_Store"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    for name in (".ipynb_checkpoints", "__MACOSX", ".Trashes"):
        write_png(tmp_path / "set" / name, 2, "")
    (tmp_path / "set/drive.mp4").write_bytes(b"x")
    (tmp_path / "set/._car_frames.npy").write_bytes(b"x")
    assert import_episodes(tmp_path / "set", EpisodeStore(tmp_path / "store")) == 1
    assert "not read: 1 .mp4 (drive.mp4)\n" in capsys.readouterr().out


def test_a_folder_without_episodes_is_told_by_what_is_in_it(tmp_path: Path):
    for name in ("a.mp4", "b.mp4", "c.mp4", "actions.csv"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(Refused, match=r"There is 3 \.mp4 \(a\.mp4, b\.mp4, \.\.\.\), 1 \.csv \(actions\.csv\)\. Needed are"):
        import_episodes(tmp_path, EpisodeStore(tmp_path / "store"))
    (tmp_path / "actions.txt").write_text(steers(3))
    with pytest.raises(Refused, match=r"has actions\.txt but no frames.*3 \.mp4"):
        import_episodes(tmp_path, EpisodeStore(tmp_path / "store"))


@pytest.mark.parametrize(
    "line",
    [
        "[np.float32(0.1), np.float32(1.0), np.float32(0.0)]",
        "(numpy.float64(0.1), np.float64(1), np.float64(0.))",
        "tensor([0.1, 1.0, 0.0], dtype=torch.float64)",
        "tensor([0.1000, 1.0000, 0.0000], device='cuda:0', grad_fn=<AddBackward0>)",
        "array([0.1, 1.0, 0.0], dtype=float32)",
        "0.1 1 0  # start: 3",
        "step 3: 0.1 1 0",
        "3: [0.1 1. 0.]",
        "0.1\t1e0\t-0",
    ],
)
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_line_is_read_as_programs_print_it(tmp_path: Path, line: str, coding: str):
    path = tmp_path / "actions.txt"
    path.write_bytes("\r".join(["# steer gas brake", line, "", line + "\r\n" + line]).encode(coding))
    actions, places = numbers(path, ACTION)
    np.testing.assert_allclose(actions, [[0.1, 1, 0]] * 3, atol=1e-9)
    assert places == [2, 4, 5]


@pytest.mark.parametrize(
    "line",
    [
        "12:00:01 0.1 1 0",
        "0.5 0.9 0.1 e: 0 0 0",
        "[0.5 0.9 0.1] total: 0 0 0",
        "12:00 1 0",
        "0, 0.1, 1.0, 0.0",
        "0,1; 0,5; 0,0",
        "0,1; 1",
        '{"steer": 0.1, "gas": 1, "brake": 0}',
        "...",
    ],
)
def test_a_line_that_may_mean_other_numbers_is_refused(tmp_path: Path, line: str):
    path = tmp_path / "actions.txt"
    path.write_text(f"steer, gas, brake\n0 0 0\n{line}\n")
    with pytest.raises(Refused, match=r"actions\.txt, line 3: .* is not three numbers \(steer, gas, brake\)"):
        numbers(path, ACTION)
    path.write_text("gas, steer, brake\n0 0 0\n")
    with pytest.raises(Refused, match="line 1: 'gas, steer, brake' is another order"):
        numbers(path, ACTION)


def rollout(steps: int, spare: int = 0, **changes: np.ndarray) -> dict[str, np.ndarray]:
    """What World Models in PyTorch keeps: frame t is what action t led to; `spare` actions were drawn and never done."""
    given = numbered(steps + spare, steps, side=16)
    rewards = given["rewards"][:steps]
    return {"observations": given["frames"], "actions": given["actions"], "rewards": rewards,
            "terminals": np.arange(steps) == steps - 1} | changes  # fmt: skip


def test_rollouts_in_archives_come_in_as_their_field_aligns_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "r/thread_0").mkdir(parents=True)
    np.savez(tmp_path / "r/rollout_0.npz", **rollout(5))  # pyright: ignore[reportArgumentType]  # its stub wants a bool
    np.savez_compressed(tmp_path / "r/thread_0/rollout_0.npz", **rollout(4, spare=3))  # pyright: ignore[reportArgumentType]
    store = EpisodeStore(tmp_path / "store")
    assert import_episodes(tmp_path / "r", store) == 2
    first, second = (file.episode() for file in store)
    assert (first.rewards.tolist(), first.frames[:, 0, 0, 0].tolist()) == ([1, 2, 3, 4], [0, 1, 2, 3, 4])
    assert second.rewards.tolist() == [1, 2, 3]
    assert first.terminated
    assert second.terminated
    told = capsys.readouterr().out
    assert "2 had no frame before their first step: it was dropped (frame t is what action t led to, as is usual" in told
    assert "1 kept more actions than steps" in told
    other = EpisodeStore(tmp_path / "other")
    import_episodes(tmp_path / "r", other, align="before")
    assert next(iter(other)).array("rewards").tolist() == [0, 1, 2, 3]
    np.savez(tmp_path / "h.npz", obs=rollout(5)["observations"], action=np.zeros((5, 3), np.float16))
    import_episodes(tmp_path, other := EpisodeStore(tmp_path / "third"))
    assert [(file.about["source"], len(file)) for file in other] == [("npz", 4), ("npz", 4), ("npz", 3)]


def test_an_archive_that_lies_or_holds_objects_is_refused(tmp_path: Path):
    def refused(message: str) -> None:
        with pytest.raises(Refused, match=message):
            import_episodes(tmp_path / "r", EpisodeStore(tmp_path / "store"))

    (path := tmp_path / "r/rollout_0.npz").parent.mkdir()
    np.savez(path, **rollout(3, observations=np.array([Trap(), None], object)))  # pyright: ignore[reportArgumentType]
    refused(r"observations, holds Python objects(.|\n)*allow_pickle=True\)\n *np\.savez")
    np.savez(path, states=np.zeros(3))
    refused(r"holds states, but no actions and frames")
    path.write_bytes(path.read_bytes()[:50])
    refused("no arrays that can be read")
    with zipfile.ZipFile(path, "w") as archive:
        for name, shape in (("observations", (10**12, 64, 64, 3)), ("actions", (3, 3))):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    refused("claims 12,288,000,000,000,000 bytes and holds 0")
    assert not (tmp_path / "store").exists()


def test_dones_are_told_apart_from_the_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def ended(name: str, steps: int, **flags: np.ndarray) -> tuple[bool, bool]:
        folder = write_npy(
            tmp_path / name, frames=np.zeros((steps, 16, 16, 3), np.uint8), actions=np.zeros((steps, 3)), **flags
        )
        import_episodes(folder, store := EpisodeStore(tmp_path / f"store-{name}"), align="after")
        file = next(iter(store))
        return file.terminated, bool(file.about["truncated"])

    def last(steps: int) -> np.ndarray:
        return np.arange(steps) == steps - 1

    assert ended("real", 60, dones=last(60)) == (True, False)
    assert ended("clock", 1000, dones=last(1000)) == (False, True)
    assert "1 had 1,000 steps, the stock clock" in capsys.readouterr().out
    assert ended("told", 60, dones=last(60), truncateds=last(60), timeouts=last(60)) == (False, True)
    assert ended("lap", 1000, dones=last(1000), truncations=np.zeros(1000)) == (True, False)
    assert ended("new", 1000, terminations=last(1000), truncations=np.zeros(1000)) == (True, False)
    with pytest.raises(Refused, match=r"timeouts\.npy and .*truncateds\.npy are both there and may differ"):
        ended("told", 60, truncateds=np.zeros(60, bool))
    with pytest.raises(Refused, match="dones are 0 or 1"):
        ended("odd", 60, dones=np.full(60, np.nan))


def test_a_real_end_that_is_dropped_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_npy(tmp_path / "toy", **numbered(5, 5), dones=np.arange(5) == 4)
    import_episodes(folder, EpisodeStore(tmp_path / "store"))
    told = capsys.readouterr().out
    assert "0 ended by the track (terminated), 1 by the clock or the recording" in told
    assert "it was dropped, and with it a real end and its reward: --align after keeps it" in told


def test_two_people_come_in_beside_each_other_and_nobody_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = EpisodeStore(tmp_path / "store")
    for who, side in (("alice", 16), ("bob", 18)):
        for e in range(2):
            write_png(tmp_path / who / f"data/e_{e}", 4 + e, steers(3 + e), side)
    for who in ("alice", "bob", "alice", "bob/../bob"):
        import_episodes(tmp_path / who / "data", store)
    assert store.names() == [f"data-{i:05d}" for i in range(4)]
    assert "2 episodes read, 7 steps: 0 are new, 2 were there already" in capsys.readouterr().out
    os.symlink(tmp_path / "alice/data", tmp_path / "link")
    write_png(tmp_path / "alice/data/e_00", 8, steers(7), 16)  # sorts first
    import_episodes(tmp_path / "link", store)
    assert len(store.names()) == 5
    os.rename(tmp_path / "bob", tmp_path / "moved")
    import_episodes(tmp_path / "moved/data", store)
    assert len(store.names()) == 5
    write_png(tmp_path / "moved/data/e_0", 9, steers(8), 18)
    before = {name: store.open(name).identity for name in store.names()}
    import_episodes(tmp_path / "moved/data", store)
    assert before.items() <= {name: store.open(name).identity for name in store.names()}.items()
    assert len(store.names()) == 6


def test_files_that_changed_make_an_episode_beside_the_old_one_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store, folder = EpisodeStore(tmp_path / "store"), write_png(tmp_path / "e", 4, steers(3))
    import_episodes(folder, store)
    write_png(folder, 4, "0 1 0\n" * 3)
    import_episodes(folder, store)
    assert [file.array("actions")[0].tolist() for file in store] == [[0, 0, 0], [0, 1, 0]]
    assert "1 came from files that other episodes here came from" in capsys.readouterr().out


@pytest.mark.parametrize("letter", ["n", "ü"])
def test_a_long_name_of_a_folder_fits_into_the_names_of_episodes(tmp_path: Path, letter: str):
    folder = write_png(tmp_path / (letter * (250 // len(letter.encode()))), 3, steers(2))
    store = EpisodeStore(tmp_path / "store")
    import_episodes(folder, store)
    assert store.names() == [letter * (200 // len(letter.encode())) + "-00000"]


def test_import_owns_the_store(tmp_path: Path):
    folder = write_png(tmp_path / "e", 3, steers(2))
    code = (
        "import sys, time; from dreamlap.files import Owned; o = Owned(sys.argv[1]); print('mine', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(Refused, match="another process is writing into"):
            import_episodes(folder, EpisodeStore(tmp_path / "store"))
    finally:
        other.kill()
        other.wait()


def test_an_export_that_fails_leaves_nothing_and_names_the_place(
    store: EpisodeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space") as failure:
        export_episodes(store, tmp_path / "new/out", "npy")
    assert failure.value.filename == str(tmp_path / "new/out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours"]
    with pytest.raises(OSError, match="too long"):
        export_episodes(store, tmp_path / ("n" * 300), "png")
    store.write("c", drive(2, side=16))
    with pytest.raises(Refused, match=r"several sizes: 32x32 \(2, such as a\.episode\), 16x16 \(1, such as c\.episode\)"):
        export_episodes(store, tmp_path / "mixed-v0", "minari")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours"]


def test_a_dataset_recovers_its_environment_and_is_combined(
    store: EpisodeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    track, unknown = EpisodeStore(tmp_path / "track"), tmp_path / "unknown-v0"
    for name in store.names():
        episode = store.open(name).episode()
        track.write(name, replace(episode, about=episode.about | {"made": {"track": {"size": 64}}}))
    export_episodes(store, unknown, "minari")
    assert minari.load_dataset("unknown-v0").env_spec is None  # its episodes do not say where they were driven
    for number in range(2):
        export_episodes(track, tmp_path / f"car-v{number}", "minari")
    mixed = EpisodeStore(tmp_path / "mixed")
    mixed.write("a", track.open(track.names()[0]).episode())
    mixed.write("b", store.open(store.names()[1]).episode())
    export_episodes(mixed, tmp_path / "mixed-v0", "minari")
    assert minari.load_dataset("mixed-v0").env_spec is None  # the second does not say it
    parts = [minari.load_dataset(f"car-v{number}") for number in range(2)]
    assert parts[0].recover_environment().spec.id == "CarRacing-v3"
    minari.combine_datasets(parts, "car-both-v0")
    back = EpisodeStore(tmp_path / "back")
    assert import_episodes(tmp_path / "car-both-v0", back) == 4
    np.testing.assert_array_equal(back.open(back.names()[1]).array("actions"), drive(1, steps=4).actions)
    assert "4 had frames kept as JPEG" in capsys.readouterr().out  # that is how Minari combines
