"""Episodes: what was seen, done and earned, from the first frame of a track to the last."""

from dreamlap.episodes.episode import Episode
from dreamlap.episodes.store import EpisodeFile, EpisodeStore

__all__ = ["Episode", "EpisodeFile", "EpisodeStore"]
