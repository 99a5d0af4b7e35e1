"""What draws a dog's parts: from shapes in the dog's own units to colours and shade in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from kennel.pictures.drawings.breeds import ROLES, Breed
from kennel.pictures.drawings.geometry import Colour, Points, circle, colour, furry, polygon

OVER = 2
"""Dogs are drawn this many times larger and reduced, which smooths their edges."""
LIT = 200
"""On the shade layer: the value that leaves a colour as it is."""
INK: Colour = (30, 24, 24)


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws shapes given in a dog's own units (x forward, y down, ground at 0) on the dog's two layers."""

    colours: Image.Image
    shade: Image.Image
    """How light the dog is, `LIT` being its own colour; 0 where there is no dog."""
    rng: np.random.Generator
    breed: Breed
    coat: Mapping[str, Colour]
    axes: Points
    """[2, 2]: what a step along x and along y is in pixels of the layers."""
    origin: Points

    @classmethod
    def over(cls, size: tuple[int, int], breed: Breed, rng: np.random.Generator) -> Pen:
        """A pen on empty layers for a picture of that size (width, height), with one of the breed's coats."""
        large = (size[0] * OVER, size[1] * OVER)
        coat = breed.coats[rng.integers(len(breed.coats))]
        light = rng.normal(1, 0.06) + rng.normal(0, 0.02, 3)
        roles = {role: colour(coat[int(index)], light) for role, index in zip(ROLES, breed.pattern, strict=True)}
        return cls(Image.new("RGB", large), Image.new("L", large), rng, breed, roles, np.eye(2), np.zeros(2))

    def at(self, x: float, y: float, turn: float = 0.0, across: float = 1.0, down: float | None = None) -> Pen:
        """The same layers seen from (x, y), turned clockwise by `turn` radians, scaled."""
        cos, sin = np.cos(turn), np.sin(turn)
        local = np.array([[cos, sin], [-sin, cos]]) * np.array([[across], [across if down is None else down]])
        return replace(self, axes=local @ self.axes, origin=self.pixels(np.array([x, y])))

    def dark(self) -> Pen:
        """For the parts on the far side."""
        return replace(self, coat={role: colour(each, 0.8) for role, each in self.coat.items()})

    def pixels(self, points: Points) -> Points:
        """Points in the dog's units as pixels of the layers."""
        moved: Points = points @ self.axes + self.origin
        return moved

    def paint(self, outline: Points, role: str, fur: float = 1.0, **marks: Sequence[Points]) -> None:
        """A part of the body: furry at its edge, shaded and stroked.

        marks: shapes on it, by the role whose colour they have; they end where the part ends.
        """
        unit = float(np.sqrt(abs(np.linalg.det(self.axes))))
        reach = self.breed.fluff * fur * unit * 0.05
        edge = furry(self.pixels(outline), reach, 0.08 * unit, self.breed.curls, self.rng)
        low, high = np.maximum(edge.min(0), 0), np.minimum(edge.max(0) + 1, self.shade.size)
        if (high - low < 2).any():
            return
        (left, top), (right, bottom) = low.astype(int).tolist(), high.astype(int).tolist()
        corner, size = (left, top), (right - left, bottom - top)
        mask, shade = Image.new("L", size), Image.new("L", size, 150)
        polygon(mask, edge - corner, 255)
        self._stroke(shade, edge - corner, unit)
        self.shade.paste(shade, corner, mask)
        shapes = [(shape, self.coat[each]) for each, shapes in marks.items() for shape in shapes]
        shapes += self._spots(outline, role)
        if not shapes:  # no tile is needed; pillow would also round the same edge a little differently on one
            polygon(self.colours, edge, self.coat[role])
            return
        tile, rough = Image.new("RGB", size, self.coat[role]), 0.0 if self.breed.spots else 0.02 * unit
        for shape, dye in shapes:
            polygon(tile, furry(self.pixels(shape) - corner, rough, 0.05 * unit, False, self.rng), dye)
        self.colours.paste(tile, corner, mask)

    def ink(self, outline: Points, dye: Colour = INK, light: int = LIT) -> None:
        """A flat shape: an eye, a nose, a collar."""
        polygon(self.colours, self.pixels(outline), dye)
        polygon(self.shade, self.pixels(outline), light)

    def _stroke(self, shade: Image.Image, edge: Points, unit: float) -> None:
        """Lighter towards the middle and the top, with hairs or curls."""
        centre = (edge.min(0) + edge.max(0)) / 2
        for step, value in ((0.025, 175), (0.07, 200)):
            polygon(shade, centre + (edge - centre) * (1 - step) + (0, -step * 0.4 * unit), value)
        pen = ImageDraw.Draw(shade)
        count, length = int(12 + 30 * self.breed.fluff), (0.02 + 0.06 * self.breed.fluff) * unit
        starts = self.rng.uniform(0, 1, (count, 2)) * shade.size
        ends = starts + self.rng.normal((0, length * 0.6), length * 0.5, (count, 2))
        tones = self.rng.integers(165, 222, count).tolist()
        for (x, y), (u, v), value in zip(starts.tolist(), ends.tolist(), tones, strict=True):
            if self.breed.curls:
                pen.arc((x - length, y - length, x + length, y + length), 0, 250, value, 3)
            else:
                pen.line((x, y, u, v), value, 3)

    def _spots(self, outline: Points, role: str) -> list[tuple[Points, Colour]]:
        """Those of a spotted breed, all over the part."""
        if not self.breed.spots or role == "ears":
            return []
        low, high = outline.min(0), outline.max(0)
        small = 0.6 if role in ("head", "face", "paws", "tail") else 1.0
        grid: Points = np.mgrid[low[0] : high[0] : 0.1, low[1] : high[1] : 0.1].reshape(2, -1).T
        grid = grid[self.rng.random(len(grid)) < 0.8 * small] + self.rng.uniform(-0.04, 0.04, 2)
        grid += self.rng.uniform(-0.03, 0.03, grid.shape)
        sizes = self.rng.uniform(0.015, 0.04, (len(grid), 2)) * small
        return [(circle(10) * radii + middle, self.coat["ears"]) for middle, radii in zip(grid, sizes, strict=True)]
