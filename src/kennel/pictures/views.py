"""Views of a shrunk picture: the fixed crops that features are made of, and the random ones of fine-tuning."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from kennel.pictures.decode import CROP, Pixels, centre

VIEWS = tuple(
    (across, down, mirrored)
    for across, down in ((0, 0), (-1, -1), (1, -1), (-1, 1), (1, 1))
    for mirrored in (False, True)
)
"""Centre, its mirror image, then the four corners with theirs: torchvision's TenCrop, the centre first."""

AREA = (0.35, 1.0)
RATIO = (3 / 4, 4 / 3)


def view(shrunk: Pixels, number: int) -> Pixels:
    """View `number` (0 … 9) of a shrunk picture [h, w, 3]: uint8 [224, 224, 3]."""
    across, down, mirrored = VIEWS[number]
    window = centre(shrunk, across, down)
    return window[:, ::-1] if mirrored else window


def random_view(shrunk: Pixels, draw: np.random.Generator) -> Pixels:
    """A random part of the picture, resized and by chance mirrored and lit differently: uint8 [224, 224, 3].

    Inception's crop (Szegedy et al. 2014) over 35–100 % of the area: what a dog looks like survives that.
    """
    height, width = shrunk.shape[:2]
    area = draw.uniform(*AREA) * height * width
    ratio = math.exp(draw.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
    across, down = min(width, math.sqrt(area * ratio)), min(height, math.sqrt(area / ratio))
    left, top = draw.uniform(0, width - across), draw.uniform(0, height - down)
    box = (left, top, left + across, top + down)
    part = Image.fromarray(shrunk).resize((CROP, CROP), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(part, np.float32) * draw.uniform(0.8, 1.2)
    pixels = pixels[:, ::-1] if draw.random() < 0.5 else pixels
    return np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8))
