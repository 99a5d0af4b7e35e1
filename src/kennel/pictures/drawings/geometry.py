"""Shapes and colours as numbers: outlines, the fur at their edge, and the rounding to what pillow draws."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = np.ndarray[Any, np.dtype[np.float64]]
Line = Sequence[tuple[float, float]]

SPLINE: Points = (np.linspace(0, 1, 6, endpoint=False)[:, None] ** np.arange(4)) @ (
    np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
)
"""[6, 4]: Catmull and Rom's weights of the four knots around a piece of a curve, for six steps along it."""


def smooth(path: Line, closed: bool = True) -> Points:
    """A Catmull-Rom curve through the points: [n, 2]."""
    knots = np.array(path, dtype=float)
    ring = np.concatenate([knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]])
    count = len(ring) - 3
    curve = (SPLINE @ np.stack([ring[each : count + each] for each in range(4)], 1)).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def even(right: Line) -> Points:
    """A shape that is the same on both sides, from the points of its right side; those on the axis come once."""
    return smooth([*right, *((-x, y) for x, y in right[::-1] if x)])


def oval(x: float, y: float, across: float, down: float, steps: int = 28) -> Points:
    """An ellipse around (x, y) with these half axes: [steps, 2]."""
    return circle(steps) * (across, down) + (x, y)


@cache
def circle(steps: int) -> Points:
    """The unit circle: [steps, 2]."""
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def limb(path: Line, widths: Sequence[float]) -> Points:
    """The outline of a path that is thick (its half widths given) and round at both ends."""
    middle = smooth(path, closed=False)
    thick = np.interp(np.arange(len(middle)) * (len(path) - 1) / (len(middle) - 1), np.arange(len(path)), widths)
    along = np.gradient(middle, axis=0)
    along *= (thick / np.maximum(np.hypot(*along.T), 1e-9))[:, None]
    left = along[:, ::-1] * (1, -1)
    cos, sin = circle(14)[1:7].T[:, :, None]
    end = middle[-1] + left[-1] * cos + along[-1] * sin
    start = middle[0] - left[0] * cos - along[0] * sin
    return np.concatenate([middle + left, end, (middle - left)[::-1], start])


def furry(edge: Points, reach: float, step: float, curls: bool, rng: np.random.Generator) -> Points:
    """The closed outline with tufts or curls standing off by about `reach` pixels, one every `step` pixels."""
    if reach < 1:
        return edge
    ring = np.concatenate([edge, edge[:1]])
    run = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(ring, axis=0).T))])
    tufts = max(4, int(run[-1] / step))
    phase = np.arange(tufts * 6) / 6
    x, y = (np.interp(phase * (run[-1] / tufts), run, each) for each in ring.T)
    spaced = np.stack([x, y], 1)
    along = np.roll(spaced, -1, 0) - np.roll(spaced, 1, 0)
    along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    outward = along[:, ::-1] * (1, -1) * np.sign(x[:-1] @ y[1:] - x[1:] @ y[:-1])
    high = np.abs(np.sin(np.pi * phase)) * 1.2 if curls else (phase % 1) * np.repeat(rng.uniform(0.4, 1.6, tufts), 6)
    furred: Points = spaced + (outward + along * (0 if curls else 0.3)) * (high * reach)[:, None]
    return furred


def polygon(layer: Image.Image, points: Points, fill: int | Colour) -> None:
    """Fill the outline, given in pixels."""
    ImageDraw.Draw(layer).polygon(points.ravel().tolist(), fill)


def colour(values: Any, factor: float | Points = 1.0) -> Colour:
    """Three numbers times the factor, as a colour that pillow takes."""
    red, green, blue = np.clip(np.array(values) * factor, 0, 255).astype(int).tolist()
    return red, green, blue
