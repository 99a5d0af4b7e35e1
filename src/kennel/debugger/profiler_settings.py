"""The profiler's configuration as SageMaker writes it for a job: where measurements go, and how often."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kennel.contract import Contract
from kennel.errors import SettingError

INTERVALS = (100, 200, 500, 1000, 5000, 60000)
"""Milliseconds that the API takes."""
DEFAULT_INTERVAL = 500
FILE = "SMPROFILER_CONFIG_PATH"
"""The variable by which smdebug's own readers move the file."""


@dataclass(frozen=True, slots=True)
class ProfilerSettings:
    """folder: LocalPath; interval: milliseconds between two samples; node: this host's name (`algo-1`)."""

    folder: Path
    interval: int = DEFAULT_INTERVAL
    node: str = "algo-1"


def profiler_settings(contract: Contract, environment: Mapping[str, str] = os.environ) -> ProfilerSettings | None:
    """What `input/config/profilerconfig.json` says; None where it is missing or switches the profiler off.

    Raises SettingError. Numbers and truth values may be strings. What smdebug's framework profiling would be told
    (ProfilingParameters but LocalPath) is left alone: it ended with PyTorch 2.0.
    """
    path = Path(environment.get(FILE) or contract.root / "input/config/profilerconfig.json")
    given = _lowered(_read(path), path)
    if not given or _truth(given.get("disableprofiler", False), path):
        return None
    parameters = _lowered(given.get("profilingparameters") or {}, path)
    local = parameters.get("localpath") or given.get("localpath") or "/opt/ml/output/profiler"
    interval = _interval(given.get("profilingintervalinmilliseconds", DEFAULT_INTERVAL), path)
    return ProfilerSettings(_folder(contract, local, path), interval, _node(contract))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(
            path, f"cannot be read ({error})", "SageMaker writes this file; by hand, write an object"
        ) from error


def _lowered(values: Any, path: Path) -> dict[str, Any]:
    """smdebug takes the names in any case."""
    if not isinstance(values, dict):
        raise _refused(path, f"has {values!r} where an object belongs", "Write names and values")
    return {str(name).lower(): value for name, value in values.items()}


def _truth(value: Any, path: Path) -> bool:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise _refused(path, f"has DisableProfiler {value!r}", "Write true or false")
    return text == "true"


def _interval(value: Any, path: Path) -> int:
    for interval in INTERVALS:
        if str(value) == str(interval):
            return interval
    known = ", ".join(map(str, INTERVALS))
    raise _refused(path, f"has ProfilingIntervalInMilliseconds {value!r}", f"Write one of {known}")


def _folder(contract: Contract, local: Any, path: Path) -> Path:
    """/opt/ml is the contract's root, wherever that lies."""
    pure = PurePosixPath(local) if isinstance(local, str) and "\0" not in local else PurePosixPath()
    if not pure.is_absolute() or ".." in pure.parts:
        raise _refused(
            path, f"has LocalPath {local!r}", "Write the whole path of a folder, /opt/ml/output/profiler say"
        )
    return contract.root / pure.relative_to("/opt/ml") if pure.is_relative_to("/opt/ml") else Path(pure)


def _node(contract: Contract) -> str:
    """It becomes part of a file's name: SageMaker's `algo-1`; where hosts are addresses, the same by their order."""
    host, hosts = contract.current_host(), contract.hosts()
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", host):
        return host
    return f"algo-{hosts.index(host) + 1 if host in hosts else 1}"


def _refused(path: Path, what: str, remedy: str) -> SettingError:
    return SettingError(f"{path} {what}", remedy)
