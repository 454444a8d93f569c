"""Two ways to be: awake (the track seen through V and M) and dreaming (M alone), behind one interface.

Whatever trains, plays or draws a controller takes a `Mind` and never asks which of the two it is.

Letters: N minds side by side, Z latent, H hidden, A action.
"""

from dreamlap.mind.awake import Awake
from dreamlap.mind.dream import Dream, DreamConfig
from dreamlap.mind.environment import AwakeEnv, DreamEnv, MindEnv
from dreamlap.mind.interface import Mind, Step
from dreamlap.mind.vector import AwakeVectorEnv, DreamVectorEnv, MindVectorEnv

__all__ = [
    "Awake",
    "AwakeEnv",
    "AwakeVectorEnv",
    "Dream",
    "DreamConfig",
    "DreamEnv",
    "DreamVectorEnv",
    "Mind",
    "MindEnv",
    "MindVectorEnv",
    "Step",
]
