"""Drawn dogs: the same from the same seed, all different from each other, and a set that is written once."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kennel.errors import DataError
from kennel.pictures import dataset
from kennel.pictures.drawings import BREEDS, MARKER, SIZES, Breed, draw, draw_set
from kennel.progress import Printer, Progress

FEW = {"train": 3, "valid": 1, "test": 2}
TWO = BREEDS[:2]


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Each file's time of change in nanoseconds and its bytes, by its path in the folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def digest(picture: Image.Image) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    assert draw_set(folder, FEW, breeds=TWO) == 12
    return folder


@pytest.mark.parametrize("breed", BREEDS, ids=lambda breed: breed.name)
def test_the_same_seed_draws_the_same_picture(breed: Breed) -> None:
    assert draw(breed, 7).tobytes() == draw(breed, 7).tobytes()


def test_another_seed_another_breed_or_another_size_draws_another_picture() -> None:
    pictures = [draw(breed, seed) for breed in BREEDS for seed in range(4)]
    assert len({digest(each) for each in pictures}) == len(pictures)
    assert draw(BREEDS[0], 0, (300, 400)).size == (300, 400)


@pytest.mark.parametrize("size", [*SIZES, (64, 64), (101, 77)])
def test_any_size_can_be_drawn_and_shows_more_than_one_colour(size: tuple[int, int]) -> None:
    picture = draw(BREEDS[3], 1, size)
    assert (picture.mode, picture.size) == ("RGB", size)
    assert np.asarray(picture).std() > 5


def test_no_background_tells_a_breed() -> None:
    corners = {breed.label: np.array([np.asarray(draw(breed, seed))[0, 0] for seed in range(12)]) for breed in BREEDS}
    assert all(seen.std(0).min() > 12 for seen in corners.values())


def test_breeds_have_the_labels_of_the_udacity_dog_set_in_sorted_order() -> None:
    labels = [breed.label for breed in BREEDS]
    assert len(labels) == 8
    assert labels == sorted(set(labels))
    assert all(re.fullmatch(r"\d{3}\.[A-Z][a-z_]+", label) for label in labels)
    assert {"016.Beagle", "057.Dalmatian"} < set(labels)


def test_a_set_has_the_asked_number_of_pictures_of_each_label_in_each_split(drawn: Path) -> None:
    for split, count in FEW.items():
        for breed in TWO:
            names = sorted(path.name for path in (drawn / split / breed.label).iterdir())
            assert names == [f"{breed.name}_{number:03}.jpg" for number in range(1, count + 1)]


def test_no_two_pictures_of_a_set_are_equal(drawn: Path) -> None:
    pictures = [content for _, content in contents(drawn).values()]
    assert len(set(pictures)) == len(pictures) == 13


def test_a_set_is_a_data_set(drawn: Path) -> None:
    found = dataset.load(drawn)
    assert found.labels == tuple(breed.label for breed in TWO)
    assert {split: len(pictures) for split, pictures in found.splits.items()} == {"train": 6, "valid": 2, "test": 4}
    assert found.splits["train"][0].read().shape[2] == 3


def test_two_folders_drawn_alike_hold_the_same_bytes_and_another_seed_other_bytes(drawn: Path, tmp_path: Path) -> None:
    draw_set(tmp_path / "again", FEW, breeds=TWO)
    draw_set(tmp_path / "other", FEW, seed=1, breeds=TWO)
    first, again, other = ({name: content for name, (_, content) in contents(each).items()}
                           for each in (drawn, tmp_path / "again", tmp_path / "other"))  # fmt: skip
    assert first == again
    assert not any(first[name] == other[name] for name in first)


def test_a_second_call_writes_nothing(drawn: Path) -> None:
    before = contents(drawn)
    assert draw_set(drawn, FEW, breeds=TWO) == 12
    assert contents(drawn) == before


def test_progress_is_told_as_all_progress_is_by_what_was_done_since(tmp_path: Path) -> None:
    lines: list[str] = []
    with Progress(Printer(lines.append)).step("draw", 6) as advance:
        draw_set(tmp_path / "set", {"train": 2, "test": 1}, breeds=TWO, on_done=advance)
    assert lines[1:-1] == [f"draw: {number} of 6" for number in range(1, 7)]


def test_an_interrupted_set_is_completed_and_what_was_drawn_stays(drawn: Path, tmp_path: Path) -> None:
    told: list[int] = []

    def interrupt(count: int) -> None:
        told.append(count)
        if len(told) == 5:
            raise KeyboardInterrupt

    folder = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        draw_set(folder, FEW, breeds=TWO, on_done=interrupt)
    before = {name: kept for name, kept in contents(folder).items() if name != MARKER}
    assert len(before) == 5
    assert draw_set(folder, FEW, breeds=TWO) == 12
    after = contents(folder)
    assert before.items() <= after.items()
    assert {name: kept[1] for name, kept in after.items()} == {name: kept[1] for name, kept in contents(drawn).items()}


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert draw_set(tmp_path, {"train": 1}, breeds=TWO) == 2


@pytest.mark.parametrize("name", ["holiday.jpg", MARKER])
def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(DataError, match="no drawn set") as caught:
        draw_set(tmp_path, FEW, breeds=TWO)
    assert caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_set_with_other_parameters_is_refused_and_left_alone(drawn: Path) -> None:
    before = contents(drawn)
    with pytest.raises(DataError, match="another drawn set"):
        draw_set(drawn, FEW, seed=1, breeds=TWO)
    with pytest.raises(DataError, match="another drawn set"):
        draw_set(drawn, {"train": 1}, breeds=TWO)
    with pytest.raises(DataError, match="another drawn set"):
        draw_set(drawn, FEW, breeds=BREEDS[2:4])
    assert contents(drawn) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_bytes(b"mine")
    with pytest.raises(DataError):
        draw_set(tmp_path / "set", FEW, breeds=TWO)


def test_a_folder_with_a_temporary_file_of_a_killed_first_call_is_filled(tmp_path: Path) -> None:
    (tmp_path / f".{MARKER}.abc123").write_bytes(b"half")
    assert draw_set(tmp_path, {"train": 1}, breeds=TWO) == 2
