"""Figures as PNG bytes: learning curves, reconstructions, dreams, scores, how the rounds went. No legend lies over data."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from dreamlap.errors import Refused
from dreamlap.measure.memory import OpenLoop
from dreamlap.scores import LOST
from dreamlap.show.good import SCORE, Bound, told
from dreamlap.show.theme import LIGHT, Theme, bare, picture

Metrics = Sequence[Mapping[str, float]]
"""What a stage logged: `Stage.metrics()`."""

HORIZONS = (0, 1, 5, 10, 25, 50, 100)
"""Steps into a dream at which it is shown."""


def curves(
    rounds: Sequence[Metrics],
    names: Sequence[str] | None = None,
    columns: int = 3,
    theme: Theme = LIGHT,
    good: Mapping[str, Bound] | None = None,
) -> bytes:
    """A panel for each metric, over the updates of one round after the other, raw behind smoothed.

    `names`: the metrics to show, all of them by default; one that is never negative and falls far has a log scale. `good`: by
    metric, what a dashed line marks as good.

    Raises:
        ValueError: nothing was logged.
    """
    lines = [line for metrics in rounds for line in metrics]
    good, names = (
        good or {},
        names or [name for name in dict.fromkeys(key for line in lines for key in line) if name != "update"],
    )
    if not names:
        raise Refused("no metrics to draw: nothing was logged yet")
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False).flat
        for axes, name in zip(panels, names, strict=False):
            _curve(
                axes,
                [np.array([line.get(name, np.nan) for line in metrics], float) for metrics in rounds],
                theme,
                good.get(name),
            )
            axes.set_title(name.replace("_", " "))
        for axes in list(figure.axes)[len(names) :]:
            axes.set_visible(False)

    return picture(draw, 2.7 * columns, 1.75 * rows, theme)


def _curve(axes: Axes, rounds: Sequence[np.ndarray], theme: Theme, good: Bound | None) -> None:
    values = np.concatenate(rounds)
    smoothed = np.concatenate([_smooth(part) for part in rounds])
    x = np.arange(1, len(values) + 1)
    known = np.isfinite(values)
    axes.plot(x[known], values[known], color=theme.series[0], alpha=0.28, linewidth=0.6)
    axes.plot(x[known], smoothed[known], color=theme.series[0], linewidth=1.5)
    for border in np.cumsum([len(part) for part in rounds])[:-1]:
        axes.axvline(border + 0.5, color=theme.quiet, linewidth=0.6, linestyle=(0, (2, 2)))
    axes.set_xlim(0.5, max(len(values), 2) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if good:
        axes.axhline(good[1], color=theme.series[2], linewidth=1, linestyle=(0, (5, 2)))
        axes.set_title(told(good), loc="right", color=theme.series[2], fontsize=8)
    if known.any():
        _scale(axes, values[known], *([good[1]] if good else []))


def evolution(rounds: Sequence[Metrics], theme: Theme = LIGHT) -> bytes:
    """What CMA-ES logged, by generation: the population's returns, those on the real track where there are any, and sigma."""
    lines = [line for metrics in rounds for line in metrics]
    generation = np.arange(1, len(lines) + 1)
    shown = (("best", "best", 1, ""), ("mean", "mean", 0, ""), ("real", "in the real environment", 2, "o"))

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(2.4, 1))
        for name, label, series, marker in shown:
            values = np.array([line.get(name, np.nan) for line in lines], float)
            if (known := np.isfinite(values)).any():
                marks = {"color": theme.series[series], "marker": marker, "markersize": 3.5}
                left.plot(generation[known], values[known], label=label, linewidth=1.2, **marks)
        left.set_title("return by generation")
        left.legend(loc="lower right", ncols=3, bbox_to_anchor=(1, 1), borderaxespad=0)  # beside the title
        right.plot(generation, [line.get("sigma", np.nan) for line in lines], color=theme.series[0], linewidth=1.2)
        right.set_title("sigma, the width of the search")
        for axes in (left, right):
            axes.set_xlabel("generation")
            axes.set_xlim(0.5, max(len(lines), 2) + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            for border in np.cumsum([len(metrics) for metrics in rounds])[:-1]:
                axes.axvline(border + 0.5, color=theme.quiet, linewidth=0.6, linestyle=(0, (2, 2)))

    return picture(draw, 8.1, 2.5, theme)


def _scale(axes: Axes, values: np.ndarray, *shown: float) -> None:
    """Show all but the rarest outliers, and what else is `shown`; by orders of magnitude where there are several."""
    low, high = np.percentile(values, [0.5, 99.5])
    low, high = min(low, *shown, high), max(high, *shown, low)
    if low > 0 and high > 20 * low:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())  # within few decades matplotlib's own labels overlap
        axes.set_ylim(low / 1.3, high * 1.3)
    else:
        margin = 0.08 * (high - low) + 1e-9
        axes.set_ylim(low - margin, high + margin)


def _smooth(values: np.ndarray) -> np.ndarray:
    """The mean of a fortieth of all values around each, of five if they are few; NaNs are left out."""
    half = max(min(2, len(values) // 10), len(values) // 80)
    known, window = np.isfinite(values), np.ones(2 * half + 1)
    padded = (np.convolve(part, window)[half : half + len(values)] for part in (np.where(known, values, 0), known))
    total, count = padded
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def sheet(rows: Mapping[str, np.ndarray], above: Sequence[str] = (), theme: Theme = LIGHT) -> bytes:
    """Rows of N frames (N, S, S, 3) uint8, the name of each beside it; `above`: a word over each of the N columns."""
    columns = len(next(iter(rows.values())))

    def draw(figure: Figure) -> None:
        _strip(figure.subplots(), list(rows.values()), list(rows), above or [""] * columns)

    return picture(draw, 8.1, 0.1 + 0.2 * bool(above) + len(rows) * 7.6 / columns, theme)


def dream_strip(dream: OpenLoop, theme: Theme = LIGHT) -> bytes:
    """Frames of a drive over those of a dream that was told its actions, and how far the two differ."""
    steps = [step for step in HORIZONS if step < len(dream.real)]
    labels = ["0", *(f"+{step}" for step in steps[1:])]

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, height_ratios=(2 * 7.6 / len(steps), 1.7))
        _strip(above, (dream.real[steps], dream.dreamed[steps]), ("track", "dream"), labels)
        _errors(below, dream, theme)

    return picture(draw, 8.1, 0.5 + 2 * 7.6 / len(steps) + 1.9, theme)


def _errors(axes: Axes, dream: OpenLoop, theme: Theme) -> None:
    x = np.arange(len(dream.real))
    for error, color, name, dashes in (
        (dream.pixels["still"], theme.quiet, "copy-last-frame baseline", (0, (1, 1.5))),
        (dream.pixels["dream"], theme.series[0], "M's dream", "-"),
        (dream.pixels["floor"], theme.series[1], "V's reconstruction of the actual frame", (0, (4, 2))),
    ):
        axes.plot(x, error, color=color, linestyle=dashes, label=name, linewidth=1.5)
    axes.set_ylabel("error (RMS, grey levels)")
    axes.set_xlabel("dream steps")
    axes.set_xlim(0, len(x) - 1)
    axes.set_ylim(0, None)
    axes.legend(loc="lower left", ncols=3, bbox_to_anchor=(0, 1), borderaxespad=0)


def _strip(axes: Axes, rows: Sequence[np.ndarray], sides: Sequence[str], above: Sequence[str]) -> None:
    """Rows of frames (N, S, S, 3) uint8 as one picture, a word beside each row and above each column."""
    side = rows[0].shape[1]
    gap = max(1, side // 16)
    cell = side + gap
    sheet = np.zeros((cell * len(rows) - gap, cell * len(rows[0]) - gap, 4), np.uint8)  # transparent between the frames
    for r, frames in enumerate(rows):
        for c, frame in enumerate(frames):
            place = sheet[r * cell :, c * cell :][:side, :side]
            place[..., :3], place[..., 3] = frame, 255
    axes.imshow(sheet, interpolation="nearest")
    bare(axes)
    axes.xaxis.tick_top()
    axes.set_xticks([c * cell + side / 2 for c in range(len(rows[0]))], above)
    axes.set_yticks([r * cell + side / 2 for r in range(len(rows))], sides, rotation=90, va="center")


def score_dots(returns: Sequence[float], interval: Sequence[float] | None = None, theme: Theme = LIGHT) -> bytes:
    """A dot for each track's return, stacked, lost drives in another colour; the mean as a line, its interval as a band."""
    values = np.sort(np.asarray(returns, float))
    low, high = _span(values)
    bins = np.clip(((values - low) / (high - low) * 60).astype(int), 0, 59)
    height = [int((bins[:i] == b).sum()) for i, b in enumerate(bins)]
    tallest = max(4, max(height) + 2)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if interval:
            axes.axvspan(*interval, color=theme.series[1], alpha=0.22, linewidth=0, label="95 % interval of the mean")
        axes.axvline(values.mean(), color=theme.series[1], linewidth=1.5, label=f"mean {values.mean():.0f}")
        for at, name in ((SCORE, f"{SCORE:.0f}: good"), (LOST, f"{LOST:.0f}: lost below")):
            if low < at < high:
                color = theme.series[2] if at == SCORE else theme.ink
                axes.axvline(at, color=color, linewidth=1, linestyle=(0, (5, 2)), label=name)
        x, y = low + (bins + 0.5) / 60 * (high - low), np.array(height)
        for chosen, color, name in ((values >= LOST, theme.series[0], "a drive"), (values < LOST, theme.ink, "a lost drive")):
            if chosen.any():
                axes.scatter(x[chosen], y[chosen], s=26, color=color, zorder=3, label=name)
        axes.set_xlim(low, high)
        axes.set_ylim(-0.7, tallest)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("return of an episode")
        axes.legend(loc="lower left", ncols=6, bbox_to_anchor=(0, 1.02), borderaxespad=0, columnspacing=1.2)

    return picture(draw, 8.1, 0.95 + 0.16 * tallest, theme)


def _span(values: np.ndarray) -> tuple[float, float]:
    """Round bounds around the returns, at least 100 apart."""
    low, high = np.floor(values.min() / 50) * 50, np.ceil(values.max() / 50) * 50
    return (low, high) if high - low >= 100 else (low - 50, high + 50)


def rounds_curve(
    scores: Mapping[int, Sequence[float]], collected: Mapping[int, Sequence[float]] | None = None, theme: Theme = LIGHT
) -> bytes:
    """Returns by round: on the tracks that choose between the rounds, and of the episodes collected to learn from.

    Raises:
        ValueError: no round has been driven.
    """
    shown = (("model selection", scores, 0, -0.08), ("collecting, with noise", collected or {}, 1, 0.08))
    if not any(by_round for _, by_round, _, _ in shown):
        raise Refused("no rounds to draw: none was driven yet")

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, by_round, series, shift in shown:
            _returns(axes, by_round, name, theme.series[series], shift)
        axes.axhline(SCORE, color=theme.series[2], linewidth=1, linestyle=(0, (5, 2)), label=f"{SCORE:.0f}: good")
        axes.set_title("return by round")
        axes.set_xlabel("round")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.margins(x=0.08)
        axes.legend(loc="lower right", ncols=3, bbox_to_anchor=(1, 1), borderaxespad=0)  # beside the title

    return picture(draw, 8.1, 2.5, theme)


def _returns(axes: Axes, by_round: Mapping[int, Sequence[float]], name: str, color: str, shift: float) -> None:
    known = {number: np.asarray(values, float) for number, values in sorted(by_round.items()) if len(values)}
    if known:
        x = np.array(list(known)) + shift
        for at, values in zip(x, known.values(), strict=True):
            axes.scatter(np.full(len(values), at), values, s=9, color=color, alpha=0.4, linewidth=0)
        axes.plot(x, [values.mean() for values in known.values()], "o-", color=color, markersize=5, linewidth=1.5, label=name)
