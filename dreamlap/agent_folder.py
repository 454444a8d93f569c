"""Where an agent lies. Nothing here loads torch: that there is none can be said at once."""

from pathlib import Path

from dreamlap.errors import Refused
from dreamlap.files import place

UNFINISHED = "unfinished"
"""Folder in a run's, of the agent whose training ended before C."""
PRETRAINED = Path(__file__).parent / "pretrained"
"""Agents that come with the package, by name."""


def agent_folder(path: Path | str) -> Path:
    """The folder of the agent that `path` means: itself, a run's, or that of an agent included in the package.

    Raises:
        FileNotFoundError: there is none.
        Refused: that is no path.
    """
    if not isinstance(path, str | Path) or not str(path).strip():
        raise Refused(f"agent is {path!r:.60}: give its folder, or the name of an included one, such as 'champion'")
    folder = place(path)
    if not folder.exists() and len(folder.parts) == 1 and (PRETRAINED / folder).exists():
        folder = PRETRAINED / folder
    for candidate in (folder, folder / "agent", folder / UNFINISHED):
        if (candidate / "agent.json").exists():
            return candidate
    included = ", ".join(sorted(one.name for one in PRETRAINED.iterdir()))
    raise FileNotFoundError(
        f"no agent in {path}: an agent is a folder with an agent.json, such as runs/demo/agent, or one of {included}"
    )
