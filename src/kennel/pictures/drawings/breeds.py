"""What tells one breed from another: the numbers and colours that its dogs are drawn with."""

from dataclasses import dataclass
from typing import Literal

from kennel.pictures.drawings.geometry import Colour

ROLES = ("back", "belly", "legs", "paws", "head", "face", "ears", "tail", "tip")
"""The parts of a dog that have a colour of their own."""


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
    """How far the middle of the head is above the withers."""
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
