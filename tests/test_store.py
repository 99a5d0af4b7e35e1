"""The packed store: the same pictures as the folder, whole after a crash, damage found and made good."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from kennel.errors import DataError, PictureError
from kennel.pictures import dataset, store
from kennel.pictures.decode import Pixels
from kennel.pictures.drawings import BREEDS, draw_set

LABELS = tuple(breed.label for breed in BREEDS[:2])
COUNTS = {"train": 4, "valid": 1, "test": 1}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_set(folder, COUNTS, breeds=BREEDS[:2])
    return folder


@pytest.fixture(scope="module")
def packed_once(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_all(drawn, tmp_path_factory.mktemp("packed"))


@pytest.fixture
def packed(packed_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed_once, tmp_path / "packed"))


def pack_all(root: Path, folder: Path) -> Path:
    for split, pictures in dataset.load(root).splits.items():
        store.pack(pictures, folder / split, workers=2)
    return folder


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Each file's time of change in nanoseconds and its bytes, by its path in the folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def written(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (_, content) in contents(folder).items()}


def shard(folder: Path) -> Path:
    return next((folder / "train").glob("*.safetensors"))


def in_shards_of(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PER_SHARD", size)


def test_the_packed_store_holds_the_same_data_set_as_the_folder(drawn: Path, packed: Path) -> None:
    folder, stored = dataset.load(drawn), dataset.load(packed)
    assert stored.labels == folder.labels
    assert stored.digest == folder.digest
    for split, pictures in folder.splits.items():
        others = stored.splits[split]
        assert [(each.name, each.label, each.key) for each in others] == [(p.name, p.label, p.key) for p in pictures]
        assert all(np.array_equal(a.read(), b.read()) for a, b in zip(pictures, others, strict=True))
        assert all(each.path is None for each in others)


def test_packing_twice_writes_nothing(drawn: Path, packed: Path) -> None:
    before = contents(packed)
    assert contents(pack_all(drawn, packed)) == before


def test_progress_counts_every_picture_of_every_shard(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_shards_of(3, monkeypatch)
    told: list[int] = []
    pictures = dataset.load(drawn).splits["train"]
    stored = store.pack(pictures, tmp_path, workers=2, on_done=told.append)
    assert told == [3, 3, 2]
    assert len({each.shard for each in stored.entries}) == 3
    assert [each.name for each in stored.entries] == [each.name for each in pictures]
    stored.verify()


def test_a_picture_more_makes_only_its_own_shard_new_and_a_picture_less_removes_one(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_shards_of(4, monkeypatch)
    pictures = dataset.load(drawn).splits["train"]
    store.pack(pictures[:6], tmp_path, workers=2)
    before = contents(tmp_path)
    store.pack(pictures, tmp_path, workers=2)
    after = contents(tmp_path)
    kept = {name for name in before.keys() & after.keys() if before[name] == after[name]}
    assert (len(before), len(after), len(kept)) == (3, 3, 1)
    store.pack(pictures[:4], tmp_path, workers=2)
    assert set(contents(tmp_path)) == {*kept, store.INDEX}


@pytest.mark.parametrize("moment", ["between shards", "while writing", "before the index"])
def test_a_pack_killed_in_the_middle_is_continued_to_the_same_bytes(
    drawn: Path, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_shards_of(3, monkeypatch)
    code = """if True:
        import os, signal, sys
        from pathlib import Path
        from kennel.pictures import dataset, store
        root, folder, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
        store.PER_SHARD, replaced, done = 3, Path.replace, []
        def replace(self, target):  # what makes a finished file appear
            if moment == 'while writing' and done or moment == 'before the index' and target.name == store.INDEX:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(target)
            return replaced(self, target)
        def count(number):
            if moment == 'between shards':
                os.kill(os.getpid(), signal.SIGKILL)
        Path.replace = replace
        store.pack(dataset.load(root).splits['train'], folder, 2, count)
    """
    killed = subprocess.run([sys.executable, "-c", code, drawn, tmp_path / "killed", moment])
    assert killed.returncode == -signal.SIGKILL
    assert not store.is_store(tmp_path / "killed")
    finished = {name: each for name, each in contents(tmp_path / "killed").items() if not name.startswith(".")}
    assert len(finished) == (3 if moment == "before the index" else 1)
    pictures = dataset.load(drawn).splits["train"]
    store.pack(pictures, tmp_path / "killed", workers=2).verify()
    store.pack(pictures, tmp_path / "whole", workers=2)
    assert written(tmp_path / "killed") == written(tmp_path / "whole")
    assert {name: contents(tmp_path / "killed")[name] for name in finished} == finished


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def one_bit_flipped(content: bytes) -> bytes:
    damaged = bytearray(content)
    damaged[len(damaged) // 2] ^= 4
    return bytes(damaged)


def header_lost(content: bytes) -> bytes:
    return bytes(64) + content[64:]


@pytest.mark.parametrize("damage", [cut_off, one_bit_flipped, header_lost, lambda content: b""])
def test_a_damaged_shard_is_found_by_verify_and_made_again_by_pack(
    drawn: Path, packed: Path, damage: Callable[[bytes], bytes]
) -> None:
    good = written(packed)
    shard(packed).write_bytes(damage(shard(packed).read_bytes()))
    with pytest.raises(DataError, match="missing or damaged") as caught:
        store.Store(packed / "train").verify()
    assert caught.value.remedy == "Run data pack again"
    assert written(pack_all(drawn, packed)) == good


def test_a_missing_shard_is_found_by_verify_and_made_again_by_pack(drawn: Path, packed: Path) -> None:
    good = written(packed)
    shard(packed).unlink()
    with pytest.raises(DataError, match="missing or damaged"):
        store.Store(packed / "train").verify()
    with pytest.raises(PictureError):
        dataset.load(packed).splits["train"][0].read()
    assert written(pack_all(drawn, packed)) == good


def test_pictures_that_cannot_be_read_are_left_out_and_named(drawn: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(drawn, tmp_path / "dogs"))
    folder = root / "train" / LABELS[0]
    (folder / "broken.jpg").write_bytes(min(folder.glob("*.jpg")).read_bytes()[:999])
    (folder / "empty.jpg").write_bytes(b"")
    stored = store.pack(dataset.load(root).splits["train"], tmp_path / "packed", workers=2)
    assert stored.left_out == [{"name": name, "label": LABELS[0]} for name in ("broken.jpg", "empty.jpg")]
    assert [each.name for each in stored.entries] == [each.name for each in dataset.load(drawn).splits["train"]]
    stored.verify()


def test_a_split_of_which_nothing_can_be_read_has_a_store_without_shards(tmp_path: Path) -> None:
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "train" / "a" / "1.jpg").write_bytes(b"no picture")
    label, path = dataset.picture_files(tmp_path / "train")[0]
    bad = dataset.Picture(path.name, label, "0" * 64, lambda: dataset.read_file(path), path)
    stored = store.pack([bad], tmp_path / "packed", workers=1)
    assert (stored.entries, [each["name"] for each in stored.left_out]) == ((), ["1.jpg"])
    assert [each.name for each in (tmp_path / "packed").iterdir()] == [store.INDEX]


def change(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda index: index | values


def change_entry(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda index: index | {"pictures": [each | values for each in index["pictures"]]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (change(shards={"../../etc/passwd": "0"}), "points out of its folder"),
        (change_entry(shard="../test/shard"), "points out of its folder"),
        (change_entry(shard="/etc/shard"), "points out of its folder"),
        (change(version=2), "another version"),
        (change(preprocessing="other"), "another version"),
        (change(pictures=[{"key": "k"}]), "cannot be read"),
        (change_entry(more="than there is"), "cannot be read"),
        (change_entry(label=7), "cannot be read"),
        (change(left_out=[{}]), "cannot be read"),
        (change(left_out=7), "cannot be read"),
        (change(shards=[]), "cannot be read"),
        (lambda index: [], "cannot be read"),
        (lambda index: {}, "cannot be read"),
    ],
)
def test_an_index_that_cannot_be_trusted_is_refused(
    packed: Path, change: Callable[[dict[str, Any]], Any], why: str
) -> None:
    path = packed / "train" / store.INDEX
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(DataError, match=why) as caught:
        dataset.load(packed)
    assert caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\0", b"null"])
def test_an_index_that_is_no_index_is_refused_and_made_again_by_pack(drawn: Path, packed: Path, content: bytes) -> None:
    good = written(packed)
    (packed / "train" / store.INDEX).write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        store.Store(packed / "train")
    assert written(pack_all(drawn, packed)) == good


@pytest.mark.parametrize(
    "array",
    [np.zeros((256, 256, 3), np.float32), np.zeros((256, 256), np.uint8), np.zeros((9, 256, 3), np.uint8)],
    ids=["floats", "grey", "too small"],
)
def test_a_shard_that_holds_no_pictures_is_refused_when_read(packed: Path, array: Pixels) -> None:
    stored = store.Store(packed / "train")
    shard(packed).write_bytes(save({each.key: array for each in stored.entries}))
    with pytest.raises(PictureError, match="does not hold pictures"):
        stored.read(stored.entries[0])
