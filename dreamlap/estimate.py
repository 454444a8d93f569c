"""What a run will cost, before it starts: the work counted from the settings, the rates measured on two cores with bfloat16."""

from typing import NamedTuple

from dreamlap.config.run import Config

TRACK_RATE = 2000.0
"""Track steps a second of one process, with a driver and recording."""
AWAKE_RATE = 600.0
"""Track steps a second of one process while C learns there: V looks and M remembers at every one."""
VISION_RATE = {"light": 2500.0, "conv": 650.0, "nvae": 330.0}
"""64x64 frames a second that V trains on."""
LOOK_RATE = 10_000.0
"""64x64 frames a second that V encodes."""
FLOPS = 1.2e11
"""Useful floating-point operations a second while M trains or dreams."""
BYTES_A_FRAME = 1400
"""Of a 64x64 frame in the store, compressed."""


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


def cost(config: Config) -> Cost:
    """The work that the settings ask for, counted."""
    first, later, rounds = config.collect, config.rounds, config.rounds.rounds
    driven = first.random + first.correlated + first.autopilot + first.expert
    real = driven * first.steps + rounds * later.episodes * later.steps
    area = (config.track.size / 64) ** 2
    seen = config.vision_training.batch * (config.vision_training.updates + rounds * later.vision_updates)
    read = config.memory_training.batch * config.memory_training.window
    read *= config.memory_training.updates + rounds * later.memory_updates
    controlled, on_track = _controlled(config)
    drivers = 1 if config.controller.kind == "actor-critic" else config.workers  # PPO drives all its tracks in one process
    seconds = real / (TRACK_RATE * config.workers) + on_track / (AWAKE_RATE * drivers)
    seconds += seen * area / VISION_RATE.get(config.vision.kind, VISION_RATE["conv"])
    seconds += real * area / LOOK_RATE + (3 * read + 2 * controlled) * _memory_flops(config) / FLOPS
    disk, memory = real * area * BYTES_A_FRAME / 1e9, 2 + min(4.0, real * area * 12.3e3 / 1e9) + real * 6e-7
    return Cost(real, controlled, seconds, disk, memory)


def estimate(config: Config) -> str:
    """One line: real steps, dream steps, minutes, disk and memory."""
    real, controlled, seconds, disk, memory = cost(config)
    what = "dream steps" if config.controller.mind == "dream" else "steps of C in the real environment"
    return (
        f"At most {real:,} real steps, {controlled:,} {what}; roughly "
        f"{_duration(seconds)} on two fast cores, without a GPU, up to three times that on slow ones without bfloat16; "
        f"{disk:.1f} GB of disk, {memory:.0f} GB of memory."
    )


def budget(config: Config) -> dict[str, str]:
    """The same in a few words: what is driven and dreamed, and how long all of it takes."""
    asked = cost(config)
    return {"steps": f"{_short(asked.real)} real, {_short(asked.controlled)} of C", "time": _duration(asked.seconds)}


def _short(number: int) -> str:
    return f"{number / 1e6:,.1f} M" if number >= 1e6 else f"{number / 1e3:.0f} k"


def _controlled(config: Config) -> tuple[int, int]:
    """Steps that C is trained on, and how many of them are on the track."""
    ppo, cmaes, rounds = config.ppo, config.cmaes, config.rounds
    if config.controller.kind == "actor-critic":
        curricula = [rounds.curriculum(ppo, number) for number in range(rounds.rounds + 1)]
        curricula += [config.restarts.curriculum(ppo)] * config.restarts.controllers
        steps = sum(stage.updates for curriculum in curricula for stage in curriculum) * ppo.num_envs * ppo.steps
    else:
        scratch = sum(map(rounds.from_scratch, range(rounds.rounds + 1)))
        generations = scratch * cmaes.generations + (rounds.rounds + 1 - scratch) * rounds.controller_updates
        steps = generations * cmaes.population * cmaes.rollouts * cmaes.steps
    return steps, steps if config.controller.mind == "awake" else 0


def _memory_flops(config: Config) -> float:
    """Operations of one step of M: the gates, and the heads."""
    hidden, latent = config.memory.hidden, config.vision.latent
    gates = {"gru": 3, "reservoir": 2 * 4}.get(config.memory.kind, 4)
    inputs = latent + config.track.action_size + hidden
    return 2 * (gates * hidden * inputs + hidden * (3 * config.memory.mixtures * latent + 3))


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1.5:
        return "a minute"
    if minutes < 100:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.0f} hours" if minutes < 6000 else f"{minutes / 1440:.0f} days"


def brief(seconds: float) -> str:
    """A duration in seven characters."""
    if seconds < 100 * 60:
        return f"{max(1, seconds / 60):.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 100 * 3600 else f"{seconds / 86400:.0f} d"
