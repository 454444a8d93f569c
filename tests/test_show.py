"""What is shown is what there is: videos hold every step, figures are drawn, the report needs nothing but itself."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image

from dreamlap.agent import Agent
from dreamlap.cli import main
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.errors import Refused
from dreamlap.files import write_json
from dreamlap.measure.memory import draw, open_loop, see
from dreamlap.run import Stage
from dreamlap.show import report
from dreamlap.show.figures import curves, dream_strip, evolution, rounds_curve, score_dots, sheet
from dreamlap.show.films import DriveFilm, PredictionFilm, ReconstructionFilm
from dreamlap.show.glimpse import ZOOM, moments, unseen_drive
from dreamlap.show.panels import STRIP, TOP, Board, enlarge
from dreamlap.show.picture import read_picture, write_picture
from dreamlap.show.report import write_report
from dreamlap.show.theme import DARK, LIGHT
from dreamlap.show.video import (
    FILMS,
    beside_video,
    dream_video,
    drive_video,
    first_frame,
    label_of,
    preview_video,
    still,
    write_video,
)

HOSTILE = '<script>alert("1")</script>&'


def decoded(path: Path) -> np.ndarray:
    """(T, H, W, 3) uint8."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def opened(png: bytes) -> np.ndarray:
    """(H, W, 3) uint8."""
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def test_a_video_holds_every_frame_in_order_and_colour(tmp_path: Path) -> None:
    levels = np.arange(0, 250, 10)
    write_video(tmp_path / "a.mp4", (np.full((65, 81, 3), (level, 0, 255 - level), np.uint8) for level in levels), fps=50)
    frames = decoded(tmp_path / "a.mp4")
    assert frames.shape == (25, 64, 80, 3)
    assert np.abs(frames[:, 32, 40, 0] - levels).max() < 16
    assert np.abs(frames[:, 32, 40, 2] - (255.0 - levels)).max() < 16
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 50
        assert container.duration == 500_000


def test_a_video_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield np.zeros((64, 64, 3), np.uint8)
        raise RuntimeError("the track is gone")

    with pytest.raises(RuntimeError, match="the track is gone"):
        write_video(tmp_path / "a.mp4", frames())
    with pytest.raises(ValueError, match="at least one"):
        write_video(tmp_path / "a.mp4", [])
    assert not list(tmp_path.iterdir())


def test_a_drive_is_filmed_on_the_stock_track(tmp_path: Path, agent: Agent) -> None:
    earned = drive_video(agent, 900_000, tmp_path / "drive.mp4", steps=5, scale=2)
    frames = decoded(tmp_path / "drive.mp4")
    assert len(frames) == 6
    assert frames.shape[2] == 8 + 3 * (2 * 96 + 8)
    assert frames[-1][TOP:260, 8:200].std() > 10  # the first panel shows a track
    assert earned == drive_video(agent, 900_000, tmp_path / "again.mp4", steps=5, scale=2)
    assert still(tmp_path / "drive.mp4").shape == frames.shape[1:]


def test_the_status_line_lies_above_the_panels() -> None:
    """A player lays its controls over the bottom of a video."""
    board, panels = Board(("a", "b"), 200), [np.zeros((96, 96, 3), np.uint8)] * 2
    empty, told = board.compose(panels, ""), board.compose(panels, "step 7", np.array([0.5, 1.0, 0.0]))
    rows = np.flatnonzero((empty != told).any((1, 2)))
    assert len(rows) > 5
    assert rows.max() < STRIP < TOP
    assert (told[TOP : TOP + 200, 8:208] == 0).all()


def test_videos_begin_after_the_zoom(agent: Agent) -> None:
    film = DriveFilm(agent, 900_000, 2, Board(("a", "b", "c"), 96))
    first, *_, last = list(film)
    assert len(film.path) == ZOOM + 2
    agent.reset()
    track = gym.make("CarRacing-v3")
    frame, _ = track.reset(seed=900_000)
    for _ in range(ZOOM):
        frame = track.step(agent.act(frame))[0]
    track.close()
    assert np.array_equal(first[TOP : TOP + 96, 8:104], frame)
    assert not np.array_equal(first, last)
    drive = unseen_drive(agent, 0, steps=ZOOM + 3)
    board = Board(("a", "b", "c"), 64)
    shown = [picture[TOP : TOP + 64, 8:72] for picture in ReconstructionFilm(agent, drive, board)]
    assert np.array_equal(shown, drive.frames[ZOOM:])


def test_a_dream_that_is_shown_begins_after_the_zoom_and_on_the_road(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = unseen_drive(agent, 0, steps=ZOOM + 5)
    monkeypatch.setattr("dreamlap.show.glimpse.unseen_drive", lambda agent, seed: drive)
    away = np.array([0.9, 0.0, 0.5, 0.04, 1.0, 0.9])
    monkeypatch.setattr("dreamlap.show.glimpse.off_road", lambda frames, bar: away[: len(frames)])
    begin = moments(agent, 0)
    assert torch.equal(begin.z, see(agent, drive.frames[[ZOOM + 1, ZOOM + 3]]))
    assert begin.state.abs().sum() > 0
    away[:] = 1.0
    assert len(moments(agent, 0).z) == 6  # never on the road: any moment will do


def test_a_dream_is_filmed(tmp_path: Path, agent: Agent) -> None:
    dream_video(agent, tmp_path / "dream.mp4", steps=7, seed=3, scale=2)
    assert len(decoded(tmp_path / "dream.mp4")) == 7


def test_memory_dreams_along_and_is_synced(agent: Agent) -> None:
    board = Board(("track", "V", "dream"), 64)
    drive = unseen_drive(agent, 0, steps=30)
    pictures = list(PredictionFilm(agent, drive, first=4, steps=20, every=8, board=board))
    assert len(pictures) == 21  # frames 4 to 24
    lefts = (8, 80, 152)
    real, seen, dreamed = (np.stack([picture[TOP : TOP + 64, left : left + 64] for picture in pictures]) for left in lefts)
    assert np.array_equal(real, drive.frames[4:25])
    assert np.abs(seen.astype(int) - draw(agent, see(agent, drive.frames[4:25]))).max() <= 1  # decoded in other batches
    same = [np.array_equal(*pair) for pair in zip(dreamed, seen, strict=True)]
    assert [i for i, synced in enumerate(same) if synced] == [0, 8, 16]
    assert len(list(PredictionFilm(agent, drive, first=4, steps=99, every=100, board=board))) == 27  # to the end


@pytest.mark.parametrize(("name", "kind"), [("a.gif", "GIF"), ("a.WEBP", "WEBP")])
def test_a_picture_that_loops(tmp_path: Path, agent: Agent, name: str, kind: str) -> None:
    frames = np.zeros((9, 40, 60, 3), np.uint8)
    frames[:, :, :, 0] = np.arange(0, 225, 25)[:, None, None]
    write_video(tmp_path / name, frames, fps=50)
    with Image.open(tmp_path / name) as picture:
        assert (picture.format, picture.size, getattr(picture, "n_frames", 1)) == (kind, (30, 20), 5)
        assert picture.info["loop"] == 0
        picture.seek(3)
        assert abs(np.asarray(picture.convert("RGB"))[10, 10].astype(int) - [150, 0, 0]).max() < 8
        assert picture.info["duration"] == 40


def test_a_video_is_of_the_kind_that_its_name_says(tmp_path: Path) -> None:
    for name, kind in (("a.mp4", "mp4"), ("a.webm", "webm"), ("b.WEBM", "webm")):
        write_video(tmp_path / name, [np.full((40, 60, 3), 30 * t, np.uint8) for t in range(6)], label="made here")
        with av.open(str(tmp_path / name)) as container:
            assert kind in container.format.name
            assert (container.streams.video[0].width, container.streams.video[0].average_rate) == (60, 50)
            assert len(list(container.decode(video=0))) == 6
        assert label_of(tmp_path / name) == "made here"


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP"), ("[x].png", "PNG")]
)
def test_a_picture_is_of_the_kind_that_its_name_says(name: str, kind: str, tmp_path: Path) -> None:
    made = BytesIO()
    Image.new("RGBA", (20, 10), (200, 100, 0, 255)).save(made, "PNG")
    write_picture(tmp_path / name, made.getvalue())
    with Image.open(tmp_path / name) as picture:
        assert (picture.format, picture.size) == (kind, (20, 10))
        assert abs(np.asarray(picture.convert("RGB"))[5, 5].astype(int) - [200, 100, 0]).max() < 8


@pytest.mark.parametrize("name", ["a.pdf", "a.svg", "a", "a.mp4"])
def test_a_picture_of_another_kind_is_refused_before_the_work(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamlap.agent.load_agent", lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(SystemExit):
        main(["picture", "champion", "--out", str(tmp_path / name)])
    assert "the suffix decides the format: .png, .jpg" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_a_format_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"suffix.*\.gif.*Use .*a\.mp4"):
        write_video(tmp_path / "a.avi", iter(()))
    assert not list(tmp_path.iterdir())


def test_a_dream_is_filmed_beside_what_it_began_with(tmp_path: Path, agent: Agent) -> None:
    drive = unseen_drive(agent, 0, steps=12)
    EpisodeStore(tmp_path).write("a", drive)
    out = tmp_path / "beside.mp4"
    beside_video(agent, out, steps=5, first=tmp_path / "a.episode", at=3, scale=1)
    frames = decoded(out)
    assert len(frames) == 6
    assert np.abs(frames[5][TOP : TOP + 96 : 3, 8:104:3].astype(float) - enlarge(drive.frames[8], 96)[::3, ::3]).mean() < 12
    beside_video(agent, out, steps=3, at=2, scale=1)
    assert len(decoded(out)) == 4
    with pytest.raises(ValueError, match="no step 12"):
        beside_video(agent, out, first=tmp_path / "a.episode", at=12)
    picture = np.zeros((400, 600, 3), np.uint8)
    picture[:, :300] = 200
    Image.fromarray(picture).save(tmp_path / "first.png")
    beside_video(agent, out, steps=4, first=tmp_path / "first.png", scale=1)
    assert len(frames := decoded(out)) == 4
    assert np.abs(frames[3, TOP + 46, [30, 80]].astype(float) - [[200], [0]]).max() < 12  # it stays beside its dream
    small = first_frame(tmp_path / "first.png", agent.config.track)
    Image.fromarray(small).save(tmp_path / "small.png")
    assert np.array_equal(first_frame(tmp_path / "small.png", agent.config.track), small)


@pytest.mark.parametrize("film", [*FILMS.values(), beside_video])
def test_a_destination_that_cannot_be_is_found_out_before_the_work(film: Any, tmp_path: Path, agent: Agent) -> None:
    agent.memory.step = agent.controller.act = None  # pyright: ignore[reportAttributeAccessIssue]  # whoever begins will fail
    for path, problem in ((tmp_path, "Is a directory"), (tmp_path / ("x" * 300), "too long"), (Path("/proc/no/a.mp4"), "")):
        with pytest.raises(OSError, match=problem or None) as error:
            film(agent, path=path, steps=5, seed=1)
        assert error.value.filename == str(path)


@pytest.mark.parametrize("verb", ["video", "picture"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--out", "."), ".: it is a folder"),
        (("--out", "x" * 300), "the name is too long"),
        (("--seed", "-1"), "--seed -1 is out of bounds: it must be at least 0"),
    ],
)
def test_a_verb_refuses_in_one_line_before_it_loads_the_agent(
    verb: str, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("dreamlap.agent._load")
    with pytest.raises(SystemExit) as left:
        main([verb, "champion", *words])
    assert left.value.code == 1
    assert told in " ".join(capsys.readouterr().err.split())


def picture_file(path: Path, **settings: Any) -> Path:
    """Blue above green."""
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[:48], picture[48:] = (0, 0, 255), (0, 255, 0)
    Image.fromarray(picture).save(path, **settings)
    return path


def test_a_picture_is_seen_as_a_person_sees_it(tmp_path: Path) -> None:
    upright, exif = picture_file(tmp_path / "a.png"), Image.Exif()
    exif[0x0112] = 3  # stored upside down
    with Image.open(upright) as picture:
        picture.rotate(180).save(tmp_path / "b.jpg", exif=exif, quality=95)
    for path in (upright, tmp_path / "b.jpg"):
        top, bottom = read_picture(path)[[8, 88], 64].astype(int)
        assert np.abs([top - (0, 0, 255), bottom - (0, 255, 0)]).max() < 10


def test_what_is_no_picture_is_refused_by_its_name(tmp_path: Path) -> None:
    whole = picture_file(tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.png").write_bytes(whole[:60] + bytes(b ^ 255 for b in whole[60:]))
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("1", (14_000, 14_000)).save(tmp_path / "huge.png")
    Image.new("I;16", (96, 96)).save(tmp_path / "deep.png")
    (tmp_path / "script.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 96\n")  # would start Ghostscript
    (tmp_path / "bomb.gif").write_bytes(b"GIF89a" + bytes([255, 255, 255, 255, 0, 0, 0]) + b";")
    for name in ("cut.png", "flipped.png", "text.png", "empty.png", "huge.png", "deep.png", "script.png", "bomb.gif"):
        with pytest.raises(Refused, match=name):
            read_picture(tmp_path / name)
    with pytest.raises(FileNotFoundError) as missing:
        read_picture(tmp_path / "nowhere.png")
    with pytest.raises(IsADirectoryError) as folder:
        read_picture(tmp_path)
    assert (missing.value.filename, folder.value.filename) == (str(tmp_path / "nowhere.png"), str(tmp_path))


def test_an_episode_may_be_spelt_in_capitals_and_must_fit(tmp_path: Path, agent: Agent, episode: Episode) -> None:
    store, out = EpisodeStore(tmp_path), tmp_path / "out.mp4"
    store.write("a", episode)
    (tmp_path / "a.episode").rename(tmp_path / "A.EPISODE")
    beside_video(agent, out, steps=2, first=tmp_path / "A.EPISODE", at=3, scale=1)
    assert len(decoded(out)) == 3
    store.write("wide", replace(episode, frames=episode.frames[:, :, :32]))
    with pytest.raises(Refused, match=r"wide\.episode have 32x64 pixels, and this agent's V sees 64x64"):
        beside_video(agent, out, first=tmp_path / "wide.episode")
    with pytest.raises(FileNotFoundError):
        beside_video(agent, out, first=tmp_path / "b.episode")
    with pytest.raises(Refused, match="leave --at out"):
        beside_video(agent, out, first=picture_file(tmp_path / "a.png"), at=3)


def test_a_preview_plays_all_episodes_to_their_end(tmp_path: Path, episode: Episode) -> None:
    store = EpisodeStore(tmp_path / "episodes")
    short = Episode(episode.frames[:11], episode.actions[:10], episode.rewards[:10], episode.speeds[:11], True, False)
    store.write("long", episode)
    store.write("short", short)
    preview_video(store, tmp_path / "preview.mp4", count=5, side=64)
    frames = decoded(tmp_path / "preview.mp4")
    assert len(frames) == 41
    assert abs(float(frames[40, 34, 34, 0]) - 40) < 8  # on the left the long one, at its last frame
    assert abs(float(frames[40, 34, 104, 0]) - 5) < 8  # on the right the short one, dimmed since it ended
    with pytest.raises(ValueError, match="no episodes"):
        preview_video(EpisodeStore(tmp_path / "none"), tmp_path / "none.mp4")


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_figures_are_drawn(theme, agent: Agent) -> None:
    logged = [{"update": i, "error": 1000 / (i + 1), "kl": float("nan") if i == 3 else -i} for i in range(50)]
    episode = unseen_drive(agent, 0, steps=40)
    evolved = [{"best": i, "mean": i - 5.0, "sigma": 0.1, **({} if i % 10 else {"real": 2.0 * i})} for i in range(40)]
    for png in (
        curves([logged, logged[:1]], theme=theme),
        evolution([evolved, evolved[:9]], theme),
        sheet({"track": episode.frames[:8], "V": episode.frames[:8]}, theme=theme),
        dream_strip(open_loop(agent, episode, places=2), theme),
        score_dots([900.0, 910.5, -20.0], [400.0, 911.0], theme),
        score_dots([900.0], None, theme),
        rounds_curve({0: [1.0, 2.0], 2: [5.0]}, {1: []}, theme),
    ):
        picture = opened(png)
        assert 150 < picture.shape[0] < 1500
        assert 400 < picture.shape[1] < 1500
        paper = tuple(int(theme.paper[i : i + 2], 16) for i in (1, 3, 5))
        assert 0.02 < (picture != paper).any(-1).mean() < 0.98
    with pytest.raises(ValueError, match="nothing was logged"):
        curves([])


@pytest.fixture
def run(tmp_path: Path, agent: Agent) -> Path:
    """A run of two rounds whose second was killed while M learned; all its names are hostile."""
    folder = tmp_path / "a run & <b>more"
    write_json(
        folder / "config.json",
        {"name": HOSTILE, "controller": {"mind": "dream"}, "restarts": {"controllers": 2}, "selection": {"video_steps": 5}},
    )
    write_json(folder / "versions.json", {"machine": HOSTILE})
    for number in range(2):
        Stage(folder / f"round-{number}" / "collect").finish(seconds=61.0, steps=1200, returns=[1.0, 2.0])
        with Stage(folder / f"round-{number}" / "memory").logger() as log:
            for i in range(5):
                log(i + 1, {"z": 1.0 / (i + 1), HOSTILE: 2.0})
    with (folder / "round-1" / "memory" / "metrics.jsonl").open("a") as file:
        file.write('{"update": 6, "z": 0.')  # what a kill leaves
    vision = folder / "round-0" / "vision" / "done.json"
    vision.parent.mkdir()
    vision.write_text('{"seconds": 2.0, "speed_r2": NaN}')  # as older versions wrote it
    agent.save(folder / "round-0" / "controller" / "agent")
    return folder


def test_the_report_needs_nothing_but_itself_and_lets_nothing_in(run: Path) -> None:
    write_video(run / "videos" / "drive.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    (run / "videos" / "dream.mp4").write_bytes(b"not a video")
    old = {"mean": 900.0, "sd": 1.4, "min": 899.0, "median": 900.0, "laps": 2, "interval": [899.0, 901.0]}
    write_json(run / "scores" / "selection.json", {**old, "seeds": [900_000, 900_001], "returns": [899.0, 901.0]})
    write_json(run / "scores" / "final.json", {"laps": 0, "seeds": [1_000_000], "returns": [800.0]})
    page = write_report(run).read_text("utf-8")
    addresses = re.findall(r"""(?:src|srcset|poster|url)\s*[=(]\s*["']?([^"'\s>)]+)""", page)
    assert len(addresses) > 8
    assert all(address.startswith("data:") for address in addresses)
    assert set(re.findall('href="(.*?)"', page)) == {"videos/drive.mp4"}
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert '<p class="score">800</p>' in page  # test tracks before selection tracks
    assert "1 test track of stock CarRacing-v3, its return: one is too few for a spread" in page
    assert "2 selection tracks" in page
    assert "Left out" not in page
    assert "dream.mp4 cannot be read" in page
    assert "After the rounds come 2 restarts" in page
    assert "2,400" in page  # real steps of both rounds
    assert page.count("video/mp4") == 1
    assert "A drive on a track that V was not trained on" in page
    for tag in ("section", "figure", "picture", "table", "div", "p", "dl", "details", "span"):
        assert len(re.findall(rf"<{tag}[\s>]", page)) == page.count(f"</{tag}>"), tag


def test_the_report_of_a_broken_run_says_what_is_missing(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "round-0" / "controller")
    page = write_report(run).read_text("utf-8")
    assert "Not scored yet" in page
    assert "No reconstructions yet" in page
    assert "No video has been recorded yet" in page
    assert "2 min 2 s" in page  # collecting, over both rounds
    assert "nan" not in re.sub(r"base64,[^\"]+", "", page)
    assert "Not trained yet" in page
    assert "Nothing has been compared yet" in page
    write_json(run / "trust.json", {"horizon": 30, "controllers": [{"name": "round 0", "dream": 1.0, "real": 0.5}]})
    page = write_report(run).read_text("utf-8")
    assert "dreams on for 30 steps" in page
    assert "Nothing has been compared yet" not in page
    write_json(run / "config.json", {"start": HOSTILE})
    page = write_report(run).read_text("utf-8")
    assert "It began as the agent &lt;script&gt;" in page
    assert "Not trained in this run so far: it is that of &lt;script&gt;" in page
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "No round has begun yet" in write_report(empty).read_text("utf-8")
    assert [path.name for path in empty.iterdir()] == ["report.html"]
    with pytest.raises(FileNotFoundError, match="no run in"):
        write_report(tmp_path / "nowhere")


ODD = [
    ("scores/notes.json", "[]", "a list where an object is expected"),
    ("scores/notes.json", '{"differences": [1.0]}', "it has no list of seeds"),
    ("scores/notes.json", '{"seeds": [900000], "returns": [null]}', "its returns are not all numbers"),
    ("scores/notes.json", '{"seeds": [900000, 900001], "returns": [1.0, 2.0], "mean": 900.0}', "contradicts itself"),
    ("scores/notes.json", '{"seeds": [900000, 900001], "returns": [1.0], "complete": false}', "1 of 2 tracks are driven"),
    ("round-0/vision/done.json", "[1]", "is not an object"),
    ("round-0/vision/done.json", '{"seconds": "long", "kl": {}}', "&#x27;long&#x27; is not a number"),
    ("round-0/vision/done.json", '{"kl": [1], "bits_per_dimension": "2", "rms": 1}', "[1] is not an object"),
    ("round-0/vision/done.json", '{"seconds": 1e999}', "inf is not a number that can be shown"),
    ("round-0/vision/done.json", '{"seconds": ' + "9" * 5000 + "}", "is not valid JSON"),
    ("round-0/memory/done.json", '{"pixels": {"dream": {"1": 2.0}}}', "is not all of dream, floor, still"),
    (
        "round-0/memory/done.json",
        '{"reward_sums": {"1": {"predicted": 1, "actual": 1, "correlation": 1, "pairs": 5}}}',
        "5 is not a list",
    ),
    ("round-1/collect/done.json", '{"steps": "many", "returns": ["high", "low"]}', "(and 1 more such)"),
    ("round-1/trust/done.json", '{"predicted": 1.0, "alarm": "yes"}', "is not true or false"),
    ("select/done.json", '{"means": [1, 2]}', "[1, 2] is not an object"),
    ("select/done.json", "{", "is not valid JSON"),
    ("practice/done.json", '"done"', "is not an object"),
    ("trust.json", '{"controllers": [{"name": "round 0", "dream": 1.0, "real": "good"}]}', "&#x27;good&#x27; is not a number"),
    ("config.json", "null", ""),
    ("config.json", "[1]", "is not an object"),
    ("config.json", '{"controller": "awake", "start": 5, "restarts": []}', "5 is not a text"),
    ("versions.json", "[" * 100_000, "is not valid JSON"),
    ("round-0/controller/agent/agent.json", "[]", "a list where an object is expected"),
    ("round-0/memory/metrics.jsonl", '{"update": 1, "z": "low"}\n[1]\n{"update": 2, "z": 1e400}\n' + "[" * 10_000, ""),
]
"""A file of a run, what somebody wrote into it, and what the report says of that."""


@pytest.mark.parametrize(("name", "content", "told"), ODD, ids=[f"{name}-{content:.30}" for name, content, _ in ODD])
def test_odd_json_is_named_and_the_rest_is_shown(
    run: Path, name: str, content: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamlap.show.reading.unseen_drive", lambda agent, seed: unseen_drive(agent, seed, steps=3))
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_text(content)
    page = write_report(run).read_text("utf-8")
    console = capsys.readouterr().err
    assert "this is a bug" not in page
    assert "Where the time went" in page
    assert "<h2>The score</h2>" in page
    if told:
        assert told in page.partition("<h2>Left out</h2>")[2].partition("</section>")[0]
        assert Path(name).name in console
    else:
        assert "Left out" not in page
        assert not console


def test_a_part_of_the_report_that_cannot_be_made_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("colour")

    monkeypatch.setattr("dreamlap.show.report.OF_AGENT", (*report.OF_AGENT[:1], broken, *report.OF_AGENT[-2:]))
    page = write_report(run).read_text("utf-8")
    assert "KeyError: &#x27;colour&#x27; (this is a bug" in page
    assert "this part could not be made" in page
    assert "<h2>The score</h2>" in page


def test_the_report_shows_scores_with_their_caveats_and_none_of_another_agent(run: Path, agent: Agent) -> None:
    agent.save(run / "agent")
    for name, seed, fingerprint in (("a", 3, agent.fingerprint), ("b", 900_000, "0" * 32), ("c", 900_001, agent.fingerprint)):
        made = {"seeds": [seed], "returns": [float(seed % 1000)], "laps": None, "fingerprint": fingerprint, "agent": "that one"}
        write_json(run / "scores" / f"{name}.json", made)
    page = write_report(run).read_text("utf-8")
    assert '<p class="score">1</p>' in page  # c: a is of training tracks, b is another agent's
    assert "1 training track of stock CarRacing-v3 (training tracks: not a score)" in page
    assert "b.json is the score of another agent (that one)" in page


def test_a_run_whose_name_is_no_text_has_a_report(run: Path) -> None:
    other = run.with_name(os.fsdecode(b"gr\xf6\xc3\x9fe"))
    run.rename(other)
    assert b"gr\xf6\xc3\x9fe" in write_report(other).read_bytes()
