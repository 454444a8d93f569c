"""How many episodes a run can have: python -m benchmarks.size [--rollouts 100 1000 10000] [--folder build/size].

Stores of so many rollouts of 1,000 steps, or of as many as leave some of the disk free: opening one, drawing V's batches from
it, and letting V encode it, each size in a process of its own. The rollouts are copies of eight random drives, each a file of
its own. Memory is what the process itself holds; pages of files, which the system takes back at will, do not count. V encodes
the first 512 rollouts at most: it goes through lots of 256, and keeps nothing of one but its file.
"""

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.table import Table

from dreamlap.agent import build_agent
from dreamlap.config.parts import LIMIT, AgentConfig, DriverConfig, TrackConfig
from dreamlap.device import choose_autocast, choose_device, cores
from dreamlap.episodes import EpisodeStore
from dreamlap.episodes.latents import LOT, encode_episodes, keep_latents
from dreamlap.episodes.record import collect
from dreamlap.episodes.sampler import FrameSampler
from dreamlap.episodes.store import EpisodeFile
from dreamlap.named import SUFFIX
from dreamlap.progress import console, notes

DRIVES = 8
FREE = 8 * 10**9
"""Bytes of the disk that are left alone."""
SECONDS, BATCH = 10.0, 64


def main() -> None:
    """Make each store, measure it in a process of its own, print the table, and delete what was made."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rollouts", type=int, nargs="+", default=[100, 1000, 10_000])
    options.add_argument("--folder", type=Path, default=Path("build/size"), help="for the stores; deleted in the end")
    options.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.folder)))
        return
    first = asked.folder / "drives"
    collect(EpisodeStore(first), "r", DRIVES, DriverConfig("random"), TrackConfig(), 0, LIMIT, workers=cores())
    rows = []
    for rollouts in sorted(asked.rollouts):
        held = grow(first, asked.folder / "store", rollouts)
        command = [sys.executable, "-m", __spec__.name, "--measure", "--folder", str(asked.folder / "store")]
        told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        rows.append((f"{held:,}", *(f"{told[name]:,.{digits}f}" for name, digits in COLUMNS.items())))
    shutil.rmtree(asked.folder)
    shown = Table("rollouts", *COLUMNS, title=f"Stores of rollouts of 1,000 steps, {cores()} cores", title_justify="left")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


COLUMNS = {
    "GB": 1, "opened in s": 1, "V's batches: frames/s": 0, "GB held, drawing": 2, "V encodes: frames/s": 0,
    "GB held, encoding": 2,
}  # fmt: skip
"""What is measured, and the digits that are shown."""


def grow(first: Path, folder: Path, rollouts: int) -> int:
    """Copy drives until the store holds `rollouts`, or the disk would be full -> how many it holds."""
    drives = sorted(first.glob(f"*{SUFFIX}"))
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(rollouts):
        file = folder / f"r{number:05d}{SUFFIX}"
        if file.exists():
            continue
        if shutil.disk_usage(folder).free < FREE:
            notes.print(f"the disk has room for {number:,} rollouts")
            return number
        shutil.copyfile(drives[number % DRIVES], file)
    return rollouts


def measure(folder: Path) -> dict[str, float]:
    """One store, in this process."""
    began = time.perf_counter()
    episodes = list(EpisodeStore(folder))
    found = {"GB": sum(file.path.stat().st_size for file in episodes) / 1e9, "opened in s": time.perf_counter() - began}
    with most_held() as held:
        found["V's batches: frames/s"] = draw(episodes)
    found["GB held, drawing"] = held()
    with most_held() as held:
        found["V encodes: frames/s"] = look(episodes[: 2 * LOT], folder.parent / "latents")
    return found | {"GB held, encoding": held()}


def draw(episodes: list[EpisodeFile]) -> float:
    """Batches of V's training, after half a minute of them -> frames a second."""
    frames, number, drawn, began = FrameSampler(episodes), 0, 0, 0.0
    for seconds in (3 * SECONDS, SECONDS):
        drawn, began = 0, time.perf_counter()
        while time.perf_counter() < began + seconds:
            drawn += len(frames[frames.batch(0, number, BATCH)])
            number += 1
    return drawn / (time.perf_counter() - began)


def look(episodes: list[EpisodeFile], folder: Path) -> float:
    """V, as in training, in lots -> frames a second."""
    device = choose_device("cpu")
    agent = build_agent(AgentConfig())
    folder.mkdir()
    began = time.perf_counter()
    autocast = choose_autocast("auto", device)
    keep_latents(folder, episodes, partial(encode_episodes, agent.vision, form=agent.actions, bar=True, autocast=autocast))
    seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    return sum(len(file) + 1 for file in episodes) / seconds


@contextmanager
def most_held() -> Iterator[Callable[[], float]]:
    """The most memory that the process holds itself within the block, in GB, looked up ten times a second."""
    most, over = [_held()], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            most.append(max(most.pop(), _held()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: most[0]
    finally:
        over.set()
        watcher.join()


def _held() -> float:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024 / 1e9


if __name__ == "__main__":
    main()
