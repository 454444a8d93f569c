"""Where to drive and how fast: a racing line along a track and the speeds it allows."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Limits:
    """What the car can do and how close to it one drives. Tuned on tracks of seeds below 900000."""

    margin: float = 3.3
    """How far the line may leave the centre of the road, units; the road is ±6.7 wide."""
    lateral: float = 225.0
    """Acceleration in curves, units/s²."""
    braking: float = 115.0
    """Deceleration, units/s²."""
    top: float = 101.0
    """Highest speed, units/s."""


@dataclass(frozen=True)
class Line:
    """A closed line with one point a road tile."""

    points: np.ndarray
    """(N, 2) world units."""
    speeds: np.ndarray
    """(N,) units/s."""


def racing_line(track: list[tuple[float, float, float, float]], limits: Limits, offset: float = 0.0) -> Line:
    """The line of least curvature within the margin, and the speed at each of its points.

    Args:
        track: the stock's list of (alpha, beta, x, y), one a tile.
        limits: of the car.
        offset: shift to the right of the line, units.
    """
    data = np.array(track)
    across = np.stack([np.cos(data[:, 1]), np.sin(data[:, 1])], axis=1)  # to the right of the direction of travel
    sideways = _straighten(data[:, 2:], across, limits.margin) + offset
    points = data[:, 2:] + sideways[:, None] * across
    return Line(points, _speeds(points, limits))


def _straighten(centre: np.ndarray, across: np.ndarray, margin: float, steps: int = 400) -> np.ndarray:
    """(N,) sideways shifts within ±margin that minimise the squared second differences, by accelerated descent."""
    bends = _bend(_bend(np.eye(len(centre))))
    pull, spring = (bends @ centre * across).sum(1), bends * (across @ across.T)  # the gradient: pull + spring @ shift
    shift = previous = np.zeros(len(centre))
    for k in range(steps):
        ahead = shift + k / (k + 3) * (shift - previous)
        previous, shift = shift, np.clip(ahead - (pull + spring @ ahead) / 16, -margin, margin)
    return shift


def _bend(points: np.ndarray) -> np.ndarray:
    """Second difference along a closed line."""
    return np.roll(points, 1, 0) - 2 * points + np.roll(points, -1, 0)


def _speeds(points: np.ndarray, limits: Limits) -> np.ndarray:
    """(N,): no faster than the curve allows, and slow enough to brake in time for what follows."""
    step = np.linalg.norm(np.roll(points, -1, 0) - points, axis=1)
    curvature = np.linalg.norm(_bend(points), axis=1) / np.maximum(step, 1) ** 2
    curvature = np.convolve(np.r_[curvature[-1], curvature, curvature[0]], [0.25, 0.5, 0.25], "valid")
    speeds = np.minimum(limits.top, np.sqrt(limits.lateral / np.maximum(curvature, 1e-4)))
    for i in range(2 * len(points) - 1, -1, -1):  # twice round: the lap is closed
        here, there = i % len(points), (i + 1) % len(points)
        speeds[here] = min(speeds[here], np.sqrt(speeds[there] ** 2 + 2 * limits.braking * step[here]))
    return speeds
