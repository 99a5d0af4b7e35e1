"""One way from a picture's bytes to pixels, shared by training and serving.

The reference is torchvision's evaluation transform: `Resize(256)` (bilinear, antialiased), `CenterCrop(224)`, then
`ToTensor` and `Normalize` (these two are part of the network's graph here). One short cut leaves its answers alone:
JPEG is decoded at 1/2, 1/4 or 1/8 (libjpeg's scaled transform) as long as twice the target's side remains. Without it
every pixel is the reference's: the whole picture is resampled, because Pillow rounds differently when given a `box`.

Input is hostile: formats are a closed list, the number of pixels is known and bounded before anything is decoded.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import IO, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from kennel.errors import PictureError

SIDE = 256
"""The shorter side a picture is resized to."""
CROP = 224
"""The side of the square the network sees."""
LONGEST = 16 * SIDE
"""A longer side resized beyond this is never made in full: only what is kept is resampled, off by at most one."""
MAX_PIXELS = 64_000_000
"""Refused above: a 64-megapixel camera's picture passes. Decoded in full it takes 0.25 GB, with transparency 1.2 GB."""
DRAFT = 2
"""A JPEG is decoded scaled, but never below this many times the side it is then resized to."""
PREPROCESSING = "resize256-bilinear-draft2-crop224-v1"
"""Names everything in this file that decides pixels; caches and artifacts carry it."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
ORIENTATION = 0x0112
"""EXIF's tag for how the camera was held."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what brings the picture upright."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Source = bytes | bytearray | memoryview | IO[bytes]


def crop(source: Source, max_pixels: int = MAX_PIXELS, draft: int = DRAFT) -> Pixels:
    """The centre of a picture as the network sees it: uint8 [224, 224, 3].

    draft: 0 decodes in full. Raises PictureError.
    """
    return np.ascontiguousarray(centre(shrink(source, max_pixels, draft)))


def shrink(source: Source, max_pixels: int = MAX_PIXELS, draft: int = DRAFT) -> Pixels:
    """A picture with its shorter side at 256 and its longer at most twice that (cut off evenly): uint8 [h, w, 3].

    Its centre 224 × 224 is what `crop` gives. Raises PictureError.
    """
    picture = _load(source, max_pixels, draft)
    width, height = resized(picture.size)
    left, top = cut(width), cut(height)
    kept = (left, top, width - left, height - top)
    if max(width, height) <= LONGEST:
        return _pixels(picture.resize((width, height), Image.Resampling.BILINEAR).crop(kept))
    across, down = picture.width / width, picture.height / height
    box = (left * across, top * down, (width - left) * across, (height - top) * down)
    return _pixels(picture.resize((width - 2 * left, height - 2 * top), Image.Resampling.BILINEAR, box=box))


def centre(shrunk: Pixels, across: int = 0, down: int = 0) -> Pixels:
    """The 224 × 224 of a shrunk picture [h, w, 3]; -1 and 1 move the window to the left/top and right/bottom edge."""
    top, left = _offset(shrunk.shape[0], down), _offset(shrunk.shape[1], across)
    return shrunk[top : top + CROP, left : left + CROP]


def resized(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height after `Resize(256)`: the shorter side 256, the longer truncated as torchvision does."""
    width, height = size
    if width <= height:
        return SIDE, int(SIDE * height / width)
    return int(SIDE * width / height), SIDE


def cut(side: int) -> int:
    """Pixels to leave away at either end of a resized side, so that at most twice 256 remain.

    An even number: then Python's round-half-to-even, which torchvision's CenterCrop uses too, finds the same centre
    in what is left as in the whole picture.
    """
    return max(0, 2 * math.ceil((side - 2 * SIDE) / 4))


def open_picture(source: Source, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture's header only; nothing is decoded. Raises PictureError (empty, unknown, too-large)."""
    file = io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(max_pixels) from error
    except UnidentifiedImageError as error:
        raise _unknown(file) from error
    except Exception as error:  # a parser fed on garbage raises anything: struct.error, SyntaxError, OverflowError …
        raise PictureError("unknown", "the header of the picture is damaged", "Save the picture again") from error
    if picture.width * picture.height > max_pixels:
        raise _too_large(max_pixels)
    return picture


def orientation(picture: Image.Image) -> int:
    """EXIF's orientation: 2 … 8, or 1 for upright, also where EXIF is missing or is garbage (pixels do not need it)."""
    try:
        found = picture.getexif().get(ORIENTATION)
    except Exception:  # SyntaxError, struct.error, UnicodeDecodeError …
        return 1
    return found if found in UPRIGHT else 1


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency over white, 16-bit grey scaled to 8 bits, CMYK and palettes converted."""
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith(("I", "F")):
        return _grey16(picture).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def _load(source: Source, max_pixels: int, draft: int) -> Image.Image:
    picture = open_picture(source, max_pixels)
    if min(picture.size) < 1:
        raise PictureError("unknown", "the picture has no pixels", "Save the picture again")
    try:
        if draft:
            picture.draft(None, (draft * SIDE, draft * SIDE))
        picture.load()
        turn = UPRIGHT.get(orientation(picture))
        return to_rgb(picture if turn is None else picture.transpose(turn))
    except MemoryError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError, zlib.error …
        raise PictureError("truncated", "the picture is damaged or ends too early", "Save or send it again") from error


def _pixels(picture: Image.Image) -> Pixels:
    return np.asarray(picture, dtype=np.uint8)


def _grey16(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture).astype(np.float32)
    high = float(values[np.isfinite(values)].max(initial=0.0))
    full = 65535.0 if high > 255 or picture.mode.startswith("I;16") else 255.0 if high > 1 else 1.0
    grey = (np.nan_to_num(values).clip(0, full) * (255.0 / full)).round()
    return Image.fromarray(grey.astype(np.uint8))


def _offset(length: int, edge: int) -> int:
    return {-1: 0, 0: round((length - CROP) / 2), 1: length - CROP}[edge]


def _too_large(max_pixels: int) -> PictureError:
    return PictureError("too-large", f"the picture has more than {max_pixels / 1e6:g} megapixels", "Send a smaller one")


def _unknown(file: IO[bytes]) -> PictureError:
    file.seek(0)
    if not file.read(1):
        return PictureError("empty", "the picture is empty", "Send its bytes as the body")
    return PictureError("unknown", "not a picture of a known format", f"Known are {', '.join(FORMATS)}")
