"""The artifact: whole or refused, the same bytes each time, no archive that writes where it likes, engines proven."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save

from kennel import artifact
from kennel.artifact import CARD, FILES, INT8, INT8_DATA, NETWORK, PROOF, Artifact, Proof
from kennel.artifact.files import MAX_BYTES, MAX_CARD_BYTES
from kennel.engines import Classifier, Engine, Head
from kennel.engines.openvino import float32_engine, int8_engine
from kennel.engines.torch import TorchEngine
from kennel.errors import ArtifactError
from kennel.files import sha256_of
from kennel.network import backbone_of, build, new_head
from kennel.weights import FEATURES

if TYPE_CHECKING:
    from fixtures_artifact import Ingredients

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the artifact whose files may be replaced, but not written into: they are links to the same content."""
    copy = tmp_path / "model"
    copy.mkdir()
    for name in (CARD, *FILES):
        os.link(made / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def loaded(made: Path) -> Artifact:
    return artifact.load(made)


@pytest.fixture(scope="module")
def packed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = tmp_path_factory.mktemp("packed") / "model.tar.gz"
    artifact.pack(made, archive)
    return archive


def put(path: Path, content: bytes) -> None:
    """Replace a file, not what its links share."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def change_card(folder: Path, change: Change) -> None:
    card = json.loads((folder / CARD).read_bytes())
    change(card)
    put(folder / CARD, json.dumps(card).encode())


def put_signed(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and write its digest on the card, as somebody would who means harm."""
    put(folder / name, content)
    change_card(folder, lambda card: card["files"].update({name: sha256_of(folder / name)}))


def assert_refused(call: Callable[[], object], reason: str | None = None) -> None:
    with pytest.raises(ArtifactError, match=reason) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


# --- written and read


def test_an_artifact_is_read_as_it_was_written(loaded: Artifact, ingredients: Ingredients, made: Path) -> None:
    assert loaded.card == ingredients.card.model_copy(
        update={"files": {name: sha256_of(made / name) for name in FILES}}
    )
    assert np.array_equal(loaded.head.weight, ingredients.head.weight)
    assert np.array_equal(loaded.head.bias, ingredients.head.bias)
    assert np.array_equal(loaded.proof.pictures, ingredients.proof.pictures)
    assert loaded.proof.scores.keys() == {"float32", "int8"}
    assert all(np.array_equal(loaded.proof.scores[name], each) for name, each in ingredients.proof.scores.items())
    assert loaded.int8.read_bytes() == ingredients.int8.read_bytes()
    weights = loaded.weights()
    assert (weights.digest, weights.stride) == (ingredients.weights.digest, "conv2")
    assert all(np.array_equal(weights.tensors[name], each) for name, each in ingredients.weights.tensors.items())


def test_an_artifact_written_twice_has_the_same_bytes(ingredients: Ingredients, made: Path, tmp_path: Path) -> None:
    ingredients.write(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted((CARD, *FILES))
    for name in (CARD, *FILES):
        assert (tmp_path / "model" / name).read_bytes() == (made / name).read_bytes()


def test_a_network_that_was_trained_channels_last_is_written_as_it_is(ingredients: Ingredients, tmp_path: Path) -> None:
    network = build(ingredients.weights, new_head(3, seed=0))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = backbone_of(network, "conv2", "test")
    fortran = Head(np.asfortranarray(ingredients.head.weight), ingredients.head.bias)
    replace(ingredients, weights=trained, head=fortran).write(tmp_path)
    read = artifact.load(tmp_path)
    assert read.weights().digest == ingredients.weights.digest
    assert np.array_equal(read.head.weight, ingredients.head.weight)


def test_an_artifact_is_found_by_its_folder_by_what_training_made_and_by_its_archive(made: Path, packed: Path) -> None:
    assert artifact.find(made) == made
    assert artifact.find(made.parent) == made  # the folder is `model` in there
    assert artifact.find(packed) == packed


def test_where_there_is_no_artifact_none_is_found_and_the_remedy_says_how_to_make_one(tmp_path: Path) -> None:
    assert_refused(lambda: artifact.find(tmp_path), "has no model.json")
    assert_refused(lambda: artifact.find(tmp_path / "nowhere"), "nothing at")


def test_a_packed_artifact_is_unpacked_the_same(made: Path, packed: Path, tmp_path: Path) -> None:
    found = artifact.unpack(packed, tmp_path / "new" / "folder")
    assert found == tmp_path / "new" / "folder"
    assert {path.name: path.read_bytes() for path in found.iterdir()} == {
        name: (made / name).read_bytes() for name in (CARD, *FILES)
    }
    assert artifact.load(found).card == artifact.load(made).card


def test_packing_gives_the_same_bytes_whatever_the_files_owners_and_times(
    folder: Path, packed: Path, tmp_path: Path
) -> None:
    for name in (CARD, INT8):
        put(folder / name, (folder / name).read_bytes())
        os.utime(folder / name, (1, 1))
        (folder / name).chmod(0o600)
    artifact.pack(folder, tmp_path / "other-name.tgz")
    assert (tmp_path / "other-name.tgz").read_bytes() == packed.read_bytes()


def test_an_archive_holds_plain_files_by_their_names_alone_the_card_first(packed: Path) -> None:
    with tarfile.open(packed) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [CARD, *FILES]
    assert {(member.type, member.mode, member.uid, member.mtime) for member in members} == {
        (tarfile.REGTYPE, 0o644, 0, 0)
    }


# --- folders that are none


@pytest.mark.parametrize("name", [CARD, *FILES])
def test_an_artifact_with_a_file_missing_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert_refused(lambda: artifact.load(folder), f"no {name}")


@pytest.mark.parametrize("name", FILES)
def test_an_artifact_with_a_byte_changed_is_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    put(folder / name, bytes(content))
    assert_refused(lambda: artifact.load(folder), f"{name} is not the file that the card was written for")


@pytest.mark.parametrize("name", FILES)
def test_a_digest_changed_on_the_card_is_refused(folder: Path, name: str) -> None:
    change_card(folder, lambda card: card["files"].update({name: "0" * 64}))
    assert_refused(lambda: artifact.load(folder), name)


@pytest.mark.parametrize("name", [CARD, *FILES])
def test_a_link_in_the_place_of_a_file_is_refused(folder: Path, made: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to(made / name)
    assert_refused(lambda: artifact.load(folder), f"no {name}")


@pytest.mark.parametrize("name", [CARD, *FILES])
def test_a_folder_in_the_place_of_a_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    assert_refused(lambda: artifact.load(folder), f"no {name}")


@pytest.mark.parametrize(
    "name", ["MANIFEST.json", "code/inference.py", "MAR-INF/MANIFEST.json", ".hidden", "model.pth"]
)
def test_a_stranger_among_the_files_is_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("{}")
    assert_refused(lambda: artifact.load(folder), f"{name.partition('/')[0]!r}, which no artifact has")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert_refused(lambda: artifact.load(tmp_path / "nowhere"))


# --- cards


CARDS: dict[str, tuple[Change, str]] = {
    "an unknown field": (lambda card: card.update(command="rm"), "command: extra"),
    "an unknown field inside": (lambda card: card["evaluation"].update(code=1), "evaluation.code: extra"),
    "a field missing": (lambda card: card.pop("labels"), "labels: field required"),
    "a wrong type": (lambda card: card.update(labels="Beagle"), "labels: input should be"),
    "a wrong type inside": (lambda card: card["engines"].update(int8=3), "engines.int8: "),
    "one label": (lambda card: card.update(labels=["Beagle"]), "labels: "),
    "another format": (lambda card: card.update(format=2), "format: "),
    "another architecture": (lambda card: card.update(architecture="vit"), "architecture: "),
    "another stride": (lambda card: card.update(stride="conv3"), "stride: "),
    "another engine": (lambda card: card.update(default_engine="onnx"), "default_engine: "),
    "other preprocessing": (lambda card: card["preprocessing"].update(name="squash"), "preprocessing 'squash'"),
    "more labels": (lambda card: card["labels"].append("more"), "fc.weight is missing or not float32"),
    "fewer labels": (lambda card: card["labels"].pop(), "fc.weight is missing or not float32"),
    "no digests": (lambda card: card.pop("files"), "is not the file that the card was written for"),
}


@pytest.mark.parametrize(("change", "reason"), CARDS.values(), ids=CARDS)
def test_a_card_with_something_wrong_is_refused_and_names_it(folder: Path, change: Change, reason: str) -> None:
    change_card(folder, change)
    assert_refused(lambda: artifact.load(folder), reason)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe{}", b"[" * 100_000, b'{"labels": NaN}'])
def test_a_card_that_is_no_json_object_is_refused(folder: Path, content: bytes) -> None:
    put(folder / CARD, content)
    assert_refused(lambda: artifact.load(folder), "is no card")


def test_a_huge_card_is_refused_unread(folder: Path) -> None:
    (folder / CARD).unlink()
    with (folder / CARD).open("wb") as file:
        file.truncate(MAX_CARD_BYTES + 1)
    assert_refused(lambda: artifact.load(folder), "too large to be a card")


# --- files that are signed, and still wrong


def test_a_network_that_is_no_safetensors_is_refused_though_the_card_agrees(folder: Path) -> None:
    put_signed(folder, NETWORK, b"\x80\x04 a pickle, say")
    assert_refused(lambda: artifact.load(folder), "cannot be read")


@pytest.mark.parametrize("change", ["missing", "shape", "type"])
def test_a_network_with_another_tensor_is_refused_though_the_card_agrees(folder: Path, change: str) -> None:
    tensors = load_file(folder / NETWORK)
    wrong = tensors.pop("layer1.0.conv1.weight")
    if change != "missing":
        tensors["layer1.0.conv1.weight"] = wrong[:1] if change == "shape" else wrong.astype(np.float64)
    put_signed(folder, NETWORK, save(tensors))
    assert_refused(lambda: artifact.load(folder), r"layer1\.0\.conv1\.weight is missing or not float32")


PROOFS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no pictures": lambda proof: proof.pop("pictures"),
    "not one picture": lambda proof: proof.update({name: each[:0] for name, each in proof.items()}),
    "small pictures": lambda proof: proof.update(pictures=proof["pictures"][:, :100]),
    "pictures of floats": lambda proof: proof.update(pictures=proof["pictures"].astype(np.float32)),
    "no scores of int8": lambda proof: proof.pop("scores/int8"),
    "scores of a third engine": lambda proof: proof.update({"scores/onnx": proof["scores/int8"]}),
    "scores of fewer labels": lambda proof: proof.update({"scores/int8": proof["scores/int8"][:, :2]}),
    "scores of fewer pictures": lambda proof: proof.update({"scores/float32": proof["scores/float32"][:1]}),
}


@pytest.mark.parametrize("change", PROOFS.values(), ids=PROOFS)
def test_a_proof_that_proves_nothing_is_refused_though_the_card_agrees(folder: Path, change: Change) -> None:
    proof = load_file(folder / PROOF)
    change(proof)
    put_signed(folder, PROOF, save({name: np.ascontiguousarray(each) for name, each in proof.items()}))
    assert_refused(lambda: artifact.load(folder), "does not hold pictures and scores for 3 labels")


def test_an_int8_graph_that_is_none_is_refused_when_it_is_read_though_the_card_agrees(folder: Path) -> None:
    put_signed(folder, INT8, b"<net/>")
    assert_refused(lambda: int8_engine(artifact.load(folder).int8), "cannot be read")


# --- archives


def tarred(path: Path, *members: tarfile.TarInfo, content: bytes = b"x") -> Path:
    """A gzipped tar of these members; regular files hold `content`, whatever else they say."""
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if member.isreg():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


MEMBERS = {
    "a path upwards": member("../evil"),
    "a path upwards and down again": member(f"../work/{CARD}"),
    "an absolute path": member("/tmp/kennel-evil"),
    "a file in a folder": member(f"code/{CARD}"),
    "a folder": member("code", tarfile.DIRTYPE),
    "a symlink": member(CARD, tarfile.SYMTYPE, "/etc/passwd"),
    "a symlink to a folder": member("model", tarfile.SYMTYPE, "/tmp"),
    "a hard link": member(CARD, tarfile.LNKTYPE, "/etc/passwd"),
    "a character device": member(CARD, tarfile.CHRTYPE),
    "a block device": member(CARD, tarfile.BLKTYPE),
    "a pipe": member(CARD, tarfile.FIFOTYPE),
    "a manifest": member("MANIFEST.json"),
    "an unknown kind": member(CARD, b"Z"),
    "no name": member(""),
}


@pytest.mark.parametrize("hostile", MEMBERS.values(), ids=MEMBERS)
def test_an_archive_with_anything_but_an_artifacts_files_is_refused_and_writes_nothing(
    tmp_path: Path, hostile: tarfile.TarInfo
) -> None:
    archive = tarred(tmp_path / "model.tar.gz", hostile)
    assert_refused(lambda: artifact.unpack(archive, tmp_path / "work" / "model"), "cannot be unpacked")
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {"model.tar.gz", "work", "work/model"}
    assert not Path("/tmp/kennel-evil").exists()


def test_a_file_twice_in_an_archive_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "model.tar.gz", member(CARD), member(f"./{CARD}"))
    assert_refused(lambda: artifact.unpack(archive, tmp_path / "model"), "there twice")


def test_an_archive_of_a_folder_by_the_usual_tar_is_unpacked(made: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz", compresslevel=0, format=tarfile.GNU_FORMAT) as tar:
        tar.add(made, ".")
    assert artifact.load(artifact.unpack(tmp_path / "model.tar.gz", tmp_path / "model")).card.best_epoch == 3


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 1 << 60, -512])
def test_a_file_that_says_it_is_huge_or_less_than_nothing_is_refused_unread(tmp_path: Path, size: int) -> None:
    info = member(NETWORK)
    info.size = size
    (tmp_path / "model.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))
    assert_refused(lambda: artifact.unpack(tmp_path / "model.tar.gz", tmp_path / "model"), "cannot be unpacked")
    assert not list((tmp_path / "model").iterdir())


def test_files_that_are_too_large_together_are_refused_before_the_one_too_many_is_written(tmp_path: Path) -> None:
    first, second = member(INT8), member(INT8_DATA)
    first.size, second.size = 1024, MAX_BYTES - 1023
    content = first.tobuf() + bytes(1024) + second.tobuf()
    (tmp_path / "model.tar.gz").write_bytes(gzip.compress(content))
    assert_refused(lambda: artifact.unpack(tmp_path / "model.tar.gz", tmp_path / "model"), f"{INT8_DATA} is too large")
    assert [path.name for path in (tmp_path / "model").iterdir()] == [INT8]


BOMB = 64 << 20


def long_name() -> bytes:
    """A GNU long name of 64 MB."""
    info = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = BOMB
    return info.tobuf(tarfile.GNU_FORMAT) + b"a" * BOMB


BOMBS: dict[str, Callable[[], bytes]] = {
    "a name of 64 MB": long_name,
    "an extended header of 64 MB": lambda: (
        member("x", tarfile.XHDTYPE).tobuf()[:124] + f"{BOMB:011o}\0".encode() + bytes(BOMB)
    ),
    "folders without end": lambda: member(".", tarfile.DIRTYPE).tobuf() * (BOMB // 512),
    "long names before long names": lambda: member("././@LongLink", tarfile.GNUTYPE_LONGNAME).tobuf() * 10_000,
    "nothing but zeros": lambda: bytes(BOMB),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_a_bomb_in_an_archives_headers_is_refused(tmp_path: Path, content: Callable[[], bytes]) -> None:
    (tmp_path / "model.tar.gz").write_bytes(gzip.compress(content(), 1))
    assert_refused(lambda: artifact.unpack(tmp_path / "model.tar.gz", tmp_path / "model"))
    assert not list((tmp_path / "model").iterdir())


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.3, 0.9, 0.999999])
def test_a_truncated_archive_is_refused(packed: Path, tmp_path: Path, share: float) -> None:
    content = packed.read_bytes()
    (tmp_path / "model.tar.gz").write_bytes(content[: int(len(content) * share)])
    assert_refused(lambda: artifact.load(artifact.unpack(tmp_path / "model.tar.gz", tmp_path / "model")))


def test_a_damaged_archive_is_refused(packed: Path, tmp_path: Path) -> None:
    content = bytearray(packed.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = bytes(4096)
    (tmp_path / "model.tar.gz").write_bytes(content)
    assert_refused(lambda: artifact.load(artifact.unpack(tmp_path / "model.tar.gz", tmp_path / "model")))


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", b"\x1f\x8b\x08", gzip.compress(b"no tar" * 500), gzip.compress(b"")],
    ids=["nothing", "text", "a header", "no tar", "an empty tar"],
)
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.tar.gz").write_bytes(content)
    assert_refused(lambda: artifact.unpack(tmp_path / "model.tar.gz", tmp_path / "model"))


def test_an_archive_without_a_card_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "model.tar.gz", member(NETWORK))
    assert_refused(lambda: artifact.unpack(archive, tmp_path / "model"), "has no model.json")


def test_an_archive_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert_refused(lambda: artifact.unpack(tmp_path / "nowhere.tar.gz", tmp_path / "model"))


# --- proving an engine


@pytest.fixture(scope="module")
def engines(loaded: Artifact) -> list[Engine]:
    """float32, int8 and torch's, read from the artifact."""
    return [
        float32_engine(loaded.weights(), 1, 1),
        int8_engine(loaded.int8, 1, 1),
        TorchEngine(loaded.weights(), "cpu"),
    ]


def test_the_engines_an_artifact_was_made_with_prove_themselves(loaded: Artifact, engines: list[Engine]) -> None:
    for engine in engines:
        distance = artifact.prove(Classifier(engine, loaded.head), loaded.proof)
        assert 0 <= distance < 1e-3


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_an_engine_that_answers_otherwise_than_on_record_is_refused(
    loaded: Artifact, engines: list[Engine], value: float
) -> None:
    for engine in engines[:2]:
        scores = {name: each.copy() for name, each in loaded.proof.scores.items()}
        scores[engine.name][-1, -1] += value
        proof = Proof(loaded.proof.pictures, scores)
        assert_refused(lambda: artifact.prove(Classifier(engine, loaded.head), proof), f"engine {engine.name} does not")  # noqa: B023


def test_a_head_that_answers_nothing_but_nan_is_refused(loaded: Artifact, engines: list[Engine]) -> None:
    broken = Head(np.full((3, FEATURES), np.nan, np.float32), loaded.head.bias)
    assert_refused(lambda: artifact.prove(Classifier(engines[1], broken), loaded.proof), "off by nan")


def test_each_engine_is_held_against_its_own_scores(loaded: Artifact, engines: list[Engine]) -> None:
    swapped = {"float32": loaded.proof.scores["int8"] + 1, "int8": loaded.proof.scores["int8"]}
    proof = Proof(loaded.proof.pictures, swapped)
    assert artifact.prove(Classifier(engines[1], loaded.head), proof) < 1e-3
