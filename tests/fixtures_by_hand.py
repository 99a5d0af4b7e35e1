"""A machine to train on by hand: a bucket of the local AWS, an image that says what it does, a metadata service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fixtures_containers import Engine

from kennel.cloud import by_hand
from kennel.cloud.by_hand import ByHand
from kennel.local.background import start_in_background, stop

ROOT = Path(__file__).parents[1]
TRAIN = ROOT / "ec2/train.sh"
BUCKET = "kennel-us-east-1-123456789012"
TERM, KILL = signal.SIGTERM, signal.SIGKILL
STUB = r"""#!/bin/sh
# Stands in for kennel in the image: says what it was told, and does what the seed asks for.
case "$*" in
  "artifact pack"*) tar -C /out/model -czf /out/model.tar.gz . ;;
  *seed=8*) printf 'Usage: kennel train [OPTIONS]\n╭─ Error ─╮\n' >&2
    printf '│ No such option: --profile   │\n╰─────────╯\n' >&2; exit 2 ;;
  *seed=1*) printf 'some\nerror hyperparameter "seed" = \\1\302\205\033[2J\377: no\n' >&2
    printf '      Change its\tvalue\nbye\n' >&2; exit 2 ;;
  *seed=2*) trap 'echo "$n" >/out/checkpoints/n; echo stopped; exit 143' TERM
    n=$(cat /out/checkpoints/n 2>/dev/null || echo 0); echo "begins at $n"
    while [ "$n" -lt 10000 ]; do n=$((n + 1)); sleep 0.1; done ;;
  *seed=3*) dd if=/dev/zero of=/out/much bs=64k count=1000 ;;
  *seed=4*) exit 137 ;;
  *seed=5*) mkdir -p /out/output/there; ln -s /etc/hostname /out/output/there/name; ln -s /etc /out/output/etc
    rmdir /out/checkpoints; ln -s /etc /out/checkpoints; mkdir -p /out/model; echo >/out/model/model.json ;;
  *) mkdir -p /out/model /out/output/profiler; echo "$*" >/out/model/model.json; ls /data >/out/output/report.html
    cat /out/checkpoints/n 2>/dev/null; echo trained ;;
esac
"""


@dataclass(frozen=True)
class ByHandAt:
    """Where runs by hand happen: the environment of their processes, the bucket's client, an image; where pictures come
    from and where each run's folder goes: in the bucket, or on this machine, which spares the AWS command line."""

    environment: Mapping[str, str]
    s3: Any
    work: Path
    image: str
    data: str = f"s3://{BUCKET}/kennel/data/dogs"
    out: str = f"s3://{BUCKET}/kennel/ec2"

    def command(self, run: str, *arguments: str, data: str = "") -> list[str]:
        given = ["--run", run, "--out", f"{self.out}/{run}", "--data", data or self.data, "--no-gpu", "--disk-gb", "0"]
        return ["bash", str(TRAIN), *([] if "--image" in arguments else ["--image", self.image]), *given, *arguments]

    def train(self, run: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """train.sh to its end."""
        command = self.command(run, *arguments, **more)
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, errors="replace")

    def begun(self, run: str, *arguments: str, until: str = "begins at") -> subprocess.Popen[str]:
        """train.sh once it has said that."""
        command = self.command(run, *arguments)
        process = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if until in line:
                return process
        raise AssertionError("".join(said))

    def content(self, run: str, name: str) -> bytes:
        """Of a file that the run left."""
        if not self.out.startswith("s3:"):
            return Path(self.out, run, name).read_bytes()
        found: bytes = self.s3.get_object(Bucket=BUCKET, Key=f"kennel/ec2/{run}/{name}")["Body"].read()
        return found

    def status(self, run: str) -> ByHand:
        return by_hand.parse(self.content(run, "status.json"))

    def log(self, run: str) -> str:
        return self.content(run, "log.txt").decode(errors="replace")

    def left(self, run: str) -> list[str]:
        if not self.out.startswith("s3:"):
            folder = Path(self.out, run)
            return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        prefix = f"kennel/ec2/{run}/"
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [each["Key"].removeprefix(prefix) for each in found]


def ended(process: subprocess.Popen[str], number: int = 0) -> int:
    """Its exit code; number: a signal first. After SIGKILL what it began goes on, and holds its pipe open."""
    if number:
        os.kill(process.pid, number)
    if number == KILL:
        return process.wait()
    process.communicate(timeout=150)
    return process.returncode


@dataclass
class Metadata:
    """An instance's metadata service, version 2 only. said: path → text."""

    url: str = ""
    said: dict[str, str] = field(default_factory=dict)


@contextmanager
def metadata_service() -> Iterator[Metadata]:
    found = Metadata()

    class Answers(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._say("token" if int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0 else None)

        def do_GET(self) -> None:
            known = self.headers.get("X-aws-ec2-metadata-token") == "token"
            self._say(found.said.get(self.path.removeprefix("/latest/")) if known else None)

        def _say(self, text: str | None) -> None:
            self.send_response(404 if text is None else 200)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    document = {"pendingTime": "2026-11-28T17:00:00Z", "region": "us-east-1"}
    found.said |= {
        "dynamic/instance-identity/document": json.dumps(document, indent=2),
        "meta-data/instance-id": "i-0123456789abcdef0",
        "meta-data/instance-type": "g4dn.xlarge",
        "meta-data/instance-life-cycle": "spot",
        "meta-data/placement/region": "us-east-1",
        "meta-data/placement/availability-zone": "us-east-1a",
    }
    yield found
    server.shutdown()


@pytest.fixture(scope="module")
def metadata() -> Iterator[Metadata]:
    with metadata_service() as found:
        yield found


@pytest.fixture(scope="module")
def stub_image(engine: Engine, prepared: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("stub")
    (folder / "kennel").write_text(STUB)
    (folder / "kennel").chmod(0o755)
    (folder / "Dockerfile").write_text(f"FROM {prepared['KENNEL_BASE_IMAGE']}\nCOPY kennel /usr/local/bin/\n")
    name = f"kennel-stub-{os.getpid()}:latest"
    engine.docker("build", "--tag", name, str(folder))
    yield name
    engine.docker("rmi", "--force", name)


@pytest.fixture(scope="module")
def at(stub_image: str, metadata: Metadata, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHandAt]:
    """The local AWS's bucket with a few files for pictures, and nobody's metadata."""
    import boto3

    home, work = tmp_path_factory.mktemp("local"), tmp_path_factory.mktemp("work")
    found = start_in_background(home, 0, "us-east-1", "process").environment()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, **found, "PATH": path, "KENNEL_WORK": str(work)}
    environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1"
    keys = {"aws_access_key_id": found["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": found["AWS_SECRET_ACCESS_KEY"]}
    s3 = boto3.client("s3", endpoint_url=found["AWS_ENDPOINT_URL"], region_name="us-east-1", **keys)
    s3.create_bucket(Bucket=BUCKET)
    for split in ("train", "valid", "test"):
        s3.put_object(Bucket=BUCKET, Key=f"kennel/data/dogs/{split}/016.Beagle/1.jpg", Body=b"a dog")
    s3.put_object(Bucket=BUCKET, Key="kennel/weights/1a2b/resnet50.safetensors", Body=b"weights")
    yield ByHandAt(environment, s3, work, stub_image)
    stop(home)


@pytest.fixture(scope="module")
def here(at: ByHandAt, tmp_path_factory: pytest.TempPathFactory) -> ByHandAt:
    """The same with pictures and results in folders of this machine."""
    folder = tmp_path_factory.mktemp("here")
    for split in ("train", "valid", "test"):
        (folder / "dogs" / split / "016.Beagle").mkdir(parents=True)
        (folder / "dogs" / split / "016.Beagle/1.jpg").write_bytes(b"a dog")
    return replace(at, data=str(folder / "dogs"), out=str(folder / "ec2"))
