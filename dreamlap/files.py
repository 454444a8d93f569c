"""Files: written whole or not at all, through links and into pipes, read within bounds, in folders that have one owner.

Every file of the project is written by `replacing`: under another name first, then renamed. A reader meets the old file or
the new one, whatever was killed when.
"""

import errno
import json
import math
import os
import shutil
import socket
import tempfile
import time
import uuid
import weakref
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from dreamlap.errors import Failed, Refused

MOST_JSON = 64 * 2**20
"""Bytes of a JSON file: a score of 100,000 tracks has 3 MB."""
LOCK = ".lock"
"""Name of the file that says who owns a folder, in that folder."""


def place(path: Path | str) -> Path:
    """The path with `~` as the home folder, which a shell leaves alone in `--flag=~/x`.

    Raises:
        Refused: `~` is that of a user who is not known here.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise Refused(f"{path}: there is no such user's home folder here. For a file of that name write ./{path}") from None


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a name to write to; it becomes `path` if the block succeeds, and vanishes if it does not.

    A link is written through. A file that was there keeps its mode. A pipe or a device gets the bytes and stays what it is.

    Raises:
        OSError: it cannot be written; `filename` is `path`.
        Failed: it belongs into a folder that this process owned, and which was deleted meanwhile.
    """
    path = place(path)
    target = Path(os.path.realpath(path))
    _check_owned(target)
    special = target.exists() and not target.is_file()
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with _told_as(path):
        folder = Path(tempfile.mkdtemp()) if special else target.parent
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{uuid.uuid4().hex[:12]}.partial"  # short: the file's own name may fill the 255 bytes
    try:
        with _told_as(path, partial):
            yield partial
        with _told_as(path):
            _check_owned(target)
            if special:
                with partial.open("rb") as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            else:
                if target.exists():
                    shutil.copymode(target, partial)
                os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
        if special:
            folder.rmdir()


@contextmanager
def new_folder(path: Path | str) -> Iterator[Path]:
    """Yield a folder of that name to fill; it becomes `path` if the block succeeds, and vanishes if it does not.

    Raises:
        Refused: something is there already.
        OSError: it cannot be written; `filename` is `path`.
    """
    path = place(path)
    if os.path.lexists(path):
        raise Refused(f"{path} is there already: choose another folder, or delete it")
    check_folder(path)  # its name, and whether there is room for a file
    missing = [one for one in path.parents if not one.exists()]
    with _told_as(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=".", suffix=".partial"))
    try:
        with _told_as(path, partial):
            (partial / path.name).mkdir()
            yield partial / path.name
        with _told_as(path):
            os.rename(partial / path.name, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        remove_empty(missing)


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of some folders, the inner ones first, that hold nothing."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def _told_as(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Errors of writing name `path`, which the user knows. Other errors of a block that writes `partial` are left alone."""
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number is None:  # what libraries raise when a write fails differs; whether there is room does not
            if partial is None or not partial.parent.exists() or shutil.disk_usage(partial.parent).free >= 2**16:
                raise
            number = errno.ENOSPC
        elif partial is not None and number not in (errno.ENOSPC, errno.EDQUOT):
            named = getattr(error, "filename", None)
            if named is not None and not str(named).startswith(str(partial)):
                raise
        raise OSError(number, os.strerror(number), str(path)) from error


def check_writable(path: Path | str, suffixes: Collection[str] = (), read: Collection[Path] = ()) -> None:
    """Find out before the work whether `replacing(path)` could write; leaves nothing behind.

    `suffixes`: those of the formats that can be written, if the suffix decides; the first is the usual one. `read`: files that
    the work reads, and which are to stay.

    Raises:
        OSError: it could not; `filename` is `path`.
        Refused: the suffix is another, or it is one of those files.
    """
    path = place(path)
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not target.exists() or target.is_file():
        check_folder(target.parent, path)
    if any(target == Path(os.path.realpath(place(file))) for file in read):
        raise Refused(f"{path} is what is read, and would be lost: name another file to write")
    if suffixes and path.suffix.lower() not in suffixes:
        usual = path.with_suffix(next(iter(suffixes)))
        raise Refused(f"{path}: the suffix decides the format: {', '.join(suffixes)}. Use {usual}")


def existing(path: Path | str) -> Path:
    """The path of a file that is to be read.

    Raises:
        OSError: there is none, or it is a folder; `filename` is `path`.
    """
    path = place(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.stat()
    return path


def check_folder(folder: Path | str, named: Path | None = None) -> None:
    """Find out before the work whether files can be written into a folder, which need not exist; leaves nothing behind.

    Raises:
        OSError: they cannot; `filename` is `named`, or else the folder.
    """
    folder = place(folder)
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    with _told_as(named or folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        finally:
            remove_empty(missing)  # but what another process has meanwhile put there stays


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` so that a reader sees the old file or the new one. What is no number becomes null: JSON has no NaN."""
    text = json_text(value) + "\n"
    with replacing(path) as partial:
        partial.write_text(text, "utf-8")


def json_text(value: Any) -> str:
    """`value` as JSON, for people and programs. What is no number becomes null: JSON has no NaN."""
    return json.dumps(_known(value), indent=2, allow_nan=False)


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _known(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_known(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path | str) -> Any:
    """Read a JSON file, or say which one is missing or broken."""
    path = place(path)
    try:
        if (size := path.stat().st_size) <= MOST_JSON:
            return json.loads(path.read_text("utf-8-sig"))
        raise Refused(f"{path} has {size:,} bytes: that is too much for settings or scores. Is it the right file?")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: is {path.parent} the folder you mean?") from None
    except Refused:
        raise
    except (ValueError, RecursionError) as error:  # no JSON, no text, numbers of thousands of digits, thousands of brackets
        raise Refused(f"{path} is not valid JSON ({error}): delete it and run again, or copy it again") from None


def read_object(path: Path | str) -> dict[str, Any]:
    """Read a JSON file that must hold an object, as all of ours do."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise Refused(f"{path} holds {_kind(value)} where an object is expected: delete it and run again, or copy it again")
    return value


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}
    return names.get(type(value), "something else")


_MINE: dict[Path, int] = {}
"""The lock of every folder that this process owns -> the lock file's number. A folder that was deleted, and made again by
another process, has another lock or none: what is written into it then would be mixed with the other's."""


def _check_owned(target: Path) -> None:
    for lock, number in list(_MINE.items()):
        if target.is_relative_to(lock.parent) and _number(lock) != number:
            raise Failed(
                f"{lock.parent} was deleted or replaced while this process wrote into it, so it stops. What is there now is "
                "kept; run the same command again to go on with it"
            )


def _number(lock: Path) -> int | None:
    with suppress(FileNotFoundError, NotADirectoryError):
        return lock.stat().st_ino
    return None


class Owned:
    """A folder while this process is the only one that writes into it. The system frees it when the process ends.

    Within a process a folder may be owned several times. When it is deleted, the process writes nothing more of that name.
    """

    def __init__(self, folder: Path | str):
        """Take the folder, which is made if need be.

        Raises:
            Refused: another process has it; the message says which, on which machine, and since when.
        """
        place(folder).mkdir(parents=True, exist_ok=True)
        path = place(folder).resolve() / LOCK
        lock = FileLock(path, is_singleton=True, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise Refused(
                f"another process is writing into {folder}: {_owner(path)}. Wait until it ends, stop it, or choose "
                "another name or folder"
            ) from None
        owner = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        path.write_text(json.dumps(owner), "utf-8")
        _MINE[path] = path.stat().st_ino
        self.release = weakref.finalize(self, _release, lock, path)
        """Let others have it; called when nobody holds this object any more, too."""

    def __enter__(self) -> "Owned":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _release(lock: BaseFileLock, path: Path) -> None:
    last = lock.lock_counter == 1  # it is not owned by anything else in this process
    if last and _number(path) == _MINE.pop(path, None):  # and the file is not another process's
        with suppress(OSError):  # Windows cannot remove a file that is open
            path.unlink()  # whoever opened it meanwhile sees that it is gone, and tries again
    lock.release()


def _owner(lock: Path) -> str:
    try:
        return "process {process} on {host}, since {since}".format(**json.loads(lock.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return "it did not say which"
