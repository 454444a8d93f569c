"""The command line: quick to answer, readable at 80 columns, and two runs never meet in one folder."""

import inspect
import json
import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import dreamlap
from dreamlap.agent import PARTS
from dreamlap.cli import PRESET_VERBS, VERBS, main
from dreamlap.cli.runs import FREE, PresetCommand, parse
from dreamlap.cli.words import headline
from dreamlap.config.parts import TrackConfig
from dreamlap.config.run import Config
from dreamlap.plan import binds
from dreamlap.progress import console, meter
from dreamlap.settings import differences
from dreamlap.track import action_form

ALL = PRESET_VERBS | VERBS
WITH_HELP = [*ALL, "", "train", "data", "run demo", "train vision demo"]
HEAVY = (
    "torch",
    "cma",
    "matplotlib",
    "cv2",
    "pygame",
    "Box2D",
    "av",
    "joblib",
    "safetensors",
    "tensorboard",
)
TINY = (
    *("--name", "t", "--collect.steps", "60", "--vision-training.updates", "6", "--memory-training.updates", "6"),
    *("--selection.video-steps", "20", "--workers", "1", "--memory.hidden", "16", "--vision.width", "8"),
)


def examples(thing: Any) -> list[str]:
    """The commands that a docstring shows, without their remarks."""
    shown = (inspect.getdoc(thing) or "").partition("\nExamples:\n")[2].partition("\n\n")[0]
    return [line.partition("#")[0].strip() for line in shown.splitlines() if line.strip()]


def said(words: list[str], capsys: pytest.CaptureFixture[str], status: int | None = 0) -> str:
    """What the command prints; `status`: how it ends."""
    ended = 0
    try:
        main(words)
    except SystemExit as end:
        ended = end.code or 0
    shown = capsys.readouterr()
    assert ended == status, shown
    return shown.out + shown.err


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "presets",
        "presets linear",
        "help run",
        "run demo --help",
        "train --help",
        "train expert --help",
        "video --help",
        "fly",
        "run dmo",
        "evaluate nowhere",
        "compare champion nowhere",
        "compare champion nowhere.json",
        "compare champion unprivileged --seeds 5",
        "evaluate unprivileged --seeds 5",
        "evaluate unprivileged --track nowhere",
        "evaluate unprivileged --track expert",
        "evaluate unprivileged --json /dev/null/score.json",
        "compare champion champion",
        "video nowhere",
        "video unprivileged --out drive.txt",
        "video unprivileged --what beside --first nowhere.png",
        "picture unprivileged --out picture.txt",
        "picture expert",
        "video expert --what dream",
        "report nowhere",
        "play --dream nowhere",
        "play --dream expert",
        "play --driver nowhere",
        "play --record /dev/null",
        "collect /dev/null",
        "collect episodes --driver.kind nowhere",
        "data info nowhere",
        "data preview nowhere",
        "data import nowhere episodes",
        "data export nowhere out --to png",
        "run demo --start nowhere",
        "run demo --data nowhere",
        "run demo --track.dream nowhere",
        "run demo --track.dream expert",
        "run demo --start expert",
        "run demo --collect.expert-folder nowhere",
        "run demo --collect.autopilot 0 --collect.correlated 0",
        "run demo --collect.steps 10",
        "run demo --ppo.nothing 3",
        "run demo --ppo.num_envs many",
        "run demo --ppo.num_envs 0",
        "collect episodes --episodes 0",
        "evaluate",
    ],
)
def test_help_and_refusals_load_nothing_heavy(words: str, tmp_path: Path):
    program = (
        "import json, sys\nfrom dreamlap.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words.split()], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=100
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "dreamlap.presets" in loaded
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert [name for name in HEAVY if name in loaded] == []


def test_a_window_system_that_is_not_there_is_not_asked_for(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "dreamlap", "picture", "champion", "--out", "a.png"], cwd=tmp_path, capture_output=True,
        text=True, check=False, env=os.environ | {"MPLBACKEND": "nothing", "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert (done.returncode, (tmp_path / "a.png").read_bytes()[:4]) == (0, b"\x89PNG"), done.stderr


def test_an_expert_without_its_extra_is_refused_at_once(tmp_path: Path):
    program = (
        "import sys\nfrom dreamlap.cli import main\nsys.modules['stable_baselines3'] = None\n"
        "try:\n    main(['train', 'expert'])\nfinally:\n    print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "pip install -c constraints.txt -e '.[expert]'" in " ".join(done.stderr.split())
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("verb", ALL)
def test_every_verb_has_a_short_headline_and_two_examples(verb: str):
    assert len(headline(ALL[verb])) <= 61
    shown = examples(ALL[verb])
    assert len(shown) == 2
    assert all("dreamlap " in line for line in shown)
    assert f"dreamlap {verb}" in shown[0]


@pytest.mark.parametrize("verb", WITH_HELP)
def test_help_fits_80_columns(verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = said([*verb.split(), "--help"], capsys)
    assert max(map(len, shown.splitlines())) <= 80
    assert "dreamlap" in shown
    assert said(["help", *verb.split()], capsys) == shown


@pytest.mark.parametrize("verb", WITH_HELP)
def test_help_says_what_values_are(verb: str, capsys: pytest.CaptureFixture[str]):
    """`INT 1 to 16777216` and `AGENT`; not `STR`, `{None}|FLOAT` or `1.67772e+07`."""
    assert re.findall(r"\bSTR\b|\{None|None\}|\de\+|default: (?:None|'')", said([*verb.split(), "--help"], capsys)) == []


@pytest.mark.parametrize("verb", WITH_HELP)
def test_paragraphs_of_help_are_filled(verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    boxes = said([*verb.split(), "--help"], capsys).partition("usage: ")[2]
    lines = [line[2:-2].rstrip() for line in boxes.splitlines() if len(line) == 80]
    for line, below in pairwise(lines):
        indent = len(line) - len(line.lstrip())
        if 0 < indent == len(below) - len(below.lstrip()):
            assert len(f"{line} {below.split()[0]}") > 76


@pytest.mark.parametrize("verb", ["evaluate", "video", "play", "report", "data import"])
def test_help_is_silent_about_what_may_be_left_out(verb: str, capsys: pytest.CaptureFixture[str]):
    shown = said([*verb.split(), "--help"], capsys)
    assert "(default: None)" not in shown
    assert "--json FILE" in shown or verb != "evaluate"


@pytest.mark.parametrize(
    ("words", "metavars"),
    [
        ("video", "AGENT"),
        ("picture", "AGENT"),
        ("evaluate", "AGENT"),
        ("report", "RUN"),
        ("collect", "FOLDER"),
        ("data info", "FOLDER"),
        ("run demo", "--data FOLDER"),
        ("run demo", "--start AGENT"),
        ("run demo", "--track.dream AGENT"),
        ("run demo", "--collect.expert-folder AGENT"),
        ("run demo", "--collect.driver.kind DRIVER"),
        ("run demo", "--cluster ray|auto|ADDRESS"),
        ("run demo", "--rounds.restart INT ... ≥ 1"),
        ("run demo", "--ppo.num-envs INT 1 to 16777216"),
        ("run demo", "--cmaes.target FLOAT "),
        ("collect", "--driver.kind DRIVER"),
        ("evaluate", "--track stock|fast|dream|AGENT"),
        ("presets", "usage: dreamlap presets [-h] [PRESET]\n"),
        ("compare", "AGENT|FILE"),
    ],
)
def test_metavars_say_what_is_meant(words: str, metavars: str, capsys: pytest.CaptureFixture[str]):
    assert metavars in said([*words.split(), "--help"], capsys)


def test_the_flags_that_most_need_come_first(capsys: pytest.CaptureFixture[str]):
    flags = ("--name NAME", "--seed 1", "--scale 0.1", "--full", "--data FOLDER", "--device cuda", "--workers 4")
    for words in ("run", "run demo", "train memory", "train memory ha2018", "train expert"):
        group = said(["help", *words.split()], capsys).partition("Flags that most people need:\n")[2].split("\n\n")[0]
        missing = [flag for flag in flags if f"  {flag} " not in group]
        unknown = {"run demo": ["--full"], "train expert": ["--full", "--data FOLDER"]}
        assert missing == unknown.get(words, [])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("runn", "did you mean run?"),
        ("zzz", "there is no verb 'zzz'; `dreamlap --help` lists them"),
        ("run zzz", "there is no preset 'zzz'; `dreamlap presets` lists them"),
        ("run", "which preset?"),
        ("run dmo", "there is no preset 'dmo'; did you mean demo?"),
        ("run --seed 1 demo", "name the preset before its flags"),
        ("presets dmo", "did you mean demo?"),
        ("train wings demo", "train what?"),
        ("data", "data info"),
    ],
)
def test_wrong_words_are_answered(words: str, told: str, capsys: pytest.CaptureFixture[str]):
    assert told in said(words.split(), capsys, 0 if words == "data" else 1)


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        ("video unprivileged --what x", "('drive', 'dream', 'prediction', 'beside', 'reconstruction')"),
        ("data import a b --align x", "('before', 'after')"),
    ],
)
def test_choices_are_listed_in_their_order_without_none(words: str, choices: str, capsys: pytest.CaptureFixture[str]):
    shown = said(words.split(), capsys, 2)
    assert choices.replace(" ", "") in re.sub(r"[\s│]", "", shown)
    assert "None" not in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_verbs_presets_and_flags(shell: str, capsys: pytest.CaptureFixture[str]):
    script = said(["completion", shell], capsys)
    for word in ("evaluate", "traversals", "preview", "rl-world-models-awake", "--ppo.minibatch", "--reflex.stack"):
        assert word in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("", "demo"),
        ("--seed 0", "demo"),
        ("--seed 1", "demo-seed1"),
        ("--scale 0.01", "demo-x0.01"),
        ("--scale 0.1 --seed 2", "demo-x0.1-seed2"),
        ("--device cpu --workers 7 --selection.tracks 3", "demo"),
        ("--rounds.rounds 9", "demo"),
        ("--data ../human/", "demo-data..-human"),
        ("--rounds.noise 0.1 0.2 --track.randomize", "demo-rounds.noise-0.1-0.2-track.randomize"),
        ("--track.no-bar", "demo-no-track.bar"),
        ("--seed 1 --name demo", "demo"),
        ("--full --scale 0.5 --seed 3", "ha2018-full-x0.5-seed3"),
    ],
)
def test_a_run_is_named_after_what_differs(flags: str, name: str):
    words = [name.split("-")[0], *flags.split()]
    scale = float(words[words.index("--scale") + 1]) if "--scale" in words else 1.0
    assert parse("run", words, scale, "--full" in words).name == name


def test_a_name_is_no_longer_than_a_file_system_takes():
    flags = [word for n in range(12) for word in (f"--{PATHS[n]}", "0.125")]
    one, other = (parse("run", ["demo", *flags, "--seed", seed]).name for seed in ("1", "2"))
    assert len(str(one)) <= 100
    assert one != other


PATHS = [
    *("ppo.gamma", "ppo.lam", "ppo.clip", "ppo.entropy", "ppo.reward-scale", "ppo.learning-rate", "ppo.off-road-penalty"),
    *("cmaes.sigma", "memory-training.clip", "memory-training.fresh", "vision-training.alone", "rounds.decay"),
]


def test_what_is_not_in_a_name_binds_no_stage_or_only_its_length():
    lengths = {"rounds.rounds", "restarts.controllers", "ppo.updates", "cmaes.generations", "cmaes.budget"}
    for setting in FREE:
        one = f"{setting}tracks" if setting.endswith(".") else setting
        bound = any(binds(one, number, stage, False) for number in (0, 1) for stage in ("collect", *PARTS))
        assert not bound or setting in lengths
    assert PresetCommand(Config()).name is None
    assert differences({"a": 1}, {"a": 2}) == ["--a 1 -> 2"]


@pytest.mark.parametrize("actions", ["pedal", "stock", "discrete"])
def test_the_size_of_an_action_is_its_forms(actions):
    assert TrackConfig(actions=actions).action_size == action_form(actions).size


def test_what_is_trained_alone_can_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    told = said(["train", "vision", "debug", *TINY], capsys)
    assert "a smoke test" in told
    assert "runs/t/pictures/reconstructions.png" in told
    said(["picture", "runs/t", "--what", "samples"], capsys)
    said(["video", "runs/t", "--steps", "20"], capsys)
    assert "no trained M" in said(["video", "runs/t", "--what", "prediction"], capsys, 1)
    assert "no trained M and no trained C" in said(["evaluate", "runs/t"], capsys, 1)
    assert "no trained M" in said(["play", "--dream", "runs/t"], capsys, 1)
    assert "runs/t/videos/prediction.mp4" in said(["train", "memory", "debug", *TINY], capsys)
    said(["video", "runs/t", "--steps", "20"], capsys)
    assert "no trained C" in said(["video", "runs/t", "--what", "dream"], capsys, 1)
    assert "no trained C" in said(["play", "--driver", "runs/t"], capsys, 1)
    said(["play", "--dream", "runs/t", "--driver", "random", "--episodes", "1", "--steps", "5", "--fps", "0"], capsys)
    made = [*tmp_path.glob("*.*"), *tmp_path.glob("runs/t/pictures/*"), *tmp_path.glob("runs/t/videos/*")]
    kept = {"samples.png", "reconstruction.mp4", "prediction.mp4", "reconstructions.png"}
    assert {path.name for path in made if path.stat().st_size} == kept


def test_results_go_to_standard_output_and_all_else_to_standard_error(tmp_path: Path):
    def call(*words: str) -> tuple[int, list[str], str]:
        command, narrow = [sys.executable, "-m", "dreamlap", *words], os.environ | {"COLUMNS": "20"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=narrow)
        return done.returncode, done.stdout.splitlines(), done.stderr

    status, out, err = call("evaluate", "champion", "--seeds", "900000:900001", "--track", "fast", "--workers", "1")
    assert status == 0
    assert len(out) == 1  # at any width
    assert out[0].endswith("(fast track: a quick look, not a score)")
    assert "drives fast tracks: 1 of 1" in err
    for words in (["evaluate", "nowhere"], ["evaluate"], ["nosuch"], ["data", "info", "nowhere"]):
        status, out, err = call(*words)
        assert (status, out) in [(1, []), (2, [])]
        assert err
    for flag in ("--version", "-V"):
        assert call(flag) == (0, [f"dreamlap {dreamlap.__version__}"], "")


def test_without_a_terminal_progress_is_a_line_every_half_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    now = iter(range(0, 10_000, 10))
    monkeypatch.setattr("dreamlap.progress.time.monotonic", lambda: next(now))
    with meter("counts [sheep]", 10) as bar:
        for i in range(10):
            bar.advance(note=f"sheep {i}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) < 10
    assert lines[0].startswith("counts [sheep]: ")
    assert "sheep" in lines[0]
    assert lines[-1].startswith("counts [sheep]: 10 of 10")


def test_the_rate_counts_all_that_was_done_and_the_time_that_it_took(capsys: pytest.CaptureFixture[str]):
    with meter("drives", 24, completed=8) as bar:
        time.sleep(0.2)
        bar.advance(8)
        bar.advance(8)
    told, rate = capsys.readouterr().err.strip().split(", ")
    assert told == "drives: 24 of 24"
    assert 0 < float(rate.removesuffix("/s")) <= 16 / 0.2


def test_what_a_file_holds_does_not_command_the_terminal(capsys: pytest.CaptureFixture[str]):
    console.print("a\x1b]0;title\x07b\x9b2Jc\n[d] \u00fc")
    assert capsys.readouterr().out == "a\ufffd]0;title\ufffdb\ufffd2Jc\n[d] \u00fc\n"


@pytest.mark.parametrize("name", ["..", ".", "", " ", "a/b", "/tmp/x", "../../out", "-x", ".hidden", "a\tb", "a\nb"])
@pytest.mark.parametrize("verb", ["train vision debug", "train expert"])
def test_a_name_is_no_path(
    verb: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert "--name is the name of a folder in runs, not a path" in said([*verb.split(), f"--name={name}"], capsys, 1)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_can_be_called_from_a_thread():
    code = (
        "import sys, threading; sys.argv = ['dreamlap', 'presets']\n"
        "from dreamlap.cli import main; thread = threading.Thread(target=main); thread.start(); thread.join()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "demo" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("words", ["run demo --help", "train expert --help", "video --help", "presets", "completion bash"])
def test_a_reader_may_go_away(words: str):
    command = [sys.executable, "-m", "dreamlap", *words.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode in (0, 141)


def test_what_no_program_reads_any_more_was_not_printed():
    printing = "from dreamlap.progress import print_for_programs; print_for_programs('{}')"
    piped = ["bash", "-c", f'{sys.executable} -c "$1" | true; exit ${{PIPESTATUS[0]}}', "bash", printing]
    done = subprocess.run(piped, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")
