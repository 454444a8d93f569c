"""The whole story of a run: collect, then V, M and C one after the other, again in rounds, and the best of them is the agent.

Every stage is a folder that is done or not. The same call on the same folder goes on where it stopped.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamlap.agent import Agent, Starts, build_agent, load_agent
from dreamlap.control import ActorCritic, Linear
from dreamlap.device import choose_autocast, choose_device
from dreamlap.drivers import DriverConfig
from dreamlap.episodes import EpisodeFile, EpisodeStore
from dreamlap.episodes.latents import Latents, encode_episodes, join, load_latents, newest, save_latents
from dreamlap.episodes.record import collect
from dreamlap.evaluate import evaluate
from dreamlap.learn.cmaes import awake_fitness, dream_fitness, linear_of, train_cmaes
from dreamlap.learn.imitation import imitate
from dreamlap.learn.memory import dream_starts, train_memory
from dreamlap.learn.ppo import train_ppo
from dreamlap.learn.vision import VisionTraining, train_vision
from dreamlap.measure.memory import foresight
from dreamlap.measure.trust import DRUNK, SIGHT, SUMS, agreement, calibration, drunk, population, promises, verdict
from dreamlap.measure.vision import eyesight
from dreamlap.mind import Awake, Dream
from dreamlap.presets import Config
from dreamlap.progress import console, meter
from dreamlap.run import Stage, claim, differences, read_json, versions, write_json
from dreamlap.seeds import SELECTION_SEEDS, derive
from dreamlap.show.report import write_report
from dreamlap.show.video import FILMS

MOMENTS = 50_000
"""Real moments that the dreams of a training start from."""
SHIPPED_MOMENTS = 256
"""Those of them that an agent carries along, so that its dream can be entered wherever it goes."""
HELD_OUT = 16
"""One in so many episodes of the first collection is never shown to V or M: it measures what they learned."""
PUPILS = 256
"""Dreams side by side in which a linear C imitates another."""
SHORT = 300
"""Steps of the film of M's prediction, at most."""
CHOOSING = SELECTION_SEEDS + 1000
"""The first of the selection tracks that choose between rounds; those that score the choice are others."""

Display = Callable[[Agent, torch.Tensor, int], None]
"""Shows the agent with other weights (D,) for its C, those of a generation's best candidate, and the generation's number."""


class Run:
    """A run folder and the settings it was begun with."""

    def __init__(self, folder: Path, config: Config, data: Path | None = None, display: Display | None = None):
        """`data`: a folder of episodes to learn from in round 0, in place of what the preset's drivers would drive.

        `display`: shows the best candidate of each generation of CMA-ES.
        """
        self.folder, self.config, self.data, self.display = folder, config, data, display
        self.device = choose_device(config.device)
        self.autocast = choose_autocast(config.precision, self.device)
        self.store = EpisodeStore(folder / "episodes")
        claim(folder, {**asdict(config), "data": str(data) if data else None})

    def stage(self, number: int, name: str) -> Stage:
        """The folder of a stage of round `number`."""
        return Stage(self.folder / f"round-{number}" / name)

    def seed(self, *names: int | str) -> int:
        """A seed for what is called `names`."""
        return derive(self.config.seed, *names)


def check_data(data: Path, config: Config, until: str) -> None:
    """Refuse a folder of episodes from which a run could not learn up to the stage `until`, before anything is begun.

    Raises:
        ValueError: there are none, or their frames are of another size than V sees, or C would need rewards that they lack.
    """
    episodes, side = list(EpisodeStore(data)), config.track.size
    if not episodes:
        raise ValueError(f"no episodes in {data}: `dreamlap collect` drives some, `dreamlap data import` brings some in")
    for episode in episodes:
        if episode.shape[1:3] != (side, side):
            high, wide = episode.shape[1:3]
            raise ValueError(
                f"the frames of {episode.path} are {wide}x{high}, and V is to see {side}x{side}: "
                f"say --track.size {wide}, or bring them in again with `dreamlap data import --resize {side}`"
            )
    dreams = until == "controller" and config.controller.mind == "dream"
    if dreams and not any(episode.knows("rewards") for episode in episodes):
        raise ValueError(
            f"the episodes in {data} hold no rewards, so M would never learn what earns one, and C has nothing to go by in "
            "its dream. Give episodes with rewards; or train V and M alone, by `dreamlap train memory`; or C on the track, by "
            "--controller.mind awake"
        )


def run_all(run: Run) -> None:
    """Everything, from an empty folder to a scored agent."""
    learn(run)
    choose(run)
    score(run)
    weigh(run)
    show(run)


def learn(run: Run, until: str = "controller") -> Agent:
    """All rounds of collecting and training, and the Cs that begin anew after them -> the last agent.

    `until` ends after that stage of round 0.
    """
    agent = first_agent(run.config).to(run.device)
    for number in range(run.config.rounds.rounds + 1):
        for name, stage_function in ROUND.items():
            stage = run.stage(number, name)
            stage_function(run, number, stage, agent)
            if name == until != "controller":
                return agent
    for number in range(run.config.rounds.rounds + 1, run.config.last + 1):
        act(run, number, run.stage(number, "controller"), agent)
    return agent


def first_agent(config: Config) -> Agent:
    """What a run begins with: fresh weights, or those of the agent that `config.start` names.

    A linear C that begins with an agent of another kind does as that one does, as well as one matrix can.

    Raises:
        ValueError: that agent is made otherwise than `config` asks for.
    """
    if not config.start:
        return build_agent(config.agent, config.seed)
    begun, asked = load_agent(config.start), build_agent(config.agent, config.seed)
    pupil = asked.controller if isinstance(asked.controller, Linear) and isinstance(begun.controller, ActorCritic) else None
    its, ours = begun.config.controller, config.controller
    settled = replace(ours, smoothing=its.smoothing) if pupil else replace(its, mind=ours.mind)
    if differing := differences(asdict(replace(begun.config, controller=settled)), asdict(config.agent)):
        raise ValueError(f"{config.start} is made otherwise than the settings ask for: {'; '.join(differing)}")
    if pupil:
        imitate(pupil, begun.controller, Dream(begun, PUPILS, config.dream), derive(config.seed, "imitate"))
    return Agent(config.agent, begun.vision, begun.memory, pupil or begun.controller)


def collect_round(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Round 0 is driven by the drivers of the preset, the others by the agent of the round before."""
    if stage.done:
        return
    began = time.time()
    how = run.config.rounds if number else run.config.collect
    for driver, episodes in _drives(run, number):
        name = "agent" if number else Path(driver.kind).name
        seed = run.seed("collect", number, name)
        collect(
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
        )
    driven = episodes_of(run, number)
    returns = [float(episode.array("rewards").sum()) for episode in driven if episode.knows("rewards")]
    stage.finish(seconds=time.time() - began, steps=sum(map(len, driven)), returns=returns)


def _drives(run: Run, number: int) -> list[tuple[DriverConfig, int]]:
    first, later = run.config.collect, run.config.rounds
    if number == 0 and run.data:
        return []
    if number == 0:
        kinds = {"random": first.random, "correlated": first.correlated, "autopilot": first.autopilot}
        kinds[first.expert_folder or run.config.start or "expert"] = first.expert
        return [(replace(first.driver, kind=kind), n) for kind, n in kinds.items() if n]
    folder = str(run.stage(number - 1, "controller").folder / "agent")
    return [(DriverConfig(folder, noise=later.noise), later.episodes)]


def episodes_of(run: Run, *numbers: int) -> list[EpisodeFile]:
    """The episodes collected in these rounds, in order."""
    prefixes = tuple(f"r{number:02d}-" for number in numbers)
    given = list(EpisodeStore(run.data)) if run.data and 0 in numbers else []
    return given + [run.store.open(name) for name in run.store.names() if name.startswith(prefixes)]


def see(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Train V: in round 0, and in later ones if the preset asks for it."""
    config = run.config.vision_training if number == 0 else _later_vision(run.config)
    if stage.done or not config.updates:
        return restore(stage, vision=agent.vision)
    began = time.time()
    shown, held_out = split(run, number)
    seed, previous = run.seed("vision", number), run.stage(number - 1, "vision") if number else None
    train_vision(stage, agent.vision, shown, config, run.config.track.bar, seed, run.autocast, previous)
    measured = eyesight(agent.vision, shown, held_out, run.config.track.bar, seed)
    return stage.finish(seconds=time.time() - began, **measured)


def _later_vision(config: Config) -> VisionTraining:
    return replace(config.vision_training, updates=config.rounds.vision_updates, kl_warmup=1)


def split(run: Run, number: int) -> tuple[list[EpisodeFile], list[EpisodeFile]]:
    """The episodes up to this round to learn from, and the few that are held out (if the first is the only one, it is both)."""
    first, later = episodes_of(run, 0), episodes_of(run, *range(1, number + 1))
    shown = [episode for episode, learn in zip(first, shown_of(len(first)).tolist(), strict=True) if learn]
    return shown + later, first[::HELD_OUT]


def shown_of(first: int) -> Tensor:
    """Which of the `first` episodes of the first collection V and M may learn from: (first,) bool."""
    return (torch.arange(first) % HELD_OUT != 0) | (first == 1)


def encode(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Let V look once at the new episodes; at all of them again if V has learned since."""
    if stage.done:
        return
    began = time.time()
    again = number and run.config.rounds.vision_updates
    new = episodes_of(run, *(range(number + 1) if again else [number]))
    with run.autocast, meter("V looks at the episodes", len(new)) as bar:
        latents = encode_episodes(agent.vision, new, agent.actions, run.config.track.bar, bar.over)
    save_latents(stage.folder / "latents.safetensors", latents)
    stage.finish(seconds=time.time() - began, steps=latents.steps)


def latents_of(run: Run, number: int) -> tuple[Latents, int]:
    """All episodes up to this round as V sees them now, and the number of the first episode of this round."""
    rounds = [number] if run.config.rounds.vision_updates else range(number + 1)
    parts = [load_latents(run.stage(n, "encode").folder / "latents.safetensors", run.device) for n in rounds]
    latents = join(parts)
    return latents, len(latents.length) - len(episodes_of(run, number))


def doubt(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Before M learns from what C has just done: told of it, would M have promised what came of it? If not, say so."""
    if stage.done or not number or run.config.controller.mind != "dream":
        return
    began = time.time()
    seen = load_latents(run.stage(number, "encode").folder / "latents.safetensors", run.device)
    latents = newest(seen, len(episodes_of(run, number)))  # if V has learned since, it has looked at the older ones again, too
    asked = promises(agent.memory, latents, SIGHT, run.config.memory.warmup, run.seed("trust", number))
    found = verdict(asked, price_of(run))
    stage.finish(seconds=time.time() - began, **found)
    if found["alarm"]:
        console.print(
            f"[bold yellow]The dream of round {number - 1} cannot be trusted[/]: for what C then did, M promised "
            f"{found['promised']:.2f} a step, less the price of leaving the road, and the track gave {found['given']:.2f}. "
            "If that goes on, give M more to learn from (--rounds.episodes, --rounds.memory_updates) or C less time to exploit "
            "it (--rounds.controller_updates, --dream.horizon)."
        )


def price_of(run: Run) -> float:
    """What a step off the road costs C while it learns."""
    config = run.config
    return (config.ppo if config.controller.kind == "actor-critic" else config.cmaes).off_road_price


def expect(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Train M, if the preset asks for it."""
    config, later = run.config.memory_training, run.config.rounds
    if number:
        rate = config.learning_rate * later.rate(number)
        config = replace(config, updates=later.memory_updates, learning_rate=rate)
    if stage.done or not config.updates:
        return restore(stage, memory=agent.memory)
    began = time.time()
    latents, first_fresh = latents_of(run, number)
    seed, previous = run.seed("memory", number), run.stage(number - 1, "memory") if number else None
    shown = torch.ones(len(latents.length), dtype=torch.bool)
    first = episodes_of(run, 0)
    shown[: len(first)] = shown_of(len(first))
    train_memory(stage, agent.memory, latents, shown.to(run.device), first_fresh, config, seed, run.autocast, previous)
    held_out = [] if number else [episode for episode, learn in zip(first, shown.tolist(), strict=False) if not learn]
    measured = foresight(agent, held_out) if held_out else {}
    if held_out:
        unseen = encode_episodes(agent.vision, held_out, agent.actions, run.config.track.bar)
        measured["reward_sums"] = calibration(promises(agent.memory, unseen, max(SUMS), run.config.memory.warmup, seed))
    return stage.finish(seconds=time.time() - began, **measured)


def act(run: Run, number: int, stage: Stage, agent: Agent) -> None:
    """Train C, in the dream or awake, and keep the agent that there is now. After the last round it begins anew."""
    if stage.done:
        return restore(stage, controller=agent.controller)
    began, rounds = time.time(), run.config.rounds.rounds
    latents, first_fresh = latents_of(run, min(number, rounds))
    fresh = run.config.memory_training.fresh if number else 0.0
    seed = run.seed("controller", number)
    warmup, from_start = run.config.memory.warmup, run.config.dream.from_start
    agent.starts = dream_starts(agent.memory, latents, warmup, from_start, first_fresh, fresh, MOMENTS, seed)
    if number > rounds:
        agent.controller = build_agent(run.config.agent, seed).controller.to(run.device)
    steps = train_controller(run, number, stage, agent, seed)
    agent.starts = Starts(*(part[:SHIPPED_MOMENTS] for part in agent.starts))
    agent.about = {"round": number, "real_steps": latents.steps, "commit": versions()["commit"]}
    agent.save(stage.folder / "agent")
    return stage.finish(seconds=time.time() - began, steps=steps)


ROUND = {"collect": collect_round, "vision": see, "encode": encode, "trust": doubt, "memory": expect, "controller": act}
"""The stages of a round, in order."""


def train_controller(run: Run, number: int, stage: Stage, agent: Agent, seed: int) -> int:
    """PPO for an actor-critic, CMA-ES for a linear C, in the mind that the preset names -> the most steps it took there."""
    config, awake = run.config, run.config.controller.mind == "awake"
    grown, updates = number <= config.rounds.rounds, config.rounds.controller_updates
    previous = run.stage(number - 1, "controller") if number and grown else None
    if isinstance(agent.controller, ActorCritic):
        ppo, later = config.ppo, {"updates": updates, "noise": None} if number else {}
        course = [ppo.at(config.rounds.rate(number), **later)] if grown else config.anew.course(ppo)
        if awake:
            mind = Awake(agent, ppo.minds, ppo.limit, config.rounds.random_start, config.rounds.reverse)
        else:
            mind = Dream(agent, ppo.minds, config.dream)
        train_ppo(stage, agent.controller, mind, course, seed, previous)
        return sum(lesson.updates for lesson in course) * ppo.minds * ppo.steps
    cmaes = replace(config.cmaes, generations=updates if number else config.cmaes.generations)
    fitness = awake_fitness(agent, cmaes, config.workers) if awake else dream_fitness(agent, config.dream, cmaes)
    real = awake_fitness(agent, replace(cmaes, steps=1000, off_road_price=0.0), config.workers)
    show, evolution = run.display and partial(run.display, agent), run.seed("controller", 0)
    seen = torch.cat([agent.starts.z, agent.memory.h(agent.starts.state)], -1) if agent.starts else None
    train_cmaes(stage, linear_of(agent), fitness, cmaes, evolution, previous, real, show, seen)
    return cmaes.generations * cmaes.population * cmaes.rollouts * cmaes.steps


def restore(stage: Stage, **parts: torch.nn.Module) -> None:
    """Give the parts the weights that a finished stage left, if it trained any."""
    saved = stage.load() or {}
    for name, part in parts.items():
        if name in saved:
            part.load_state_dict(saved[name])


def choose(run: Run) -> None:
    """Let the last agents drive selection tracks, if there are several, and keep the best one as the run's agent."""
    stage = Stage(run.folder / "select")
    if stage.done:
        return
    began = time.time()
    last, config = run.config.last, run.config.selection
    seeds = range(CHOOSING, CHOOSING + config.tracks)
    numbers, candidates = range(max(0, last - config.candidates + 1), last + 1), {}
    for number in numbers if len(numbers) > 1 else ():
        folder = run.stage(number, "controller").folder / "agent"
        candidates[number] = evaluate(folder, seeds, run.config.workers, track="fast")
    best = max(candidates, key=lambda number: candidates[number]["mean"], default=last)
    agent = load_agent(run.stage(best, "controller").folder / "agent")
    agent.about |= cost_of(run, time.time() - began)
    agent.save(run.folder / "agent")
    means = {str(number): result["mean"] for number, result in candidates.items()}
    stage.finish(seconds=time.time() - began, best=best, means=means)


def cost_of(run: Run, choosing: float) -> dict[str, Any]:
    """What goes with a score: how the run came to its agent, everything counted up to now, with the seconds of `choosing`."""
    done = {
        (number, name): read_json(run.stage(number, name).folder / "done.json")
        for number in range(run.config.last + 1)
        for name in ROUND
        if run.stage(number, name).done
    }
    given = len(EpisodeStore(run.data).names()) if run.data else 0
    acted = sum(result["steps"] for (_, name), result in done.items() if name == "controller")
    return {
        "mind": run.config.controller.mind,
        "seed": run.config.seed,
        **({"start": run.config.start} if run.config.start else {}),
        f"{run.config.controller.mind}_steps": acted,
        "seconds": round(choosing + sum(result.get("seconds", 0.0) for result in done.values())),
        "drivers": dict(Counter(name.split("-")[1] for name in run.store.names())) | ({"given": given} if given else {}),
    }


def score(run: Run) -> dict[str, Any]:
    """The run's agent on selection tracks of the stock track that had no say in choosing it.

    An agent that grew up on a dream is asked what it is promised there, too: in that first dream, and in its own.
    """
    seeds = range(SELECTION_SEEDS, SELECTION_SEEDS + run.config.selection.scored)
    tracks = {"scores/selection.json": "stock"}
    if run.config.track.dream:
        tracks |= {"dreams/first.json": run.config.track.dream, "dreams/own.json": "dream"}
    for name, track in tracks.items():
        if not (path := run.folder / name).exists():
            write_json(path, evaluate(run.folder / "agent", seeds, run.config.workers, track))
    return read_json(run.folder / "scores" / "selection.json")


def weigh(run: Run) -> None:
    """What the dream promises controllers good and bad, those of all rounds and drunk ones, beside what the track gives."""
    path, folders = run.folder / "trust.json", sorted(run.folder.glob("round-*/controller/agent"))
    if path.exists() or run.config.controller.mind != "dream":
        return
    agent = load_agent(run.folder / "agent")
    weights = {folder.parts[-3].replace("-", " "): load_agent(folder).controller.state_dict() for folder in folders}
    weights |= {f"drunk {strength}": drunk(agent.controller, strength, run.seed("drunk")) for strength in DRUNK}
    horizon = min(run.config.dream.horizon, run.config.selection.weighed - agent.config.memory.warmup)
    asked = population(agent, weights, run.config.selection.weighed, horizon, run.seed("trust"))
    write_json(path, {"horizon": horizon, **agreement(asked), "controllers": asked})


def show(run: Run) -> None:
    """Videos of a drive, of a dream and of what M predicts of a drive, and the report."""
    agent, steps = load_agent(run.folder / "agent"), run.config.selection.film_steps
    for name, film in FILMS.items():
        if not (path := run.folder / "videos" / f"{name}.mp4").exists():
            film(agent, path=path, seed=SELECTION_SEEDS, steps=min(steps, SHORT) if name == "prediction" else steps)
    write_report(run.folder)
