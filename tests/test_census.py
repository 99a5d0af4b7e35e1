"""The census: what is counted, and every kind of thing that can be wrong with a folder of pictures."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kennel.errors import DataError
from kennel.pictures import census
from kennel.pictures.census import NEAR, THUMBNAIL_SIDE, Census, take
from kennel.pictures.drawings import BREEDS, draw, draw_set

LABELS = tuple(breed.label for breed in BREEDS[:2])
FIRST = LABELS[0]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_set(folder, {"train": 3, "valid": 1, "test": 2}, breeds=BREEDS[:2])
    return folder


@pytest.fixture
def copy(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "dogs"))


def one_of(root: Path, split: str, label: str = FIRST) -> Path:
    return min((root / split / label).glob("*.jpg"))


def pairs(found: Census, name: str) -> list[tuple[str, str, bool]]:
    return [(pair.first, pair.second, pair.exact) for pair in found.pairs if name in (pair.first, pair.second)]


def test_a_sound_set_is_counted_and_nothing_is_wrong_with_it(drawn: Path) -> None:
    told: list[int] = []
    found = take(drawn, told.append)
    assert sum(told) == len(found.findings) == 12
    assert {split: dict(count) for split, count in found.counts.items()} == {
        "train": dict.fromkeys(LABELS, 3),
        "valid": dict.fromkeys(LABELS, 1),
        "test": dict.fromkeys(LABELS, 2),
    }
    assert found.labels == list(LABELS)
    assert found.modes == {"RGB": 12}
    assert [found.problems, found.missing, found.turned, found.small] == [[], {}, [], []]
    assert not [pair for pair in found.pairs if pair.exact]


def test_the_census_changes_nothing(copy: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in copy.rglob("*")}
    take(copy)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in copy.rglob("*")} == before


def test_broken_pictures_are_named_with_what_is_wrong_and_not_counted(copy: Path) -> None:
    folder = copy / "train" / FIRST
    (folder / "cut.jpg").write_bytes(one_of(copy, "train").read_bytes()[:2000])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(b"<html>404</html>")
    huge = io.BytesIO()
    Image.new("1", (9000, 9000)).save(huge, "PNG")
    (folder / "huge.png").write_bytes(huge.getvalue())
    found = take(copy)
    assert {Path(each.path).name: each.problem for each in found.problems} == {
        "cut.jpg": "truncated",
        "empty.jpg": "empty",
        "page.jpg": "unknown",
        "huge.png": "too-large",
    }
    assert found.counts["train"][FIRST] == 3
    assert found.problems[0].path == f"train/{FIRST}/cut.jpg"


def test_a_label_is_missing_from_a_split_that_has_no_usable_picture_of_it(copy: Path) -> None:
    shutil.rmtree(copy / "valid" / FIRST)
    for path in (copy / "test" / LABELS[1]).glob("*.jpg"):
        path.write_bytes(b"broken")
    shutil.copytree(copy / "test" / FIRST, copy / "test" / "999.New")
    assert take(copy).missing == {"train": ["999.New"], "valid": [FIRST, "999.New"], "test": [LABELS[1]]}


def test_a_split_with_no_pictures_at_all_misses_every_label(copy: Path) -> None:
    shutil.rmtree(copy / "valid")
    (copy / "valid").mkdir()
    found = take(copy)
    assert found.missing == {"valid": list(LABELS)}
    assert found.as_json()["pictures"]["valid"] == {}


def test_the_same_file_in_two_splits_is_an_exact_duplicate_told_first_and_once(copy: Path) -> None:
    one = one_of(copy, "train")
    shutil.copy(one, copy / "test" / LABELS[1] / "again.jpg")
    shutil.copy(one, copy / "train" / FIRST / "same-split.jpg")
    found = take(copy)
    again = f"test/{LABELS[1]}/again.jpg"
    assert found.pairs[0].exact
    assert sorted(pairs(found, again)) == [
        (f"train/{FIRST}/{one.name}", again, True),
        (f"train/{FIRST}/same-split.jpg", again, True),
    ]


@pytest.mark.parametrize("change", ["re-encoded", "half the size", "a PNG", "a little lighter"])
def test_the_same_picture_in_another_form_is_a_near_duplicate(copy: Path, change: str) -> None:
    one = one_of(copy, "train")
    with Image.open(one) as picture:
        half = (picture.width // 2, picture.height // 2)
        changed = picture.resize(half) if change == "half the size" else picture.copy()
    if change == "a little lighter":
        changed = Image.fromarray((np.asarray(changed) * 0.9 + 20).astype(np.uint8))
    name = f"test/{FIRST}/again.{'png' if change == 'a PNG' else 'jpg'}"
    changed.save(copy / name, quality=60)
    assert (f"train/{FIRST}/{one.name}", name, False) in pairs(take(copy), name)
    near = [pair for pair in take(copy).pairs if pair.second == name]
    assert all(0 <= pair.bits <= NEAR for pair in near)


def test_other_pictures_of_a_breed_are_no_duplicates(tmp_path: Path) -> None:
    for split, seed in (("train", 1), ("valid", 2), ("test", 3)):
        for breed in BREEDS[:3]:
            path = tmp_path / split / breed.label / "1.jpg"
            path.parent.mkdir(parents=True)
            draw(breed, seed).save(path)
    assert take(tmp_path).pairs == ()


def test_pairs_come_exact_first_then_by_how_near_they_are(copy: Path) -> None:
    one = one_of(copy, "train")
    shutil.copy(one, copy / "valid" / FIRST / "same.jpg")
    with Image.open(one) as picture:
        picture.save(copy / "test" / FIRST / "near.jpg", quality=15)
    found = take(copy).pairs
    assert [pair.bits for pair in found] == sorted(pair.bits for pair in found)
    assert [pair.exact for pair in found] == sorted((pair.exact for pair in found), reverse=True)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_pictures_turned_by_exif_are_listed_and_garbage_for_exif_is_no_turn(copy: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = draw(BREEDS[0], 99, (300, 260))
    picture.save(copy / "train" / FIRST / "turned.jpg", exif=exif)
    picture.rotate(180).save(copy / "train" / FIRST / "turned.png", exif=exif)
    draw(BREEDS[0], 98).save(copy / "train" / FIRST / "garbage.png", exif=b"nope")
    found = take(copy)
    assert [Path(each.path).name for each in found.turned] == ["turned.jpg", "turned.png"]
    assert not found.problems


def test_modes_and_small_sides_are_told_smallest_first(copy: Path) -> None:
    folder = copy / "train" / FIRST
    draw(BREEDS[0], 5, (100, 90)).convert("L").save(folder / "grey.png")
    draw(BREEDS[0], 6, (300, 40)).convert("CMYK").save(folder / "print.jpg")
    draw(BREEDS[0], 7, (224, 224)).convert("P").save(folder / "palette.gif")
    found = take(copy)
    assert found.modes == {"RGB": 12, "L": 1, "CMYK": 1, "P": 1}
    assert [(Path(each.path).name, each.width, each.height) for each in found.small] == [
        ("print.jpg", 300, 40),
        ("grey.png", 100, 90),
    ]


def test_thumbnails_are_small_square_jpegs(drawn: Path) -> None:
    for each in take(drawn).findings:
        with Image.open(io.BytesIO(each.thumbnail)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (THUMBNAIL_SIDE, THUMBNAIL_SIDE))


def test_the_json_holds_plain_values_and_everything_that_was_found(copy: Path) -> None:
    (copy / "train" / FIRST / "broken.jpg").write_bytes(b"x")
    shutil.copy(one_of(copy, "train", LABELS[1]), copy / "test" / LABELS[1] / "again.jpg")
    draw(BREEDS[0], 5, (90, 90)).save(copy / "valid" / FIRST / "small.png")
    found = take(copy)
    plain = json.loads(json.dumps(found.as_json()))
    assert plain == found.as_json()
    assert plain["root"] == str(copy)
    assert plain["pictures"]["test"] == {FIRST: 2, LABELS[1]: 3}
    assert plain["unusable"] == [{"path": f"train/{FIRST}/broken.jpg", "problem": "unknown"}]
    assert plain["smaller_than_224"] == [{"path": f"valid/{FIRST}/small.png", "width": 90, "height": 90}]
    assert plain["duplicates_across_splits"][0]["exact"] is True
    assert plain["missing_labels"] == {}
    assert plain["turned_by_exif"] == []
    assert plain["modes"] == {"RGB": 14}


def test_the_same_folder_gives_the_same_census(drawn: Path) -> None:
    assert take(drawn) == take(drawn)


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError):
            take(folder)


def test_duplicates_between_three_splits_are_told_for_each_two_of_them() -> None:
    same = [census.Finding(split, "a", f"{split}/a/1.jpg", "digest", hash=7) for split in ("train", "valid", "test")]
    found = [(pair.first[:4], pair.second[:4], pair.exact) for pair in census.duplicates(same)]
    assert sorted(found) == [("trai", "test", True), ("trai", "vali", True), ("vali", "test", True)]
