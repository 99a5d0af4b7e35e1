"""What a server is told: sagemaker-inference's SAGEMAKER_* variables, and a few of our own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kennel.contract import Contract
from kennel.errors import SettingError
from kennel.machine import cores
from kennel.pictures.decode import MAX_PIXELS

MEGABYTE = 1 << 20
MAX_PORT = 32766
"""multi-model-server 1.1.11 holds ports in a signed 16-bit number and refuses larger ones."""


JAVA_OPTIONS = "-XX:+ExitOnOutOfMemoryError -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData"
"""A Java that is out of memory ends (and is started anew) in place of answering /ping by halves; a small, quick one."""
BOUNDS = (
    ("port", 1, MAX_PORT),
    ("workers", 0, 512),
    ("threads", 1, 512),
    ("timeout_s", 1, 3600),
    ("max_payload_mb", 1, 100),
    ("max_pixels", 1, 1_000_000_000),
    ("heap_mb", 64, 65536),
)
"""Field, least, most."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """artifact: a folder or a model.tar.gz; max_payload_mb: above it 413 is answered; heap_mb: of the Java process.

    The heap holds requests that wait: at the server's queue of 100 and an ml.m5.large's usual photographs of a few
    hundred kB that is well below 512 MB. One worker a core with one thread each gives the most pictures a second.
    """

    artifact: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 0
    threads: int = 1
    timeout_s: int = 60
    max_payload_mb: int = 6
    max_pixels: int = MAX_PIXELS
    heap_mb: int = 512
    vm_arguments: str = ""
    engine: str = "auto"
    handler: str = "kennel.serving.handler"

    def __post_init__(self) -> None:
        for name, low, high in BOUNDS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingError(f"{name} = {value} is not from {low} to {high}", "Change it, or leave it away")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServerSettings:
        """As in a container: the artifact at /opt/ml/model, everything else by environment variables."""

        def number(name: str, default: int) -> int:
            return _number(name, environment.get(name), default)

        default = cls(Path())
        return cls(
            artifact=Path(environment.get("KENNEL_ARTIFACT") or Contract.from_environment(environment).model),
            host=environment.get("KENNEL_HOST") or default.host,
            port=number("SAGEMAKER_BIND_TO_PORT", default.port),
            workers=number("SAGEMAKER_MODEL_SERVER_WORKERS", default.workers),
            threads=number("KENNEL_THREADS", default.threads),
            timeout_s=number("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", default.timeout_s),
            max_payload_mb=number("SAGEMAKER_MAX_PAYLOAD_IN_MB", default.max_payload_mb),
            max_pixels=number("KENNEL_MAX_PIXELS", default.max_pixels),
            heap_mb=number("KENNEL_HEAP_MB", default.heap_mb),
            vm_arguments=environment.get("SAGEMAKER_MODEL_SERVER_VMARGS", ""),
            engine=environment.get("KENNEL_ENGINE") or default.engine,
        )

    @property
    def worker_count(self) -> int:
        """Workers, by default as many as there are cores."""
        return self.workers or max(1, cores() // self.threads)

    def properties(self, run: Path) -> str:
        """multi-model-server's configuration. run: a private folder of this server.

        The management API (which can load code from any address) listens on a socket in that folder and nowhere else.
        """
        heap = f"-Xmx{self.heap_mb}m -XX:MaxDirectMemorySize={self.heap_mb}m"
        lines = {
            "inference_address": f"http://{self.host}:{self.port}",
            "management_address": f"unix:{run / 'management.sock'}",
            "default_service_handler": self.handler,
            "default_workers_per_model": self.worker_count,
            "default_response_timeout": self.timeout_s,
            # Twice what is accepted: the server's own 413 has no body, the handler's says what to do.
            "max_request_size": 2 * self.max_payload_mb * MEGABYTE,
            "decode_input_request": "false",
            "enable_envvars_config": "false",
            "async_logging": "true",
            "vmargs": self.vm_arguments or f"{heap} {JAVA_OPTIONS}",
        }
        return "".join(f"{name}={value}\n" for name, value in lines.items())


def _number(name: str, text: str | None, default: int) -> int:
    if text is None or not text.strip():
        return default
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise SettingError(f"{name}={text!r} is not a whole number", f"Set it to {default}, say")
    return int(text)
