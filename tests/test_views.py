"""Views: torchvision's ten crops in our order, and random parts that stay pictures."""

import numpy as np
import pytest
from PIL import Image

from kennel.pictures.decode import CROP, SIDE, Pixels, centre
from kennel.pictures.views import AREA, VIEWS, random_view, view
from kennel.weights.torch import torchvision

SHAPES = [(256, 256), (256, 341), (341, 256), (512, 256), (256, 511), (257, 256)]


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def ramps(height: int, width: int) -> Pixels:
    """Red tells the column, green the row, blue how brightly the view is lit."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[..., 0] = np.linspace(0, 200, width)
    pixels[..., 1] = np.linspace(0, 200, height)[:, None]
    return pixels


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_ten_views_are_torchvisions_ten_crops_the_centre_first(shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    crops = [np.asarray(each) for each in torchvision().transforms.TenCrop(CROP)(Image.fromarray(pixels))]
    upper_left, upper_right, lower_left, lower_right, middle = crops[:5]
    assert len(VIEWS) == 10
    for number, expected in enumerate((middle, upper_left, upper_right, lower_left, lower_right)):
        assert np.array_equal(view(pixels, 2 * number), expected)
        assert np.array_equal(view(pixels, 2 * number + 1), expected[:, ::-1])
    if shape[1] % 2 == 0:  # torchvision's other five are of the mirrored picture, whose centre is rounded anew
        assert {view(pixels, number).tobytes() for number in range(10)} == {each.tobytes() for each in crops}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_view_zero_is_the_centre(shape: tuple[int, int]) -> None:
    assert np.array_equal(view(noise(*shape), 0), centre(noise(*shape)))


def test_there_is_no_eleventh_view() -> None:
    with pytest.raises(IndexError):
        view(noise(SIDE, SIDE), 10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_random_view_is_a_picture_of_its_own(shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    before = pixels.copy()
    drawn = random_view(pixels, np.random.default_rng(1))
    assert drawn.shape == (CROP, CROP, 3)
    assert drawn.dtype == np.uint8
    assert drawn.flags.c_contiguous
    drawn[:] = 0
    assert np.array_equal(pixels, before)


def test_the_same_draw_gives_the_same_view_and_the_next_another() -> None:
    pixels, draw = noise(256, 341), np.random.default_rng(7)
    first, second = random_view(pixels, draw), random_view(pixels, draw)
    assert np.array_equal(first, random_view(pixels, np.random.default_rng(7)))
    assert not np.array_equal(first, second)


def test_random_views_show_a_third_of_the_picture_or_more_half_of_them_mirrored() -> None:
    draw, shape = np.random.default_rng(3), (256, 400)
    shares, mirrored, light, corners = [], 0, [], []
    for _ in range(200):
        drawn = random_view(ramps(*shape), draw).astype(float)
        lit = drawn[..., 2].mean() / 128
        columns, rows = drawn[CROP // 2, :, 0] / lit / 200, drawn[:, CROP // 2, 1] / lit / 200
        shares.append(np.ptp(columns) * np.ptp(rows))
        mirrored += columns[0] > columns[-1]
        light.append(lit)
        corners.append((columns.min(), rows.min()))
    assert AREA[0] * 0.9 < min(shares) < 0.45
    assert 0.75 < max(shares) < 1.02
    assert 70 < mirrored < 130
    assert 0.79 < min(light) < 0.85 < 1.15 < max(light) < 1.21
    assert np.ptp([column for column, _ in corners]) > 0.3


def test_light_does_not_run_over() -> None:
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for seed in range(30):
        assert random_view(white, np.random.default_rng(seed)).min() >= 0.8 * 255 - 1


@pytest.mark.parametrize("shape", [(256, 256), (256, 512), (512, 256)], ids=str)
def test_hundreds_of_draws_never_reach_over_the_edge(shape: tuple[int, int]) -> None:
    draw, pixels = np.random.default_rng(11), np.full((*shape, 3), 100, np.uint8)
    for _ in range(300):
        drawn = random_view(pixels, draw)
        assert drawn.min() == drawn.max()  # beyond the edge there would be black
