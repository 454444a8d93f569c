"""Exchange: episodes that others recorded become ours, ours become what others read.

`png` folders of frames with their actions as text, `npy` arrays, and `minari` datasets. Whatever the format, one episode
is looked at at a time, and nothing in a file is ever run or unpickled. What an episode holds is its identity: what is in a
store already is not brought in again, by whatever path it comes, or after it was moved.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from dreamlap.episodes import EpisodeFile, EpisodeStore
from dreamlap.errors import Refused, explain
from dreamlap.exchange import minari, npy, png
from dreamlap.exchange.folder import look, told
from dreamlap.exchange.recording import MAX_SIDE, Align, Found, Recording, episode_of
from dreamlap.exchange.tally import Tally
from dreamlap.files import Owned, check_folder, new_folder, place, remove_empty
from dreamlap.named import folder_with_episodes, recordings_folder
from dreamlap.progress import console, meter

__all__ = ["Align", "Format", "Recording", "episode_of", "export_episodes", "import_episodes"]

Format = Literal["png", "npy", "minari"]
WRITERS = {"png": png.write, "npy": npy.write, "minari": minari.write}
MOST_BYTES_OF_NAME = 200
"""Of what an episode is called after; a file's name has 255."""
NEEDED = (
    "Needed are folders of pictures (frame_0.png ...) with an actions.txt, or arrays NAMEframes.npy and NAMEactions.npy, or "
    "rollouts in .npz archives, or a Minari dataset (data/metadata.json)"
)


def import_episodes(
    source: Path | str,
    store: EpisodeStore,
    resize: int | None = None,
    length: int | None = None,
    align: Align | None = None,
) -> int:
    """Bring the episodes of `source` into `store` as NAME-00000, NAME-00001 ..., and say what was read -> how many.

    Those that are in the store already count, and are left as they are. An episode that is no good is left out whole; the
    others are brought in, before the error says which and why.

    Args:
        source: folder of folders of pictures, of arrays, or a Minari dataset.
        store: where they go.
        resize: side in pixels to scale frames to; None keeps square ones as they are.
        length: the most steps of an episode, for arrays with all episodes end to end.
        align: what N frames and N actions mean, see `episode_of`; None: as is usual in the format.

    Raises:
        Refused: there are no episodes, some were refused, or another process writes into the store.
        OSError: the source cannot be read, or the store cannot be written.
    """
    if resize is not None and not 16 <= resize <= MAX_SIDE:
        raise Refused(f"--resize takes the side of a frame in pixels, 16 to {MAX_SIDE}, not {resize}")
    if length is not None and length < 1:
        raise Refused(f"--episode-length takes the steps of an episode, not {length}")
    if align not in (None, "before", "after"):
        raise Refused(f"--align is before or after, not {align!r}")
    source = recordings_folder(source)
    found, unread = _find(source, length)
    check_folder(store.folder)
    stem = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", source.resolve().name)).lstrip("_") or "imported"
    stem = stem.encode()[:MOST_BYTES_OF_NAME].decode(errors="ignore")
    tally = Tally()
    with _owned(store.folder):
        try:
            refused = _bring(found, store, stem, tally, resize, align)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{tally.new} new episodes are in {store.folder}; the same command brings in the others."
            ) from None
        finally:
            for line in tally.lines():
                console.print(line)
    if unread:
        console.print(f"  not read: {told(unread)}")
    if refused:
        shown = [*refused[:10], *([f"and {len(refused) - 10} more"] if len(refused) > 10 else [])]
        kept = f"the other {len(found) - len(refused)} are in {store.folder}" if len(refused) < len(found) else "none is left"
        raise Refused(f"{len(refused)} of {len(found)} episodes were refused, {kept}:\n  " + "\n  ".join(shown))
    return len(found)


def _find(source: Path, length: int | None) -> tuple[list[Found], list[Path]]:
    """The episodes of a folder, to be read one by one, and the files that none of them is read from."""
    top = look(source)
    arrays = npy.find(top, length)
    found = [*minari.find(top), *arrays, *png.find(top)]
    if found and length and not arrays:
        raise Refused(f"--episode-length {length} is for arrays in which episodes lie end to end, and {source} has none")
    files = [file for folder in top.all() for file in folder.files]
    if not found:
        ours = " Those are dreamlap's own: `--data` takes the folder as it is." * any(f.suffix == ".episode" for f in files)
        raise Refused(f"no episodes in {source}. There is {told(files)}.{ours} {NEEDED}")
    read = {file for one in found for file in one.files}
    return found, [file for file in files if file not in read]


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Own a folder. If it was made for this and nothing comes into it, it goes again."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        with Owned(folder):
            yield
    finally:
        remove_empty(missing)


def _bring(
    found: list[Found], store: EpisodeStore, stem: str, tally: Tally, resize: int | None, align: Align | None
) -> list[str]:
    """Read all, write what is new, and count -> why some were refused."""
    refused, number = [], 0
    there: dict[str, list[str]] = {}  # by identity, where the episodes came from
    for file in store:
        there.setdefault(file.identity, []).append(_path(file.about.get("file")))
    files = {path for paths in there.values() for path in paths}
    with meter("brings in episodes", len(found)) as bar:
        for one in bar.over(found):
            try:
                recording = one.read()
                path = _path(recording.where)
                episode = episode_of(recording, resize, align, driver="imported", source=one.kind, file=path)
            except (Refused, OSError) as error:
                refused.append(explain(error) if isinstance(error, OSError) else str(error))
                continue
            same = there.setdefault(episode.identity, [])
            new, copied = not any(_is_same(path, other) for other in same), bool(same)
            if new:
                while (name := f"{stem}-{number:05d}") in store:
                    number += 1
                store.write(name, episode)
                same.append(path)
            tally.add(recording, episode, align, new, new and path in files, new and copied)
    return refused


def _path(where: object) -> str:
    """Where an episode came from, whatever way the path was typed."""
    return os.path.realpath(str(where)) if where else ""


def _is_same(path: str, other: str) -> bool:
    """Whether an episode that came from `other` is the one in `path`, which holds the same: unless both are there, it is."""
    return path == other or not (os.path.exists(other) or os.path.exists(other.rpartition(", ")[0]))


def export_episodes(store: EpisodeStore, out: Path | str, kind: Format) -> int:
    """Write all episodes of `store` into a new folder `out`, whole or not at all -> how many.

    Raises:
        Refused: there are no episodes, `out` is there already, or the format cannot hold them.
        OSError: it cannot be written.
    """
    out = place(out)
    if kind not in WRITERS:
        raise Refused(f"--to is one of {', '.join(WRITERS)}, not {kind!r}")
    folder_with_episodes(store.folder)
    names = store.names()
    if kind == "minari":
        minari.check(store, out.name)
    with new_folder(out) as folder, meter("writes", len(names)) as bar:
        episodes: Iterator[EpisodeFile] = bar.over(store)
        WRITERS[kind](episodes, folder)
    return len(names)
