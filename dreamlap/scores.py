"""A score: raw returns, what follows from them, and a label that says what was driven, by whom, and how far to trust it.

A file holds `seeds`, `returns`, `steps` and `laps`; `mean`, `sd`, `min`, `median`, `interval`, `lost` and `lost_interval` of
the returns; and the label:

    agent  fingerprint  trained     who drove: its folder, what it is, and how it was made
    track  dreamer                  `stock`, `fast`, `dream` or a folder; the fingerprint of the dream, if it was one
    kind  caveats                   training, selection or test tracks; why this is no score, in words
    complete                        false for one that was interrupted: then there are fewer returns than seeds
    commit  versions                what made it

Whoever reads a score reads it by `read_score`, which believes the returns and nothing that follows from them.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from dreamlap.config.parts import EXAM
from dreamlap.errors import Refused
from dreamlap.files import read_object
from dreamlap.progress import counted
from dreamlap.protocol import CHOOSING, JUDGING, SELECTION_SEEDS, TEST_SEEDS

REAL = tuple("-".join(filter(None, (track, variant))) for variant in ("", *EXAM) for track in ("stock", "fast"))
"""Tracks that are no dreams: the stock track, the fast one, and both of them disturbed (the robustness exam)."""
FEW = 5
"""Fewer tracks than this have no interval: resampling them says nothing about others."""
LOST = 800.0
"""A drive that returns less is lost: so much is missing of a lap that the car left the road for good, or stood still."""
RESERVED = 1000
"""Tracks from CHOOSING and from JUDGING on that are set apart for choosing."""
EDITED = 0.01
"""How far a mean may lie from that of its returns, which are rounded."""


def read_score(path: Path | str, whole: bool = True) -> dict[str, Any]:
    """A score from its file, checked by `check_score`; with `whole`, one that was interrupted is refused.

    Raises:
        FileNotFoundError: there is none.
        Refused: the file holds no score.
    """
    return check_score(read_object(path), str(path), whole)


def check_score(value: Any, named: str, whole: bool = True) -> dict[str, Any]:
    """A score as JSON has it -> itself, with all that follows from its returns and its label worked out again.

    Args:
        value: of older versions, too: what these did not write down is unknown (None), or empty.
        named: what messages call it.
        whole: whether it must be complete.

    Raises:
        Refused: it is none.
    """
    if not isinstance(value, dict):
        raise Refused(f"{named} is no score: write one by `dreamlap evaluate AGENT --json FILE`")
    label = {"laps": None, "steps": None, "agent": "", "track": "stock", "trained": {}, "commit": "", "versions": {}}
    label |= {"fingerprint": None, "dreamer": None, "complete": True}
    made = label | {name: one for name, one in value.items() if one is not None}
    if complaint := _complaint(made):
        raise Refused(f"{named} is no score: {complaint}. Write one by `dreamlap evaluate AGENT --json FILE`")
    if whole and not made["complete"]:
        driven = f"{len(made['returns'])} of {len(made['seeds'])} tracks are driven"
        raise Refused(f"{named} is no whole score: {driven}. Give its `dreamlap evaluate` again: it drives the rest")
    follows = score(made["returns"]) if made["complete"] else {}
    for name in ("mean", "min", "median") if made["complete"] else ():
        said = made.get(name, follows[name])
        if not _is_number(said) or abs(said - follows[name]) > EDITED:
            found = f"its {name} is {said!r:.40}, that of its returns {follows[name]:.2f}"
            raise Refused(f"{named} contradicts itself: {found}. Evaluate the agent again")
    return made | follows | labelled(made)


def score_beside(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The score of the agent in `folder`, if there or in its run's folder one is kept that is this agent's."""
    for path in (folder / "score.json", folder.parent / "scores" / "selection.json"):
        try:
            made = read_score(path)
        except (OSError, Refused):
            continue
        if made["fingerprint"] in (None, fingerprint):  # older scores do not say
            return made
    return None


def _complaint(made: dict[str, Any]) -> str:
    """What keeps this from being a score; empty if nothing does."""
    seeds, returns, steps, laps = made.get("seeds"), made.get("returns"), made["steps"], made["laps"]
    if not isinstance(seeds, list) or not isinstance(returns, list):
        return f"it has no list of {'returns' if isinstance(seeds, list) else 'seeds'}"
    if not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds) or len(set(seeds)) < len(seeds):
        return "its seeds are not whole numbers from 0 on, each once"
    if not all(map(_is_number, returns)):
        return "its returns are not all numbers"
    if type(made["complete"]) is not bool:
        return "its `complete` is neither true nor false"
    if len(returns) != len(seeds) if made["complete"] else len(returns) >= len(seeds):
        return f"it has {len(returns)} returns of {len(seeds)} tracks"
    if steps is not None and not (isinstance(steps, list) and [type(n) for n in steps] == [int] * len(returns)):
        return "its steps are not a whole number for each return"
    if laps is not None and not (type(laps) is int and 0 <= laps <= len(returns)):
        return f"its laps are no number from 0 to {len(returns)}"
    kinds = {"agent": str, "track": str, "trained": dict, "commit": str, "versions": dict, "fingerprint": str, "dreamer": str}
    wrong = [name for name, kind in kinds.items() if made[name] is not None and not isinstance(made[name], kind)]
    return f"its `{wrong[0]}` is {made[wrong[0]]!r:.40}" if wrong else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100


def score(returns: Sequence[float]) -> dict[str, Any]:
    """Raw returns -> with their mean, sample standard deviation, minimum, median and 95 % bootstrap interval of the mean, the
    number of lost drives, and the 95 % Wilson interval of their share.

    Returns are rounded first, so that all can be worked out again from the file. One track has no deviation (None), and fewer
    than `FEW` have no interval of the mean (None).

    Raises:
        Refused: a return is NaN or infinite.
    """
    values = np.round(np.asarray(returns, float), 4)
    if not np.isfinite(values).all():
        raise Refused("a return is no number: the agent is broken, and has no score")
    lost = int((values < LOST).sum())
    return {
        "returns": values.tolist(),
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
        "min": float(values.min()),
        "median": float(np.median(values)),
        "interval": bootstrap_interval(values) if len(values) >= FEW else None,
        "lost": lost,
        "lost_interval": wilson_interval(lost, len(values)),
    }


def wilson_interval(count: int, of: int) -> list[float]:
    """The 95 % interval of a share of which `count` were seen among `of` (Wilson 1927; Brown, Cai & DasGupta 2001, eq. 4)."""
    z = NormalDist().inv_cdf(0.975)
    middle, width = count + z**2 / 2, z * math.sqrt(count * (of - count) / of + z**2 / 4)
    return [max(0.0, (middle - width) / (of + z**2)), min(1.0, (middle + width) / (of + z**2))]


def lost_drives(made: Mapping[str, Any]) -> str:
    """Lost drives in words: "3 of 100, 95 % interval 1.0 to 8.5 %"."""
    low, high = (100 * bound for bound in made["lost_interval"])
    return f"{made['lost']} of {len(made['returns'])}, 95 % interval {low:.1f} to {high:.1f} %"


def bootstrap_interval(values: np.ndarray, draws: int = 10_000) -> list[float]:
    """The 95 % percentile interval of the mean of `values` (n,) (Efron & Tibshirani 1993, section 13.3)."""
    chosen = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    return [float(bound) for bound in np.percentile(values[chosen].mean(1), [2.5, 97.5])]


def kind_of_tracks(seeds: Sequence[int]) -> str:
    """What the protocol calls tracks of these seeds: "training", "selection", "test", or several of them."""
    borders = {"training": (0, SELECTION_SEEDS), "selection": (SELECTION_SEEDS, TEST_SEEDS), "test": (TEST_SEEDS, math.inf)}
    kinds = [kind for kind, (low, high) in borders.items() if any(low <= seed < high for seed in seeds)]
    return " and ".join(kinds)


def labelled(made: dict[str, Any]) -> dict[str, Any]:
    """The kind of the tracks, and every reason why what was driven on them is no score, in words."""
    kind = kind_of_tracks(made["seeds"])
    return {"kind": kind, "caveats": _caveats(made["track"], made["seeds"], made["trained"])}


def _caveats(track: str, seeds: Sequence[int], trained: dict[str, Any]) -> list[str]:
    if track not in REAL:
        return ["predicted in a dream, not a score"]
    drawn, _, variant = track.partition("-")
    found = [f"robustness exam, {variant}: not a score"] * bool(variant)
    found += ["fast track: a quick look, not a score"] * (drawn == "fast")
    if practised := sum(seed < SELECTION_SEEDS for seed in seeds):
        found.append(f"{_some(practised, seeds)}training tracks: not a score")
    start, stop, known = _chosen_on(trained)
    if chosen := sum(start <= seed < stop for seed in seeds):
        was = "was" if known else "may have been"
        found.append(f"{_some(chosen, seeds)}tracks on which this agent {was} chosen: not a score")
    return found


def _chosen_on(trained: dict[str, Any]) -> tuple[int, int, bool]:
    """The selection tracks on which an agent was chosen, and whether it says so: those of older versions do not."""
    said = trained.get("chosen_on")
    if isinstance(said, list) and [type(seed) for seed in said] == [int, int]:
        return said[0], said[1], True
    first = JUDGING if "score" in trained else CHOOSING  # an expert says what it got when it was judged
    return first, first + RESERVED, False


def _some(count: int, seeds: Sequence[int]) -> str:
    return f"{count} of {len(seeds)} are " if count < len(seeds) else ""


def told(made: dict[str, Any], digits: int = 0) -> str:
    """Mean and standard deviation, "927 ± 3"; of one track the return alone."""
    spread = f" ± {made['sd']:.{digits}f}" if made["sd"] is not None else ""
    return f"{made['mean']:.{digits}f}{spread}"


def headline(result: dict[str, Any]) -> str:
    """A score in one line. A stock score says "on N tracks" whatever N is: scripts look for that."""
    count, track = len(result["seeds"]), result["track"]
    of = f"{count} tracks" if track == "stock" else counted(count, f"{track} track" if track in REAL else "dream")
    details = [f"min {result['min']:.0f}", f"median {result['median']:.0f}"] if count > 1 else ["no ± of one drive"]
    details += [f"laps {result['laps']}"] if result["laps"] is not None else []
    details += [f"lost drives {lost_drives(result)}"] if track in REAL and count > 1 else []
    if result["interval"] is not None:
        details.append("95 % interval of the mean {:.0f} to {:.0f}".format(*result["interval"]))
    elif count > 1:
        details.append("too few tracks for an interval")
    caveats = f"  ({'; '.join(result['caveats'])})" if result["caveats"] else ""
    return f"{told(result)} on {of}  ({', '.join(details)}){caveats}"


def compare(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two scores, paired by track: first minus second on every track that both drove, the mean difference and its interval.

    There is no interval (None) of fewer than `FEW` tracks, nor where both got the same everywhere.

    Raises:
        Refused: they were not driven on the same tracks, or are no scores.
    """
    first, second = check_score(first, "the first"), check_score(second, "the second")
    seeds, one_agent = shared_tracks(first, second), same_agent(first, second)
    earned, other = (dict(zip(made["seeds"], made["returns"], strict=True)) for made in (first, second))
    differences = np.round([earned[seed] - other[seed] for seed in seeds], 4)
    sure = len(differences) >= FEW and bool(differences.any())
    return {
        "seeds": seeds,
        "differences": differences.tolist(),
        "mean": float(differences.mean()),
        "median": float(np.median(differences)),
        "interval": bootstrap_interval(differences) if sure else None,
        "higher": int((differences > 0).sum()),
        "lower": int((differences < 0).sum()),
        "lost": [sum(returns[seed] < LOST for seed in seeds) for returns in (earned, other)],
        "agents": [first["agent"], second["agent"]],
        "tracks": [first["track"], second["track"]],
        "notes": _notes(first, second, one_agent),
    }


def shared_tracks(first: dict[str, Any], second: dict[str, Any]) -> list[int]:
    """The tracks that both scores are of, or will be of once they are driven, in the first's order.

    Raises:
        Refused: there are none, or they are not of one world.
    """
    if not _same_world(first, second) and not same_agent(first, second):
        worlds = f"the first is of {_world(first)}, the second of {_world(second)}"
        raise Refused(f"{worlds}: these are not the same tracks. Evaluate both with the same --track")
    found = set(second["seeds"])
    if shared := [seed for seed in first["seeds"] if seed in found]:
        return shared
    what = f"the first has {_span(first)}, the second {_span(second)}"
    raise Refused(f"the two scores have no track in common: {what}. Evaluate both with the same --seeds")


def same_agent(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether one agent made both scores, as far as they say."""
    prints = first["fingerprint"], second["fingerprint"]
    return prints[0] == prints[1] if all(prints) else first["agent"] == second["agent"] != ""


def _same_world(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return _place(first) == _place(second)


def _place(made: dict[str, Any]) -> str:
    own = made["fingerprint"] or made["agent"]
    dreamer = made["dreamer"] or (own if made["track"] == "dream" else made["track"])
    return made["track"] if made["track"] in REAL else f"dream of {dreamer}"


def _world(made: dict[str, Any]) -> str:
    names = {"dream": f"the dream of {made['agent']} itself", **{real: f"the {real} track" for real in REAL}}
    return names.get(made["track"], f"the dream of {made['track']}")


def _span(made: dict[str, Any]) -> str:
    return f"{counted(len(made['seeds']), made['kind'] + ' track')} ({min(made['seeds'])} to {max(made['seeds'])})"


def _notes(first: dict[str, Any], second: dict[str, Any], one_agent: bool) -> list[str]:
    """What a reader of the comparison must know."""
    notes = ["both are scores of one agent"] if one_agent else []
    if not _same_world(first, second):
        notes.append(f"not the same tracks: {_world(first)} and {_world(second)}")
    for package in ("gymnasium", "Box2D"):  # the track is theirs
        versions = [made["versions"].get(package) for made in (first, second)]
        if all(versions) and versions[0] != versions[1]:
            notes.append(f"{package} {versions[0]} and {versions[1]}")
    return notes


def difference(result: dict[str, Any]) -> str:
    """A comparison in one line."""
    count, sure = len(result["seeds"]), "too few tracks for an interval"
    if result["interval"] is not None:
        sure = "95 % interval {:+.1f} to {:+.1f}".format(*result["interval"])
    elif not result["higher"] + result["lower"]:
        sure = "the same return everywhere"
    notes = f"  ({'; '.join(result['notes'])})" if result["notes"] else ""
    lost = f", lost drives {result['lost'][0]} and {result['lost'][1]}" if set(result["tracks"]) <= set(REAL) else ""
    return (
        f"first minus second: {result['mean']:+.1f} on {counted(count, 'track')}, {sure}, median {result['median']:+.1f}; "
        f"higher on {result['higher']}, lower on {result['lower']}{lost}{notes}"
    )
