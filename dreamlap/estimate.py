"""What a run will cost, before it starts and while it goes on: the work counted from its settings, at a machine's pace."""

from collections.abc import Mapping
from typing import NamedTuple

from dreamlap.config.parts import LIMIT
from dreamlap.config.run import Config
from dreamlap.progress import counted

BYTES_A_FRAME = 1400
"""Of a 64x64 frame in the store, compressed."""
STOCK = 30
"""Times as long as a step of the fast track takes, a step of the stock one does, as does the picture of a video."""
LAP = 0.93 * LIMIT
"""Steps of a scored drive, about."""
GAIN, GAIN_OF_C = 0.88, 0.65
"""What each further core adds to the first. V and M learn on four threads at most, C by PPO on two: see `dreamlap.learn`."""
RECORD, DRIVE, LEARN = 1.8, 1.3, 1.25
"""Times as long as its parts alone take: a step that is recorded, a drive, and an update with all that belongs to it."""
START = 4.0
"""Seconds until processes work."""
VIDEO = 8
"""Pictures of all videos of a run, as a multiple of `selection.video_steps`."""
POLICIES, DRIVES = 5, 8
"""When the dream is checked: perturbed policies, beside those of the rounds; and the drives of each."""


class Pace(NamedTuple):
    """Seconds that one core takes."""

    reset: float
    """A new track."""
    track: float
    """A step of the fast track, or of the dream that is driven in its place."""
    act: float
    """One of eight frames that V and M are shown together to act on."""
    see: float
    """A frame that V learns from."""
    look: float
    """A frame that V encodes."""
    expect: float
    """A step that M learns from."""
    dream: float
    """A step of a dream."""
    learn: float
    """A step that PPO learns from, once."""


class Cost(NamedTuple):
    """What a configuration asks for."""

    real: int
    """Real steps that are kept, at most."""
    controlled: int
    """Steps that C is trained on."""
    seconds: float
    disk: float
    """GB"""
    memory: float
    """GB"""


def usual(config: Config) -> Pace:
    """The pace of a core of a server with bfloat16."""
    area, memory = (config.track.size / 64) ** 2, _memory_flops(config) / 1.2e11
    kinds = {"light": (3.2e-4, 9.5e-4, 1.5e-4), "conv": (5.6e-4, 2.6e-3, 2.8e-4), "nvae": (6.9e-4, 4.7e-3, 5.1e-4)}
    act, see, look = (seconds * area for seconds in kinds.get(config.vision.kind, kinds["conv"]))
    track = 1.5e-3 / config.track.repeat if config.track.dream else 1.9e-4  # a dream's V draws every frame
    return Pace(0.018, track, act, see, look, 3 * memory, 3 * memory, 4.8e-6)


def phases(config: Config, pace: Pace, cores: int = 2) -> dict[str, float]:
    """The stages of a run and what follows them, in order, and the seconds that each takes."""
    first, later, workers = config.collect, config.rounds, min(config.workers, cores)
    found: dict[str, float] = {}
    steps = 0
    for number in range(later.rounds + 1):
        if number:
            driven, length, act = later.episodes, later.steps, pace.act
            seen, read = later.vision_updates, later.memory_updates
        else:
            driven, length, act = first.random + first.correlated + first.autopilot + first.expert, first.steps, 0.0
            seen, read = config.vision_training.updates, config.memory_training.updates
        kept = driven * config.track.decisions(length)
        steps += kept
        looked = steps if later.vision_updates else kept
        driving = driven * length * pace.track + kept * ((RECORD - 1) * pace.track + DRIVE * act)
        taken = {
            "collect": (driven * pace.reset + driving) / workers + START * (number == 0),
            "vision": LEARN * config.vision_training.batch * seen * pace.see / _together(4, cores),
            "encode": looked * (pace.look + 0.35 * pace.track) / _together(cores, cores),
            "memory": config.memory_training.batch * config.memory_training.window * read * pace.expect / _together(4, cores),
            "controller": _control(config, pace, _controlled_in(config, number), cores) + 1,
        }
        found |= {f"round-{number}/{stage}": seconds for stage, seconds in taken.items()}
    for number in range(later.rounds + 1, config.last + 1):
        found[f"round-{number}/controller"] = _control(config, pace, _restarted(config), cores)
    chosen = config.selection
    if (racing := min(chosen.candidates, config.last + 1)) > 1:
        half = max(2, -(-racing // 2))
        drives = chosen.tracks * (racing + half + 2 * max(2, -(-half // 2))) / 4
        found["select"] = drives * (pace.reset + DRIVE * LAP * (pace.track + pace.act)) / workers + START
    found["score"] = chosen.scored * (20 * pace.reset + LAP * (STOCK * pace.track + pace.act)) / workers + START
    if config.controller.mind == "dream":
        found["check"] = (
            (config.last + 1 + POLICIES) * DRIVES * (pace.reset + DRIVE * chosen.check_steps * (pace.track + pace.act))
        )
    return found | {"videos": VIDEO * chosen.video_steps * STOCK * pace.track}


def until(stage: str, expected: Mapping[str, float]) -> dict[str, float]:
    """Those of the phases that a training goes through which ends with `stage`."""
    if stage == "controller":
        return {phase: seconds for phase, seconds in expected.items() if phase.startswith("round-")}
    names = [phase for phase in expected if phase.startswith("round-0/")]
    return {phase: expected[phase] for phase in names[: names.index(f"round-0/{stage}") + 1]}


def _together(threads: int, cores: int) -> float:
    """How many cores' work so many threads get done side by side."""
    return 1 + GAIN * (min(cores, threads) - 1)


def _control(config: Config, pace: Pace, steps: int, cores: int) -> float:
    """Seconds in which C is trained on so many steps, those in which an action is repeated included."""
    repeat = config.track.repeat
    if config.controller.kind == "linear":
        if config.controller.mind == "awake":
            crowd = min(24, config.cmaes.population * (config.cmaes.first_rollouts or config.cmaes.rollouts) / 2)
            act = pace.act * (0.5 + 4 / crowd)  # V takes nearly as long for one frame as for eight
            return steps * DRIVE * (pace.track + act / repeat) / min(config.workers, cores)
        return steps * pace.dream / _together(2, cores)
    learned = LEARN * config.ppo.epochs * pace.learn
    if config.controller.mind == "awake":  # PPO drives all its tracks in one process
        return steps * (DRIVE * (pace.track + pace.act / repeat) + learned / repeat)
    return steps * (pace.dream + learned) / (1 + GAIN_OF_C * (min(cores, 2) - 1))


def cost(config: Config) -> Cost:
    """The work that the settings ask for, counted, and the time of all of it on two cores of a server."""
    first, later, rounds = config.collect, config.rounds, config.rounds.rounds
    driven = first.random + first.correlated + first.autopilot + first.expert
    real = driven * first.steps + rounds * later.episodes * later.steps
    area = (config.track.size / 64) ** 2
    seconds = sum(phases(config, usual(config)).values())
    kept = real / config.track.repeat
    seen = kept if rounds and later.vision_updates else driven * first.steps / config.track.repeat  # by V while it learns
    disk, memory = kept * area * BYTES_A_FRAME / 1e9, max(2.4, 1.3 + min(4.0, seen * area * 12.3e3 / 1e9)) + kept * 6e-7
    return Cost(real, _controlled(config), seconds, disk, memory)


def estimate(config: Config, seconds: float) -> str:
    """One line: real steps, dream steps, minutes, disk and memory."""
    real, controlled, _, disk, memory = cost(config)
    what = "dream steps" if config.controller.mind == "dream" else "steps of C in the real environment"
    return (
        f"At most {real:,} real steps, {controlled:,} {what}; about {duration(seconds)} on this machine as it is now, "
        f"{disk:.1f} GB of disk, {memory:.0f} GB of memory."
    )


class Timetable:
    """How long a run goes on still: what is expected of the phases that are left, corrected by how long those before took."""

    def __init__(self, expected: Mapping[str, float]):
        """`expected`: the phases in order, and the seconds that each is expected to take."""
        self._coming, self._expected, self._taken = dict(expected), 0.0, 0.0

    def passed(self, phase: str, seconds: float) -> None:
        """A phase is over, after so many seconds. One that had been done before tells nothing of the pace."""
        expected = self._coming.pop(phase, 0.0)
        if seconds > 0.2 * expected:
            self._expected, self._taken = self._expected + expected, self._taken + seconds

    @property
    def left(self) -> float:
        """Seconds until all of them are over."""
        return sum(self._coming.values()) * (self._taken / self._expected if self._expected else 1.0)


def budget(config: Config) -> dict[str, str]:
    """The same in a few words: what is driven and dreamed, and how long all of it takes."""
    asked = cost(config)
    return {"steps": f"{_short(asked.real)} real, {_short(asked.controlled)} of C", "time": duration(asked.seconds)}


def _short(number: int) -> str:
    return f"{number / 1e6:,.1f} M" if number >= 1e6 else f"{number / 1e3:.0f} k"


def _controlled(config: Config) -> int:
    """Steps that C is trained on."""
    rounds = sum(_controlled_in(config, number) for number in range(config.rounds.rounds + 1))
    return rounds + config.restarts.controllers * _restarted(config)


def _controlled_in(config: Config, number: int) -> int:
    """Those of a round."""
    if config.controller.kind == "actor-critic":
        updates = sum(stage.updates for stage in config.rounds.curriculum(config.ppo, number))
        each = config.track.repeat if config.controller.mind == "awake" else 1
        return updates * config.ppo.num_envs * config.ppo.steps * each
    cmaes = config.cmaes
    generations = cmaes.generations if config.rounds.from_scratch(number) else config.rounds.controller_updates
    length = min(cmaes.steps * config.track.repeat, LIMIT) if config.controller.mind == "awake" else cmaes.steps
    steps = generations * cmaes.population * cmaes.rollouts * length
    return min(steps, cmaes.budget) if cmaes.budget else steps


def _restarted(config: Config) -> int:
    """Those of a restart after the rounds."""
    return sum(stage.updates for stage in config.restarts.curriculum(config.ppo)) * config.ppo.num_envs * config.ppo.steps


def _memory_flops(config: Config) -> float:
    """Operations of one step of M: the gates, and the heads."""
    hidden, latent = config.memory.hidden, config.vision.latent
    gates = {"gru": 3, "reservoir": 2 * 4}.get(config.memory.kind, 4)
    inputs = latent + config.track.action_size + hidden
    return 2 * (gates * hidden * inputs + hidden * (3 * config.memory.mixtures * latent + 3))


def duration(seconds: float) -> str:
    """A duration in words."""
    minutes = seconds / 60
    if minutes < 1.5:
        return counted(round(max(1, seconds)), "second")
    if minutes < 100:
        return counted(round(minutes), "minute")
    return counted(round(minutes / 60), "hour") if minutes < 6000 else counted(round(minutes / 1440), "day")


def brief(seconds: float) -> str:
    """A duration in seven characters."""
    if seconds < 100 * 60:
        return f"{max(1, seconds / 60):.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 100 * 3600 else f"{seconds / 86400:.0f} d"
