"""A real registry in ECR's place: images by their digest, for jobs and for machines, with ECR's login."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fixtures_containers import ROOT, Engine
from fixtures_machines import ACCOUNT, Server, make_profile
from kennel.cloud import registry
from kennel.cloud.session import Cloud, connect
from kennel.errors import KennelError, SettingError
from kennel.local.home import credentials
from kennel.local.runners import Choice
from kennel.serving.server import free_port
from kennel.settings import parse

LOGIN = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["ecr:GetAuthorizationToken"], "Resource": "*"}],
}


@dataclass(frozen=True)
class Here:
    """A registry with one image in it. digest: as pushing told it."""

    host: str
    digest: str
    engine: Engine

    def forget(self) -> None:
        """The engine's copies, by whatever name."""
        names = self.engine.docker(
            "images", "--digests", "--format", "{{.Repository}}@{{.Digest}} {{.Repository}}:{{.Tag}}"
        )
        mine = {each for line in names.stdout.splitlines() for each in line.split() if each.startswith(self.host)}
        for each in sorted(mine):
            self.engine.docker("rmi", "--force", each, check=False)


@pytest.fixture(scope="module")
def here(engine: Engine, prepared: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    if os.getuid() and not (shutil.which("docker-registry") and shutil.which("htpasswd")):
        pytest.skip("there is no registry here; install it: apt-get install docker-registry apache2-utils")
    folder, port = tmp_path_factory.mktemp("registry"), free_port(15500)
    folder.chmod(0o700)
    password = f"{ACCOUNT}-auth-token"
    values = {"KENNEL_STATE_DIR": str(folder), "KENNEL_REGISTRY_PORT": str(port), "TMPDIR": str(folder)}
    values |= {"KENNEL_REGISTRY_PASSWORD": password, "DOCKER_CONFIG": str(folder / "docker")}

    def manage(command: str) -> None:
        script = [str(ROOT / "scripts/docker_engine.sh"), "registry", command]
        done = subprocess.run(script, env=os.environ | values, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    try:
        manage("start")
        host = f"127.0.0.1:{port}"
        engine.docker("login", "--username", "AWS", "--password-stdin", host, input=password, env=os.environ | values)
        name = f"{host}/kennel-training:1a2b"
        engine.docker("tag", prepared["KENNEL_BASE_IMAGE"], name)
        pushed = engine.docker("push", name, env=os.environ | values).stdout
        made = Here(host, pushed.split("digest: ")[1].split()[0], engine)
        yield made
        made.forget()
    finally:
        manage("stop")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("machines"))
    try:
        make_profile(made, "machine", allowed=LOGIN)
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def cloud(here: Here, server: Server) -> Cloud:
    return connect("local", parse({"local": {"registry": here.host}}), server.url, credentials(server.home))


def test_an_image_is_told_by_the_digest_that_the_registry_has(cloud: Cloud, here: Here) -> None:
    uri = f"{here.host}/kennel-training@{here.digest}"
    for image in ("kennel-training:1a2b", "kennel-training"):
        assert registry.image_uri(cloud, image) == uri


def test_the_login_is_the_one_that_ecr_gives(cloud: Cloud, here: Here) -> None:
    found = cloud.client("ecr").get_authorization_token()["authorizationData"][0]
    assert base64.b64decode(found["authorizationToken"]).decode() == f"AWS:{ACCOUNT}-auth-token"


def test_what_the_registry_does_not_have_is_told_with_the_command(cloud: Cloud) -> None:
    for image in ("kennel-serving", "kennel-training:none"):
        with pytest.raises(KennelError, match="is not in the registry") as caught:
            registry.image_uri(cloud, image)
        assert "build_push.sh" in caught.value.remedy


def test_without_its_registry_it_is_told_how_to_start_one(server: Server) -> None:
    settings = parse({"local": {"registry": f"127.0.0.1:{free_port(15900)}"}})
    other = connect("local", settings, server.url, credentials(server.home))
    with pytest.raises(KennelError, match="no registry answers") as caught:
        registry.image_uri(other, "kennel-training:1a2b")
    assert "docker_engine.sh registry start" in caught.value.remedy


def test_what_is_no_registry_is_told_in_one_line(server: Server) -> None:
    class Else(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Nothing."""

    listening = HTTPServer(("127.0.0.1", 0), Else)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    settings = parse({"local": {"registry": f"127.0.0.1:{listening.server_port}"}})
    other = connect("local", settings, server.url, credentials(server.home))
    with pytest.raises(KennelError, match="tells no tags of kennel-training"):
        registry.image_uri(other, "kennel-training")
    listening.shutdown()


def test_a_registry_elsewhere_is_no_setting() -> None:
    for host in ("example.org:5000", "127.0.0.1", "127.0.0.1:5000/x"):
        with pytest.raises(SettingError):
            parse({"local": {"registry": host}})


def test_a_runner_pulls_what_the_engine_does_not_have(cloud: Cloud, here: Here, tmp_path: Path) -> None:
    uri = registry.image_uri(cloud, "kennel-training")
    here.forget()
    assert not here.engine.has(uri)
    choice = Choice("docker", tmp_path)
    try:
        assert choice.choose(uri).name == "docker"
        assert here.engine.has(uri)
        missing = f"{here.host}/kennel-training@sha256:{'0' * 64}"
        with pytest.raises(KennelError):
            choice.choose(missing)
    finally:
        choice.close()


def test_a_machine_logs_in_by_its_role_and_pulls(cloud: Cloud, here: Here, server: Server) -> None:
    uri = registry.image_uri(cloud, "kennel-training")
    here.forget()
    identity = server.run(f"""#!/bin/bash
        set -euo pipefail
        trap 'shutdown -P now' EXIT
        aws ecr get-login-password | docker login --username AWS --password-stdin {here.host}
        docker pull {uri}
        docker run --rm --network none {uri} echo from inside
    """)
    server.until(identity, "terminated")
    console = server.console(identity)
    assert "Login Succeeded" in console
    assert "from inside" in console
