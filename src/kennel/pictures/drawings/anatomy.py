"""A dog's parts and the three poses they are put together in."""

from dataclasses import replace

import numpy as np

from kennel.pictures.drawings.geometry import Colour, Line, Points, colour, even, limb, oval, smooth
from kennel.pictures.drawings.pen import INK, Pen

SIDES = (-1, 1)
TONGUE: Colour = (214, 96, 104)
COLLARS: tuple[Colour, ...] = ((190, 40, 45), (40, 80, 170), (40, 140, 80), (220, 160, 40), (120, 60, 140))
TAILS: dict[str, tuple[Line, tuple[float, ...], float]] = {
    "sickle": (((0, 0), (-0.14, -0.12), (-0.19, -0.3), (-0.12, -0.44)), (0.05, 0.045, 0.04, 0.02), 1.0),
    "curl": (((0, 0), (-0.12, -0.14), (-0.04, -0.3), (0.12, -0.27), (0.16, -0.14)), (0.07, 0.1, 0.1, 0.09, 0.04), 1.4),
    "feather": (((0, 0), (-0.2, 0.04), (-0.42, 0), (-0.58, -0.12)), (0.05, 0.09, 0.1, 0.03), 2.0),
    "whip": (((0, 0), (-0.16, 0.02), (-0.34, -0.08), (-0.46, -0.2)), (0.045, 0.035, 0.025, 0.012), 0.5),
    "stub": (((0, 0), (-0.07, -0.02)), (0.06, 0.04), 0.5),
    "brush": (((0, 0), (-0.13, 0.12), (-0.2, 0.32), (-0.3, 0.46)), (0.05, 0.08, 0.09, 0.03), 2.0),
    "pompon": (((0, 0), (-0.06, -0.14), (-0.09, -0.24)), (0.035, 0.03, 0.03), 0.2),
}
"""From its root: the path of a tail, half its width along it, and its fur."""


def stand(pen: Pen, floor: float) -> Points:
    """On four legs, facing left or right, head in profile or turned to us. Returns the shadow's outline in pixels."""
    breed, rng = pen.breed, pen.rng
    length, depth = breed.body
    top, front = -breed.legs - depth, length / 2 - 0.12
    pen = _framed(pen, floor, length + 0.75, depth + breed.legs + 0.42 * breed.head + 0.1).at(-0.12, 0)
    _tail(pen, -length / 2 + 0.04, top + 0.09)
    skull = (length / 2 + 0.12, top - breed.neck * breed.head + rng.uniform(-0.06, 0.06))
    _legs(pen.dark(), top + depth * 0.6, far=True)
    neck = limb([(front - 0.06, top + 0.2), (front + 0.08, top + 0.06), skull], [0.19, 0.17, 0.13])
    pen.paint(neck, "back" if breed.saddle > 0.8 else "head")
    _collar(pen, [(front + 0.04, top - 0.04), (front + 0.3, top + 0.1)])
    _trunk(pen, length, depth, top)
    _legs(pen, top + depth * 0.6, far=False)
    head = _profile if rng.random() < 0.6 else _front
    head(pen.at(*skull, rng.normal(0, 0.1), breed.head))
    return pen.pixels(oval(0, 0, length * 0.62, 0.07))


def sit(pen: Pen, floor: float) -> Points:
    """Sitting, seen from the front. Returns the shadow's outline in pixels."""
    breed = pen.breed
    tall, wide = 0.62 + 0.6 * breed.legs, 0.7 + 0.7 * breed.body[1]
    pen = _framed(pen, floor, 0.95, tall + 0.36 * breed.head)
    sideways = {"brush": 1.1, "feather": 0.3, "whip": 0.3}.get(breed.tail, 0.0)
    _tail(pen.at(-0.16, -0.16, sideways, 0.85), 0, 0)
    body = pen.at(0, 0, 0, wide, tall)
    for side in SIDES:
        body.paint(oval(side * 0.22, -0.2, 0.15, 0.2), "back")
        pen.paint(oval(side * 0.27 * wide, -0.05, 0.12, 0.055), "paws", 0.5)
    pear = even([(0, -1), (0.15, -0.86), (0.22, -0.5), (0.2, -0.12), (0, -0.05)])
    body.paint(pear, "back", belly=[oval(0, -0.5, 0.15, 0.4)])
    for side in SIDES:
        leg = [(side * 0.11 * wide, -0.5 * tall), (side * 0.1 * wide, -0.05)]
        pen.paint(limb(leg, [0.085, 0.065]), "legs", 0.7)
        pen.paint(oval(side * 0.1 * wide, -0.045, 0.085, 0.055), "paws", 0.5)
    _collar(pen, [(-0.16, -0.9 * tall), (0, -0.86 * tall), (0.16, -0.9 * tall)])
    _front(pen.at(0, -tall - 0.02, pen.rng.normal(0, 0.12), breed.head * 1.1))
    return pen.pixels(oval(0, 0, 0.45, 0.07))


def portrait(pen: Pen, _floor: float) -> Points:
    """Head and chest. Returns the shadow's outline in pixels, below the picture."""
    pen = _framed(pen, 1.0, 0.62, 0.8)
    chest = smooth([(-0.12, -0.5), (0.14, -0.5), (0.27, -0.2), (0.38, 0.3), (-0.38, 0.3), (-0.27, -0.2)])
    pen.paint(chest, "back", belly=[oval(0.02, 0, 0.17, 0.42)])
    _collar(pen, [(-0.19, -0.3), (0, -0.25), (0.2, -0.3)])
    head = _front if pen.rng.random() < 0.65 else _profile
    head(pen.at(0, -0.45, pen.rng.normal(0, 0.14), 1.0 + 0.3 * (pen.breed.head - 1)))
    return pen.pixels(oval(0, 0.6, 0.3, 0.05))


def _framed(pen: Pen, floor: float, width: float, height: float) -> Pen:
    """The pen where a dog of that width and height stands: its size, place, side and slight turn vary."""
    rng = pen.rng
    across, down = pen.shade.size
    ground = down * min(0.97, floor + rng.uniform(0.06, 0.2)) if floor < 1 else down
    unit = min(across * 0.95 / width, ground * 0.95 / height) * rng.uniform(0.68, 1.0)
    x = across / 2 + rng.normal(0, 0.25) * max(0.0, across - width * unit) / 2
    side = 1 if rng.random() < 0.5 else -1
    return replace(pen, origin=np.array([x, ground])).at(0, 0, rng.normal(0, 0.03), side * unit, unit)


def _trunk(pen: Pen, length: float, depth: float, top: float) -> None:
    half, low, reach = length / 2, top + depth, top + depth * pen.breed.saddle
    outline = smooth([
        (-half, top + 0.08), (-half + 0.16, top + 0.01), (0, top + 0.03), (half - 0.16, top - 0.03), (half, top + 0.1),
        (half + 0.04, top + depth * 0.55), (half - 0.1, low), (0, low - 0.02), (-half + 0.25, low - 0.08),
        (-half, low - 0.1),
    ])  # fmt: skip
    saddle = smooth([
        (-half - 0.2, top - 0.3), (half + 0.2, top - 0.3), (half - 0.1, reach - 0.08), (0, reach), (-half - 0.1, reach),
    ])  # fmt: skip
    pen.paint(outline, "belly", back=[saddle])
    if pen.breed.tail in ("feather", "curl"):
        pen.paint(limb([(-half + 0.35, low - 0.07), (half - 0.15, low - 0.01)], [0.03, 0.05]), "belly", 1.6)


def _legs(pen: Pen, y: float, far: bool) -> None:
    """The two legs of a side, from y down; a step ahead on the far side."""
    half, rng = pen.breed.body[0] / 2, pen.rng
    x, swing = half - 0.12 + 0.09 * far, rng.normal(0.05 * far, 0.06)
    path = [(x, y), (x - 0.02, y * 0.5), (x + swing * 0.6, y * 0.25), (x + swing, -0.04)]
    _leg(pen, path, [0.12, 0.085, 0.062, 0.055])
    x, swing = -half + 0.12 + 0.1 * far, rng.normal(0.05 if far else -0.03, 0.06)
    path = [(x, y), (x + 0.06, y * 0.55), (x - 0.1 + swing * 0.6, y * 0.35), (x + swing, -0.04)]
    _leg(pen, path, [0.16, 0.11, 0.06, 0.055])


def _leg(pen: Pen, path: Line, widths: list[float]) -> None:
    foot = path[-1][0]
    pen.paint(limb(path, widths), "legs", 0.5)
    if pen.breed.curls:
        pen.paint(oval(foot, -0.13, 0.1, 0.1), "legs")
    pen.paint(oval(foot + 0.03, -0.035, 0.09, 0.045), "paws", 0.4)


def _tail(pen: Pen, x: float, y: float) -> None:
    """The tail from its root at (x, y), with a wag."""
    path, widths, fur = TAILS[pen.breed.tail]
    tail = pen.at(x, y, pen.rng.normal(0, 0.15))
    if pen.breed.tail == "pompon":
        tail.paint(limb(path, widths), "tail", fur)
        tail.paint(oval(-0.1, -0.31, 0.11, 0.11), "tip")
    else:
        tail.paint(limb(path, widths), "tail", fur, tip=[oval(*path[-1], 0.1, 0.1)])


def _profile(pen: Pen) -> None:
    """A head seen from its side, nose towards +x, the middle of the skull at (0, 0)."""
    breed = pen.breed
    tip, chin = 0.17 + breed.muzzle, 0.06 if _is_short(pen) else 0.0
    _profile_ear(pen.dark().at(0.05, 0.0), 0.9)
    skull = smooth([
        (-0.19, -0.02), (-0.13, -0.15), (0, -0.19), (0.11, -0.14), (0.17, -0.05), (tip - 0.03, -0.03), (tip, 0.02),
        (tip - 0.03 + chin, 0.11 + chin), (0.1, 0.16 + chin), (-0.08, 0.17),
    ])  # fmt: skip
    faces = {
        "muzzle": [oval(tip, 0.05, tip - 0.1, 0.13)],
        "blaze": [oval(tip, 0.07, tip - 0.1, 0.12), oval(0.12, -0.17, 0.1, 0.03)],
        "wolf": [oval(0.12, 0.12, 0.26, 0.17), oval(0.13, -0.1, 0.05, 0.03)],
        "points": [oval(tip, 0.12, tip - 0.02, 0.12), oval(0.11, -0.11, 0.03, 0.025)],
        "patch": [oval(0.02, -0.1, 0.13, 0.14)],
    }
    pen.paint(skull, "head", 0.5, face=faces[breed.face])
    if breed.curls:
        pen.paint(oval(-0.05, -0.21, 0.17, 0.11), "head")
    mouth = [(tip - 0.17, 0.05), (tip - 0.13, 0.1), (tip - 0.02, 0.085)]
    if chin:
        mouth = [(tip - 0.16, 0.2), (tip - 0.08, 0.14), (tip + 0.02, 0.13)]
    pen.ink(limb(mouth, [0.005, 0.008, 0.006]))
    if pen.rng.random() < 0.3:
        pen.ink(limb([(tip - 0.1, 0.09), (tip - 0.09, 0.2)], [0.03, 0.035]), TONGUE)
    pen.ink(oval(tip - 0.01, 0.0, 0.04, 0.035))
    _eye(pen, 0.09, -0.055)
    _profile_ear(pen, 1.0)


def _profile_ear(pen: Pen, size: float) -> None:
    kind, length = pen.breed.ears
    reach = length * size
    tall = -0.12 - 0.24 * reach
    ears = {
        "drop": limb([(-0.09, -0.1), (-0.13, 0.02), (-0.12, 0.04 + 0.16 * reach)], [0.05, 0.085, 0.075]),
        "prick": smooth([(-0.15, -0.1), (-0.13, tall * 0.75), (-0.08, tall), (-0.03, tall * 0.7), (-0.01, -0.14)]),
        "rose": smooth([(-0.12, -0.15), (-0.02, -0.18), (0.03, -0.12), (-0.06, -0.04), (-0.11, -0.09)]),
    }
    pen.paint(ears[kind], "ears", 0.9 if kind == "drop" else 0.4)


def _front(pen: Pen) -> None:
    """A head that looks at us, the middle of the skull at (0, 0)."""
    breed = pen.breed
    if breed.ears[0] == "prick":
        _front_ears(pen)
    faces = {
        "muzzle": [oval(0, 0.13, 0.12, 0.13)],
        "blaze": [limb([(0, -0.2), (0, -0.06), (0, 0.16)], [0.025, 0.03, 0.11])],
        "wolf": _pair(0.1, 0.08, 0.13, 0.16) + _pair(0.08, -0.12, 0.035, 0.025),
        "points": _pair(0.08, 0.15, 0.1, 0.1) + _pair(0.08, -0.1, 0.028, 0.022),
        "patch": [oval(0.11, -0.08, 0.1, 0.12)],
    }
    skull = even([(0, -0.19), (0.13, -0.16), (0.2, -0.03), (0.17, 0.1), (0.09, 0.22)])
    pen.paint(skull, "head", 0.3 if breed.curls else 0.6, face=faces[breed.face])
    if breed.curls:
        pen.paint(oval(0, -0.2, 0.18, 0.1), "head")
    _snout(pen)
    for side in SIDES:
        _eye(pen, side * 0.085, -0.04)
    if breed.ears[0] != "prick":
        _front_ears(pen)


def _pair(x: float, y: float, across: float, down: float) -> list[Points]:
    """The same oval on both sides of a face."""
    return [oval(side * x, y, across, down) for side in SIDES]


def _snout(pen: Pen) -> None:
    """Muzzle, nose and mouth of a head that looks at us; a short muzzle has jowls and wrinkles."""
    broad = 0.13 if _is_short(pen) else 0.105
    fur = "head" if pen.breed.face == "patch" else "face"
    pen.paint(even([(0, 0.01), (broad * 0.7, 0.04), (broad, 0.14), (broad * 0.6, 0.22)]), fur, 0.15)
    if pen.rng.random() < 0.45:
        pen.ink(limb([(0, 0.17), (0.005, 0.2 + pen.rng.uniform(0.03, 0.08))], [0.04, 0.035]), TONGUE)
    for side in SIDES if _is_short(pen) else ():
        pen.paint(oval(side * 0.105, 0.155, 0.1, 0.09), fur)
        pen.ink(limb([(side * 0.03, -0.09), (side * 0.05, -0.13)], [0.005, 0.005]), (120, 92, 76))
        pen.ink(oval(side * 0.035, 0.18, 0.014, 0.022, steps=10), (250, 248, 240))
    for side in SIDES:
        pen.ink(limb([(0, 0.1), (side * 0.01, 0.155), (side * 0.08, 0.165)], [0.006, 0.008, 0.005]))
    pen.ink(even([(0, 0.03), (0.055, 0.045), (0.03, 0.09), (0, 0.105)]))
    pen.ink(oval(-0.015, 0.05, 0.016, 0.007), (150, 140, 140))


def _front_ears(pen: Pen) -> None:
    kind, length = pen.breed.ears
    tall = -0.27 * length
    ears = {
        "drop": limb([(0, -0.02), (0.07, 0.05), (0.08, 0.12 + 0.16 * length)], [0.045, 0.08, 0.06]),
        "prick": smooth([(-0.12, -0.05), (-0.03, tall * 0.7), (0.03, tall), (0.06, tall * 0.6), (0.05, 0.06)]),
        "rose": smooth([(-0.08, -0.07), (0.0, -0.11), (0.09, -0.05), (0.08, 0.05), (0.02, -0.01)]),
    }
    inner = smooth([(-0.06, -0.05), (0.0, tall * 0.6), (0.025, tall * 0.8), (0.035, tall * 0.5), (0.02, 0)])
    for side in SIDES:
        ear = pen.at(side * 0.15, -0.1, 0, side, 1)
        ear.paint(ears[kind], "ears", {"drop": 0.7, "prick": 0.4, "rose": 1.0}[kind])
        if kind == "prick":
            ear.ink(inner, (176, 128, 118), 180)


def _is_short(pen: Pen) -> bool:
    """Whether the muzzle is so short that the jaw stands out."""
    return pen.breed.muzzle < 0.1


def _eye(pen: Pen, x: float, y: float) -> None:
    head = pen.coat["head"]
    rim = colour(np.array(head) * 0.5 + 40) if sum(head) < 250 else INK
    pen.ink(oval(x, y, 0.035, 0.035), rim)
    pen.ink(oval(x, y, 0.025, 0.025), (88, 54, 34))
    pen.ink(oval(x, y, 0.015, 0.015))
    pen.ink(oval(x + 0.009, y - 0.011, 0.008, 0.008, steps=8), (250, 250, 250))


def _collar(pen: Pen, path: Line) -> None:
    """On some dogs."""
    if pen.rng.random() < 0.4:
        band = limb(path, [0.03, 0.035, 0.03] if len(path) == 3 else [0.03, 0.03])
        pen.ink(band, COLLARS[pen.rng.integers(len(COLLARS))], 185)
