"""The report tells all of a run: its command and its time, what good looks like, its worst drive; and no legend hides data."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from dreamlap.agent import Agent
from dreamlap.files import write_json
from dreamlap.history import command, history, note, timed
from dreamlap.measure.memory import OpenLoop
from dreamlap.run import Stage
from dreamlap.scores import check_score
from dreamlap.show import figures, trust, worst
from dreamlap.show.glimpse import unseen_drive
from dreamlap.show.good import good_curves
from dreamlap.show.page import bars, video
from dreamlap.show.reading import RunReader
from dreamlap.show.report import write_report
from dreamlap.show.theme import LIGHT, _style
from dreamlap.show.video import label_of, write_video

PNG = b"\x89PNG"
STILL = {
    str(n): {"predicted": 1.0, "actual": 0.0, "correlation": 0.5, "pairs": [[-1.0, 2.0], [1.0, 0.0], [2.0, 2.0]]}
    for n in (10, 50)
}
ROUNDS = {
    n: {"predicted": given, "actual": 1.0, "predicted_off_road": 0.1, "actual_off_road": 0.2, "alarm": alarm}
    for n, given, alarm in ((1, 1.1, False), (2, 0.2, True), (3, 1.9, True))
}
POLICIES = [{"name": name, "dream": 1.0 + i, "real": 0.9 + i} for i, name in enumerate(("round 0", "round 1", "perturbed 0.1"))]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a score whose worst drive is that of track 900001, lost. Its agent is gone, so nothing need be driven."""
    folder = tmp_path / "run"
    write_json(folder / "config.json", {"controller": {"mind": "dream"}, "selection": {"video_steps": 5}})
    for number, name, seconds in ((0, "collect", 30.0), (0, "vision", 60.0), (1, "trust", 2.0), (0, "controller", 50.0)):
        Stage(folder / f"round-{number}" / name).finish(seconds=seconds, steps=10)
    write_json(folder / "select" / "done.json", {"seconds": 20.0, "best": 0, "means": {}})
    write_json(folder / "scores" / "selection.json", {"seeds": [900_000, 900_001], "returns": [910.0, 300.0]})
    return folder


def text_of(run: Path) -> str:
    """The report without what lies in it as data."""
    return re.sub(r"base64,[^\"]+", "", write_report(run).read_text("utf-8"))


def test_history_counts_interrupted_work_and_passes_over_half_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/dreamlap/__main__.py", "run", "demo", "--name", "a b"])
    note(tmp_path, command=command())
    with pytest.raises(KeyboardInterrupt), timed(tmp_path, "score"):
        raise KeyboardInterrupt
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"phase": "sco')
    begun, scored = history(tmp_path)
    assert begun["command"] == "dreamlap run demo --name 'a b'"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", begun["date"])
    assert scored["phase"] == "score"
    assert scored["seconds"] >= 0


def test_all_of_the_time_is_told(run: Path) -> None:
    for phase, seconds in (
        ("learn", 100.0),
        ("learn", 70.0),
        ("select", 22.0),
        ("score", 90.0),
        ("check", 40.0),
        ("videos", 60.0),
    ):
        note(run, phase=phase, seconds=seconds)
    reader = RunReader(run)
    spent = dict(reader.seconds)
    report = spent.pop("report")
    assert 0 <= report < 60
    assert spent == {
        **{"collect": 30.0, "vision": 60.0, "trust": 2.0, "controller": 50.0, "select": 20.0},
        **{"score": 90.0, "check": 40.0, "videos": 60.0, "rest": 30.0},  # 192 seconds of work, of which the stages tell 162
    }
    assert sum(spent.values()) == 100 + 70 + 22 + 90 + 40 + 60
    assert reader.untimed == []
    told = text_of(run)
    assert "wall-clock, all of it" in told
    for what in ("scoring", "videos", "this report", "checking the dream at the end", "loading, and interrupted work"):
        assert f'<th scope="row">{what}</th>' in told
    assert "Not timed" not in told


def test_what_an_older_version_did_not_time_is_named(run: Path) -> None:
    told = text_of(run)
    assert "wall-clock of what was timed" in told
    assert "Not timed, for an older version made it: scoring." in told
    assert "The command and its date were not written down" in told


def test_the_command_and_its_date_are_told(run: Path) -> None:
    lines = [
        {"date": "2026-01-31T12:05:00+01:00", "command": "dreamlap run demo --seed <3>"},
        {"date": 5, "command": "dreamlap"},
    ]
    (run / "history.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    told = text_of(run)
    assert "<pre>dreamlap run demo --seed &lt;3&gt;\n2026-01-31 12:05</pre>" in told
    assert "were not written down" not in told
    assert "history.jsonl[1]: date: 5 is not a text" in told


def test_the_worst_drive_is_shown_and_not_made_again(run: Path, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.save(run / "agent")
    monkeypatch.setattr("dreamlap.show.reading.unseen_drive", lambda agent, seed: unseen_drive(agent, seed, steps=3))
    told = text_of(run)
    assert "The worst of 2 scored drives: track 900001, return 300. A lost drive." in told
    assert "map of the worst drive" in told
    assert label_of(run / "videos" / "worst.mp4") == f"{agent.fingerprint} 900001 5"
    assert (run / "videos" / "worst.mp4").stat().st_size < 1e6
    place = json.loads((run / "videos" / "worst.json").read_text())
    assert len(place["path"]) == 55  # the zoom is driven, too
    assert len(place["road"]) > 100
    monkeypatch.setattr(worst, "write_video", None)  # whoever makes it again will fail
    assert "map of the worst drive" in text_of(run)
    (run / "videos" / "worst.json").write_text('{"seed": 1, "road": [], "path": "far"}')
    assert "this is a bug" not in text_of(run)


def test_test_tracks_are_not_driven_for_a_video(tmp_path: Path, agent: Agent) -> None:
    made = check_score({"seeds": [1_000_000], "returns": [300.0]}, "it")
    worst.film_worst(agent, made, tmp_path / "videos", 5)
    assert not (tmp_path / "videos").exists()


def test_a_map_is_drawn_of_any_drive() -> None:
    angle = np.linspace(0, 2 * np.pi, 50)[:-1]
    road = np.stack([100 * np.cos(angle), 60 * np.sin(angle)], 1).tolist()
    for path in ([(100, 0, False)], [(*place, i > 40) for i, place in enumerate(road)]):
        assert worst.drive_map(road, path).startswith(PNG)


def test_an_alarm_is_told_with_its_sign(run: Path) -> None:
    for number in (2, 3):
        Stage(run / f"round-{number}" / "trust").finish(seconds=1.0, **ROUNDS[number])
    told = text_of(run)
    assert "Alarm in round 2. The dream is too pessimistic" in told
    assert "Alarm in round 3. The dream is too optimistic" in told


def test_files_of_an_older_version_are_read_under_the_names_of_now(tmp_path: Path) -> None:
    sums = {"10": {"promised": 1.0, "given": 0.0, "correlation": 0.5, "pairs": [[-1.0, 2.0]]}}
    write_json(tmp_path / "round-0" / "memory" / "done.json", {"reward_sums": sums})
    found = {"promised": 1.0, "given": 2.0, "promised_off_road": 0.1, "given_off_road": 0.2, "alarm": True}
    write_json(tmp_path / "round-1" / "trust" / "done.json", found)
    write_json(tmp_path / "config.json", {"anew": {"controllers": 2}, "selection": {"film_steps": 5, "weighed": 60}})
    run = RunReader(tmp_path)
    assert list(run.result(1, "trust")) == ["predicted", "actual", "predicted_off_road", "actual_off_road", "alarm"]
    assert run.result(0, "memory")["reward_sums"]["10"]["predicted"] == 1.0
    assert (run.restarts, run.video_steps) == (2, 5)
    assert not run.problems
    write_json(tmp_path / "config.json", {"selection": {"film_steps": 5, "video_steps": 6}})
    again = RunReader(tmp_path)
    assert again.config == {}
    assert again.problems == ["config.json: 'film_steps' is the old name of 'video_steps', which is there too: delete one"]


def test_lines_of_good_values_are_drawn_where_they_hold(run: Path) -> None:
    like = {
        "vision": {"kind": "light", "latent": 32}, "vision_training": {"likelihood": "mse", "bar_weight": 5.0},
        "selection": {"video_steps": 5},
    }  # fmt: skip
    assert good_curves(like, "vision") == {"error": ("<", 30.0)}
    assert good_curves({**like, "vision": {"kind": "nvae", "latent": 32}}, "vision") == good_curves(like, "practice") == {}
    with Stage(run / "round-0" / "vision").logger() as log:
        log(1, {"error": 40.0})
    assert "Dashed green" not in text_of(run)
    write_json(run / "config.json", like)
    assert "Dashed green" in text_of(run)
    lines = [{"update": i, "error": 40.0 - i} for i in range(9)]
    assert figures.curves([lines], good={"error": ("<", 20.0)}) != figures.curves([lines])


def test_lost_drives_are_drawn_in_their_own_colour() -> None:
    returns = [300.0, 910.0, 920.0, 915.0, 905.0]
    assert figures.score_dots(returns) != figures.score_dots([810.0, *returns[1:]])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: trust.calibrated(STILL),
        lambda: trust.round_lines(ROUNDS),
        lambda: trust.policy_dots(POLICIES),
        lambda: figures.dream_strip(a_dream()),
        lambda: figures.score_dots([300.0, 910.0, 911.0, 930.0], [880.0, 920.0]),
        lambda: figures.rounds_curve({0: [900.0, 100.0], 1: [930.0]}, {0: [-50.0], 1: [200.0]}),
        lambda: figures.evolution([[{"best": 1.0, "mean": 0.5, "real": 3.0, "sigma": 0.1}] * 3]),
        lambda: worst.drive_map([(0, 0), (90, 0), (90, 90)], [(0, 0, False), (5, 5, True)]),
    ],
    ids=["calibrated", "check by round", "check by policy", "dream", "scores", "rounds", "evolution", "map"],
)
def test_no_legend_lies_over_data(draw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []

    def picture(paint: Any, width: float, height: float, theme: Any) -> bytes:
        figure = Figure((width, height), 100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        with matplotlib.rc_context(_style(LIGHT)):
            paint(figure)
            canvas.draw()
        drawn.append(figure)
        return PNG

    for module in (trust, figures, worst):
        monkeypatch.setattr(module, "picture", picture)
    draw()
    legends = [legend for axes in drawn[0].axes if (legend := axes.get_legend())] + drawn[0].legends
    assert len(legends) == 1
    box = legends[0].get_window_extent()
    assert not any(box.overlaps(axes.get_window_extent().padded(-2)) for axes in drawn[0].axes)
    titles = [text for axes in drawn[0].axes for text in axes.get_children() if isinstance(text, Text) and text.get_text()]
    assert not any(box.overlaps(title.get_window_extent()) for title in titles)
    assert box.x0 >= 0
    assert box.x1 <= drawn[0].bbox.x1


def a_dream() -> OpenLoop:
    frames, error = np.zeros((30, 64, 64, 3), np.uint8), np.arange(30.0)
    return OpenLoop(frames, frames, {"dream": error, "floor": error / 2, "still": error * 2}, {})


def test_bars_are_a_table_that_reads_without_a_style() -> None:
    made = bars([("a long name of a stage", 3.0, "3 s"), ("<b>", 1.0, "1 s"), ("nothing", 0.0, "0 s")])
    rows = re.findall(
        r'<tr><th scope="row">(.*?)</th><td><progress max="100" value="(.*?)"></progress></td><td>(.*?)</td></tr>', made
    )
    assert rows == [("a long name of a stage", "100.0", "3 s"), ("&lt;b&gt;", "33.3", "1 s"), ("nothing", "0.0", "0 s")]
    assert "style=" not in made


def test_pictures_and_videos_are_no_wider_than_a_phone_and_only_tables_scroll(run: Path) -> None:
    write_video(run / "videos" / "drive.mp4", np.zeros((3, 48, 160, 3), np.uint8))
    shown = text_of(run)
    assert [float(width) for width in re.findall(r"min-width: ([\d.]+)rem", shown)] == [5]  # that of a bar
    assert "img { display: block; width: 100%" in shown
    assert "video { display: block; max-width: 100%" in shown
    assert set(re.findall(r'<div class="wide"><(\w+)', shown)) <= {"table"}


def test_a_video_that_a_policy_blocks_can_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "videos" / "drive [1] & 2.mp4"
    path.parent.mkdir()
    write_video(path, [np.zeros((64, 64, 3), np.uint8)] * 3)
    made = video(path, "A drive.")
    links = re.findall(r'<a href="(.*?)">(.*?)</a>', made)
    assert len(links) == 2  # in the player's place, and beside it
    assert set(links) == {("videos/drive%20%5B1%5D%20%26%202.mp4", "videos/drive [1] &amp; 2.mp4")}
    assert re.search(r"<video[^>]*><p>No video is shown here: open <a ", made)


def test_the_report_speaks_plainly(run: Path, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.save(run / "round-0" / "controller" / "agent")
    monkeypatch.setattr("dreamlap.show.reading.unseen_drive", lambda agent, seed: unseen_drive(agent, seed, steps=3))
    for number, found in ROUNDS.items():
        Stage(run / f"round-{number}" / "trust").finish(seconds=1.0, **found)
    write_json(run / "trust.json", {"horizon": 30, "rank_correlation": 0.9, "bias": 0.1, "controllers": POLICIES})
    space = {"dream": {"1": 2.0}, "floor": {"1": 1.0}, "still": {"1": 3.0}}
    Stage(run / "round-0" / "memory").finish(seconds=1.0, nll_per_dim=0.1, reward_rmse=1.0, pixels=space, reward_sums=STILL)
    words = re.sub(r"<style>.*?</style>|<details>.*?</details>|<[^>]+>", " ", text_of(run), flags=re.DOTALL).lower()
    assert "negative log-likelihood" in words
    assert "copy-last-frame baseline" in words
    for dialect in ("promis", "film", "price", "anew", "drunk", "drawing", "surprise", "nothing moves", "too kind", "awake"):
        assert dialect not in words, dialect
