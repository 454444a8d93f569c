"""Exchange: what others recorded comes in aligned or is refused by name, what we hand on comes back the same."""

import json
import os
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
from dreamlap.control import ControllerConfig
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.episodes.latents import encode_episodes, windows
from dreamlap.exchange import Format, Recording, episode_of, export_episodes, import_episodes
from dreamlap.exchange.png import _text
from dreamlap.exchange.text import ACTION, numbers
from dreamlap.learn.memory import MemoryTraining, memory_losses, train_memory
from dreamlap.learn.ppo import PPOConfig
from dreamlap.learn.vision import VisionTraining, train_vision
from dreamlap.measure.vision import probe_speed
from dreamlap.pipeline import collect_round
from dreamlap.plan import Run, check_data
from dreamlap.presets import Config
from dreamlap.run import Stage
from dreamlap.track import PEDAL, TrackConfig, to_frame

FULL = torch.autocast("cpu", torch.bfloat16, enabled=False)
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
        ({"rewards": np.array([0, np.nan, 1])}, "line 1: the reward is nan"),
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
    with pytest.raises(ValueError, match=r"actions\.npy cannot be read"):
        import_episodes(folder, store)
    assert not store.folder.exists()


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


def test_m_is_taught_rewards_only_where_there_are_some(agent: Agent, tmp_path: Path):
    store = EpisodeStore(tmp_path / "store")
    store.write("a", drive(0, side=64))
    store.write("b", silent(drive(1, side=64)))
    latents = encode_episodes(agent.vision, store, PEDAL, bar=True)
    noise = torch.zeros(1, STEPS + 1, 4)

    def losses(*episodes: int) -> dict[str, torch.Tensor]:
        batch = windows(latents, torch.tensor(episodes), torch.zeros(len(episodes), dtype=torch.long), STEPS)
        return memory_losses(agent.memory, batch, noise.expand(len(episodes), -1, -1), FULL)

    assert "reward" not in losses(1)
    assert all(loss.isfinite() for loss in losses(0, 1).values())
    torch.testing.assert_close(losses(0, 1)["reward"], losses(0)["reward"])
    torch.testing.assert_close(losses(0, 1)["z"], (losses(0)["z"] + losses(1)["z"]) / 2)


def test_v_and_m_learn_without_rewards(agent: Agent, tmp_path: Path):
    store = EpisodeStore(tmp_path / "store")
    store.write("a", silent(drive(0, side=64)))
    files = list(store)
    training = VisionTraining(updates=2, batch=4)
    train_vision(Stage(tmp_path / "v"), agent.vision, files, training, True, 0, FULL)
    assert np.isnan(probe_speed(agent.vision, files, files))
    before = agent.memory.scalar_head.weight.detach().clone()
    latents = encode_episodes(agent.vision, files, PEDAL, bar=True)
    short, shown = MemoryTraining(updates=2, batch=4, window=4), torch.ones(1, dtype=torch.bool)
    train_memory(Stage(tmp_path / "m"), agent.memory, latents, shown, 0, short, 0, FULL)
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
    check_data(store.folder, Config(controller=ControllerConfig(mind="awake"), ppo=PPOConfig(minds=8)), "controller")
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
    assert "[/oops 1]" in capsys.readouterr().out.replace("\n", "")
    with pytest.raises(SystemExit):  # 32x32, and V is to see 64x64
        main(["train", "vision", "debug", "--data", "ours"])
    assert "are 32x32" in capsys.readouterr().out.replace("\n", " ")
    assert not (tmp_path / "runs").exists()
