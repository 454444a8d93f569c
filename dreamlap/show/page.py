"""What a page is made of: escaped text, tables, pictures and videos that lie inside the page itself.

`Html` is text that may stand in a page as it is. Whatever takes a plain `str` escapes it; nothing else makes `Html`.
"""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NewType
from urllib.parse import quote

from av.error import FFmpegError
from PIL import Image

from dreamlap.show.theme import DARK, LIGHT, Theme
from dreamlap.show.video import still

Html = NewType("Html", str)


def text(value: object) -> Html:
    """Anything, as it reads."""
    return Html(escape(str(value)))


def join(parts: Iterable[Html]) -> Html:
    """One after the other."""
    return Html("\n".join(part for part in parts if part))


def paragraph(words: str, kind: str = "") -> Html:
    """A paragraph; `kind` is its class."""
    return Html(f'<p class="{text(kind)}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>")


def missing(words: str) -> Html:
    """A note where something is not there yet."""
    return paragraph(words, "missing")


def section(title: str, *parts: Html) -> Html:
    """A part of the story under its own heading."""
    return Html(f"<section>\n<h2>{text(title)}</h2>\n{join(parts)}\n</section>")


def tiles(values: Iterable[tuple[str, str]]) -> Html:
    """Numbers side by side, each under its name."""
    each = (f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in values)
    return Html(f'<dl class="tiles">{"".join(each)}</dl>')


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table; its first column are names, the others numbers."""
    top = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return Html(f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>')


def bars(rows: Sequence[tuple[str, float, str]]) -> Html:
    """(name, amount, amount in words), with a bar in proportion to the largest: a table, which needs no style to be read."""
    most = max((amount for _, amount, _ in rows), default=0) or 1
    lines = "\n".join(
        f'<tr><th scope="row">{text(name)}</th><td><progress max="100" value="{100 * amount / most:.1f}"></progress></td>'
        f"<td>{text(words)}</td></tr>"
        for name, amount, words in rows
    )
    return Html(f'<table class="bars">\n{lines}\n</table>')


def details(summary: str, *parts: Html) -> Html:
    """Something to unfold."""
    return Html(f"<details><summary>{text(summary)}</summary>\n{join(parts)}\n</details>")


def code(words: str) -> Html:
    """Text of fixed width, line by line."""
    return Html(f"<pre>{text(words)}</pre>")


def figure(draw: Callable[[Theme], bytes], description: str, caption: str = "") -> Html:
    """A picture, drawn once for a light page and once for a dark one; `description` is for who cannot see it."""
    dark, light = (_data("image/png", draw(theme)) for theme in (DARK, LIGHT))
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    image = f'<picture>{source}<img alt="{text(description)}" src="{light}"></picture>'
    return Html(f"<figure>{image}{_caption(caption)}</figure>")


def panels(figures: Iterable[Html]) -> Html:
    """Small figures, as many side by side as there is room for."""
    return Html(f'<div class="panels">{join(figures)}</div>')


def video(path: Path, caption: str) -> Html:
    """A video with a picture of its own as the cover; a file that cannot be played is named instead."""
    try:
        shown, cover = still(path), io.BytesIO()
        Image.fromarray(shown).save(cover, "jpeg", quality=85)
    except (FFmpegError, ValueError) as error:
        return missing(f"{path.name} cannot be read ({error}): delete it and make it again.")
    sources = f'poster="{_data("image/jpeg", cover.getvalue())}" src="{_data("video/mp4", path.read_bytes())}"'
    beside = f"{path.parent.name}/{path.name}"
    link = Html(f'<a href="{text(quote(beside))}">{text(beside)}</a>')
    instead = f"<p>No video is shown here: open {link}.</p>"
    player = f"<video controls loop muted playsinline {sources}>{instead}</video>"
    return Html(f"<figure>{player}{_caption(caption, link)}</figure>")


def _caption(words: str, link: Html | None = None) -> Html:
    parts = [text(words), *([link] if link else [])]
    return Html(f"<figcaption>{' '.join(filter(None, parts))}</figcaption>" if any(parts) else "")


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def page(title: str, *parts: Html) -> str:
    """The whole document."""
    return PAGE.substitute(title=text(title), light=_colors(LIGHT), dark=_colors(DARK), body=join(parts))


def _colors(theme: Theme) -> str:
    named = {
        "paper": theme.paper,
        "ink": theme.ink,
        "quiet": theme.quiet,
        "line": theme.line,
        "accent": theme.series[0],
    }
    return "".join(f"--{name}:{color};" for name, color in named.items())


PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { $light }
@media (prefers-color-scheme: dark) { :root { $dark } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 54rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: break-word }
h1 { margin: 0; font-size: 1.5rem; letter-spacing: -.01em }
h2 { margin: 0 0 .5rem; font-size: 1.25rem; letter-spacing: -.01em }
section { margin-top: 3.25rem; padding-top: 1.5rem; border-top: 1px solid var(--line) }
p { margin: .5rem 0; max-width: 44rem }
a { color: var(--accent) } .quiet, .caption, figcaption, dt, summary, th { color: var(--quiet) }
.score { margin: 1.75rem 0 0; font-size: clamp(2.5rem, 10vw, 4rem); line-height: 1.1; font-weight: 650;
  letter-spacing: -.03em }
.missing { padding: .6rem .9rem; border-left: 3px solid var(--line); color: var(--quiet) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1.1rem 1.5rem;
  margin: 1.75rem 0 }
dt { font-size: .8125rem } dd { margin: 0; font-size: 1.1875rem; font-weight: 600 }
figure { margin: 1.5rem 0 0; min-width: 0 }
figcaption, .caption { margin-top: .5rem; font-size: .875rem; max-width: 44rem }
.wide { overflow-x: auto }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); gap: 0 1rem }
img { display: block; width: 100%; height: auto }
video { display: block; max-width: 100%; max-height: 26rem; border-radius: 6px }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-size: .9375rem; white-space: nowrap }
th { font-weight: 500; font-size: .8125rem } th, td { padding: .4rem .75rem .4rem 0; text-align: right;
  border-bottom: 1px solid var(--line) } th:first-child, td:first-child { text-align: left }
.bars th, .bars td { padding: .2rem .75rem .2rem 0; border: 0; font: inherit; color: inherit; white-space: normal }
.bars td:nth-child(2) { width: 60% } .bars td:last-child { white-space: nowrap }
progress { display: block; width: 100%; min-width: 5rem; height: .6rem; border: 0; border-radius: 3px; overflow: hidden;
  appearance: none; background: var(--line) }
progress::-webkit-progress-bar { background: var(--line) } progress::-webkit-progress-value { background: var(--accent) }
progress::-moz-progress-bar { background: var(--accent) }
details { margin: 1rem 0 } summary { cursor: pointer; font-size: .9375rem }
pre { overflow-x: auto; padding: .9rem 1rem; border: 1px solid var(--line); border-radius: 6px;
  font: .8125rem/1.5 ui-monospace, monospace }
</style>
</head>
<body>
$body
</body>
</html>
""")
