"""The pages of docs/results: a trial's number is an anchor, once, and every link to a trial leads to it."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = sorted((ROOT / "docs/results").glob("*.md"))
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
ANCHOR = r'<a id="((?:expert-)?trial-[\w-]+)"></a>'
UNUSED = {10}
"""Numbers that no trial was given."""


def anchors(page: Path) -> list[str]:
    """The trials of a page."""
    return re.findall(ANCHOR, page.read_text("utf-8"))


def numbers() -> Iterator[tuple[Path, str]]:
    """The first cell of every row of the tables of trials, and its page."""
    for page in RESULTS:
        for table in re.findall(r"^\| # \|.*\n\|[-|]+\n((?:\|.*\n)+)", page.read_text("utf-8"), re.MULTILINE):
            yield from ((page, row.split("|")[1].strip()) for row in table.splitlines())


def test_every_trial_is_an_anchor_once():
    found = Counter(name for page in RESULTS for name in anchors(page))
    assert [name for name, times in found.items() if times > 1] == []
    trials = {int(name.removeprefix("trial-")) for name in found if re.fullmatch(r"trial-\d+", name)}
    assert max(trials) >= 204
    assert set(range(1, max(trials) + 1)) - trials == UNUSED


def test_the_number_of_every_row_is_its_anchor():
    cells = list(numbers())
    assert len(cells) > 190
    for page, cell in cells:
        names = " ".join(re.findall(ANCHOR, cell))
        told = re.sub(ANCHOR, "", cell)
        assert re.findall(r"\w+", re.sub(r"(expert-)?trial-", "", names)) == re.findall(r"\w+", told), f"{page.name}: {told}"


def test_every_link_to_a_trial_leads_to_it():
    links = [
        (page, path, name)
        for page in PAGES
        for path, name in re.findall(r"\]\(([^()\s]*)#((?:expert-)?trial-[\w-]+)\)", page.read_text("utf-8"))
    ]
    assert len(links) > 50
    for page, path, name in links:
        assert name in anchors(page.parent / path if path else page), f"{page.relative_to(ROOT)}: {path}#{name}"
