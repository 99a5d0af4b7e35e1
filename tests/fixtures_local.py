"""A local AWS as a user has it: a server process of its own, found by environment variables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kennel.local.background import start_in_background, stop


@pytest.fixture(scope="module", params=["process", "docker"])
def runner(request: pytest.FixtureRequest) -> str:
    """What the local AWS starts jobs and instances by; with docker, the images are built first."""
    if request.param == "docker":
        request.getfixturevalue("training_image")
        request.getfixturevalue("serving_image")
    return str(request.param)


@pytest.fixture(scope="module")
def local_aws(runner: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """AWS_ENDPOINT_URL, a region and keys."""
    home = tmp_path_factory.mktemp("local")
    yield start_in_background(home, 0, "us-east-1", runner).environment()
    stop(home)


@pytest.fixture(scope="module")
def images(runner: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """Names in ECR of the two images."""
    registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
    if runner == "process":
        return {kind: f"{registry}/kennel-{kind}:latest" for kind in ("training", "serving")}
    return {kind: f"{registry}/{request.getfixturevalue(f'{kind}_image')}" for kind in ("training", "serving")}
