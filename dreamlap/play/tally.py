"""What came of a session: its episodes, and a summary at its end."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from dreamlap.show.video import FPS

LAP = "lap finished"


class Outcome(NamedTuple):
    """One episode that was driven to its end."""

    who: str
    where: str
    total: float  # its return
    steps: int  # of the track, 50 a second
    ending: str


def summary(outcomes: Sequence[Outcome]) -> Table:
    """A row for everyone who drove, in either world."""
    table = Table("who", "where", *("episodes", "mean return", "best", "laps", "fastest lap"), title="This session")
    for who, where in dict.fromkeys((one.who, one.where) for one in outcomes):
        own = [one for one in outcomes if (one.who, one.where) == (who, where)]
        returns, laps = [one.total for one in own], [one.steps for one in own if one.ending == LAP]
        fastest = f"{min(laps) / FPS:.1f} s" if laps else "–"
        mean = sum(returns) / len(own)
        table.add_row(who, where, str(len(own)), f"{mean:.0f}", f"{max(returns):.0f}", str(len(laps)), fastest)
    return table
