"""How a run trains: collect, then V, M and C one after the other, and again in rounds.

Every stage is a folder that is done or not. The same call on the same folder goes on where it stopped.
"""

import copy
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from dreamlap.agent import Agent, Starts, build_agent
from dreamlap.cluster import in_use
from dreamlap.config.parts import LIMIT
from dreamlap.config.run import Config
from dreamlap.control import ActorCritic
from dreamlap.device import choose_autocast
from dreamlap.drivers import DriverConfig
from dreamlap.episodes import EpisodeFile, EpisodeStore
from dreamlap.episodes.latents import Latents, encode_episodes, join, keep_latents, load_latents, newest, written_as
from dreamlap.episodes.record import collect
from dreamlap.errors import Refused
from dreamlap.estimate import duration
from dreamlap.history import timed
from dreamlap.learn.carried import carried, carry
from dreamlap.learn.cmaes import train_cmaes
from dreamlap.learn.critic import Critic
from dreamlap.learn.distillation import distill
from dreamlap.learn.memory import dream_starts, fit_memory
from dreamlap.learn.ppo import dreams, train_ppo
from dreamlap.learn.rollouts import awake_fitness, dream_fitness, linear_of
from dreamlap.learn.vision import VisionTraining, fit_vision
from dreamlap.measure.memory import foresight
from dreamlap.measure.trust import SIGHT, SUMS, advice, calibration, compare_rewards, predictions
from dreamlap.measure.vision import eyesight
from dreamlap.memory import MDNRNN
from dreamlap.mind import Awake, Dream
from dreamlap.plan import Run, begun_with, distills, length
from dreamlap.progress import meter, notes
from dreamlap.run import AGAIN, Stage, versions
from dreamlap.seeds import derive
from dreamlap.weights import checksum, checksum_of

MOMENTS = 50_000
"""Real moments that the dreams of a training start from."""
SHIPPED_MOMENTS = 256
"""Those of them that an agent carries along, so that its dream can be entered wherever it goes."""
HELD_OUT = 16
"""One in so many episodes of the first collection is never shown to V or M: it measures what they learned."""
STUDENTS = 256
"""Dreams side by side in which another C is distilled into a linear one."""

StageFunction = Callable[[Run, int, Stage, Agent], None]
"""Makes a stage of a round if it is not done, and leaves the agent as the stage left it."""


def learn(run: Run, until: str = "controller") -> Agent:
    """All rounds of collecting and training, and the restarts of C after them -> the last agent.

    `until` ends after that stage of round 0.
    """
    with timed(run.folder, "learn"):
        agent = first_agent(run.config).to(run.device)
        run.lineage = {"episodes": [], "latents": []}
        for number in range(run.config.last + 1):
            stages = ROUND if number <= run.config.rounds.rounds else {"controller": train_controller}
            for name, stage_function in stages.items():
                take(run, number, name, stage_function, agent)
                if name == until != "controller":
                    return agent
            if run.timetable and run.timetable.left:
                notes.print(f"Round {number} of {run.config.last} is done; about {duration(run.timetable.left)} left in all")
    return agent


def take(run: Run, number: int, name: str, stage_function: StageFunction, agent: Agent) -> None:
    """Go through a stage of round `number`, and note what it leaves for the stages that build on it."""
    stage, began = run.enter(number, name), time.time()
    with stage.timed():
        stage_function(run, number, stage, agent)
    if run.timetable:
        run.timetable.passed(f"round-{number}/{name}", time.time() - began)
    if (product := stage.result.get("product")) is not None:
        if (part := PRODUCES[name]) in ("episodes", "latents"):
            run.lineage[part] = [*run.lineage[part], product]
        else:
            run.lineage[part] = product


PRODUCES = {"collect": "episodes", "vision": "vision", "encode": "latents", "memory": "memory", "controller": "controller"}
"""What each stage leaves for others to build on; `trust` leaves nothing."""


def first_agent(config: Config) -> Agent:
    """What a run begins with: fresh weights, or those of the agent that `config.start` names.

    A linear C that begins with an agent of another kind does as that one does, as well as one matrix can.

    Raises:
        Refused: that agent is made otherwise than `config` asks for.
    """
    if not config.start:
        return build_agent(config.agent, config.seed)
    begun = begun_with(config)
    if not distills(begun, config):
        return Agent(config.agent, begun.vision, begun.memory, begun.controller)
    student = linear_of(build_agent(config.agent, config.seed))
    distill(student, begun.controller, Dream(begun, STUDENTS, config.dream), derive(config.seed, "imitate"))
    return Agent(config.agent, begun.vision, begun.memory, student)


def collect_round(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Round 0 is driven by the drivers of the preset, the others by the agent of the round before."""
    if stage.done and lost_episodes(run, stage):
        stage.reopen()
    if stage.done:
        return
    names = []
    how = run.config.rounds if number else run.config.collect
    for driver, episodes in _drives(run, number):
        name = "agent" if number else driver.name
        seed = run.seed("collect", number, name)
        names += collect(
            run.store,
            f"r{number:02d}-{name}",
            episodes,
            driver,
            run.config.track,
            seed,
            how.steps,
            how.random_start,
            how.reverse,
            run.config.workers,
            run.config.rounds.patience if number else 0,
        )
    driven = [run.store.open(name) for name in names] or list(EpisodeStore(run.data or ""))
    returns = [float(episode.array("rewards").sum()) for episode in driven if episode.knows("rewards")]
    kept = {} if run.data and not number else {episode.path.stem: episode.identity for episode in driven}
    product = checksum([], *sorted(episode.identity for episode in driven))
    stage.finish(steps=sum(map(len, driven)), returns=returns, episodes=kept, product=product)


def lost_episodes(run: Run, stage: Stage) -> bool:
    """Whether an episode that a stage collected is no longer there as it was. (Older versions did not write them down.)"""
    for name, identity in stage.result.get("episodes", {}).items():
        if name not in run.store or run.store.open(name).identity != identity:
            notes.print(f"{stage.folder} is made again: its episode {name} is missing or has changed")
            return True
    return False


def _drives(run: Run, number: int) -> list[tuple[DriverConfig, int]]:
    later = run.config.rounds
    if number == 0:
        return [] if run.data else run.config.drives
    folder = str(run.stage(number - 1, "controller").folder / "agent")
    return [(DriverConfig(folder, noise=later.noise), later.episodes)]


def episodes_of(run: Run, *numbers: int) -> list[EpisodeFile]:
    """The episodes collected in these rounds, in order."""
    given = list(EpisodeStore(run.data)) if run.data and 0 in numbers else []
    return given + [run.store.open(name) for number in numbers for name in names_of(run, number)]


def names_of(run: Run, number: int) -> list[str]:
    """The names of the episodes that this round has collected. Other files in the folder are not the run's."""
    kept = run.stage(number, "collect").result.get("episodes")
    if kept is None:  # an older version did not write them down
        kept = [name for name in run.store.names() if re.fullmatch(rf"r{number:02d}-.+-\d{{5}}", name)]
    return sorted(kept)


def train_vision(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Train V: in round 0, and in later ones if the preset asks for it."""
    config = run.config.vision_training if number == 0 else _later_vision(run.config)
    if stage.done or not config.updates:
        return restore(stage, vision=agent.vision)
    shown, held_out = split(run, number)
    seed, previous = run.seed("vision", number), run.stage(number - 1, "vision") if number else None
    fit_vision(stage, agent.vision, shown, config, run.config.track.bar, seed, run.autocast, previous)
    measured = eyesight(agent.vision, shown, held_out, run.config.track.bar, seed)
    return stage.finish(product=checksum_of(agent.vision.state_dict()), **measured)


def _later_vision(config: Config) -> VisionTraining:
    return replace(config.vision_training, updates=config.rounds.vision_updates, kl_warmup=1)


def split(run: Run, number: int) -> tuple[list[EpisodeFile], list[EpisodeFile]]:
    """The episodes up to this round to learn from, and the few that are held out (if the first is the only one, it is both)."""
    first, later = episodes_of(run, 0), episodes_of(run, *range(1, number + 1))
    learn = shown_of(first).tolist()
    shown = [episode for episode, may in zip(first, learn, strict=True) if may]
    return shown + later, [episode for episode, may in zip(first, learn, strict=True) if not may] or first


def shown_of(first: list[EpisodeFile]) -> Tensor:
    """Which episodes of the first collection V and M may learn from, (E,) bool: all but every sixteenth.

    Where only some have rewards, M must see one of them: then others are held out.
    """
    number = torch.arange(len(first))
    if len(first) == 1:
        return number == 0
    rewarded = torch.tensor([episode.knows("rewards") for episode in first])
    choices = [number % HELD_OUT != held for held in range(min(HELD_OUT, len(first)))]
    return next((shown for shown in choices if (shown & rewarded).any()), choices[0])


def encode(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Let V look once at the new episodes; at all of them again if V has learned since."""
    if stage.result.get("product") not in (None, written_as(files_of(stage))):
        notes.print(f"{stage.folder} is made again: its latents have changed")
        for file in stage.folder.glob("*.safetensors"):
            file.unlink()
        stage.reopen()
    if stage.done:
        return
    again = number and run.config.rounds.vision_updates
    new = episodes_of(run, *(range(number + 1) if again else [number]))
    with meter("V looks at the episodes", len(new)) as bar:
        look = partial(
            encode_episodes, agent.vision, form=agent.actions, bar=run.config.track.bar, autocast=run.autocast, counted=bar.over
        )
        files, product = keep_latents(stage.folder, new, look, bar.over)
    stage.finish(steps=sum(map(len, new)), product=product, files=files)


def kept_latents(run: Run, number: int) -> Latents:
    """What V kept in the stage of this round."""
    return load_latents(files_of(run.stage(number, "encode")), run.device)


def files_of(stage: Stage) -> list[Path]:
    """Where V kept latents. (Older versions kept one file and did not write that down.)"""
    return [stage.folder / name for name in stage.result.get("files", ["latents.safetensors"])]


def latents_of(run: Run, number: int) -> tuple[Latents, int]:
    """All episodes up to this round as V sees them now, and the number of the first episode of this round."""
    rounds = [number] if run.config.rounds.vision_updates else range(number + 1)
    latents = join([kept_latents(run, n) for n in rounds])
    return latents, len(latents.length) - len(episodes_of(run, number))


def check_dream(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Before M learns from the drives of this round: did it predict their rewards? If not, print what to do."""
    if stage.done or not number or run.config.controller.mind != "dream":
        return
    seen = kept_latents(run, number)
    latents = newest(seen, len(episodes_of(run, number)))  # if V has learned since, it has looked at the older ones again, too
    asked = predictions(agent.memory, latents, SIGHT, run.config.memory.burn_in, run.seed("trust", number))
    found = compare_rewards(asked, off_road_penalty(run))
    stage.finish(**found)
    if found["alarm"]:
        notes.print(f"Round {number - 1}: {advice(found)}", style="yellow")


def off_road_penalty(run: Run) -> float:
    """The penalty of a step off the road while C is trained."""
    config = run.config
    return (config.ppo if config.controller.kind == "actor-critic" else config.cmaes).off_road_penalty


def train_memory(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Train M, if the preset asks for it."""
    run.memory_before = copy.deepcopy(agent.memory)
    config, later = run.config.memory_training, run.config.rounds
    if number:
        rate = config.learning_rate * later.rate(number)
        config = replace(config, updates=later.memory_updates, learning_rate=rate)
    if stage.done or not config.updates:
        return restore(stage, memory=agent.memory)
    latents, first_fresh = latents_of(run, number)
    seed, previous = run.seed("memory", number), run.stage(number - 1, "memory") if number else None
    shown = torch.ones(len(latents.length), dtype=torch.bool)
    first = episodes_of(run, 0)
    shown[: len(first)] = shown_of(first)
    fit_memory(stage, agent.memory, latents, shown.to(run.device), first_fresh, config, seed, run.autocast, previous)
    held_out = [] if number else [episode for episode, learn in zip(first, shown.tolist(), strict=False) if not learn]
    measured = foresight(agent, held_out) if held_out else {}
    if held_out:
        unseen = encode_episodes(agent.vision, held_out, agent.actions, run.config.track.bar)
        measured["reward_sums"] = calibration(predictions(agent.memory, unseen, max(SUMS), run.config.memory.burn_in, seed))
    return stage.finish(product=checksum_of(agent.memory.state_dict()), **measured)


def train_controller(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Train C, in the dream or the real environment, and keep the agent. After the last round C starts from scratch."""
    if stage.done:
        return restore(stage, controller=agent.controller)
    rounds = run.config.rounds
    seed, (latents, first_fresh) = run.seed("controller", number), latents_of(run, min(number, rounds.rounds))
    agent.starts = starts_of(run, number, agent.memory, latents, first_fresh, MOMENTS)
    from_scratch = number > rounds.rounds or rounds.from_scratch(number)
    if from_scratch and number:
        agent.controller = build_agent(run.config.agent, seed).controller.to(run.device)
    if from_scratch and (number or not run.config.start) and isinstance(agent.controller, ActorCritic):
        agent.controller.standardise(_seen(agent))
    steps = fit_controller(run, number, stage, agent, seed)
    agent.starts = Starts(*(part[:SHIPPED_MOMENTS] for part in agent.starts))
    agent.about = {"round": number, "real_steps": latents.steps, "commit": versions()["commit"]}
    agent.save(stage.folder / "agent")
    product = checksum_of(agent.controller.state_dict())
    asked = {} if number else dict(zip(("unit", "updates"), length(run.config), strict=True))
    return stage.finish(steps=steps, product=product, **asked)


def starts_of(run: Run, number: int, memory: MDNRNN, latents: Latents, first_fresh: int, count: int) -> Starts:
    """`count` real moments that dreams of round `number` go on from, as `memory` remembers them."""
    fresh = run.config.memory_training.fresh if number else 0.0
    burn_in, from_start = run.config.memory.burn_in, run.config.dream.from_start
    return dream_starts(memory, latents, burn_in, from_start, first_fresh, fresh, count, run.seed("controller", number))


ROUND = {
    "collect": collect_round, "vision": train_vision, "encode": encode, "trust": check_dream, "memory": train_memory,
    "controller": train_controller,
}  # fmt: skip
"""The stages of a round, in order."""


def fit_controller(run: Run, number: int, stage: Stage, agent: Agent, seed: int) -> int:
    """PPO for an actor-critic, CMA-ES for a linear C, in the mind that the preset names -> how many steps that took."""
    config, awake = run.config, run.config.controller.mind == "awake"
    begin = config.rounds.random_start, config.rounds.reverse
    grown, from_scratch = number <= config.rounds.rounds, config.rounds.from_scratch(number)
    previous = run.stage(number - 1, "controller") if grown and not from_scratch else None
    if isinstance(agent.controller, ActorCritic):
        ppo = config.ppo
        curriculum = config.rounds.curriculum(ppo, number) if grown else config.restarts.curriculum(ppo)
        minds = [Awake(agent, ppo.num_envs, ppo.limit, *begin)] if awake else dreams(agent, ppo.num_envs, config.dream)
        train_ppo(stage, agent.controller, minds, curriculum, seed, run.autocast, previous)
        steps = sum(part.updates for part in curriculum) * ppo.num_envs * ppo.steps
        return steps * config.track.repeat if awake else steps
    cmaes = config.cmaes if from_scratch else config.rounds.evolution(config.cmaes, number)
    driver, autocast = agent, run.autocast
    if in_use():  # its machines need not have what this one learns on
        driver, autocast = copy.deepcopy(agent).to("cpu"), choose_autocast(config.precision, torch.device("cpu"))
    driven = partial(awake_fitness, driver, config.workers, autocast)
    cmaes = cmaes if awake else replace(cmaes, first_rollouts=0)
    critic = None
    if cmaes.gamma < 1 and not awake:
        critic = Critic(linear_of(agent).inputs, cmaes.gamma, run.seed("critic", number), agent.state.device)
    fitness = driven(cmaes, *begin) if awake else dream_fitness(agent, config.dream, cmaes, run.autocast, critic)
    real = driven(replace(cmaes, gamma=1.0, steps=LIMIT, leaving_penalty=0.0, off_road_penalty=0.0))
    begun = max(n for n in range(number + 1) if config.rounds.from_scratch(n))
    show, evolution = run.display and partial(run.display, agent), run.seed("controller", begun)
    seen = _seen(agent)
    rate, moved = 1.0 if from_scratch else config.rounds.rate(number), previous and carrier(run, number, agent, seen)
    return train_cmaes(stage, linear_of(agent), fitness, cmaes, evolution, previous, real, show, seen, critic, rate, moved)


def carrier(run: Run, number: int, agent: Agent, seen: Tensor) -> Callable[[Tensor], Tensor]:
    """What carries the weights of a linear C over to M as it is now, for the moments that dreams of round `number` begin with,
    where C sees `seen`. They are of all drives, with a share of C's latest (`memory_training.fresh`)."""
    assert run.memory_before is not None  # every round trains M first
    then = starts_of(run, number, run.memory_before, *latents_of(run, number), MOMENTS)
    before = carried(run.memory_before.h(then.state), seen, linear_of(agent))
    return partial(carry, seen=before, controller=linear_of(agent))


def _seen(agent: Agent) -> Tensor:
    """What C sees where dreams begin: [z, h] (N, Z + H)."""
    assert agent.starts is not None  # `train_controller` chose them
    return torch.cat([agent.starts.z, agent.memory.h(agent.starts.state)], -1)


def restore(stage: Stage, **parts: torch.nn.Module) -> None:
    """Give the parts the weights that a finished stage left, if it trained any.

    Raises:
        Refused: the checkpoint is not the one that the stage ended with.
    """
    product = stage.result.get("product")
    if stage.restore(parts) is None or product is None:
        return
    if any(product != checksum_of(part.state_dict()) for part in parts.values()):
        raise Refused(f"{stage.checkpoint} is not what the finished stage left: {AGAIN}")
