"""`kennel doctor` catches each way in which an image can be broken; a sound one passes."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from kennel.containers import Engine, EngineError, Image
from kennel.doctor import Check, facts, serving, training

PROGRAMS = Path(__file__).parent / "images"
SOUND = Image("kennel:1", {"User": "", "Entrypoint": None, "Cmd": ["train"]}, "linux/amd64", 10**9, facts.DOCKER_V2)


def states(checks: Iterator[Check]) -> dict[str, str]:
    """Name → state; a check that fails must say what to do."""
    found = list(checks)
    assert all(check.remedy for check in found if check.state == "fail")
    return {check.name: check.state for check in found}


def failed(checks: Iterator[Check]) -> list[str]:
    return [name for name, state in states(checks).items() if state == "fail"]


def test_a_sound_image_passes_all_that_is_seen_without_running_it() -> None:
    assert set(states(facts.check(SOUND)).values()) == {"pass"}


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("platform", replace(SOUND, platform="linux/arm64")),
        ("media type", replace(SOUND, media_type="application/vnd.oci.image.index.v1+json")),
        ("media type", replace(SOUND, media_type="application/vnd.oci.image.manifest.v1+json")),
        ("size", replace(SOUND, size=23 * 10**9)),
        ("user", replace(SOUND, config={"User": "1000"})),
        ("user", replace(SOUND, config={"User": "model-server:model-server"})),
        ("entry point", replace(SOUND, config={"Entrypoint": ["/bin/sh", "-c", "train"]})),
    ],
)
def test_what_is_wrong_with_an_image_is_named(name: str, image: Image) -> None:
    assert failed(facts.check(image)) == [name]


def test_an_image_that_was_never_pushed_has_no_media_type_yet() -> None:
    assert states(facts.check(replace(SOUND, media_type="")))["media type"] == "skip"


@pytest.fixture(scope="module")
def docked() -> Engine:
    try:
        return Engine()
    except EngineError as error:
        pytest.skip(f"{error.message}: {error.remedy}")


@pytest.fixture(scope="module")
def broken(serving_image: str) -> Iterator[Callable[[str], str]]:
    """Mode → an image whose programs are broken in that way, on top of a serving image for its Python."""
    client, made = docker.from_env(), []

    def build(mode: str) -> str:
        tag = f"kennel-doctor-test:{mode}-{os.getpid()}"
        client.images.build(fileobj=_context(serving_image, mode), custom_context=True, tag=tag, rm=True)
        made.append(tag)
        return tag

    yield build
    for tag in set(made):
        client.images.remove(tag, force=True)


def _context(base: str, mode: str) -> io.BytesIO:
    text = f"FROM {base}\nCOPY train serve /opt/kennel/bin/\nENV MODE={mode}\n"
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in (
            ("Dockerfile", text.encode()),
            ("train", (PROGRAMS / "train.py").read_bytes()),
            ("serve", (PROGRAMS / "serve.py").read_bytes()),
        ):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        ("sound", []),
        ("deaf", ["stopped job: SIGTERM"]),
        ("silent", ["failed job: failure file"]),
        ("liar", ["failed job: exit code"]),
        ("crash", ["training job", "artifact"]),
        ("empty", ["artifact"]),
    ],
)
def test_a_broken_training_image_is_caught(
    docked: Engine, broken: Callable[[str], str], mode: str, found: list[str], tmp_path: Path
) -> None:
    assert failed(training.check(docked, broken(mode), tmp_path, None, patience=1.5)) == found


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        ("sound", []),
        ("deaf", ["endpoint: SIGTERM"]),
        ("slow", ["endpoint: /ping"]),
        ("crash", ["endpoint: /invocations"]),
        ("dishonest", ["broken artifact"]),
    ],
)
def test_a_broken_serving_image_is_caught(
    docked: Engine, broken: Callable[[str], str], mode: str, found: list[str], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.json").write_text('{"format": 1}')
    assert failed(serving.check(docked, broken(mode), model, tmp_path / "scratch", patience=3)) == found


def test_an_endpoint_without_an_artifact_is_left_unchecked_and_said_so(
    docked: Engine, broken: Callable[[str], str], tmp_path: Path
) -> None:
    assert states(serving.check(docked, broken("sound"), None, tmp_path / "scratch"))["endpoint"] == "skip"


def test_programs_are_found_on_the_path(docked: Engine, broken: Callable[[str], str]) -> None:
    image = broken("sound")
    assert [docked.finds(image, name) for name in ("train", "serve", "predict")] == [True, True, False]


def test_an_image_that_is_nowhere_is_one_clear_error(docked: Engine) -> None:
    with pytest.raises(EngineError) as error:
        docked.image("127.0.0.1:9/kennel-nowhere:1")
    assert error.value.remedy


def test_without_an_engine_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(EngineError, match="no Docker engine answers") as error:
        Engine()
    assert "docker_engine.sh start" in error.value.remedy
