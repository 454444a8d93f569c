"""Every block of Python in the README and in docs/ runs as pasted, and every command there is one that exists."""

import functools
import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NoReturn

import pytest

import dreamlap
from dreamlap.cli import main

HOME = Path(dreamlap.__file__).parents[1]
PAGES = [HOME / "README.md", *sorted((HOME / "docs").rglob("*.md"))]
SHELL = ("sh", "bash", "shell", "console")
STAND_INS = {
    "PRESET": "debug", "AGENT": "unprivileged", "RUN": "runs/demo", "FOLDER": "episodes", "SOURCE": "recorded", "OUT": "out",
    "FILE": "score.json", "A:B": "900000:900001", "A": "champion", "B": "unprivileged", "VERB": "run", "NAME": "mine",
}  # fmt: skip
"""What stands in a page for something of the reader's own, and what the tests put there."""
QUICK = {
    "presets": "", "video": "--steps 5", "picture": "", "evaluate": "--seeds 900000:900001 --workers 1 --track fast",
}  # fmt: skip
"""Verbs that are really run, and the flags that make them quick; commands of other verbs are only parsed."""


def blocks(*languages: str) -> Iterator[tuple[str, str]]:
    """The blocks of code in these languages -> where each stands, and its text."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for found in re.finditer(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if found[1] in languages:
                yield f"{page.relative_to(HOME)}:{text.count(chr(10), 0, found.start()) + 2}", found[2]


def commands() -> Iterator[tuple[str, str]]:
    """Every command, from blocks and from the text -> where it stands, and itself."""
    for place, block in blocks(*SHELL):
        for line in block.replace("\\\n", " ").splitlines():
            parts = re.split(r"\s&&\s", line)
            yield from ((place, part.strip()) for part in parts if shlex.split(part, comments=True))
    for page in PAGES:
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
            for text in re.findall(r"`((?:dreamlap|make|python -m) [^`]+)`", line):
                yield f"{page.relative_to(HOME)}:{number}", text.replace("\\|", "|")


def ways(command: str) -> Iterator[list[str]]:
    """A command's words, with something for what the reader is to put there; of `this|that`, each in turn."""
    yield from map(
        list, product(*([STAND_INS.get(one, one) for one in w.split("|")] for w in shlex.split(command, comments=True)))
    )


class Parsed(BaseException):
    """The command line is parsed, and the work would begin now."""


def stop(*_: Any, **__: Any) -> NoReturn:
    """Stands where the work would begin."""
    raise Parsed


def parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the real command line parse the words, and check them, and stop where the work would begin."""
    if len(words) == (2 if words[0] in ("train", "data") else 1):
        words = [*words, "--help"]  # the text names a verb, and gives no command
    with monkeypatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("dreamlap.cli") and hasattr(module, "checked"):  # which wraps every verb's function
                checked = module.checked
                patch.setattr(module, "checked", lambda verb, checked=checked: checked(functools.wraps(verb)(stop)))
        for begins in ("dreamlap.plan.Run", "dreamlap.expert_run.run_expert"):
            patch.setattr(begins, stop)
        patch.setattr("dreamlap.cli.runs.check_named", lambda *_: None)  # a page names folders that a reader has
        code = None  # `help` returns
        try:
            main(words)
        except Parsed:
            pass
        except SystemExit as ended:
            code = ended.code
    assert not code, words


def check_make(words: list[str], _: pytest.MonkeyPatch) -> None:
    """`make X`: the Makefile can."""
    for target in words:
        assert re.search(rf"^{target}:", (HOME / "Makefile").read_text("utf-8"), re.MULTILINE), target


def check_python(words: list[str], _: pytest.MonkeyPatch) -> None:
    """`python -m X`: there is such a module."""
    assert words[0] == "-m"
    assert importlib.util.find_spec(words[1]) is not None, words[1]


def check_pip(words: list[str], _: pytest.MonkeyPatch) -> None:
    """`pip install -c FILE -e '.[EXTRAS]'`: the file is there, and so are the extras. A version that is named is the pinned
    one: pip would replace another, and torch's by one with CUDA."""
    known = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert words[0] == "install"
    for flag, value in pairwise(words):
        assert flag not in ("-c", "-r") or (HOME / value).is_file(), value
    pinned = (HOME / "constraints.txt").read_text("utf-8").splitlines()
    assert not words[1].startswith("torch") or words[1] in pinned, f"constraints.txt pins another version than {words[1]}"
    for extras in re.findall(r"\[(.*?)\]", " ".join(words)):
        assert set(extras.split(",")) <= known.keys(), extras


CHECKS: dict[str, Callable[[list[str], pytest.MonkeyPatch], None]] = {
    "dreamlap": parse, "make": check_make, "python": check_python, "python3": check_python, "pip": check_pip,
}  # fmt: skip
UNCHECKED = ("git", "cd", "source", ".", "ray")
"""Programs whose commands cannot be tried here."""


@pytest.mark.parametrize(("place", "command"), list(commands()))
def test_every_command_of_a_page_exists(place: str, command: str, monkeypatch: pytest.MonkeyPatch):
    for program, *words in ways(command):
        name = Path(program).name
        assert name in CHECKS or name in UNCHECKED, f"{place}: no test knows the program {name!r}"
        if name in CHECKS:
            CHECKS[name](words, monkeypatch)


@pytest.mark.parametrize(
    "wrong",
    ["video unprivileged --stepz 5", "run demo --vision.latnt 64", "run dmo", "evaluate --workers 2",
     "evaluate champion --workers 0", "data import recorded", "train expert --nmae mine", "dream unprivileged"],
)  # fmt: skip
def test_a_command_that_does_not_exist_is_noticed(wrong: str, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(AssertionError):
        parse(wrong.split(), monkeypatch)


def quick() -> Iterator[tuple[str, list[str]]]:
    """The commands that are really run, each once."""
    known = set()
    for place, command in commands():
        for program, *words in ways(command):
            ours = Path(program).name == "dreamlap" and words[0] in QUICK
            ours = ours and not any(word.startswith("runs/") for word in words)  # a run that the reader has made before
            if ours and "--final" not in words and tuple(words) not in known:  # test tracks are for final scores alone
                known.add(tuple(words))
                yield place, words


@pytest.mark.parametrize(("place", "words"), list(quick()))
def test_quick_commands_run(place: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    main([*words, *shlex.split(QUICK[words[0]])])
    assert words[0] not in ("video", "picture") or len(list(tmp_path.iterdir())) == 1, place


@pytest.mark.parametrize(("place", "block"), list(blocks("python")))
def test_python_of_a_page_runs_as_pasted(place: str, block: str, tmp_path: Path):
    (tmp_path / "pasted.py").write_text(block, "utf-8")
    done = subprocess.run([sys.executable, "pasted.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{place}: {done.stderr}"
    assert done.stdout, f"{place} prints nothing"


def examples() -> Iterator[tuple[str, str, str]]:
    """What docs/extending.md adds: its title, the patch, and the command that tries it."""
    text = (HOME / "docs/extending.md").read_text("utf-8")
    for found in re.finditer(r"^## (.*?)\n.*?^```diff\n(.*?)^```\n.*?^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield found[1], found[2], found[3]


def test_every_kind_of_part_has_an_example():
    assert [title for title, *_ in examples()] == ["A V", "An M", "A C", "A driver", "A preset"]


@pytest.mark.parametrize(("title", "patch", "command"), list(examples()))
def test_a_part_can_be_added_as_documented(title: str, patch: str, command: str, tmp_path: Path):
    shutil.copytree(HOME / "dreamlap", tmp_path / "dreamlap", ignore=shutil.ignore_patterns("pretrained", "__pycache__"))
    (tmp_path / "part.diff").write_text(patch, "utf-8")
    applied = subprocess.run(["git", "apply", "part.diff"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert applied.returncode == 0, f"{title}: {applied.stderr}"
    changed = (tmp_path / patch.split("+++ b/")[1].splitlines()[0]).read_text("utf-8")
    assert changed != (HOME / patch.split("+++ b/")[1].splitlines()[0]).read_text("utf-8")
    program, *words = shlex.split(command)
    assert program == "dreamlap"
    done = subprocess.run([sys.executable, "-m", "dreamlap", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{title}: {done.stdout} {done.stderr}"


@pytest.mark.parametrize("module", ["dreamlap", "dreamlap.mind", "dreamlap.episodes"])
def test_every_public_name_is_on_the_page_of_the_api(module: str):
    documented = re.findall(r"^\.\. auto\w+:: (\S+)$", (HOME / "docs/api.md").read_text("utf-8"), re.MULTILINE)
    names = {f"{module}.{name}" for name in importlib.import_module(module).__all__ if not name.startswith("_")}
    assert names <= set(documented)


def test_the_notebook_runs(tmp_path: Path):
    cells = json.loads((HOME / "docs/notebook.ipynb").read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] for cell in cells if cell["cell_type"] == "code" and "print(" in "".join(cell["source"]))
    (tmp_path / "cells.py").write_text("\n\n".join(code), "utf-8")
    quiet = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "cells.py"], cwd=tmp_path, capture_output=True, text=True, check=False, env=quiet)
    assert done.returncode == 0, done.stderr
    assert "dream steps a second" in done.stdout
