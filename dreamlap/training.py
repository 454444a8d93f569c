"""Training from Python: what `dreamlap run` does until there is an agent, as one call."""

from pathlib import Path
from typing import Any

from dreamlap.agent import Agent, load_agent
from dreamlap.cluster import on_cluster
from dreamlap.config.run import Config
from dreamlap.errors import Refused, meant
from dreamlap.outcome import learn_and_choose
from dreamlap.parallel import own_settings
from dreamlap.plan import Run
from dreamlap.presets import PRESETS, settings_of
from dreamlap.settings import bounded, changed, scaled


@own_settings()
@bounded
def train(
    preset: str | Config,
    folder: Path | str,
    *,
    data: Path | str | None = None,
    scale: float = 1.0,
    full: bool = False,
    retrain: bool = False,
    **settings: Any,
) -> Agent:
    """Train V, M and C -> the best agent of the last rounds, which is kept in the folder, too.

    The same call on the same folder continues a run that was interrupted, and returns at once when it is finished. The folder
    is that of a run: `dreamlap.load`, `dreamlap.evaluate`, `dreamlap video` and `dreamlap report` take it.

    Args:
        preset: a name that `dreamlap presets` lists; or settings of your own (`dreamlap.config.run.Config`).
        folder: of the run, such as "runs/mine".
        data: folder of episodes to learn from, in place of what the preset's drivers would drive.
        scale: multiplies the preset's rollouts, updates, generations, population and episode length.
        full: as much of everything as the preset's text names, for the presets that do with less by default.
        retrain: train again what is finished but was made with other settings or data, and all that builds on it. Otherwise
            such a change is refused.
        settings: those to change, by name: `seed=1, workers=4, vision={"latent": 64}`. `dreamlap run PRESET --help` lists them.

    Raises:
        Refused: there is no such preset or setting, or a value is out of bounds, or the folder is of a run with other settings.
            `full`, of a preset that has one size, or of settings of your own.
    """
    if isinstance(preset, str) and preset not in PRESETS:
        raise Refused(f"there is no preset {preset!r}; {meant(preset, PRESETS)}")
    if full and isinstance(preset, Config):
        raise Refused("full=True is for a preset's name: settings of your own have the amounts that you gave them")
    config = changed(scaled(settings_of(preset, full) if isinstance(preset, str) else preset, scale), settings)
    run = Run(Path(folder), config, Path(data) if data else None, retrain=retrain)
    with on_cluster(config.cluster):
        learn_and_choose(run)
    return load_agent(run.folder / "agent")
