"""Where a dog is, and the light on both: backgrounds, and the camera that puts the layers together."""

from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from kennel.pictures.drawings.geometry import Colour, Points, colour, polygon
from kennel.pictures.drawings.pen import LIT, OVER, Pen


def background(size: tuple[int, int], floor: float, rng: np.random.Generator) -> Image.Image:
    """A scene whose ground begins at `floor`, a part of the height. Soft, as behind a portrait lens."""
    width, height = size[0] // 2, size[1] // 2
    paint = (_meadow, _room, _snow, _studio)[rng.choice(4, p=(0.35, 0.3, 0.2, 0.15))]
    scene = paint(width, height, int(floor * height), rng)
    return scene.filter(ImageFilter.BoxBlur(rng.uniform(0.4, 1.5))).resize(size, Image.Resampling.BILINEAR)


def develop(behind: Image.Image, pen: Pen, shadow: Points, rng: np.random.Generator) -> Image.Image:
    """Dog, shadow (its outline in pixels of the dog's layers) and background in one light, as a camera leaves them."""
    width, height = behind.size
    ground = Image.new("L", (width // 4, height // 4), 0)
    polygon(ground, shadow / (4 * OVER), int(rng.integers(70, 150)))
    dim = ground.filter(ImageFilter.BoxBlur(3)).resize(behind.size, Image.Resampling.BILINEAR)
    cover = pen.shade.point([0] + [255] * 255).reduce(OVER)
    behind.paste((0, 0, 0), (0, 0, width, height), ImageChops.lighter(dim, cover))
    # The dog's layers are black outside of it, so that reducing them has weighted its edge with the cover already.
    light = _light(width, height, rng)
    cast = (rng.uniform(0.78, 1.12) * rng.normal(1, 0.05, 3)).astype(np.float32)
    noise = rng.standard_normal((height, width), np.float32) * np.float32(rng.choice((1.0, 4.0, 9.0)))
    shade = np.asarray(pen.shade.reduce(OVER), dtype=np.float32) / LIT
    bands = []  # each on its own, which numpy does several times faster than [height, width, 3]
    for dog, back, tint in zip(pen.colours.reduce(OVER).split(), behind.split(), cast, strict=True):
        band = (np.asarray(dog) * shade + np.asarray(back)) * light * tint + noise
        bands.append(Image.fromarray(band.clip(0, 255).astype(np.uint8)))
    picture = Image.merge("RGB", bands)
    return picture.filter(ImageFilter.BoxBlur(rng.uniform(0.4, 1.2))) if rng.random() < 0.3 else picture


def _meadow(width: int, height: int, floor: int, rng: np.random.Generator) -> Image.Image:
    sky = ((120, 170, 225), (170, 190, 205), (236, 190, 150))[rng.integers(3)]
    land = ((96, 140, 60), (130, 150, 70), (150, 130, 80))[rng.integers(3)]
    scene = _ramp(width, height, floor, (sky, (225, 232, 236)), (land, np.array(land) * 0.7))
    pen = ImageDraw.Draw(scene)
    for x in rng.uniform(0, width, 3).tolist():
        pen.ellipse(_box(x, floor, width * 0.35, floor * rng.uniform(0.05, 0.25)), _near((84, 116, 74), 14, rng))
    for x in rng.uniform(0, width, rng.integers(0, 7)).tolist():
        pen.rectangle((x - 2, floor * 0.6, x + 2, floor + 2), (84, 66, 50))
        pen.ellipse(_box(x, floor * 0.5, *rng.uniform(0.1, 0.35, 2) * floor), _near((70, 110, 56), 18, rng))
    pen.rectangle((0, floor, width, floor + 1), land)
    for x, y, lean, tall in rng.uniform((0, floor, -2, 2), (width, height, 2, 7), (130, 4)).tolist():
        pen.line((x, y, x + lean, y - tall * y / height), _near(land, 26, rng))
    return scene


def _room(width: int, height: int, floor: int, rng: np.random.Generator) -> Image.Image:
    wall, wood = _muted(rng), np.array(((150, 104, 66), (186, 156, 120), (120, 116, 114))[rng.integers(3)])
    scene = _ramp(width, height, floor, (wall, wall * 0.88), (wood * 0.85, wood * 1.1))
    pen = ImageDraw.Draw(scene)
    if rng.random() < 0.4:
        for x in range(0, width, int(rng.integers(8, 30))):
            pen.line((x, 0, x, floor), colour(wall, 0.93), 3)
    for board in np.linspace(-width, 2 * width, int(rng.integers(12, 28))).tolist():
        pen.line((width / 2 + (board - width / 2) * 0.5, floor, board, height), colour(wood, 0.75))
    left, top, far = rng.uniform(0, width), floor * rng.uniform(0.15, 0.35), width * rng.uniform(0.1, 0.2)
    pen.rectangle(_box(left, top, far, far * 0.6), _near((150, 170, 190), 60, rng), (90, 70, 56), 3)
    if rng.random() < 0.5:
        side = int(rng.integers(2)) * width
        sofa = (side - width * 0.3, floor * 0.55, side + width * 0.3, floor * 1.12)
        pen.rounded_rectangle(sofa, 8, _near((130, 100, 110), 50, rng))
    pen.rectangle((0, floor - 4, width, floor), colour(wall, 0.7))
    if rng.random() < 0.5:
        rug = _box(width * rng.uniform(0.3, 0.7), height * 0.93, width * 0.45, height * 0.12)
        pen.ellipse(rug, _near((150, 90, 90), 60, rng))
    return scene


def _snow(width: int, height: int, floor: int, rng: np.random.Generator) -> Image.Image:
    sky = (_near((150, 175, 205), 25, rng), (222, 228, 236))
    scene = _ramp(width, height, floor, sky, ((236, 240, 246), (204, 214, 230)))
    pen = ImageDraw.Draw(scene)
    for x, tall in rng.uniform((0, 0.3), (width, 0.8), (9, 2)).tolist():
        fir = [(x - tall * 22, floor), (x, floor - tall * floor), (x + tall * 22, floor)]
        pen.polygon(fir, _near((74, 98, 96), 18, rng))
    for x in rng.uniform(0, width, 3).tolist():
        pen.ellipse(_box(x, floor + 4, width * 0.3, rng.uniform(5, 14)), (236, 240, 246))
    for x, y in (rng.random((rng.integers(0, 90), 2)) * (width, height)).tolist():
        pen.ellipse((x, y, x + 1.5, y + 1.5), (250, 250, 252))
    return scene


def _studio(width: int, height: int, floor: int, rng: np.random.Generator) -> Image.Image:
    paper = _muted(rng)
    return _ramp(width, height, floor, (paper * 0.85, paper * 1.08), (paper * 1.08, paper * 0.9))


def _ramp(width: int, height: int, floor: int, above: tuple[Any, Any], below: tuple[Any, Any]) -> Image.Image:
    """Two gradients from top to bottom that meet at `floor`."""
    rows = [np.linspace(*above, floor), np.linspace(*below, height - floor)]
    column = np.concatenate(rows).clip(0, 255).astype(np.uint8)[:, None]
    return Image.fromarray(np.repeat(column, width, 1))


def _muted(rng: np.random.Generator) -> Points:
    """The colour of a wall or a backdrop: any hue, little of it."""
    return rng.uniform(90, 215) + rng.normal(0, 22, 3)


def _near(middle: Colour, by: float, rng: np.random.Generator) -> Colour:
    return colour(middle + rng.uniform(-by, by, 3))


def _box(x: float, y: float, across: float, down: float) -> tuple[float, float, float, float]:
    """Around (x, y): left, top, right, bottom."""
    return x - across, y - down, x + across, y + down


def _light(width: int, height: int, rng: np.random.Generator) -> Any:
    """The side the light comes from, and darker corners: float32 [height, width], around 1."""
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    lean, corners = rng.uniform(-0.16, 0.16, 2).astype(np.float32), np.float32(rng.uniform(0, 0.12))
    return (x * lean[0] - corners * x * x) + (1 + y * lean[1] - corners * y * y)
