"""Two ways to be: awake (the track seen through V and M) and dreaming (M alone), behind one interface.

Whatever trains, plays or draws a controller takes a `Mind` and never asks which of the two it is.

Letters: N minds side by side, Z latent, H hidden, A action.
"""

from dreamlap.mind.awake import Awake
from dreamlap.mind.dream import Dream, DreamConfig
from dreamlap.mind.environment import MindEnv, MindVectorEnv
from dreamlap.mind.interface import Mind, Step

__all__ = ["Awake", "Dream", "DreamConfig", "Mind", "MindEnv", "MindVectorEnv", "Step"]
