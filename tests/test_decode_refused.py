"""Pictures that must be refused: no picture, cut off, too large, damaged. One kind of error, whatever the bytes."""

import io
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kennel.errors import PictureError
from kennel.pictures.decode import CROP, FORMATS, crop
from kennel.pictures.drawings import BREEDS, draw


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def kind_of(content: bytes, max_pixels: int = 1_000_000) -> str:
    with pytest.raises(PictureError) as caught:
        crop(content, max_pixels)
    assert caught.value.remedy
    return caught.value.kind


@pytest.fixture(scope="module")
def dog() -> Image.Image:
    return draw(BREEDS[2], 5, (256, 256))


def test_nothing_is_told_apart_from_something_that_is_no_picture() -> None:
    assert kind_of(b"") == "empty"
    for content in (
        b"hello, I am a text " * 9,
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n",
        b"\0" * 99,
    ):
        assert kind_of(content) == "unknown"


@pytest.mark.parametrize("form", ["ICO", "PPM", "TGA", "EPS", "PCX"])
def test_a_format_that_is_not_on_the_list_is_refused(form: str, dog: Image.Image) -> None:
    assert kind_of(encoded(dog, form)) == "unknown"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_cut_off_in_the_middle_is_refused(form: str, dog: Image.Image) -> None:
    content = encoded(dog, form)
    expected = "unknown" if form == "WEBP" else "truncated"  # libwebp does not open what is not whole
    assert {kind_of(content[: int(len(content) * share)]) for share in (0.5, 0.7, 0.9)} == {expected}
    assert kind_of(content[:12]) == "unknown"
    assert {kind_of(content[:length]) for length in range(1, 64, 7)} <= {"unknown", "truncated"}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "jpeg", "packbits"])
def test_a_compressed_tiff_cut_off_in_the_middle_is_refused(compression: str, dog: Image.Image) -> None:
    content = encoded(dog, "TIFF", compression=compression)
    assert crop(content).shape == (CROP, CROP, 3)
    assert kind_of(content[: len(content) // 2]) in ("unknown", "truncated")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def riff(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def bomb(form: str, side: int = 60_000) -> bytes:
    """A few hundred bytes that declare a picture of side × side pixels."""
    if form == "PNG":
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9999))) + chunk(b"IEND", b"")
    if form == "BMP":
        return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHH", 40, side, side, 1, 24) + bytes(24)
    if form == "GIF":
        frame = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\0;"
        return b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0x80, 0, 0) + bytes(6) + frame  # the frame is what is large
    if form == "TIFF":
        shape, sort = [(256, 4, 1, side), (257, 4, 1, side)], [(258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
        strip = [(273, 4, 1, 200), (277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, 9999)]
        rows = b"".join(struct.pack("<HHII", *row) for row in [*shape, *sort, *strip])
        return b"II*\0" + struct.pack("<IH", 8, 9) + rows + bytes(204)
    three = struct.pack("<I", side - 1)[:3]
    frame = bytes(6) + b"\x07\0\0\x07\0\0\x64\0\0\0" + encoded(Image.new("RGB", (8, 8)), "WEBP")[12:]
    body = riff(b"VP8X", b"\x02\0\0\0" + three + three) + riff(b"ANIM", bytes(6)) + riff(b"ANMF", frame)
    return riff(b"RIFF", b"WEBP" + body)


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF", "TIFF", "WEBP"])
@pytest.mark.parametrize("side", [2_000, 60_000])
def test_a_picture_that_declares_too_many_pixels_is_refused(form: str, side: int) -> None:
    assert kind_of(bomb(form, side)) == "too-large"


def test_a_real_jpeg_with_too_many_pixels_is_refused_although_it_would_be_decoded_scaled() -> None:
    assert kind_of(encoded(Image.new("RGB", (1200, 1200)), "JPEG")) == "too-large"


def test_refusing_what_is_too_large_takes_no_memory(tmp_path: Path) -> None:
    paths = [tmp_path / form for form in ("PNG", "BMP", "GIF", "TIFF", "WEBP")]
    for path in paths:
        path.write_bytes(bomb(path.name))
    code = """if True:
        import resource, sys
        from kennel.errors import PictureError
        from kennel.pictures import decode
        peaks = []
        for path in sys.argv[1:] * 2:  # the first round loads Pillow's plug-ins
            try:
                decode.crop(open(path, 'rb').read())
            except PictureError as error:
                assert error.kind == 'too-large', error
                peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        print(peaks[0], peaks[-1])
    """
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    first, last = map(int, done.stdout.split())
    assert last - first < 32_000  # KiB; any one of them decoded is more than 3 GB


def survives(content: bytes) -> None:
    """Pixels of the right form, or a PictureError; anything else is a defect."""
    kind = ""
    try:
        pixels = crop(content, 1_000_000)
    except PictureError as error:
        kind = error.kind
    if kind:
        assert kind in ("empty", "unknown", "truncated", "too-large")
    else:
        assert pixels.shape == (CROP, CROP, 3)
        assert pixels.dtype == np.uint8


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF\0\0\0\0WEBP"]
    ),
    st.binary(max_size=300),
)
def test_random_bytes_never_raise_anything_but_a_picture_error(start: bytes, rest: bytes) -> None:
    survives(start + rest)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", [*FORMATS, "PNG palette", "TIFF deflate", "JPEG progressive", "GIF moving"])
def test_a_picture_with_flipped_bits_never_raises_anything_but_a_picture_error(form: str) -> None:
    picture, (name, _, sort) = draw(BREEDS[1], 4, (64, 48)), form.partition(" ")
    picture = picture.quantize(16) if sort == "palette" else picture
    moving = {"save_all": True, "append_images": [picture.rotate(90)]}
    options: dict[str, dict[str, Any]] = {
        "deflate": {"compression": "tiff_deflate"},
        "progressive": {"progressive": True},
        "moving": moving,
    }
    content = encoded(picture, name, **options.get(sort, {}))
    for seed in range(300):
        chance, damaged = random.Random(seed), bytearray(content)
        reach = len(content) if seed % 2 else min(len(content), 120)  # every other time in the header only
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(reach)] ^= 1 << chance.randrange(8)
        survives(bytes(damaged))
