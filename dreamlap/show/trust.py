"""Figures of how far the dream's predictions agree with the track, as PNG bytes: see `dreamlap.measure.trust`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dreamlap.measure.trust import TOLERANCE
from dreamlap.show.theme import LIGHT, Theme, picture


def calibrated(sums: Mapping[str, Mapping[str, Any]], theme: Theme = LIGHT) -> bytes:
    """What `calibration` found: the predicted sum of rewards against the actual one, and means of tenths of them."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(sums), squeeze=False).flat
        for axes, (steps, found) in zip(panels, sums.items(), strict=True):
            predicted, actual = np.array(found["pairs"]).T
            axes.scatter(predicted, actual, s=6, color=theme.series[0], alpha=0.35, linewidth=0, label="one dream")
            tenths = np.array_split(np.argsort(predicted), min(10, len(predicted)))
            means = [(predicted[tenth].mean(), actual[tenth].mean()) for tenth in tenths]
            axes.plot(*np.transpose(means), "o-", color=theme.series[1], markersize=4, linewidth=1.2, label="means of tenths")
            _identity(axes, np.concatenate([predicted, actual]), theme)
            axes.set_title(f"{steps} steps: r = {found['correlation']:.2f}")
            axes.set_xlabel("predicted reward")
            axes.set_ylabel("actual reward")
        _legend(figure)

    return picture(draw, 4.05 * len(sums), 3.4, theme)


def policy_dots(asked: Sequence[Mapping[str, Any]], theme: Theme = LIGHT) -> bytes:
    """What `check_policies` found: reward a step in the dream against the track, a dot for every policy."""
    known = [one for one in asked if one["real"] is not None and np.isfinite(one["real"])]
    kinds = {"policy of a round": [one for one in known if one["name"].startswith("round")]}
    kinds["perturbed policy"] = [one for one in known if not one["name"].startswith("round")]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for (name, ones), color in zip(kinds.items(), theme.series, strict=False):
            axes.scatter([one["dream"] for one in ones], [one["real"] for one in ones], s=22, color=color, label=name, zorder=3)
        for one in kinds["policy of a round"]:
            axes.annotate(one["name"].split()[-1], (one["dream"], one["real"]), (3, 3), textcoords="offset points", fontsize=6)
        _identity(axes, np.array([one[where] for one in known for where in ("dream", "real")]), theme)
        axes.set_xlabel("predicted: reward a step in the dream")
        axes.set_ylabel("actual: reward a step on the track")
        _legend(figure)

    return picture(draw, 8.1, 4, theme)


def round_lines(rounds: Mapping[int, Mapping[str, Any]], theme: Theme = LIGHT) -> bytes:
    """What `compare_rewards` found, round by round: predicted and actual, of the objective and of how far off the road."""
    numbers = sorted(rounds)

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        beside = np.repeat(numbers, 2) + np.tile([-0.1, 0.1], len(numbers))  # so that one round has a band, too
        actual = np.repeat([rounds[n]["actual"] for n in numbers], 2)
        within = {"color": theme.series[2], "alpha": 0.15, "linewidth": 0, "label": "good: no alarm"}
        left.fill_between(beside, actual - TOLERANCE, actual + TOLERANCE, **within)
        for axes, names, title in (
            (left, ("predicted", "actual"), "reward less the penalty of leaving the road, a step"),
            (right, ("predicted_off_road", "actual_off_road"), "how far off the road"),
        ):
            for name, label, color in zip(names, ("predicted", "actual"), theme.series, strict=False):
                axes.plot(numbers, [rounds[n][name] for n in numbers], "o-", color=color, markersize=4, label=label)
            axes.set_title(title)
            axes.set_xlabel("round")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        alarms = [n for n in numbers if rounds[n]["alarm"]]
        for n in alarms:
            left.axvline(n, color=theme.quiet, linewidth=5, alpha=0.35, zorder=0, label="alarm" if n == alarms[0] else None)
        _legend(figure)

    return picture(draw, 8.1, 2.6, theme)


def _legend(figure: Figure) -> None:
    """One legend above all panels, where it hides nothing."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))


def _identity(axes: Axes, values: np.ndarray, theme: Theme) -> None:
    """A line where prediction and truth are equal, and the same scale on both sides."""
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) + 1e-6
    span = (low - margin, high + margin)
    axes.plot(span, span, color=theme.series[2], linewidth=1, linestyle=(0, (4, 2)), zorder=1, label="good: predicted = actual")
    axes.set_xlim(*span)
    axes.set_ylim(*span)
    axes.set_aspect("equal")
