"""Settings: bounds beside every default, checked by whoever makes them, told by their flags, before anything is written."""

import dataclasses
import math
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlap.cli import main
from dreamlap.cli.runs import parse
from dreamlap.config.parts import MemoryConfig
from dreamlap.config.run import CollectConfig, Config, ControllerConfig, RestartConfig, RoundsConfig, SelectionConfig
from dreamlap.config.training import CMAESConfig, DreamConfig, ExpertConfig, PracticeConfig, VisionTraining
from dreamlap.episodes import EpisodeStore
from dreamlap.errors import Refused
from dreamlap.learn.ppo import PPOConfig
from dreamlap.play import play
from dreamlap.presets import PRESETS
from dreamlap.settings import (
    Bounds,
    SettingError,
    changed,
    checked,
    deviations,
    differences,
    from_dict,
    least,
    scaled,
    settings,
    span,
)
from dreamlap.show.video import preview_video
from dreamlap.track import TrackConfig


def numbers(kind: type, prefix: str = "") -> dict[str, tuple[type, str, Any, Bounds | None]]:
    """Every number among the settings: by its flag, the class, its name, its plain type and its bounds."""
    found = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        plain = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
        bounds = next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Bounds)), None)
        members = {member for member in (plain, *get_args(plain)) if member in (int, float)}
        if dataclasses.is_dataclass(plain):
            found |= numbers(plain, f"{prefix}{name}.")  # pyright: ignore[reportArgumentType]
        elif members:
            found[f"{prefix}{name}"] = (kind, name, plain, bounds)
    return found


ALL = numbers(Config) | {f"expert.{flag}": found for flag, found in numbers(ExpertConfig).items()}


@pytest.mark.parametrize("flag", ALL)
def test_every_number_has_bounds(flag: str):
    assert ALL[flag][3] is not None


@pytest.mark.parametrize("flag", ALL)
def test_what_is_out_of_bounds_or_no_number_is_refused(flag: str):
    kind, name, plain, bounds = ALL[flag]
    assert bounds is not None
    wrong = [math.nan, math.inf, -math.inf, "many", [1]]
    wrong += [bounds.least - 1] if math.isfinite(bounds.least) else []
    wrong += [bounds.least] if bounds.open else []
    wrong += [bounds.most + 1] if math.isfinite(bounds.most) else []
    wrong += [0.5] if plain is int else []
    for value in wrong:
        default = getattr(kind(), name)
        given = (value,) * len(default) if isinstance(default, tuple) and default else value
        with pytest.raises(SettingError, match=f"{kind.__name__}: `{name}` is"):
            kind(**{name: given})


@given(st.floats(), st.floats(-9, 9), st.floats(0, 9), st.booleans())
def test_bounds_say_what_they_do(value: float, low: float, width: float, is_open: bool):
    @settings
    class Anything:
        number: Annotated[float, Bounds(low, low + width, is_open)] = low + width

    inside = math.isfinite(value) and low <= value <= low + width and not (is_open and value == low)
    if is_open and width == 0:
        return  # nothing is inside, the default neither
    if inside:
        assert Anything(value).number == value
    else:
        with pytest.raises(SettingError, match="must be"):
            Anything(value)


@given(st.integers(-3, 3), st.integers(-3, 3))
def test_a_pair_is_in_order(low: int, high: int):
    @settings
    class Pair:
        both: Annotated[tuple[float, float], span(-2, 2)] = (0.0, 1.0)

    if -2 <= low <= high <= 2:
        assert Pair((low, high)).both == (low, high)
    else:
        with pytest.raises(SettingError):
            Pair((low, high))


@pytest.mark.parametrize("value", [np.int64(3), np.int32(3)])
def test_whole_numbers_of_numpy_are_whole_numbers(value: int):
    assert PPOConfig(num_envs=value).num_envs == 3
    with pytest.raises(SettingError):
        PPOConfig(num_envs=True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ppo.minibatch", "0"], "--ppo.minibatch 0 is out of bounds: it must be at least 2"),
        (["--ppo.learning-rate", "nan"], "--ppo.learning-rate nan is out of bounds: it must be a finite number"),
        (["--vision_training.updates", "-1"], "--vision-training.updates -1 is out of bounds: it must be at least 0"),
        (["--collect.random_start", "3"], "--collect.random-start 3.0 is out of bounds: it must be at least 0 and at most 1"),
        (["--rounds.noise", "0.3", "0.0"], "--rounds.noise 0.3 0.0 is out of bounds: it must not fall"),
        (["--collect.driver.speed", "-1", "-1"], "--collect.driver.speed -1.0 -1.0 is out of bounds: it must be at least 0.01"),
        (["--rounds.rounds", "-1"], "--rounds.rounds -1"),
        (["--seed", "-1"], "--seed -1"),
        (["--workers", "0"], "--workers 0"),
        (["--scale", "nan"], "--scale nan"),
        (["--scale", "0"], "--scale must be above 0"),
        (["--track.size", "60"], "--track.size 60: the light V"),
        (["--vision.kind", "conv", "--track.size", "96"], "--track.size 96: the ConvVAE"),
        (["--vision.kind", "nvae", "--vision.groups", "0", "--track.size", "50"], "--track.size 50: an NVAE"),
        (["--controller.mind", "awake", "--ppo.num_envs", "129"], "--ppo.num_envs is 129: at most 128 real environments"),
        (
            ["--controller.kind", "linear", "--controller.mind", "awake", "--cmaes.rollouts", "129"],
            "--cmaes.rollouts is 129: at most 128 real environments",
        ),
        (["--controller.kind", "linear", "--cmaes.directions", "999"], "--cmaes.directions 999: C sees 96 numbers"),
        (
            ["--controller.kind", "linear", "--controller.mind", "awake", "--cmaes.gamma", "0.99"],
            "--cmaes.gamma 0.99: the critic learns in dreams",
        ),
        (["--ppo.num_envs", "1", "--ppo.steps", "3", "--ppo.minibatch", "2"], "--ppo.minibatch 2: of 1 x 3 steps"),
        (["--selection.check_steps", "16"], "--selection.check_steps 16"),
        (["--memory.burn_in", "200"], "--selection.check_steps 120"),
        (["--memory.burn_in", "100", "--collect.steps", "100"], "--collect.steps 100: the burn-in of M takes 100 steps"),
        (["--collect.steps", "5"], "--collect.steps 5"),
        (["--rounds.steps", "10"], "--rounds.steps 10"),
        (
            ["--collect.random", "0", "--collect.correlated", "0", "--collect.autopilot", "0"],
            "--collect.correlated, --collect.autopilot and --collect.expert are all 0",
        ),
        (["--collect.expert", "1", "--collect.expert-folder", "nowhere"], "no agent in nowhere"),
        (["--start", "nowhere"], "no agent in nowhere"),
        (["--start", "champion"], "--start champion is made otherwise"),
        (["--track.dream", "nowhere"], "no agent in nowhere"),
        (["--data", "nowhere"], "no episodes in nowhere"),
        (["--device", "cuda"], "--device cuda: torch sees no CUDA GPU"),
        (["--restarts.controllers", "1", "--controller.kind", "linear"], "--restarts.controllers 0"),
    ],
)
def test_what_cannot_be_is_refused_by_its_flag_and_leaves_nothing(
    flags: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["train", "controller", "debug", *flags])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert message in " ".join(said.err.split())
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--minibatch", "0"], "--minibatch 0 is out of bounds: it must be at least 2"),
        (["--reflex.stack", "0"], "--reflex.stack 0"),
        (["--reflex.track.size", "8"], "--reflex.track.size 8"),
        (["--practice.patience", "0"], "--practice.patience 0"),
        (["--device", "cuda"], "--device cuda"),
    ],
)
def test_an_expert_is_refused_alike(
    flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["train", "expert", *flags])
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["collect", "d", "--episodes", "0"], "--episodes 0 is out of bounds: it must be at least 1"),
        (["collect", "d", "--driver.noise", "0.8", "0.1"], "--driver.noise 0.8 0.1 is out of bounds: it must not fall"),
        (["collect", "d", "--track.repeat", "0"], "--track.repeat 0"),
        (["collect", "d", "--driver.kind", "nobody"], "no agent in nobody"),
        (["collect", "d", "--driver.kind", "champion", "--track.size", "48"], "use --track.size 64"),
        (["play", "--episodes", "0"], "--episodes 0"),
        (["play", "--fps", "-5"], "--fps -5.0"),
        (["evaluate", "champion", "--workers", "-3"], "--workers -3"),
        (["video", "champion", "--steps", "0"], "--steps 0"),
        (["picture", "champion", "--seed", "-1"], "--seed -1"),
        (["data", "preview", "d", "--count", "0"], "--count 0"),
        (["data", "info", "d"], "there is no folder d"),
        (["data", "import", "x", "y", "--resize", "3"], "--resize 3"),
    ],
)
def test_every_verb_refuses_what_it_cannot_do(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_help_shows_the_bounds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "300")
    for words, bounds in ((["run", "debug"], "--ppo.minibatch INT ≥ 2"), (["collect"], "--random-start FLOAT 0 to 1")):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        assert bounds in capsys.readouterr().out


def test_every_preset_can_be_trained_in_the_real_environment_or_says_what_to_change():
    told = []
    for name, preset in PRESETS.items():
        with_kind = dataclasses.replace(preset.config.controller, mind="awake")
        fits = (preset.config.ppo.num_envs if with_kind.kind == "actor-critic" else preset.config.cmaes.rollouts) <= 128
        with nullcontext() if fits else pytest.raises(Refused, match=r"Use --(ppo\.num_envs|cmaes\.rollouts) 16"):
            dataclasses.replace(preset.config, controller=with_kind)
        told.append((name, fits))
    assert ("demo", False) in told
    assert ("champion-tuned", True) in told


def test_a_function_checks_its_arguments():
    @checked
    def double(number: Annotated[int, least(1)], config: CollectConfig = CollectConfig()) -> int:
        return 2 * number

    assert double(3) == 6
    assert double(number=4) == 8
    for wrong in (0, 2.5, "3", None):
        with pytest.raises(Refused, match="--number"):
            double(wrong)  # pyright: ignore[reportArgumentType]


def test_settings_come_back_from_a_file_and_only_what_they_can_be():
    config = Config(controller=ControllerConfig("linear"), collect=CollectConfig(random=3))
    told = dataclasses.asdict(config)
    assert from_dict(Config, told, "here") == config
    assert from_dict(Config, {"collect": {"random": 3}, "controller": {"kind": "linear"}}, "here") == config
    for values, message in (
        ([], "here must hold the settings of Config"),
        ({"vision": 3}, "here, vision must hold the settings of VisionConfig"),
        ({"vision": {"latent": 32.5}}, "here, vision: `latent` is 32.5, and it must be a whole number"),
        ({"vision": {"latnt": 3}}, "did you mean latent"),
        ({"track": {"bar": "false"}}, "`bar` is 'false', and it must be true or false"),
        ({"track": {"actions": "fly"}}, "must be one of pedal, stock, discrete"),
        ({"rounds": {"noise": [0.1]}}, "must be 2 numbers"),
        ({"rounds": {"noise": 0.1}}, "must be 2 numbers"),
        ({"vision": {"groups": 3}}, "must be a list of numbers"),
        ({"ppo": {"noise": "loud"}}, "`noise` is 'loud'"),
    ):
        with pytest.raises(Refused, match=message):
            from_dict(Config, values, "here")


def test_what_differs_from_the_defaults_and_from_each_other_is_told():
    one, two = Config(seed=3), Config(collect=CollectConfig(random=3, steps=90))
    assert deviations(Config()) == {}
    assert deviations(two) == {"collect": {"random": 3, "steps": 90}}
    told = differences(dataclasses.asdict(one), dataclasses.asdict(two))
    assert told == ["--collect.random 0 -> 3", "--collect.steps 1000 -> 90", "--seed 3 -> 0"]


OLD = {
    "ppo": {"minds": 64, "leaving_price": 1.0, "off_road_price": 2.0},
    "cmaes": {"off_road_price": 3.0},
    "rounds": {"price": 4.0},
    "anew": {"controllers": 2, "off_road_price": 5.0},
    "selection": {"weighed": 90, "film_steps": 30},
    "memory": {"warmup": 20},
}
"""Settings under the names that they had once."""


def test_settings_under_their_old_names_are_read_from_files():
    assert from_dict(Config, OLD, "here") == Config(
        ppo=PPOConfig(num_envs=64, leaving_penalty=1.0, off_road_penalty=2.0),
        cmaes=CMAESConfig(off_road_penalty=3.0),
        rounds=RoundsConfig(penalty_growth=4.0),
        restarts=RestartConfig(controllers=2, off_road_penalty=5.0),
        selection=SelectionConfig(check_steps=90, video_steps=30),
        memory=MemoryConfig(burn_in=20),
    )
    practice = PracticeConfig(off_road_penalty=2.0, lost_penalty=3.0)
    old = {"practice": {"off_road_price": 2.0, "lost_price": 3.0}, "film_steps": 40}
    assert from_dict(ExpertConfig, old, "here") == ExpertConfig(practice=practice, video_steps=40)


@pytest.mark.parametrize("names", [("warmup", "burn_in"), ("burn_in", "warmup")])
def test_a_setting_under_its_old_and_its_new_name_is_refused(names: tuple[str, str]):
    told = {"memory": dict.fromkeys(names, 16)}
    with pytest.raises(Refused, match="here: 'warmup' is the old name of 'burn_in', which is there too: delete one"):
        from_dict(Config, told, "here")


def test_what_fingerprints_are_made_of_keeps_the_old_names():
    assert deviations(from_dict(Config, OLD, "here")) == OLD


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--ppo.minds", "64"], "--ppo.minds has another name: it is now --ppo.num-envs"),
        (["--seed", "1", "--ppo.leaving-price=3"], "--ppo.leaving-price has another name: it is now --ppo.leaving-penalty"),
        (["--anew.off_road_price", "3"], "it is now --restarts.off-road-penalty"),
        (["--anew.controllers", "3"], "it is now --restarts.controllers"),
        (["--memory.warmup", "3"], "it is now --memory.burn-in"),
    ],
)
def test_an_old_flag_is_refused_with_the_new_one(flags: list[str], told: str):
    with pytest.raises(Refused, match=re.escape(told)):
        parse("run", ["debug", *flags])


def test_an_old_name_is_refused_with_the_new_one_in_python():
    with pytest.raises(Refused, match=r"no setting 'minds' in PPOConfig; did you mean num_envs\?"):
        changed(Config(), {"ppo": {"minds": 3}})


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf, "half"])
def test_no_scale_but_a_number_above_0_is_taken(factor: Any):
    with pytest.raises(Refused, match="--scale must be above 0"):
        scaled(Config(), factor)
    assert scaled(DreamConfig(), 1e300) == DreamConfig()
    assert scaled(VisionTraining(), 1e300).updates == 2**62


@pytest.mark.parametrize("number", [2**63, 10**400])
def test_a_number_too_large_to_compute_with_is_refused_by_name(number: int):
    with pytest.raises(SettingError, match=r"`horizon` is \d+, and it must be .* at most 4,611,686,018,427,387,904"):
        DreamConfig(horizon=number)


@pytest.mark.parametrize("factor", [1e-6, 0.01, 0.3, 3])
def test_a_scaled_preset_is_one_that_can_be_trained(factor: float):
    """What `--scale` makes keeps to the bounds, and drives stay longer than what M must have seen."""
    for name, preset in PRESETS.items():
        config = scaled(preset.config, factor)
        assert config.memory.burn_in < config.collect.steps <= 1000, name
        assert config.memory.burn_in < config.selection.check_steps <= 1000, name


@pytest.mark.parametrize(
    ("flag", "wrong"), [("episodes", {"episodes": 0}), ("steps", {"steps": -1}), ("fps", {"fps": math.nan})]
)
def test_playing_and_previews_check_python_callers_too(tmp_path: Path, flag: str, wrong: dict):
    how = {"episodes": 1, "steps": 1, "seed": 0, "random_start": 0.0, "fps": 0.0} | wrong
    with pytest.raises(Refused, match=f"--{flag} .* is out of bounds"):
        play("random", None, tmp_path / "d", TrackConfig(), **how)
    with pytest.raises(Refused, match="--count 0 is out of bounds"):
        preview_video(EpisodeStore(tmp_path), tmp_path / "a.mp4", 0)
    assert list(tmp_path.iterdir()) == []
