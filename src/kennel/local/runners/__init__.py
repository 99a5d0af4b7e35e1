"""How work of the local AWS is started: in containers of a Docker engine, or as processes of this installation.

Everything above sees the same: work.Runner. Nothing of what was started is left behind, see kennel.local.warden.
"""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from typing import Literal

from kennel.containers import BUILD, Engine, EngineError
from kennel.local.moto_side import ACCOUNT
from kennel.local.runners.docker import DockerRunner
from kennel.local.runners.process import ProcessRunner
from kennel.local.warden import Guard
from kennel.local.work import Program, Runner, RunningProgram

log = logging.getLogger(__name__)

Setting = Literal["auto", "docker", "process"]
HERE = re.compile(r"127\.0\.0\.1:\d{1,5}/[a-z0-9][a-z0-9._/-]*@sha256:[0-9a-f]{64}")
"""An image of a registry on loopback. Of all others none is pulled: ECR's are on the engine or not at all."""
PASSWORD = f"{ACCOUNT}-auth-token"
"""What the local AWS's ECR gives to everybody as a login; it guards nothing but the form."""
PROCESS_HINT = 'Or let processes take its place: runner = "process"'


class Choice:
    """Chooses by the image; implements work.Runners.

    auto: Docker when the image is on the engine, else a process of this installation in its place, which is said once
    an image. Making a Choice ends what an earlier server of this home has left: hold the home's lock before.
    """

    def __init__(self, setting: Setting, home: Path) -> None:
        self._setting = setting
        self._guard = Guard(home)
        self._process = ProcessRunner(self._guard)
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._docker: DockerRunner | None = None
        self._said: set[str] = set()

    def choose(self, image: str) -> Runner:
        """Raises EngineError when Docker is demanded and there is no engine or no such image."""
        if self._setting == "process":
            return self._process
        try:
            engine, runner = self._answering()
            if engine.find(image) or (HERE.fullmatch(image) and engine.pull(image, "AWS", PASSWORD)):
                return runner
            missing = EngineError(f"there is no image {image} on the Docker engine", f"{BUILD}. {PROCESS_HINT}")
        except OSError as error:  # the engine went away between two calls
            missing = EngineError(f"the Docker engine does not answer ({error})", PROCESS_HINT)
        except EngineError as error:
            missing = error
        if self._setting == "docker":
            raise missing
        self._say_once(image, missing.message)
        return self._process

    def run(self, program: Program) -> RunningProgram:
        """Implements work.Programs. Raises KennelError."""
        return self._process.run(program)

    def close(self) -> None:
        """End everything that this server started."""
        self._guard.close()

    def _answering(self) -> tuple[Engine, DockerRunner]:
        """The engine, asked anew each time: it may come and go while the server runs. Raises EngineError."""
        with self._lock:
            if self._engine is None or self._docker is None or not self._engine.answers():
                self._engine = None
                self._engine = Engine()
                self._docker = DockerRunner(self._engine, self._guard)
            return self._engine, self._docker

    def _say_once(self, image: str, reason: str) -> None:
        with self._lock:
            if image in self._said:
                return
            self._said.add(image)
        log.warning("%s: this installation runs as a process in the place of %s", reason, image)
