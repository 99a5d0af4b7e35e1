"""A data set on disk: which folders are one, which files count, and what is read from them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kennel.errors import DataError, PictureError
from kennel.files import sha256_of
from kennel.pictures import dataset
from kennel.pictures.decode import shrink
from kennel.pictures.drawings import BREEDS, draw_set

LABELS = tuple(breed.label for breed in BREEDS[:2])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_set(folder, {"train": 3, "valid": 1, "test": 2}, breeds=BREEDS[:2])
    return folder


@pytest.fixture
def copy(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "dogs"))


def some_picture(folder: Path) -> Path:
    return min(folder.rglob("*.jpg"))


def names(root: Path, split: str = "train") -> list[str]:
    return [f"{each.label}/{each.name}" for each in dataset.load(root).splits[split]]


def test_a_data_set_has_its_labels_and_three_splits_in_sorted_order(drawn: Path) -> None:
    data = dataset.load(drawn)
    assert data.labels == LABELS
    assert {split: len(pictures) for split, pictures in data.splits.items()} == {"train": 6, "valid": 2, "test": 4}
    assert len(data) == 12
    assert names(drawn) == sorted(names(drawn))


def test_a_picture_knows_its_file_its_digest_and_its_pixels(drawn: Path) -> None:
    for each in dataset.load(drawn).splits["test"]:
        assert each.path is not None
        assert (each.path.name, each.path.parent.name) == (each.name, each.label)
        assert each.key == sha256_of(each.path)
        assert np.array_equal(each.read(), shrink(each.path.read_bytes()))


def test_loading_decodes_nothing_so_a_broken_picture_shows_when_it_is_read(copy: Path) -> None:
    some_picture(copy / "train").write_bytes(b"no picture")
    broken = dataset.load(copy).splits["train"][0]
    with pytest.raises(PictureError) as caught:
        broken.read()
    assert caught.value.kind == "unknown"


@pytest.mark.parametrize("names", [("training", "val", "testing"), ("train", "validation", "test")], ids="-".join)
def test_splits_may_have_their_other_usual_names(copy: Path, names: tuple[str, str, str]) -> None:
    digest = dataset.load(copy).digest
    for split, name in zip(dataset.SPLITS, names, strict=True):
        (copy / split).rename(copy / name)
    data = dataset.load(copy)
    assert list(data.splits) == ["train", "valid", "test"]
    assert data.digest == digest


def test_the_first_name_counts_where_a_split_is_there_twice(copy: Path) -> None:
    shutil.copytree(copy / "test", copy / "training")
    assert dataset.split_folders(copy)["train"] == copy / "train"


def test_the_one_folder_an_archive_was_unpacked_into_is_looked_into(drawn: Path, copy: Path) -> None:
    assert dataset.load(copy.parent).digest == dataset.load(drawn).digest


def test_the_digest_changes_with_a_pictures_content_label_or_split_and_not_with_its_name(copy: Path) -> None:
    digests = {dataset.load(copy).digest}
    one = some_picture(copy / "train")
    one.rename(one.with_name("renamed.jpg"))
    assert {dataset.load(copy).digest} == digests
    one = some_picture(copy / "train" / LABELS[0])
    one.rename(copy / "train" / LABELS[1] / "moved.jpg")
    digests.add(dataset.load(copy).digest)
    (copy / "train" / LABELS[1] / "moved.jpg").rename(copy / "valid" / LABELS[1] / "moved.jpg")
    digests.add(dataset.load(copy).digest)
    (copy / "valid" / LABELS[1] / "moved.jpg").write_bytes(b"other")
    digests.add(dataset.load(copy).digest)
    assert len(digests) == 4


def test_only_files_with_a_pictures_suffix_count_in_any_spelling_and_depth(copy: Path) -> None:
    before, folder = len(names(copy)), copy / "train" / LABELS[0]
    for stranger in ("notes.txt", "Thumbs.db", ".hidden.jpg", ".ipynb_checkpoints/1.jpg", "1.jpg.part"):
        (folder / stranger).parent.mkdir(exist_ok=True)
        (folder / stranger).write_bytes(b"x")
    (copy / "train" / ".ipynb_checkpoints").mkdir()
    (copy / "train" / ".ipynb_checkpoints" / "1.jpg").write_bytes(b"x")
    (copy / "train" / "beside.jpg").write_bytes(b"x")
    (folder / "folder.jpg").mkdir()
    assert len(names(copy)) == before
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("A.JPG", "b.jpeg", "c.PNG", "d.webp", "e.Tiff", "deep/er/f.bmp"):
        shutil.copy(some_picture(folder), folder / name)
    assert len(names(copy)) == before + 6
    assert dataset.load(copy).labels == LABELS


def test_links_are_followed_inside_the_folder_and_not_out_of_it(copy: Path, tmp_path: Path) -> None:
    before, folder, outside = len(names(copy)), copy / "train" / LABELS[0], tmp_path / "outside"
    outside.mkdir()
    Image.new("RGB", (300, 300)).save(outside / "1.png")
    (folder / "out.png").symlink_to(outside / "1.png")
    (folder / "gone.png").symlink_to(outside / "2.png")
    (copy / "train" / "999.Out").symlink_to(outside)
    assert len(names(copy)) == before
    (folder / "in.jpg").symlink_to(some_picture(copy / "train" / LABELS[1]))
    assert len(names(copy)) == before + 1


def test_a_split_may_be_a_link_to_where_its_pictures_are(copy: Path, tmp_path: Path) -> None:
    digest = dataset.load(copy).digest
    (copy / "train").rename(tmp_path / "elsewhere")
    (copy / "train").symlink_to(tmp_path / "elsewhere")
    assert dataset.load(copy).digest == digest


def test_names_that_are_no_utf8_are_only_names(copy: Path) -> None:
    one = some_picture(copy / "train")
    one.rename(one.with_name("caf\udce9.jpg"))
    (copy / "train" / LABELS[0]).rename(copy / "train" / "016.Beagl\udce9")
    data = dataset.load(copy)
    assert "016.Beagl\udce9" in data.labels
    assert len(data.digest) == 64


def test_labels_that_train_has_not_are_left_out_of_the_other_splits(copy: Path) -> None:
    shutil.copytree(copy / "test" / LABELS[0], copy / "test" / "999.Unknown")
    data = dataset.load(copy)
    assert data.labels == LABELS
    assert {each.label for each in data.splits["test"]} == set(LABELS)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_missing_split_is_refused_by_name(copy: Path, split: str) -> None:
    shutil.rmtree(copy / split)
    with pytest.raises(DataError, match=rf"no {split}/ folder"):
        dataset.load(copy)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_split_without_pictures_is_refused_by_name(copy: Path, split: str) -> None:
    shutil.rmtree(copy / split)
    (copy / split / LABELS[0]).mkdir(parents=True)
    with pytest.raises(DataError, match=rf"no pictures of train's labels in {split}/"):
        dataset.load(copy)


def test_one_label_is_too_few(copy: Path) -> None:
    shutil.rmtree(copy / "train" / LABELS[0])
    with pytest.raises(DataError, match="a classifier needs two"):
        dataset.load(copy)


def test_what_is_no_data_set_is_refused_with_the_layout_that_is_expected(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for each in ("nowhere", "file", "empty"):
        with pytest.raises(DataError) as caught:
            dataset.load(tmp_path / each)
        assert caught.value.remedy == dataset.EXPECTED
