"""What a function finds beside its own files: the standard library, boto3 and the runtime client, as on AWS; no more.

An import that would fail there shall fail here, so instances get a folder with links to just these packages, and not
this installation's.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import sys
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from kennel.errors import KennelError
from kennel.local.functions.book import Target
from kennel.local.parts import House

log = logging.getLogger(__name__)

PACKAGES = (
    "awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py", "boto3", "botocore", "s3transfer",
    "jmespath", "dateutil", "six", "urllib3",
)  # fmt: skip
INSTALL = "Run: pip install 'kennel[local]'; the client is there for Linux"


class Runtime:
    """folder: /var/runtime of the instances; made anew by each server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock, self._made = threading.Lock(), False
        self._said: set[str] = set()

    def program(self, handler: str) -> tuple[str, ...]:
        """Raises KennelError."""
        with self._lock:
            if not self._made:
                self._make()
        return sys.executable, "-S", "-B", str(self.folder / "run.py"), handler

    def say_once(self, asked: str) -> None:
        """That the Python here is another one than was asked for."""
        here = "python" + ".".join(platform.python_version_tuple()[:2])
        if asked not in (here, *self._said):
            self._said.add(asked)
            log.warning("functions that ask for %s are run by this installation's %s", asked, here)

    def _make(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name in PACKAGES:
            place = _place(name)
            (self.folder / place.name).symlink_to(place)
        shutil.copyfile(Path(__file__).with_name("run.py"), self.folder / "run.py")
        self._made = True


def _place(name: str) -> Path:
    """A package's folder, or a module's file. Raises KennelError."""
    found = find_spec(name)
    if found is None or found.origin is None:
        raise KennelError(f"functions need the package {name}, which is not installed", INSTALL)
    origin = Path(found.origin)
    return origin.parent if found.submodule_search_locations else origin


def environment(
    house: House, target: Target, keys: Mapping[str, str], places: Mapping[str, str], provisioned: bool
) -> dict[str, str]:
    """All that an instance gets. places: what differs between instances, see Instance."""
    configuration = target.configuration
    logging_ = configuration["LoggingConfig"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    given = {"LANG": "en_US.UTF-8", "TZ": ":UTC", "PATH": path, "AWS_ENDPOINT_URL": house.url}
    own = dict(configuration.get("Environment", {}).get("Variables", {}))
    must = {
        "AWS_REGION": house.region,
        "AWS_DEFAULT_REGION": house.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{configuration['Runtime']}",
        "AWS_LAMBDA_FUNCTION_NAME": target.name,
        "AWS_LAMBDA_FUNCTION_VERSION": target.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency" if provisioned else "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": logging_["LogGroup"],
        "AWS_LAMBDA_LOG_FORMAT": logging_["LogFormat"],
        "_HANDLER": configuration["Handler"],
        **keys,
        **places,
    }
    if level := logging_.get("ApplicationLogLevel"):
        must["AWS_LAMBDA_LOG_LEVEL"] = level
    must["PYTHONPATH"] = os.pathsep.join(filter(None, [own.get("PYTHONPATH"), must["LAMBDA_RUNTIME_DIR"]]))
    return given | own | must
