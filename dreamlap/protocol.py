"""Which tracks are for what: those that are trained on, those that choose, and those of a final score."""

import re
from typing import Any

from dreamlap.config.parts import EXAM
from dreamlap.errors import Refused
from dreamlap.named import world_model_folder

TEST_SEEDS = 1_000_000
"""Track seeds from here on are test tracks: driven for a final score and for nothing else."""
SELECTION_SEEDS = 900_000
"""Track seeds from here to the test tracks choose between agents; training uses the seeds below."""
CHOOSING = SELECTION_SEEDS + 1000
"""The first of the selection tracks that choose between the rounds of a run; those that score the choice are others."""
JUDGING = SELECTION_SEEDS + 3000
"""The first of the selection tracks that choose what is kept of an expert's practice; those that score it are others."""
FINAL = range(TEST_SEEDS, TEST_SEEDS + 100)
"""The hundred test tracks of a final score."""
SELECTION = range(SELECTION_SEEDS, SELECTION_SEEDS + 20)
"""The tracks of an everyday score."""
MOST = 100_000
"""Tracks of a score."""
TRACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "stock": ("CarRacing-v3", {}),
    "fast": ("dreamlap/CarRacing-v3", {}),
    **{f"stock-{variant}": ("dreamlap/StockExam-v3", {"variant": variant}) for variant in EXAM},
    **{f"fast-{variant}": ("dreamlap/FastExam-v3", {"variant": variant}) for variant in EXAM},
}
"""What Gymnasium calls the real tracks, and those of the robustness exam, and what it is told of them."""


def track_called(track: str) -> str:
    """What can be driven for a score: a real track, the agent's own dream (`dream`), or that of the agent in a folder.

    Raises:
        Refused: it is none of them.
    """
    try:
        return track if track in (*TRACKS, "dream") else str(world_model_folder(track))
    except FileNotFoundError as error:
        raise Refused(f"--track {track} is neither stock, fast nor dream; and there is {error}") from None


def seed_range(text: str, final: bool) -> range:
    """The tracks "A:B" (half-open); "" means the usual twenty, or all hundred of a final score. Test tracks need `final`.

    Raises:
        Refused: the text is no such range, or mixes test tracks with others.
    """
    if not text:
        return FINAL if final else SELECTION
    found = re.fullmatch(r"\s*([0-9]{1,18})\s*:\s*([0-9]{1,18})\s*", text)
    start, stop = (int(part) for part in found.groups()) if found else (0, 0)
    if start >= stop:
        one = f"; one track alone is {text}:{int(text) + 1}" if re.fullmatch("[0-9]{1,18}", text) else ""
        raise Refused(f"--seeds takes a range A:B with A below B, such as 900000:900020, not {text!r:.60}{one}")
    if stop - start > MOST:
        raise Refused(f"--seeds {text}: these are {stop - start:,} tracks, and a score has at most {MOST:,}")
    if stop > TEST_SEEDS and not final:
        raise Refused(f"seeds from {TEST_SEEDS} on are test tracks: for a final score, and nothing else, add --final")
    if start < TEST_SEEDS and final:
        raise Refused(f"--final drives test tracks, {TEST_SEEDS} and above, not --seeds {text}: leave out one of the two")
    return range(start, stop)
