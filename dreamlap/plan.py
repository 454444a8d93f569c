"""What a run is asked for: whether it can be done at all, and what is done of it already.

Everything is checked before anything is written. Then the run folder is this process's own. Some settings bind stages that have
begun; the others may change. A stage is done as long as what it builds on is what it was: fingerprints tell.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from dreamlap.agent import PARTS, Agent, load, load_agent
from dreamlap.config.run import Config
from dreamlap.control import ActorCritic, build_controller
from dreamlap.device import choose_autocast, choose_device
from dreamlap.episodes import EpisodeStore
from dreamlap.episodes.record import check_driver, driven_otherwise
from dreamlap.errors import Refused
from dreamlap.estimate import Timetable
from dreamlap.files import Owned, check_folder, place
from dreamlap.memory import MDNRNN
from dreamlap.mind.world import open_world
from dreamlap.named import folder_with_episodes
from dreamlap.progress import notes
from dreamlap.run import Stage, claim
from dreamlap.seeds import derive
from dreamlap.settings import differences
from dreamlap.weights import checksum

Display = Callable[[Agent, torch.Tensor, int], None]
"""Shows the agent with other weights (D,) for its C, those of a generation's best candidate, and the generation's number."""


class Run:
    """A run folder, which this process owns, and the settings that it is made with."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        data: Path | None = None,
        display: Display | None = None,
        until: str = "controller",
        retrain: bool = False,
    ):
        """Begin a run, or go on with it. Whatever can be known to be wrong is refused before anything is written.

        Args:
            folder: of the run.
            config: its settings.
            data: a folder of episodes to learn from in round 0, in place of what the preset's drivers would drive.
            display: shows the best candidate of each generation of CMA-ES.
            until: the last stage that is asked for: what is not needed for it is not checked.
            retrain: train again what is finished but was made with other settings or data, and what builds on it.

        Raises:
            Refused, OSError: the settings, the data or the folder will not do, or another process owns the folder.
        """
        self.folder, self.config, self.data, self.display, self.retrain = place(folder), config, data, display, retrain
        places = check(config, data, until)
        self.device = choose_device(config.device)
        self.autocast = choose_autocast(config.precision, self.device)
        check_folder(self.folder)
        self.owner = Owned(self.folder)
        self.store = EpisodeStore(self.folder / "episodes")
        self.lineage: dict[str, Any] = {}
        self.timetable: Timetable | None = None  # if somebody waits
        self.memory_before: MDNRNN | None = None
        """M as C knows it, before it learned on in the present round."""
        self.added = 0
        """How often rounds were added: see `add_rounds`."""
        asked = {**asdict(config), "data": str(data) if data else None}
        remedy = (
            f"Choose another --name (--start {folder} begins with this run's agent), or add --retrain: these stages, and what "
            "builds on them, are then trained again"
        )
        claim(self.folder, Config, asked, places, self._binding, self._forget if retrain else None, remedy)
        self._lengthen()

    def stage(self, number: int, name: str) -> Stage:
        """The folder of a stage of round `number`."""
        return Stage(self.folder / f"round-{number}" / name)

    def add_rounds(self) -> None:
        """Go on for the rounds of `rounds.more`; C is trained from scratch in the first of them."""
        rounds = self.config.rounds
        restart = (*rounds.restart, rounds.rounds + 1)
        self.config = replace(self.config, rounds=replace(rounds, rounds=rounds.rounds + rounds.more, restart=restart))
        self.added += 1

    def seed(self, *names: int | str) -> int:
        """A seed for what is called `names`."""
        return derive(self.config.seed, *names)

    def _binding(self, setting: str) -> str | None:
        """The first stage that has begun and builds on a setting."""
        return next((str(stage.folder.relative_to(self.folder)) for stage in self._bound(setting)), None)

    def _forget(self, setting: str) -> None:
        """Let the stages that build on a setting begin again."""
        stages = self._bound(setting)
        if stages:
            after = " and what was made after it are" if len(stages) > 1 else " is"
            notes.print(f"{stages[0].folder}{after} made again: --{setting} changed")
        for stage in reversed(stages):  # if this is broken off, what is left is whole up to some stage
            stage.reset()

    def _bound(self, setting: str) -> list[Stage]:
        """The stages that have begun and build on a setting, in their order."""
        if setting.split(".")[0] == OTHER[self.config.controller.kind]:
            return []
        numbers = sorted(int(path.name[6:]) for path in self.folder.glob("round-*") if path.name[6:].isdigit())
        found = []
        for number in numbers:
            from_scratch = number > 0 and not self.stage(number, "collect").begun
            for name in READS:
                stage = self.stage(number, name)
                if stage.begun and binds(setting, number, name, from_scratch) and not self._longer(setting, number, name):
                    found.append(stage)
        return found

    def _longer(self, setting: str, number: int, name: str) -> bool:
        """Whether C's training in round 0 can simply go on for longer: it is asked for more, and nothing was built on it."""
        if (number, name, setting) != (0, "controller", length(self.config)[0]):
            return False
        later = self.stage(1, "collect").begun or self.stage(1, "controller").begun
        return not later and length(self.config)[1] >= self._had(self.stage(0, "controller"))

    def _had(self, stage: Stage) -> int:
        """How long C's training in round 0 was: what it was asked for when it ended, or has had. In the unit of `length`."""
        unit, result = length(self.config)[0], stage.result
        if (asked := result.get("updates")) and result.get("unit", unit) == unit:
            return asked
        return (stage.load() or {}).get("steps" if unit == "cmaes.budget" else "update", 0)

    def _lengthen(self) -> None:
        """Let C's training in round 0 go on if it is asked for more updates, or steps, than it has had."""
        stage, (setting, asked) = self.stage(0, "controller"), length(self.config)
        if stage.done and self._longer(setting, 0, "controller") and asked > self._had(stage):
            stage.reopen()

    def enter(self, number: int, name: str) -> Stage:
        """The stage, once it is known whether what it builds on is still what it was; if not, it begins again.

        Raises:
            Refused: it was trained on something else, and `retrain` does not allow to train it again.
        """
        stage = self.stage(number, name)
        inputs = {part: self.lineage.get(part, "") for part in READS[name]}
        if changed := stage.build_on(inputs):
            if name not in REMADE and not self.retrain:
                raise Refused(
                    f"{stage.folder} was trained when {' and '.join(WORDS[part] for part in changed)} differed from now. "
                    "Add --retrain to train it, and what builds on it, again; or choose another --name"
                )
            notes.print(f"{stage.folder} is made again: {' and '.join(WORDS[part] for part in changed)} changed")
            stage.reset()
            stage.build_on(inputs)
        if stage.done and (
            lost := [file for file in stage.result.get("files", LEAVES.get(name, ())) if not (stage.folder / file).exists()]
        ):
            notes.print(f"{stage.folder} is made again: its {lost[0]} is missing")
            stage.reopen()
        return stage


READS = {
    "collect": ("vision", "memory", "controller"), "vision": ("episodes", "vision"), "encode": ("episodes", "vision"),
    "trust": ("latents", "memory"), "memory": ("latents", "memory"), "controller": ("latents", "memory", "controller"),
}  # fmt: skip
"""What each stage of a round builds on, in their order."""
WORDS = {"episodes": "the episodes", "latents": "V's latents", "vision": "V", "memory": "M", "controller": "C"}
LEAVES = {
    "vision": ("checkpoint.pt",), "memory": ("checkpoint.pt",), "controller": ("checkpoint.pt", "agent/agent.json"),
    "encode": ("latents.safetensors",),
}  # fmt: skip
"""The files without which a stage is not done, whatever its done.json says."""
REMADE = ("encode", "trust")
"""Stages that are quickly made again, without being asked."""

OTHER = {"actor-critic": "cmaes", "linear": "ppo"}
"""The settings of how the other kind of C is trained: nothing builds on them."""


def length(config: Config) -> tuple[str, int]:
    """The setting that says how long C is trained in round 0, and what it says."""
    if config.controller.kind == "actor-critic":
        return "ppo.updates", config.ppo.updates
    cmaes = config.cmaes
    return ("cmaes.budget", cmaes.budget) if cmaes.budget else ("cmaes.generations", cmaes.generations)


BINDS = {
    "track": ("collect", 0), "collect": ("collect", 0), "data": ("collect", 0), "start": ("collect", 0), "seed": ("collect", 0),
    "vision": ("vision", 0), "vision_training": ("vision", 0), "memory": ("memory", 0), "memory_training": ("memory", 0),
    "controller": ("controller", 0), "dream": ("controller", 0), "ppo": ("controller", 0), "cmaes": ("controller", 0),
    "rounds.episodes": ("collect", 1), "rounds.steps": ("collect", 1), "rounds.noise": ("collect", 1),
    "rounds.random_start": ("collect", 1), "rounds.reverse": ("collect", 1), "rounds.patience": ("collect", 1),
    "rounds.vision_updates": ("vision", 1), "rounds.memory_updates": ("memory", 1), "rounds.decay": ("memory", 1),
    "rounds.controller_updates": ("controller", 1), "rounds.penalty_growth": ("controller", 1),
    "rounds.restart": ("controller", 1), "rounds.restart_updates": ("controller", 1),
}  # fmt: skip
"""The first stage, and the first round, that builds on a setting. All stages after it do as well, by what it makes or because
they read the setting too, also where it has nothing to do itself. All other settings may change whenever one likes: how many
rounds there are, how the agent is chosen and shown, on what device, in what precision and with how many processes."""


def binds(setting: str, number: int, name: str, from_scratch: bool) -> bool:
    """Whether stage `name` of round `number` builds on a setting. `from_scratch`: it is a C of those after the rounds."""
    if setting.startswith("restarts.") or setting == "rounds.rounds":
        return from_scratch and name == "controller" and setting != "restarts.controllers"
    first, since = BINDS.get(setting) or BINDS.get(setting.split(".")[0], ("", 0))
    order = list(READS)
    return bool(first) and (number, order.index(name)) >= (since, order.index(first))


def check(config: Config, data: Path | None, until: str = "controller") -> dict[str, str]:
    """Refuse what a run could not do, before anything is written -> the fingerprints of what its settings name, by setting.

    Raises:
        Refused, OSError: the message names the flag and the remedy.
    """
    places = {}
    if config.track.dream:
        places["track.dream"] = load_agent(config.track.dream).dream_fingerprint
        open_world(config.track).close()
    if config.start:
        begun = begun_with(config)
        places["start"] = begun.dream_fingerprint if distills(begun, config) else begun.fingerprint
    if config.collect.expert_folder:
        places["collect.expert_folder"] = load(config.collect.expert_folder).fingerprint
    if data:
        check_data(data, config, until)
        places["data"] = checksum([], *sorted(file.identity for file in EpisodeStore(data)))
    else:
        config.check_drives()
        for driver, _ in config.drives:
            check_driver(driver, config.track)
    if until == "controller" and config.controller.kind == "linear":
        inputs = build_controller(config.controller, config.vision.latent, config.memory.hidden, 1).inputs
        if config.cmaes.directions > inputs:
            raise Refused(f"--cmaes.directions {config.cmaes.directions}: C sees {inputs} numbers, so it can be at most that")
        if config.cmaes.gamma < 1 and config.controller.mind == "awake":
            raise Refused(f"--cmaes.gamma {config.cmaes.gamma:g}: the critic learns in dreams; in the real environment it is 1")
    return places


def check_data(data: Path, config: Config, until: str) -> None:
    """Refuse a folder of episodes from which a run could not learn up to the stage `until`, before anything is begun.

    Raises:
        Refused: there are none, or their frames are of another size than V sees, or C would need rewards that they lack.
    """
    episodes, side = list(EpisodeStore(folder_with_episodes(data))), config.track.size
    for episode in episodes:
        if episode.shape[1:3] != (side, side):
            high, wide = episode.shape[1:3]
            raise Refused(
                f"the frames of {episode.path} are {wide}x{high}, and V is to see {side}x{side}: "
                f"say --track.size {wide}, or bring them in again with `dreamlap data import --resize {side}`"
            )
        if other := driven_otherwise(episode.about, config.track):
            raise Refused(
                f"{episode.path} was driven with {other[0]}, and this run would drive with {other[1]}: add the first, or give "
                "other episodes"
            )
    if until == "controller" and config.controller.mind == "dream" and not any(e.knows("rewards") for e in episodes):
        raise Refused(
            f"the episodes in {data} hold no rewards, so M would never learn what earns one, and C has nothing to go by in "
            "its dream. Give episodes with rewards; or train V and M alone, by `dreamlap train memory`; or C on the track, by "
            "--controller.mind awake"
        )
    if until == "controller" and config.dream.from_start == 0 and max(map(len, episodes)) <= config.memory.burn_in:
        raise Refused(
            f"--dream.from-start 0: dreams begin after {config.memory.burn_in} steps (--memory.burn_in), and no episode in "
            f"{data} is as long. Give longer episodes, a smaller --memory.burn_in, or --dream.from-start 0.1"
        )


def begun_with(config: Config) -> Agent:
    """The agent that a run begins with.

    Raises:
        Refused: it is made otherwise than `config` asks for.
    """
    begun, ours = load_agent(config.start, needed=PARTS), config.controller
    its = begun.config.controller
    settled = replace(ours, smoothing=its.smoothing) if distills(begun, config) else replace(its, mind=ours.mind)
    if differing := differences(asdict(replace(begun.config, controller=settled)), asdict(config.agent)):
        raise Refused(f"--start {config.start} is made otherwise than the settings ask for: {'; '.join(differing)}")
    if distills(begun, config) and begun.starts is None:
        raise Refused(
            f"--start {config.start}: a linear C first learns to do as this agent's C does in its dream, and it has no real "
            "moments to dream from (its folder lacks starts.safetensors). Give another agent"
        )
    return begun


def distills(begun: Agent, config: Config) -> bool:
    """Whether C is a matrix that first learns to do as the C of another kind that the run begins with."""
    return config.controller.kind == "linear" and isinstance(begun.controller, ActorCritic)
