"""What the parts are made of: the track as it is seen, V, M, C, the agent of the three, the expert, and who drives."""

from pathlib import Path
from typing import Annotated, Literal

from dreamlap.errors import Refused
from dreamlap.named import Named, agent_folder, driver_called, world_model_folder
from dreamlap.settings import least, renamed, settings, shown, span

AgentName = Annotated[str, shown("AGENT"), Named(agent_folder)]
"""The folder of an agent or of its run, or the name of an included agent; empty: none."""
WorldModelName = Annotated[str, shown("AGENT"), Named(world_model_folder)]
"""The same, of an agent that has V and M."""
DriverName = Annotated[str, shown("DRIVER"), Named(driver_called)]
"""The name of a scripted driver, or an agent as above."""
MOST_SIDE = 512
"""Pixels a side of the frames that V, or an expert, can be asked to see: stock's have 96."""
EXAM = ("colours", "bars", "blob")
"""How the robustness exam disturbs frames: see `dreamlap.track.exam`."""
LIMIT = 1000
"""Steps until the clock ends an episode, as on the registered stock track."""
MOST_AWAKE = 128
"""Tracks that one process may hold: each has a picture of its ground, some 20 MB."""


@settings
class TrackConfig:
    """How the track is seen and acted on."""

    size: Annotated[int, least(32)] = 64
    """Side of the frames that V sees, in pixels: the stock 96x96 scaled by area."""
    bar: bool = True
    """Whether V sees the instrument bar (speed, wheels, steering); without it the frame is the 84 rows above, stretched."""
    actions: Literal["pedal", "stock", "discrete"] = "pedal"
    """`stock`: steer, gas, brake. `pedal`: steer and one pedal, gas above 0 and brake below: C cannot press both.
    `discrete`: the five of gymnasium's `continuous=False`; the greatest of five numbers is done."""
    repeat: Annotated[int, least(1, 1000)] = 1
    """Steps of the track that an action lasts; the frames between are neither drawn nor kept (frame skip, save interval)."""
    randomize: bool = False
    """Whether training tracks have colours of their own (gymnasium's `domain_randomize`). Scores never do."""
    dream: WorldModelName = ""
    """Folder of an agent whose dream is the track that is driven on, drawn by its V; empty for the real one."""

    @property
    def action_size(self) -> int:
        """How many numbers an action has."""
        return {"pedal": 2, "stock": 3, "discrete": 5}[self.actions]

    def decisions(self, steps: int) -> int:
        """How many actions last `steps` steps of the track."""
        return -(-steps // self.repeat)


@settings
class VisionConfig:
    """What V is made of."""

    kind: Literal["light", "conv", "nvae"] = "light"
    """`conv`: the paper's ConvVAE. `light`: sees blocks of 4x4 pixels; trains four times as fast on a CPU. `nvae`: a deep
    hierarchical VAE (Vahdat & Kautz 2020), z its topmost group; draws best, trains at half the speed of `conv`."""
    latent: Annotated[int, least(1, 4096)] = 32
    """How many numbers z has."""
    width: Annotated[int, least(1, 1024)] = 32
    """Channels at the finest scale, of `light` and `nvae` (a multiple of 8); every coarser scale has twice as many."""
    groups: Annotated[tuple[int, ...], least(0, 64)] = (2, 3, 3)
    """Of `nvae`: how many groups of latents below z each scale has, from the coarsest scale to the finest."""

    def __post_init__(self) -> None:
        """Refuse a width that NVAE cannot normalize in groups of channels."""
        if self.kind == "nvae" and self.width > 1 and self.width % 8:
            raise Refused(f"--vision.width {self.width}: an NVAE (--vision.kind nvae) needs a multiple of 8, such as 16 or 32")


@renamed(warmup="burn_in")
@settings
class MemoryConfig:
    """What M is made of."""

    kind: Literal["lstm", "gru", "reservoir"] = "lstm"
    """`lstm`: the paper's. `gru`: gated recurrent units, without a cell. `reservoir`: an LSTM, whose h C does not see; it sees
    that of one that never learned (a control)."""
    hidden: Annotated[int, least(1, 16384)] = 256
    """How many numbers h has."""
    mixtures: Annotated[int, least(1, 1024)] = 5
    """Gaussians in the mixture of every latent dimension; of 1,000 dimensions, 1 each makes M three times as fast as 5."""
    burn_in: Annotated[int, least(0, 1000)] = 16
    """Burn-in: real steps that M has seen before its predictions count. Dreams, measures and videos begin no earlier."""


@settings
class ControllerConfig:
    """What C is made of."""

    kind: Literal["linear", "actor-critic"] = "actor-critic"
    """`linear`: the paper's, one matrix, trained by CMA-ES. `actor-critic`: two small networks, trained by PPO."""
    mind: Literal["dream", "awake"] = "dream"
    """Where C is trained: in M's dream, or on the track seen through V and M."""
    sees_memory: bool = True
    """Whether C sees h beside z; without it M only serves as the dream."""
    bias: bool = True
    """Whether a linear C has a bias: 867 numbers for z 32 and h 256 with it, the paper's; 3,840 for z 1024 without."""
    widths: Annotated[tuple[int, ...], least(1, 4096)] = (128, 64)
    """Widths of the actor's hidden layers. None (`--controller.widths`, and nothing after it): it is one matrix, as a linear C
    is, but trained by PPO. The critic, which drives no car, keeps its own."""
    state_dependent_std: bool = False
    """Whether an actor-critic's exploring noise depends on what it sees, or is the same wherever the car is. Where a car stands
    before a corner, steering changes nothing: there noise can grow, and still be small where the car is fast."""
    smoothing: Annotated[float, least(0, 0.99)] = 0.0
    """Share of the last action that stays in the next one: above 0 it drives more calmly, and answers later."""


@settings
class AgentConfig:
    """What an agent is made of: enough to build its parts before their weights are read."""

    track: TrackConfig = TrackConfig()
    vision: VisionConfig = VisionConfig()
    memory: MemoryConfig = MemoryConfig()
    controller: ControllerConfig = ControllerConfig()

    def __post_init__(self) -> None:
        """Refuse frames of a size that this V cannot see."""
        size, vision = self.track.size, self.vision
        if size > MOST_SIDE:
            raise Refused(f"--track.size {size}: no V (vision) sees more than {MOST_SIDE} pixels a side. Use 64")
        if vision.kind == "conv" and size != 64:
            raise Refused(f"--track.size {size}: the ConvVAE (--vision.kind conv) sees 64x64 pixels. Use --vision.kind light")
        if vision.kind == "light" and size % 16:
            raise Refused(f"--track.size {size}: the light V (--vision.kind light) needs a multiple of 16, such as 48 or 64")
        if vision.kind == "nvae":
            if not 1 <= len(vision.groups) <= 4:
                raise Refused("--vision.groups: an NVAE has one to four scales, such as --vision.groups 2 3 3")
            if size % (step := 4 << len(vision.groups) - 1):
                raise Refused(
                    f"--track.size {size}: an NVAE of {len(vision.groups)} scales (--vision.groups) needs a multiple of {step}"
                )


@settings
class ReflexConfig:
    """What an expert sees, and how often it decides."""

    track: TrackConfig = TrackConfig(repeat=4)
    stack: Annotated[int, least(1, 64)] = 2
    """Gray frames that it sees at once: those of its last decisions."""
    channels: Annotated[tuple[int, int, int], least(1, 4096)] = (16, 32, 32)
    """Of its three convolutions; 32, 64, 64 are those of Mnih et al. (2015)."""
    features: Annotated[int, least(1, 65536)] = 256
    """Width of the layer between the convolutions and the action."""

    def __post_init__(self) -> None:
        """Refuse frames that are too small for three convolutions, or too large."""
        if not 36 <= self.track.size <= MOST_SIDE:
            raise Refused(f"--reflex.track.size {self.track.size}: an expert sees 36 to {MOST_SIDE} pixels a side. Use 64")


@settings
class DriverConfig:
    """Who drives, and how steadily."""

    kind: DriverName = "autopilot"
    """`random`, `correlated`, `autopilot` (privileged: it sees the track's geometry), or the folder of an agent or expert."""
    noise: Annotated[tuple[float, float], span(0, 100)] = (0.0, 0.8)
    """Strength of the noise on the actions of autopilot, agent and expert, drawn for every episode between the two."""
    speed: Annotated[tuple[float, float], span(0.01, 10)] = (0.6, 1.15)
    """The autopilot's share of the speed that its line allows, drawn for every episode between the two."""
    offset: Annotated[tuple[float, float], span(-100, 100)] = (-6.0, 6.0)
    """How far right of its line the autopilot drives, in track units (the road is 13 wide), drawn likewise: far
    enough to meet cars that have cut a corner."""

    @property
    def name(self) -> str:
        """What its episodes are named after: the last part of its folder's path, which need not be unique."""
        return (Path(self.kind).name or Path(self.kind).expanduser().resolve().name)[:100]
