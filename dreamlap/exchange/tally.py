"""What an import has read and decided, in plain lines."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from dreamlap.episodes import Episode
from dreamlap.exchange.recording import Align, Recording, notes
from dreamlap.progress import counted


@dataclass
class Tally:
    """Counts the episodes that are brought in."""

    new: int = 0
    there: int = 0
    """In the store already, by whatever path and name they came."""
    beside: int = 0
    """New ones from files of which other episodes are in the store."""
    copies: int = 0
    """New ones that hold the same as others here, which came from other files."""
    steps: int = 0
    terminated: int = 0
    rewarded: int = 0
    decided: Counter[str] = field(default_factory=Counter)

    def add(self, recording: Recording, episode: Episode, align: Align | None, new: bool, beside: bool, copied: bool) -> None:
        """Count one."""
        self.new += new
        self.there += not new
        self.beside += beside
        self.copies += copied
        self.steps += len(episode)
        self.terminated += episode.terminated
        self.rewarded += not bool(np.isnan(episode.rewards).any())
        self.decided.update(notes(recording, align))

    def lines(self) -> list[str]:
        """For a person."""
        read = self.new + self.there
        if not read:
            return []
        lines = [
            f"{counted(read, 'episode')} read, {counted(self.steps, 'step')}: "
            f"{self.new} are new, {self.there} were there already",
            f"  {self.terminated} ended by the track (terminated), {read - self.terminated} by the clock or the recording",
            f"  {self.rewarded} with rewards, {read - self.rewarded} without",
        ]
        if self.beside:
            lines.append(
                f"  {self.beside} came from files that other episodes here came from: the files have changed, or were read in "
                "another way. The earlier episodes are not replaced: both are here"
            )
        if self.copies:
            lines.append(
                f"  {self.copies} hold the same as episodes that came from other files: if they are copies, delete them"
            )
        return lines + [f"  {count} {note}" for note, count in self.decided.items()]
