"""Exchange: episodes that others recorded become ours, ours become what others read.

`png` folders of frames with their actions as text, `npy` arrays, and `minari` datasets. Whatever the format, one episode
is looked at at a time, and nothing in a file is ever run or unpickled.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from dreamlap.episodes import EpisodeFile, EpisodeStore
from dreamlap.errors import Refused
from dreamlap.exchange import minari, npy, png
from dreamlap.exchange.recording import MAX_SIDE, Align, Recording, episode_of
from dreamlap.progress import meter

__all__ = ["Align", "Format", "Recording", "episode_of", "export_episodes", "import_episodes"]

Format = Literal["png", "npy", "minari"]
WRITERS = {"png": png.write, "npy": npy.write, "minari": minari.write}


def import_episodes(
    source: Path, store: EpisodeStore, resize: int | None = None, length: int | None = None, align: Align = "before"
) -> int:
    """Bring the episodes of `source` into `store` as NAME-00000, NAME-00001 ... -> how many.

    An episode that is no good is left out whole; the others are brought in, before the error says which and why.

    Args:
        source: folder of PNG folders, of arrays, or a Minari dataset.
        store: where they go.
        resize: side in pixels to scale frames to; None keeps square ones as they are.
        length: steps of an episode, for arrays with all episodes end to end.
        align: what N frames and N actions mean, see `episode_of`.

    Raises:
        ValueError: there are no episodes, or some were refused.
    """
    if resize is not None and not 16 <= resize <= MAX_SIDE:
        raise Refused(f"--resize takes the side of a frame in pixels, 16 to {MAX_SIDE}, not {resize}")
    if length is not None and length < 1:
        raise Refused(f"--episode-length takes the steps of an episode, not {length}")
    kind, found = _find(source, length)
    stem = re.sub(r"[^\w-]+", "_", source.resolve().name).lstrip("_") or "imported"
    refused = []
    with meter("brings in episodes", len(found)) as bar:
        for i, read in enumerate(bar.over(found)):
            try:
                episode = episode_of(read(), resize, align, driver="imported", source=kind)
                _refuse_other(store, name := f"{stem}-{i:05d}", episode.about["file"])
            except ValueError as error:
                refused.append(str(error))
            else:
                store.write(name, episode)
    if refused:
        shown = [*refused[:10], *([f"and {len(refused) - 10} more"] if len(refused) > 10 else [])]
        kept = f"the other {len(found) - len(refused)} are in {store.folder}" if len(refused) < len(found) else "none is left"
        raise Refused(f"{len(refused)} of {len(found)} episodes were refused, {kept}:\n  " + "\n  ".join(shown))
    return len(found)


def _find(source: Path, length: int | None) -> tuple[Format, list[Callable[[], Recording]]]:
    """What kind of folder it is, and its episodes, to be read one by one."""
    if not source.is_dir():
        raise Refused(f"{source} is no folder: name the one that holds the episodes")
    kinds: list[tuple[Format, list[Callable[[], Recording]]]] = [
        ("minari", minari.find(source)), ("npy", npy.find(source, length)), ("png", png.find(source))]  # fmt: skip
    for kind, found in kinds:
        if found:
            return kind, found
    raise Refused(
        f"no episodes in {source}: there are neither folders of PNG files with an actions.txt, nor arrays *frames.npy and "
        "*actions.npy, nor a Minari dataset (data/metadata.json)"
    )


def _refuse_other(store: EpisodeStore, name: str, file: str) -> None:
    """An episode may be brought in again, but does not take the place of another."""
    if name in store and (other := store.open(name).about.get("file")) != file:
        raise Refused(f"{store.folder} has another {name}, from {other}, so {file} was left out: choose another folder")


def export_episodes(store: EpisodeStore, out: Path, kind: Format) -> int:
    """Write all episodes of `store` into a new folder `out`, whole or not at all -> how many.

    Raises:
        ValueError: there are no episodes, or `out` is there already.
    """
    names = store.names()
    if not names:
        raise Refused(f"no episodes in {store.folder}")
    if out.exists():
        raise Refused(f"{out} is there already: choose another folder, or delete it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as partial, meter("writes", len(names)) as bar:
        episodes: Iterator[EpisodeFile] = bar.over(store)
        WRITERS[kind](episodes, Path(partial) / out.name)
        os.replace(Path(partial) / out.name, out)
    return len(names)
