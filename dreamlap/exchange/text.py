"""Numbers that others wrote as text, a line a step: read as what they say, or refused by file and line."""

import codecs
import re
from pathlib import Path

import numpy as np

from dreamlap.errors import Refused

ACTION, REWARD = ("steer", "gas", "brake"), ("reward",)
"""What a line holds, in this order."""
SYNONYMS = {"steering": "steer", "throttle": "gas", "accelerate": "gas", "acceleration": "gas", "braking": "brake"}
MAX_TEXT = 2**26
"""Bytes of a text file: a million actions."""
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)"
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # those of UTF-32 begin like them
ARRAY = re.compile(r"\b(?:\w+\.)?(?:array|asarray|Array|tensor|Tensor|float\d+|double|u?int\d+)\(")
PRINTED = re.compile(
    r"\b(?:dtype|device|shape|requires_grad|grad_fn|weak_type)=(?:\([^)]*\)|'[^']*'|\"[^\"]*\"|<[^>]*>|[\w.]+)"
)
LABEL = re.compile(r"^\s*(?:[\[(]?[^\W\d][^:]*|\d+\s*):(?=[\s\[(])")
"""'step 3: ', '[info] step: ' or '3: ', but not the hour of '12:00', nor numbers before a word: they may be what is meant."""


def numbers(path: Path, names: tuple[str, ...]) -> tuple[np.ndarray, list[int]]:
    """The lines of a text file as (N, len(names)) float64, and the number of each line in the file, from 1.

    The numbers of a line are parted by commas or blanks, in brackets or not, as NumPy or torch print them or not, after a label
    and a colon or not. What follows a # is a comment. The first lines may be a heading.

    Raises:
        Refused: a line is not what it should be.
    """
    rows, places = [], []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text(path)), 1):
        written = line.split("#")[0].strip()
        if not rows and not re.search(r"\d", line) and not _plain(written):
            _check_heading(path, number, line, names)
            continue
        if not written:
            continue
        row = _plain(written)
        if row is None or len(row) != len(names):
            raise Refused(f"{path}, line {number}: {line[:60]!r} is not {_wanted(names)}{_hint(row, names, rows)}")
        rows.append(row)
        places.append(number)
    return np.array(rows, float).reshape(-1, len(names)), places


def text(path: Path) -> str:
    """A text file in UTF-8, or in UTF-16 or UTF-32 as Windows writes them, with a byte-order mark or without."""
    if path.stat().st_size > MAX_TEXT:
        raise Refused(f"{path} has {path.stat().st_size:,} bytes: that is no list of one episode's numbers")
    data = path.read_bytes()
    coding = next((coding for mark, coding in MARKS.items() if data.startswith(mark)), None)
    if coding is None:
        coding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le" if b"\0" in data[:2] else "utf-8"
    return data.decode(coding, errors="replace")


def _wanted(names: tuple[str, ...]) -> str:
    return "three numbers (steer, gas, brake)" if names == ACTION else "one number"


def _hint(row: list[float] | None, names: tuple[str, ...], rows: list[list[float]]) -> str:
    if row is not None and len(row) == len(names) + 1 and row[0] in (len(rows), len(rows) + 1):
        return ": is the first the number of the step? Leave it out"
    return ""


def _plain(line: str) -> list[float] | None:
    """The numbers of a line, in their order."""
    line = LABEL.sub(" ", ARRAY.sub("(", PRINTED.sub(" ", line)))
    if ";" in line and re.search(r"\d,\d", line):  # decimal commas: each would be two numbers
        return None
    words = re.sub(r"[][(),;]", " ", line).split()
    return [float(word) for word in words] if all(re.fullmatch(NUMBER, word, re.IGNORECASE) for word in words) else None


def _check_heading(path: Path, number: int, line: str, names: tuple[str, ...]) -> None:
    """Refuse a heading that has our names in another order: the numbers below it would be taken for others."""
    words = [SYNONYMS.get(word, word) for word in re.findall(r"[a-z]+", line.casefold())]
    found = [names.index(word) for word in words if word in names]
    if found != sorted(found):
        raise Refused(f"{path}, line {number}: {line[:60]!r} is another order than {', '.join(names)}: reorder the columns")
