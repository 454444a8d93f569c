"""What can go wrong. `Refused` and `Failed` name their remedy in one line; any other exception is a bug of ours."""

import difflib
import errno
from collections.abc import Iterable


class Refused(ValueError):
    """What was asked for cannot be done. The message says what is wrong, where, and what to type instead."""


Refused.__name__ = ValueError.__name__  # to whoever calls us from Python, and prints the type's name, it is that


class Failed(RuntimeError):
    """What was begun cannot go on. The message says why, what is kept, and how to continue."""


def meant(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """What to say of a name that is not known: the closest one that is; or else `otherwise`, or all that there are."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else otherwise or f"there are {', '.join(names)}"


UPGRADE = "`git pull` in the folder of dreamlap's clone"
"""How a newer version is had. The name on PyPI is not dreamlap's own."""


def installing(extra: str) -> str:
    """How the packages of an extra are installed."""
    return f"in the folder of dreamlap's clone, pip install -c constraints.txt -e '.[{extra}]'"


REMEDIES = {
    errno.ENOSPC: "no space is left on the disk. Free some, then run the same command again; what was written before is kept",
    errno.EDQUOT: "your disk quota is used up. Free some, then run the same command again; what was written before is kept",
    errno.EACCES: "permission denied. Choose another folder, or change its permissions",
    errno.EPERM: "the operation is not permitted there. Choose another folder",
    errno.EROFS: "the file system is read-only. Choose another folder",
    errno.EISDIR: "it is a folder. Name a file",
    errno.ENOTDIR: "a part of the path is a file, not a folder. Choose another path",
    errno.EEXIST: "a file is in the place of the folder. Choose another path",
    errno.ENAMETOOLONG: "the name is too long for the file system. Choose a shorter one",
    errno.ENOENT: "there is no such file or folder. Check the path",
    errno.EPIPE: "its reader ended before all was written. Let it read to the end, then run the same command again",
    errno.EMFILE: "too many files are open. Raise the limit (`ulimit -n 4096`), then run the same command again",
}
"""What to do about an error of the operating system, by its number."""


def explain(error: OSError) -> str:
    """The path and the remedy in one line; errors that have no number keep their own words."""
    if error.errno is None:
        return str(error)
    remedy = REMEDIES.get(error.errno, f"{error.strerror}. Check the path, then run the same command again")
    return f"{error.filename}: {remedy}" if error.filename is not None else f"{error.strerror}: {remedy}"
