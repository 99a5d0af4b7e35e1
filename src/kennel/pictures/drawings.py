"""Drawn dogs, for when no photographs are at hand: eight breeds in many poses, places and lights. Demo and tests only.

A picture is a function of its breed and a seed. A dog is drawn at twice the size on two layers (colour, shade)
and laid over its background; light, colour cast, noise and blur then fall on both, so that no single pixel tells a
breed. What a network learns here says nothing about photographs.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from kennel.errors import DataError
from kennel.files import write_atomically

Colour = tuple[int, int, int]
Points = np.ndarray[Any, np.dtype[np.float64]]
Spot = tuple[Points, Colour]

MARKER = "drawings.json"
VERSION = 1
"""Counted up when a breed and a seed give other pixels than before."""
SPLITS: Mapping[str, int] = {"train": 40, "valid": 10, "test": 10}
SIZES = ((400, 300), (400, 300), (384, 288), (300, 400), (480, 270), (340, 340))
"""Width and height of a set's pictures, in pixels."""
OVER = 2
"""Dogs are drawn this many times larger and reduced, which smooths their edges."""
LIT = 200
"""On the shade layer: the value that leaves a colour as it is."""
ROLES = ("back", "belly", "legs", "paws", "head", "face", "ears", "tail", "tip")
INK: Colour = (30, 24, 24)
COLLARS: tuple[Colour, ...] = ((190, 40, 45), (40, 80, 170), (40, 140, 80), (220, 160, 40), (120, 60, 140))


@dataclass(frozen=True, slots=True)
class Breed:
    """How a breed is drawn. Lengths are in units of about a tall dog's height at the shoulder."""

    label: str
    coats: tuple[tuple[Colour, ...], ...]
    """Colourings, one of which a dog gets; `pattern` picks from it."""
    pattern: str
    """For each of ROLES the index of its colour in the coat."""
    face: Literal["muzzle", "blaze", "wolf", "points", "patch"]
    """The shape of what has the colour of the role "face"."""
    ears: tuple[Literal["drop", "prick", "rose"], float]
    """Kind and length, 1 being usual."""
    muzzle: float
    body: tuple[float, float]
    """Length and depth of the trunk."""
    legs: float
    tail: Literal["sickle", "curl", "feather", "whip", "stub", "brush", "pompon"]
    head: float = 1.0
    fluff: float = 0.0
    """How far the fur stands off, 0 for a smooth coat."""
    curls: bool = False
    spots: bool = False
    neck: float = 0.2
    saddle: float = 0.6
    """How far down the trunk the colour of the back reaches, 1 being all of it."""

    @property
    def name(self) -> str:
        """`Beagle` for `016.Beagle`."""
        return self.label.partition(".")[2]


BREEDS: tuple[Breed, ...] = (
    Breed(
        "005.Alaskan_malamute",
        (((104, 108, 118), (240, 238, 234)), ((58, 58, 66), (236, 236, 236)), ((150, 112, 88), (244, 238, 228))),
        "011101001", "wolf", ("prick", 0.85), 0.17, (1.0, 0.46), 0.46, "curl", 1.05, 0.6,
    ),
    Breed(
        "016.Beagle",
        (((44, 38, 38), (244, 240, 232), (176, 110, 58)), ((84, 56, 40), (246, 242, 234), (196, 132, 76))),
        "011121201", "blaze", ("drop", 1.15), 0.17, (0.94, 0.38), 0.36, "sickle",
    ),
    Breed(
        "040.Bulldog",
        (((188, 132, 84), (242, 234, 222)), ((150, 98, 66), (240, 232, 222)), ((204, 164, 116), (244, 240, 232))),
        "011110011", "patch", ("rose", 0.8), 0.02, (0.86, 0.52), 0.22, "stub", 1.5, saddle=0.45, neck=0.02,
    ),
    Breed(
        "056.Dachshund",
        (((48, 38, 36), (176, 108, 60)), ((78, 48, 36), (188, 124, 74)), ((138, 68, 38), (164, 92, 54))),
        "010101000", "points", ("drop", 1.2), 0.27, (1.36, 0.31), 0.13, "whip", 0.92, saddle=0.85, neck=0.14,
    ),
    Breed(
        "057.Dalmatian",
        (((244, 242, 238), (34, 32, 36)), ((238, 238, 240), (44, 40, 42)), ((244, 240, 232), (104, 62, 42))),
        "000000100", "muzzle", ("drop", 0.9), 0.2, (1.0, 0.39), 0.5, "whip", spots=True,
    ),
    Breed(
        "071.German_shepherd_dog",
        (((40, 36, 36), (190, 132, 76)), ((52, 44, 40), (172, 124, 84)), ((34, 32, 34), (204, 150, 92))),
        "011110000", "muzzle", ("prick", 1.25), 0.23, (1.08, 0.42), 0.45, "brush", 1.0, 0.25, saddle=0.55,
    ),
    Breed(
        "076.Golden_retriever",
        (((214, 166, 98), (232, 196, 140)), ((194, 136, 72), (218, 172, 112)), ((230, 200, 150), (242, 222, 184))),
        "011001001", "muzzle", ("drop", 0.95), 0.2, (1.04, 0.44), 0.42, "feather", 1.05, 0.75, saddle=0.75,
    ),
    Breed(
        "124.Poodle",
        (((236, 230, 222), (246, 240, 234)), ((66, 62, 68), (96, 92, 96)), ((202, 148, 104), (222, 176, 134))),
        "000001000", "muzzle", ("drop", 1.15), 0.22, (0.82, 0.36), 0.54, "pompon", 0.95, 0.7, curls=True,
    ),
)  # fmt: skip


def draw(breed: Breed, seed: int, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """One dog in RGB; the same breed, seed and size (width, height in pixels) give the same pixels."""
    rng = np.random.default_rng(_number(breed.label, seed))
    floor = float(rng.uniform(0.62, 0.8))
    behind = _background(size, floor, rng)
    pen = _Pen.over(size, breed, rng)
    pose = (_stand, _stand, _sit, _portrait)[rng.integers(4)]
    shadow = pose(pen, floor)
    return _develop(behind, pen, shadow, rng)


def draw_set(
    folder: Path,
    per_split: Mapping[str, int] = SPLITS,
    seed: int = 0,
    breeds: Sequence[Breed] = BREEDS,
    on_done: Callable[[int], None] = lambda count: None,
) -> int:
    """A data set `folder/<split>/<label>/<name>_<nnn>.jpg`; returns its number of pictures, `on_done` counts them up.

    A set that is there is left alone, one that was interrupted is completed. Raises DataError for any other folder.
    """
    total = sum(per_split.values()) * len(breeds)
    wanted = {"version": VERSION, "seed": seed, "per_split": dict(per_split), "labels": [each.label for each in breeds]}
    marker = {**wanted, "digest": _number(wanted, [asdict(each) for each in breeds])}
    if _is_complete(folder, marker):
        return total
    _mark(folder, marker, complete=False)
    places = [
        (split, breed, number) for split, count in per_split.items() for breed in breeds for number in range(count)
    ]
    for count, (split, breed, number) in enumerate(places, 1):
        path = folder / split / breed.label / f"{breed.name}_{number + 1:03}.jpg"
        if not path.exists():
            write_atomically(path, _jpeg(breed, _number(seed, split, number)))
        on_done(count)
    _mark(folder, marker, complete=True)
    return total


@dataclass(frozen=True, slots=True)
class _Pen:
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
    def over(cls, size: tuple[int, int], breed: Breed, rng: np.random.Generator) -> _Pen:
        width, height = size[0] * OVER, size[1] * OVER
        colours, shade = Image.new("RGB", (width, height)), Image.new("L", (width, height))
        coat = breed.coats[rng.integers(len(breed.coats))]
        light = rng.normal(1, 0.06) + rng.normal(0, 0.02, 3)
        dyed = [_colour(np.array(each) * light) for each in coat]
        roles = {role: dyed[int(index)] for role, index in zip(ROLES, breed.pattern, strict=True)}
        return cls(colours, shade, rng, breed, roles, np.eye(2), np.zeros(2))

    def at(self, x: float, y: float, turn: float = 0.0, across: float = 1.0, down: float | None = None) -> _Pen:
        """The same layers seen from (x, y), turned clockwise by `turn` radians, scaled."""
        cos, sin = np.cos(turn), np.sin(turn)
        local = np.array([[cos, sin], [-sin, cos]]) * np.array([[across], [across if down is None else down]])
        return replace(self, axes=local @ self.axes, origin=self.origin + np.array([x, y]) @ self.axes)

    def dark(self) -> _Pen:
        """For the parts on the far side."""
        return replace(self, coat={role: _colour(np.array(each) * 0.8) for role, each in self.coat.items()})

    def paint(self, outline: Points, role: str, marks: Sequence[Spot] = (), fur: float = 1.0) -> None:
        """A part of the body: furry at its edge, shaded and stroked, with marks that end where it ends."""
        unit = float(np.sqrt(abs(np.linalg.det(self.axes))))
        edge = outline @ self.axes + self.origin
        edge = _furry(edge, self.breed.fluff * fur * unit * 0.05, 0.08 * unit, self.breed.curls, self.rng)
        low, high = np.maximum(edge.min(0), 0), np.minimum(edge.max(0) + 1, self.shade.size)
        if (high - low < 2).any():
            return
        corner = np.floor(low).astype(int)
        size = (int(high[0]) - int(corner[0]), int(high[1]) - int(corner[1]))
        tile, mask, shade = Image.new("RGB", size, self.coat[role]), Image.new("L", size), Image.new("L", size, 150)
        _polygon(mask, edge - corner, 255)
        for points, colour in marks:
            mark = _furry(points @ self.axes + self.origin, 0.02 * unit, 0.05 * unit, False, self.rng)
            _polygon(tile, mark - corner, colour)
        for points, colour in self._spots(outline, role):
            _polygon(tile, points @ self.axes + self.origin - corner, colour)
        self._shade(shade, edge - corner, unit)
        place = (int(corner[0]), int(corner[1]))
        self.colours.paste(tile, place, mask)
        self.shade.paste(shade, place, mask)

    def ink(self, outline: Points, colour: Colour = INK, light: int = LIT) -> None:
        """A flat shape: an eye, a nose, a collar."""
        edge = outline @ self.axes + self.origin
        _polygon(self.colours, edge, colour)
        _polygon(self.shade, edge, light)

    def _spots(self, outline: Points, role: str) -> list[Spot]:
        if not self.breed.spots or role == "ears":
            return []
        low, high = outline.min(0), outline.max(0)
        small = 0.6 if role in ("head", "face", "paws", "tail") else 1.0
        grid = np.mgrid[low[0] : high[0] : 0.1, low[1] : high[1] : 0.1].reshape(2, -1).T
        grid = grid[self.rng.random(len(grid)) < 0.8 * small] + self.rng.uniform(-0.04, 0.04, 2)
        grid += self.rng.uniform(-0.03, 0.03, grid.shape)
        sizes = self.rng.uniform(0.015, 0.04, (len(grid), 2)) * small
        return [(_oval(*row, steps=10), self.coat["ears"]) for row in np.hstack([grid, sizes]).tolist()]

    def _shade(self, shade: Image.Image, edge: Points, unit: float) -> None:
        centre = (edge.min(0) + edge.max(0)) / 2
        for step, value in ((0.025, 175), (0.07, 200)):
            _polygon(shade, centre + (edge - centre) * (1 - step) + (0, -step * 0.4 * unit), value)
        pen = ImageDraw.Draw(shade)
        count, length = int(14 + 40 * self.breed.fluff), (0.02 + 0.06 * self.breed.fluff) * unit
        starts = self.rng.uniform(0, 1, (count, 2)) * shade.size
        ends = starts + self.rng.normal((0, length * 0.6), length * 0.5, (count, 2))
        for (x, y), (u, v), value in zip(
            starts.tolist(), ends.tolist(), self.rng.integers(165, 222, count).tolist(), strict=True
        ):
            if self.breed.curls:
                pen.arc((x - length, y - length, x + length, y + length), 0, 250, value, 3)
            else:
                pen.line((x, y, u, v), value, 3)


def _stand(pen: _Pen, floor: float) -> Points:
    """On four legs, facing left or right, head in profile or turned to us. Returns the shadow's outline in pixels."""
    breed, rng = pen.breed, pen.rng
    length, depth = breed.body
    top = -breed.legs - depth
    pen = _framed(pen, floor, length + 0.75, depth + breed.legs + 0.42 * breed.head + 0.1, -0.12)
    front, rear = length / 2 - 0.12, -length / 2 + 0.12
    _tail(pen, -length / 2 + 0.04, top + 0.09)
    lift = rng.uniform(-0.06, 0.06)
    skull = (length / 2 + 0.12, top - breed.neck * breed.head + lift)
    collar = _limb([(front + 0.04, top - 0.04), (front + 0.3, top + 0.1)], [0.03, 0.03])
    for far in (True, False):
        side = pen.dark() if far else pen
        _leg(side, front + (0.09 if far else 0), top + depth * 0.6, rng.normal(0.05 if far else 0, 0.06), rear=False)
        _leg(side, rear + (0.1 if far else 0), top + depth * 0.6, rng.normal(0.05 if far else -0.03, 0.06), rear=True)
        if far:
            nape = "back" if breed.saddle > 0.8 else "head"
            pen.paint(_limb([(front - 0.06, top + 0.2), (front + 0.08, top + 0.06), skull], [0.19, 0.17, 0.13]), nape)
            _collar(pen, collar)
            _trunk(pen, length, depth, top)
    head = _profile if rng.random() < 0.6 else _front
    head(pen.at(*skull, rng.normal(0, 0.1), breed.head))
    return _oval(0, 0, length * 0.62, 0.07) @ pen.axes + pen.origin


def _sit(pen: _Pen, floor: float) -> Points:
    """Sitting, seen from the front. Returns the shadow's outline in pixels."""
    breed, rng = pen.breed, pen.rng
    tall = 0.62 + 0.6 * breed.legs
    pen = _framed(pen, floor, 0.95, tall + 0.36 * breed.head, 0)
    wide = 0.7 + 0.7 * breed.body[1]
    sideways = {"brush": 1.1, "feather": 0.3, "whip": 0.3}.get(breed.tail, 0.0)
    _tail(pen.at(-0.16, -0.16, sideways, 0.85), 0, 0)
    body = pen.at(0, 0, 0, wide, tall)
    for side in (-1, 1):
        body.paint(_oval(side * 0.22, -0.2, 0.15, 0.2), "back")
        pen.paint(_oval(side * 0.27 * wide, -0.05, 0.12, 0.055), "paws", fur=0.5)
    pear = _smooth(
        [(0, -1), (0.15, -0.86), (0.22, -0.5), (0.2, -0.12), (0, -0.05), (-0.2, -0.12), (-0.22, -0.5), (-0.15, -0.86)]
    )
    body.paint(pear, "back", [(_oval(0, -0.5, 0.15, 0.4), pen.coat["belly"])])
    for side in (-1, 1):
        leg = [(side * 0.11 * wide, -0.5 * tall), (side * 0.1 * wide, -0.05)]
        pen.paint(_limb(leg, [0.085, 0.065]), "legs", fur=0.7)
        pen.paint(_oval(side * 0.1 * wide, -0.045, 0.085, 0.055), "paws", fur=0.5)
    _collar(pen, _limb([(-0.16, -0.9 * tall), (0, -0.86 * tall), (0.16, -0.9 * tall)], [0.03, 0.035, 0.03]))
    _front(pen.at(0, -tall - 0.02, rng.normal(0, 0.12), breed.head * 1.1))
    return _oval(0, 0, 0.45, 0.07) @ pen.axes + pen.origin


def _portrait(pen: _Pen, floor: float) -> Points:
    """Head and chest. Returns the shadow's outline in pixels, below the picture."""
    rng, breed = pen.rng, pen.breed
    pen = _framed(pen, 1.0, 0.62, 0.8, 0)
    chest = _smooth([(-0.12, -0.5), (0.14, -0.5), (0.27, -0.2), (0.38, 0.3), (-0.38, 0.3), (-0.27, -0.2)])
    pen.paint(chest, "back", [(_oval(0.02, 0, 0.17, 0.42), pen.coat["belly"])])
    _collar(pen, _limb([(-0.19, -0.3), (0, -0.25), (0.2, -0.3)], [0.03, 0.035, 0.03]))
    head = _front if rng.random() < 0.65 else _profile
    head(pen.at(0, -0.45, rng.normal(0, 0.14), 1.0 + 0.3 * (breed.head - 1)))
    return _oval(0, 0.6, 0.3, 0.05) @ pen.axes + pen.origin


def _framed(pen: _Pen, floor: float, width: float, height: float, shift: float) -> _Pen:
    """The pen where a dog of that width and height stands: its size, place, side and slight turn vary."""
    rng = pen.rng
    across, down = pen.shade.size
    ground = down * min(0.97, floor + float(rng.uniform(0.06, 0.2))) if floor < 1 else down
    unit = min(across * 0.95 / width, ground * 0.95 / height) * float(rng.uniform(0.68, 1.0))
    x = across / 2 + float(rng.normal(0, 0.25)) * max(0.0, across - width * unit) / 2
    side = 1.0 if rng.random() < 0.5 else -1.0
    turned = replace(pen, origin=np.array([x, ground])).at(0, 0, float(rng.normal(0, 0.03)), side * unit, unit)
    return turned.at(shift, 0)


def _trunk(pen: _Pen, length: float, depth: float, top: float) -> None:
    half, low = length / 2, top + depth
    outline = _smooth([
        (-half, top + 0.08), (-half + 0.16, top + 0.01), (0, top + 0.03), (half - 0.16, top - 0.03), (half, top + 0.1),
        (half + 0.04, top + depth * 0.55), (half - 0.1, low), (0, low - 0.02), (-half + 0.25, low - 0.08), (-half, low - 0.1),
    ])  # fmt: skip
    reach = top + depth * pen.breed.saddle
    back = _smooth(
        [
            (-half - 0.2, top - 0.3),
            (half + 0.2, top - 0.3),
            (half - 0.1, reach - 0.08),
            (0, reach),
            (-half - 0.1, reach),
        ]
    )
    pen.paint(outline, "belly", [(back, pen.coat["back"])])
    if pen.breed.tail in ("feather", "curl"):
        pen.paint(_limb([(-half + 0.35, low - 0.07), (half - 0.15, low - 0.01)], [0.03, 0.05]), "belly", fur=1.6)


def _leg(pen: _Pen, x: float, y: float, swing: float, rear: bool) -> None:
    knee = (x - 0.02, y * 0.5) if not rear else (x + 0.06, y * 0.55)
    hock = (x + swing * 0.6, y * 0.25) if not rear else (x - 0.1 + swing * 0.6, y * 0.35)
    foot = (x + swing, -0.04)
    thick = [0.16, 0.11, 0.06, 0.055] if rear else [0.12, 0.085, 0.062, 0.055]
    pen.paint(_limb([(x, y), knee, hock, foot], thick), "legs", fur=0.5)
    if pen.breed.curls:
        pen.paint(_oval(foot[0], -0.13, 0.1, 0.1), "legs")
    pen.paint(_oval(foot[0] + 0.03, -0.035, 0.09, 0.045), "paws", fur=0.4)


def _tail(pen: _Pen, x: float, y: float) -> None:
    """The tail from its root at (x, y), with a wag."""
    shapes: dict[str, tuple[list[tuple[float, float]], list[float], float]] = {
        "sickle": ([(0, 0), (-0.14, -0.12), (-0.19, -0.3), (-0.12, -0.44)], [0.05, 0.045, 0.04, 0.02], 1.0),
        "curl": (
            [(0, 0), (-0.12, -0.14), (-0.04, -0.3), (0.12, -0.27), (0.16, -0.14)],
            [0.07, 0.1, 0.1, 0.09, 0.04],
            1.4,
        ),
        "feather": ([(0, 0), (-0.2, 0.04), (-0.42, 0), (-0.58, -0.12)], [0.05, 0.09, 0.1, 0.03], 2.0),
        "whip": ([(0, 0), (-0.16, 0.02), (-0.34, -0.08), (-0.46, -0.2)], [0.045, 0.035, 0.025, 0.012], 0.5),
        "stub": ([(0, 0), (-0.07, -0.02)], [0.06, 0.04], 0.5),
        "brush": ([(0, 0), (-0.13, 0.12), (-0.2, 0.32), (-0.3, 0.46)], [0.05, 0.08, 0.09, 0.03], 2.0),
        "pompon": ([(0, 0), (-0.06, -0.14), (-0.09, -0.24)], [0.035, 0.03, 0.03], 0.2),
    }
    path, widths, fur = shapes[pen.breed.tail]
    tail = pen.at(x, y, float(pen.rng.normal(0, 0.15)))
    end = [(_oval(*path[-1], 0.1, 0.1), pen.coat["tip"])] if pen.breed.tail != "pompon" else []
    tail.paint(_limb(path, widths), "tail", end, fur)
    if pen.breed.tail == "pompon":
        tail.paint(_oval(-0.1, -0.31, 0.11, 0.11), "tip")


def _profile(pen: _Pen) -> None:
    """A head seen from its side, nose towards +x, the middle of the skull at (0, 0)."""
    breed, face = pen.breed, pen.coat["face"]
    tip = 0.17 + breed.muzzle
    _ear(pen.dark().at(0.05, 0.0), 0.9)
    chin = 0.06 if breed.muzzle < 0.1 else 0.0  # a short muzzle has a jaw that stands out
    outline = _smooth([
        (-0.19, -0.02), (-0.13, -0.15), (0, -0.19), (0.11, -0.14), (0.17, -0.05), (tip - 0.03, -0.03), (tip, 0.02),
        (tip - 0.03 + chin, 0.11 + chin), (0.1, 0.16 + chin), (-0.08, 0.17),
    ])  # fmt: skip
    shapes = {
        "muzzle": [_oval(tip, 0.05, tip - 0.1, 0.13)],
        "blaze": [_oval(tip, 0.07, tip - 0.1, 0.12), _oval(0.12, -0.17, 0.1, 0.03)],
        "wolf": [_oval(0.12, 0.12, 0.26, 0.17), _oval(0.13, -0.1, 0.05, 0.03)],
        "points": [_oval(tip, 0.12, tip - 0.02, 0.12), _oval(0.11, -0.11, 0.03, 0.025)],
        "patch": [_oval(0.02, -0.1, 0.13, 0.14)],
    }
    pen.paint(outline, "head", [(each, face) for each in shapes[breed.face]], fur=0.5)
    if breed.curls:
        pen.paint(_oval(-0.05, -0.21, 0.17, 0.11), "head")
    mouth = [(tip - 0.17, 0.05), (tip - 0.13, 0.1), (tip - 0.02, 0.085)]
    if chin:
        mouth = [(tip - 0.16, 0.2), (tip - 0.08, 0.14), (tip + 0.02, 0.13)]
    pen.ink(_limb(mouth, [0.005, 0.008, 0.006]))
    if pen.rng.random() < 0.3:
        pen.ink(_limb([(tip - 0.1, 0.09), (tip - 0.09, 0.2)], [0.03, 0.035]), (214, 96, 104))
    pen.ink(_oval(tip - 0.01, 0.0, 0.04, 0.035))
    _eye(pen, 0.09, -0.055)
    _ear(pen, 1.0)


def _ear(pen: _Pen, size: float) -> None:
    """The ear of a head in profile."""
    kind, length = pen.breed.ears
    reach = length * size
    if kind == "drop":
        pen.paint(
            _limb([(-0.09, -0.1), (-0.13, 0.02), (-0.12, 0.04 + 0.16 * reach)], [0.05, 0.085, 0.075]), "ears", fur=0.9
        )
        return
    if kind == "prick":
        tall = -0.12 - 0.24 * reach
        ear = [(-0.15, -0.1), (-0.13, tall * 0.75), (-0.08, tall), (-0.03, tall * 0.7), (-0.01, -0.14)]
    else:
        ear = [(-0.12, -0.15), (-0.02, -0.18), (0.03, -0.12), (-0.06, -0.04), (-0.11, -0.09)]
    pen.paint(_smooth(ear), "ears", fur=0.4)


def _front(pen: _Pen) -> None:
    """A head that looks at us, the middle of the skull at (0, 0)."""
    breed, face = pen.breed, pen.coat["face"]
    if breed.ears[0] == "prick":
        _front_ears(pen)
    shapes = {
        "muzzle": [_oval(0, 0.13, 0.12, 0.13)],
        "blaze": [_limb([(0, -0.2), (0, -0.06), (0, 0.16)], [0.025, 0.03, 0.11])],
        "wolf": _pair(0.1, 0.08, 0.13, 0.16) + _pair(0.08, -0.12, 0.035, 0.025),
        "points": _pair(0.08, 0.15, 0.1, 0.1) + _pair(0.08, -0.1, 0.028, 0.022),
        "patch": [_oval(0.11, -0.08, 0.1, 0.12)],
    }
    skull = _even([(0, -0.19), (0.13, -0.16), (0.2, -0.03), (0.17, 0.1), (0.09, 0.22)])
    pen.paint(skull, "head", [(each, face) for each in shapes[breed.face]], fur=0.3 if breed.curls else 0.6)
    if breed.curls:
        pen.paint(_oval(0, -0.2, 0.18, 0.1), "head")
    _snout(pen)
    for side in (-1, 1):
        _eye(pen, side * 0.085, -0.04)
    if breed.ears[0] != "prick":
        _front_ears(pen)


def _snout(pen: _Pen) -> None:
    """Muzzle, nose and mouth of a head that looks at us; a short muzzle has jowls and wrinkles."""
    short = pen.breed.muzzle < 0.1
    broad = 0.13 if short else 0.105
    fur = "head" if pen.breed.face == "patch" else "face"
    bridge = _even([(0, 0.01), (broad * 0.7, 0.04), (broad, 0.14), (broad * 0.6, 0.22)])
    pen.paint(bridge, fur, fur=0.15)
    if pen.rng.random() < 0.45:
        pen.ink(_limb([(0, 0.17), (0.005, 0.2 + float(pen.rng.uniform(0.03, 0.08)))], [0.04, 0.035]), (214, 96, 104))
    if short:
        for side in (-1, 1):
            pen.paint(_oval(side * 0.105, 0.155, 0.1, 0.09), fur)
            pen.ink(_limb([(side * 0.03, -0.09), (side * 0.05, -0.13)], [0.005, 0.005]), (120, 92, 76))
            pen.ink(_oval(side * 0.035, 0.18, 0.014, 0.022, steps=10), (250, 248, 240))
    for side in (-1, 1):
        pen.ink(_limb([(0, 0.1), (side * 0.01, 0.155), (side * 0.08, 0.165)], [0.006, 0.008, 0.005]))
    pen.ink(_even([(0, 0.03), (0.055, 0.045), (0.03, 0.09), (0, 0.105)]))
    pen.ink(_oval(-0.015, 0.05, 0.016, 0.007), (150, 140, 140))


def _front_ears(pen: _Pen) -> None:
    kind, length = pen.breed.ears
    tall = 0.27 * length
    for side in (-1, 1):
        ear = pen.at(side * 0.15, -0.1, 0, side, 1)
        if kind == "drop":
            leaf = [(0, -0.02), (0.07, 0.05), (0.08, 0.12 + 0.16 * length)]
            ear.paint(_limb(leaf, [0.045, 0.08, 0.06]), "ears", fur=0.7)
        elif kind == "prick":
            triangle = [(-0.12, -0.05), (-0.03, -tall * 0.7), (0.03, -tall), (0.06, -tall * 0.6), (0.05, 0.06)]
            ear.paint(_smooth(triangle), "ears", fur=0.4)
            inner = [(-0.06, -0.05), (0.0, -tall * 0.6), (0.025, -tall * 0.8), (0.035, -tall * 0.5), (0.02, 0)]
            ear.ink(_smooth(inner), (176, 128, 118), 180)
        else:
            ear.paint(_smooth([(-0.08, -0.07), (0.0, -0.11), (0.09, -0.05), (0.08, 0.05), (0.02, -0.01)]), "ears")


def _pair(x: float, y: float, across: float, down: float) -> list[Points]:
    """The same oval on both sides of a face."""
    return [_oval(side * x, y, across, down) for side in (-1, 1)]


def _even(right: Sequence[tuple[float, float]]) -> Points:
    """A shape that is the same on both sides, from the points of its right side; those on the axis come once."""
    return _smooth([*right, *((-x, y) for x, y in right[::-1] if x)])


def _eye(pen: _Pen, x: float, y: float) -> None:
    rim = _colour(np.array(pen.coat["head"]) * 0.5 + 40) if sum(pen.coat["head"]) < 250 else INK
    pen.ink(_oval(x, y, 0.035, 0.035), rim)
    pen.ink(_oval(x, y, 0.025, 0.025), (88, 54, 34))
    pen.ink(_oval(x, y, 0.015, 0.015), INK)
    pen.ink(_oval(x + 0.009, y - 0.011, 0.008, 0.008, steps=8), (250, 250, 250))


def _collar(pen: _Pen, band: Points) -> None:
    if pen.rng.random() < 0.4:
        pen.ink(band, COLLARS[pen.rng.integers(len(COLLARS))], 185)


def _background(size: tuple[int, int], floor: float, rng: np.random.Generator) -> Image.Image:
    """Where the dog is; the ground begins at `floor`, a part of the height. Soft, as behind a portrait lens."""
    width, height = size[0] // 2, size[1] // 2
    paint = (_meadow, _room, _snow, _studio)[rng.choice(4, p=(0.35, 0.3, 0.2, 0.15))]
    scene = paint(width, height, int(floor * height), rng)
    return scene.filter(ImageFilter.BoxBlur(float(rng.uniform(0.4, 1.5)))).resize(size, Image.Resampling.BILINEAR)


def _meadow(width: int, height: int, floor: int, rng: np.random.Generator) -> Image.Image:
    sky, land = (
        ((120, 170, 225), (170, 190, 205), (236, 190, 150))[rng.integers(3)],
        ((96, 140, 60), (130, 150, 70), (150, 130, 80))[rng.integers(3)],
    )
    scene = _ramp(width, height, floor, (sky, (225, 232, 236)), (land, tuple(each * 0.7 for each in land)))
    pen = ImageDraw.Draw(scene)
    for x in rng.uniform(0, width, 3).tolist():
        pen.ellipse(_round(x, floor, width * 0.35, floor * rng.uniform(0.05, 0.25)), _near((84, 116, 74), 14, rng))
    for x in rng.uniform(0, width, rng.integers(0, 7)).tolist():
        pen.rectangle((x - 2, floor * 0.6, x + 2, floor + 2), (84, 66, 50))
        pen.ellipse(_round(x, floor * 0.5, *rng.uniform(0.1, 0.35, 2) * floor), _near((70, 110, 56), 18, rng))
    pen.rectangle((0, floor, width, floor + 1), _colour(np.array(land)))
    blades = rng.uniform((0, floor, -2, 2), (width, height, 2, 7), (130, 4))
    for x, y, lean, tall in blades.tolist():
        pen.line((x, y, x + lean, y - tall * y / height), _near(land, 26, rng))
    return scene


def _room(width: int, height: int, floor: int, rng: np.random.Generator) -> Image.Image:
    wall, wood = _muted(rng), np.array(((150, 104, 66), (186, 156, 120), (120, 116, 114))[rng.integers(3)])
    scene = _ramp(width, height, floor, (wall, wall * 0.88), (wood * 0.85, wood * 1.1))
    pen = ImageDraw.Draw(scene)
    if rng.random() < 0.4:
        for x in range(0, width, int(rng.integers(8, 30))):
            pen.line((x, 0, x, floor), _colour(wall * 0.93), 3)
    for x in np.linspace(-width, 2 * width, int(rng.integers(12, 28))).tolist():
        pen.line((width / 2 + (x - width / 2) * 0.5, floor, x, height), _colour(wood * 0.75))
    x, y, far = rng.uniform(0, width), floor * rng.uniform(0.15, 0.35), width * rng.uniform(0.1, 0.2)
    pen.rectangle((x - far, y - far * 0.6, x + far, y + far * 0.6), _near((150, 170, 190), 60, rng), (90, 70, 56), 3)
    if rng.random() < 0.5:
        side = rng.integers(2) * width
        pen.rounded_rectangle(
            (side - width * 0.3, floor * 0.55, side + width * 0.3, floor * 1.12), 8, _near((130, 100, 110), 50, rng)
        )
    pen.rectangle((0, floor - 4, width, floor), _colour(wall * 0.7))
    if rng.random() < 0.5:
        pen.ellipse(
            _round(width * rng.uniform(0.3, 0.7), height * 0.93, width * 0.45, height * 0.12),
            _near((150, 90, 90), 60, rng),
        )
    return scene


def _snow(width: int, height: int, floor: int, rng: np.random.Generator) -> Image.Image:
    scene = _ramp(
        width, height, floor, (_near((150, 175, 205), 25, rng), (222, 228, 236)), ((236, 240, 246), (204, 214, 230))
    )
    pen = ImageDraw.Draw(scene)
    for x, tall in rng.uniform((0, 0.3), (width, 0.8), (9, 2)).tolist():
        pen.polygon(
            [(x - tall * 22, floor), (x, floor - tall * floor), (x + tall * 22, floor)], _near((74, 98, 96), 18, rng)
        )
    for x in rng.uniform(0, width, 3).tolist():
        pen.ellipse(_round(x, floor + 4, width * 0.3, rng.uniform(5, 14)), (236, 240, 246))
    for x, y in (rng.random((rng.integers(0, 90), 2)) * (width, height)).tolist():
        pen.ellipse((x, y, x + 1.5, y + 1.5), (250, 250, 252))
    return scene


def _studio(width: int, height: int, floor: int, rng: np.random.Generator) -> Image.Image:
    paper = _muted(rng)
    return _ramp(width, height, floor, (paper * 0.85, paper * 1.08), (paper * 1.08, paper * 0.9))


def _muted(rng: np.random.Generator) -> Points:
    """The colour of a wall or a backdrop: any hue, little of it."""
    return rng.uniform(90, 215) + rng.normal(0, 22, 3)


def _develop(behind: Image.Image, pen: _Pen, shadow: Points, rng: np.random.Generator) -> Image.Image:
    """Dog, shadow and background in one light, as a camera would leave them."""
    width, height = behind.size
    ground = Image.new("L", (width // 4, height // 4), 0)
    _polygon(ground, shadow / (4 * OVER), int(rng.integers(70, 150)))
    dim = ground.filter(ImageFilter.BoxBlur(3)).resize((width, height), Image.Resampling.BILINEAR)
    cover, shade = pen.shade.point([0] + [255] * 255).reduce(OVER), pen.shade.reduce(OVER)
    behind.paste((0, 0, 0), (0, 0, width, height), ImageChops.lighter(dim, cover))
    # The dog's layers are black outside of it, so that reducing them has weighted its edge with the cover already.
    light = _light(width, height, rng)
    cast = (rng.uniform(0.78, 1.12) * rng.normal(1, 0.05, 3)).tolist()
    noise = rng.standard_normal((height, width), np.float32) * np.float32(rng.choice((1.0, 4.0, 9.0)))
    factor = np.asarray(shade, dtype=np.float32) / LIT
    bands = []  # each on its own, which numpy does several times faster than [height, width, 3]
    for dog, back, tint in zip(pen.colours.reduce(OVER).split(), behind.split(), cast, strict=True):
        band = np.asarray(dog) * factor
        band += np.asarray(back)
        band *= light * np.float32(tint)
        band += noise
        bands.append(Image.fromarray(band.clip(0, 255, out=band).astype(np.uint8)))
    picture = Image.merge("RGB", bands)
    return picture.filter(ImageFilter.BoxBlur(float(rng.uniform(0.4, 1.2)))) if rng.random() < 0.3 else picture


def _light(width: int, height: int, rng: np.random.Generator) -> Any:
    """The side the light comes from, and darker corners: float32 [height, width], around 1."""
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    lean, corners = rng.uniform(-0.16, 0.16, 2).astype(np.float32), np.float32(rng.uniform(0, 0.12))
    return (x * lean[0] - corners * x * x) + (1 + y * lean[1] - corners * y * y)


def _ramp(width: int, height: int, floor: int, above: Sequence[Any], below: Sequence[Any]) -> Image.Image:
    """Two gradients from top to bottom that meet at `floor`."""
    rows = [
        np.linspace(*(np.array(each, dtype=float) for each in pair), num)
        for pair, num in ((above, floor), (below, height - floor))
    ]
    column = np.concatenate(rows).clip(0, 255).astype(np.uint8)[:, None]
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(column, (height, width, 3))))


def _smooth(points: Sequence[tuple[float, float]], closed: bool = True, steps: int = 6) -> Points:
    """A Catmull-Rom curve through the points: [n, 2]."""
    knots = np.array(points, dtype=float)
    ring = np.concatenate([knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]])
    a, b, c, d = (ring[each : len(ring) - 3 + each, None] for each in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = b + t * (c - a) / 2 + t**2 * (2 * a - 5 * b + 4 * c - d) / 2 + t**3 * (3 * b - a - 3 * c + d) / 2
    return np.concatenate([curve.reshape(-1, 2), np.empty((0, 2)) if closed else knots[-1:]])


def _oval(x: float, y: float, across: float, down: float, steps: int = 32) -> Points:
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([x + across * np.cos(angle), y + down * np.sin(angle)], 1)


def _limb(path: Sequence[tuple[float, float]], widths: Sequence[float]) -> Points:
    """The outline of a path that is thick (its half widths given) and round at both ends."""
    middle = _smooth(path, closed=False)
    thick = np.interp(np.linspace(0, len(path) - 1, len(middle)), np.arange(len(path)), widths)[:, None]
    along = np.gradient(middle, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    left = np.stack([along[:, 1], -along[:, 0]], 1)
    angle = np.linspace(0, np.pi, 8)[1:-1, None]
    end = middle[-1] + thick[-1] * (left[-1] * np.cos(angle) + along[-1] * np.sin(angle))
    start = middle[0] + thick[0] * (-left[0] * np.cos(angle) - along[0] * np.sin(angle))
    return np.concatenate([middle + left * thick, end, (middle - left * thick)[::-1], start])


def _furry(edge: Points, reach: float, step: float, curls: bool, rng: np.random.Generator) -> Points:
    """The closed outline with tufts or curls standing off by about `reach` pixels, one every `step` pixels."""
    if reach < 1:
        return edge
    ring = np.concatenate([edge, edge[:1]])
    run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(ring, axis=0), axis=1))])
    tufts = max(4, int(run[-1] / step))
    phase = np.arange(tufts * 6) / 6
    even = np.stack([np.interp(phase / tufts * run[-1], run, ring[:, each]) for each in (0, 1)], 1)
    along = np.roll(even, -1, 0) - np.roll(even, 1, 0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    outward = np.stack([along[:, 1], -along[:, 0]], 1) * np.sign(_area(even))
    height = np.abs(np.sin(np.pi * phase)) * 1.2 if curls else (phase % 1) * np.repeat(rng.uniform(0.4, 1.6, tufts), 6)
    return even + outward * (height * reach)[:, None] + along * (0 if curls else 0.3) * (height * reach)[:, None]


def _area(ring: Points) -> float:
    x, y = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _polygon(layer: Image.Image, points: Points, fill: int | Colour) -> None:
    ImageDraw.Draw(layer).polygon(points.ravel().tolist(), fill)


def _round(x: float, y: float, across: float, down: float) -> tuple[float, float, float, float]:
    return x - across, y - down, x + across, y + down


def _near(colour: Sequence[float], by: float, rng: np.random.Generator) -> Colour:
    return _colour(np.array(colour) + rng.uniform(-by, by, 3))


def _colour(values: Any) -> Colour:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


def _jpeg(breed: Breed, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    size, quality = SIZES[rng.integers(len(SIZES))], int(rng.integers(70, 96))
    file = io.BytesIO()
    draw(breed, seed, size).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _number(*parts: object) -> int:
    """64 bits that depend on all the parts, the same in every process."""
    return int.from_bytes(hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()[:8])


def _is_complete(folder: Path, marker: Mapping[str, object]) -> bool:
    """Whether this very set is there. Raises DataError for a folder of anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / MARKER).read_text())
        complete = found.pop("complete")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{folder} is not empty and no drawn set", "Name a folder that is empty or new") from error
    if found != marker:
        raise DataError(f"{folder} holds another drawn set", "Delete it or name another folder")
    return bool(complete)


def _mark(folder: Path, marker: Mapping[str, object], complete: bool) -> None:
    write_atomically(folder / MARKER, json.dumps({**marker, "complete": complete}, indent=2).encode())
