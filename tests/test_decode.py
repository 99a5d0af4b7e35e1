"""From bytes to pixels: torchvision's answer for every size, mode, format and way to hold the camera."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kennel.pictures.decode import CROP, FORMATS, LONGEST, SIDE, Pixels, centre, crop, open_picture, shrink
from kennel.pictures.drawings import BREEDS, draw
from kennel.weights.torch import torchvision

SIZES = [
    *((400, 300), (300, 400), (256, 256), (224, 224), (1, 1), (1, 2), (37, 91), (91, 37), (257, 255), (333, 1000)),
    *((1000, 333), (977, 1333), (1333, 977), (454, 887), (42, 266), (64, 825), (15, 200), (600, 600)),
]
EXTREME = [(3000, 40), (3001, 41), (562, 15), (40, 3000), (41, 3001), (1, 900), (900, 1)]
BEST: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
UPRIGHT_TO_STORED: dict[int, Callable[[Any], Any]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """The hardest picture to resample alike: every pixel differs from its neighbours."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def reference(picture: Image.Image) -> Pixels:
    """torchvision's evaluation transform, up to ToTensor."""
    transforms = torchvision().transforms
    resize = transforms.Resize(SIDE, transforms.InterpolationMode.BILINEAR, antialias=True)
    pixels: Pixels = np.asarray(transforms.CenterCrop(CROP)(resize(picture)))
    return pixels


def distance(one: Any, other: Any) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


@pytest.fixture(scope="module")
def dog() -> Image.Image:
    return draw(BREEDS[2], 5, (256, 256))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_pixel_of_the_crop_is_torchvisions(size: tuple[int, int]) -> None:
    picture = noise(*size)
    pixels = crop(encoded(picture), draft=0)
    assert pixels.shape == (CROP, CROP, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels, reference(picture))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 9))
def test_every_pixel_is_torchvisions_at_any_size_up_to_sixteen_to_one(width: int, height: int, seed: int) -> None:
    picture = noise(width, height, seed)
    content = encoded(picture, compress_level=0)
    furthest = int(np.abs(crop(content, draft=0).astype(int) - reference(picture)).max())
    assert furthest <= (0 if max(width, height) / min(width, height) <= LONGEST / SIDE else 1)


@pytest.mark.parametrize("size", EXTREME, ids=str)
def test_a_picture_like_a_ribbon_differs_from_torchvision_by_one_at_most(size: tuple[int, int]) -> None:
    picture = noise(*size)
    assert np.abs(crop(encoded(picture), draft=0).astype(int) - reference(picture)).max() <= 1


def test_a_ribbon_too_long_to_be_resized_in_full_is_read_in_little_memory() -> None:
    assert shrink(encoded(Image.new("RGB", (1, 60_000)), "BMP")).shape == (2 * SIDE, SIDE, 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 1200), st.integers(1, 300), st.booleans())
def test_the_centre_of_a_shrunk_picture_is_its_crop(long: int, short: int, portrait: bool) -> None:
    content = encoded(noise(*((short, long) if portrait else (long, short))), compress_level=0)
    shrunk = shrink(content)
    assert min(shrunk.shape[:2]) == SIDE
    assert max(shrunk.shape[:2]) <= 2 * SIDE
    assert np.array_equal(centre(shrunk), crop(content))


def test_a_large_jpeg_decoded_scaled_differs_little_from_one_decoded_in_full() -> None:
    photo = draw(BREEDS[0], 3, (1000, 750)).resize((4000, 3000), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).normal(0, 6, (3000, 4000, 1))
    content = encoded(Image.fromarray((np.asarray(photo) + grain).clip(0, 255).astype(np.uint8)), "JPEG", quality=92)
    full, drafted = crop(content, draft=0), crop(content)
    # Both average the same 12 × 12 pixels with other weights; half a grey level is what rounding twice costs alone.
    assert distance(full, drafted) < 0.6
    assert np.abs(full.astype(int) - drafted).max() <= 24


@pytest.mark.parametrize("form", FORMATS)
def test_every_known_format_shows_the_same_picture(form: str, dog: Image.Image) -> None:
    limit = {"JPEG": 3.0, "GIF": 9.0}.get(form, 0.0)  # GIF has 256 colours
    assert distance(crop(encoded(dog, form, **BEST.get(form, {}))), reference(dog)) <= limit


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_an_animated_picture_the_first_frame_counts(form: str, dog: Image.Image) -> None:
    others = [draw(BREEDS[6], seed, (256, 256)) for seed in (1, 2)]
    moving = encoded(dog, form, save_all=True, append_images=others)
    assert distance(crop(moving), reference(dog)) < 9 < distance(crop(moving), reference(others[0]))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "RGBA"])
def test_a_mode_without_transparency_is_converted_as_pillow_does(mode: str, dog: Image.Image) -> None:
    picture = dog.convert(mode)
    content = encoded(picture, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG")
    assert distance(crop(content), reference(picture.convert("RGB"))) <= (2 if mode == "YCbCr" else 0)


def test_a_cmyk_jpeg_as_adobe_writes_it_is_not_inverted(dog: Image.Image) -> None:
    content = encoded(dog.convert("CMYK"), "JPEG", quality=95)
    assert open_picture(content).mode == "CMYK"
    assert distance(crop(content), reference(dog)) < 4


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_lies_over_white(mode: str, dog: Image.Image) -> None:
    alpha = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (256, 1)))
    picture = dog.convert("L" if mode == "LA" else "RGB")
    below = np.asarray(picture.convert("RGB"), float)
    picture.putalpha(alpha)
    share = np.asarray(alpha, float)[..., None] / 255
    expected = (below * share + 255 * (1 - share))[16:240, 16:240]
    assert np.abs(crop(encoded(picture)) - expected).max() <= 1


@pytest.mark.parametrize("transparency", [0, bytes([0, 255])], ids=["one colour", "a table"])
def test_a_transparent_colour_of_a_palette_is_white(transparency: int | bytes) -> None:
    picture = Image.new("P", (256, 256), 0)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.paste(1, (128, 0, 256, 256))
    pixels = crop(encoded(picture, transparency=transparency))
    assert pixels[100, 10].tolist() == [255, 255, 255]
    assert pixels[100, 200].tolist() == [200, 100, 50]


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (1, 2, 3)), ("L", 9), ("1", 0)])
def test_a_transparent_colour_without_a_palette_is_white_too(mode: str, colour: int | tuple[int, int, int]) -> None:
    assert (crop(encoded(Image.new(mode, (40, 40), colour), transparency=colour)) == 255).all()


@pytest.mark.parametrize(("kind", "form"), [("<u2", "PNG"), ("<u2", "TIFF"), (">u2", "TIFF"), ("<i4", "TIFF")])
def test_sixteen_bits_of_grey_become_eight(kind: str, form: str) -> None:
    ramp = np.tile(np.arange(256), (256, 1))
    pixels = crop(encoded(Image.fromarray((ramp * 257).astype(kind)), form))
    assert np.array_equal(pixels, np.repeat(ramp[16:240, 16:240, None], 3, axis=2))


@pytest.mark.parametrize("full", [1.0, 255.0, 65535.0])
@pytest.mark.parametrize("odd", [0.0, np.nan, -np.inf, np.inf])
def test_grey_as_floats_is_scaled_by_its_finite_values(full: float, odd: float) -> None:
    ramp = np.tile(np.linspace(0, full, 256, dtype=np.float32), (256, 1))
    expected = np.tile(np.arange(256.0), (256, 1))[16:240, 16:240]
    ramp[0, 0] = odd
    assert np.abs(crop(encoded(Image.fromarray(ramp), "TIFF"))[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("orientation", UPRIGHT_TO_STORED)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_a_picture_turned_by_exif_comes_out_upright(form: str, orientation: int) -> None:
    upright = np.full((60, 90, 3), 128, np.uint8)
    upright[:20, 20:40], upright[:20, 60:70], upright[40:, 20:50] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    stored = Image.fromarray(np.ascontiguousarray(UPRIGHT_TO_STORED[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = crop(encoded(stored, form, exif=exif, **BEST.get(form, {})))
    assert distance(turned, reference(Image.fromarray(upright))) <= (1 if form == "JPEG" else 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("garbage", [b"nope", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\0\xff\x01\x12"])
@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
def test_a_sound_picture_with_garbage_for_exif_is_read(form: str, garbage: bytes, dog: Image.Image) -> None:
    exif = b"Exif\0\0" + garbage if form == "JPEG" else garbage
    assert distance(crop(encoded(dog, form, exif=exif)), reference(dog)) < 6
