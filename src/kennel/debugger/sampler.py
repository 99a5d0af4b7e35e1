"""Samples the machine beside a training, in the files of SageMaker's profiler, and ends with it, however that ends.

A small process of its own: a thread would wait for the training's GIL, and would take it (docs/debugger.md has the
figures). It holds the read end of a pipe, which closes when the training is gone, by SIGKILL too, and looks at who its
parent is, in case a child of the training has inherited the other end.

On AWS SageMaker's own agent samples, so ours runs only where KENNEL_SAMPLER=on: the local AWS, `kennel train --debug`
and the EC2 script set it.
"""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from kennel.debugger.profiler_settings import ProfilerSettings
from kennel.debugger.readings import Metric, Readings
from kennel.errors import SettingError
from kennel.machine import cores

log = logging.getLogger(__name__)

SWITCH = "KENNEL_SAMPLER"
END_SECONDS = 5
LOOK_SECONDS = 2.0
"""Between two looks at who the parent is, where the interval is long."""
SHORTEST = 0.1
"""Seconds that a sample at the end must have behind it: the kernel counts a core's time in hundredths."""


class Sampler:
    """A sampler that runs, or one that does nothing (settings None). Leaving its `with`, or `close`, ends it."""

    def __init__(self, settings: ProfilerSettings | None) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if settings is not None:
            given = json.dumps([str(settings.folder), settings.node, settings.interval])
            # A session of its own: Ctrl-C in a terminal is the training's business, which then closes the pipe.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "kennel.debugger.sampler", given],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End it; a sample for the time since the last one is written first. Never raises: it is only a profile."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            code = process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code:
            log.warning("the sampler ended with exit code %d: the profile has gaps", code)

    def __enter__(self) -> Sampler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """KENNEL_SAMPLER: whether to sample here. One samples a host, the process of local rank 0. Raises SettingError."""
    switch = environment.get(SWITCH) or "off"
    if switch not in ("on", "off"):
        raise SettingError(f"{SWITCH} is {switch!r}", "Set it to on or off, or leave it away")
    return switch == "on"


class Writer:
    """Appends samples: `system/incremental/<hour>/<epoch second of the minute>.<node>.json`, a JSON object a line."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder, self._node = folder / "system/incremental", node

    def write(self, now: float, metrics: Sequence[Metric]) -> None:
        """Append one sample, in one write, so that it is hardly ever seen by halves. now: epoch seconds."""
        minute = int(now) // 60 * 60
        path = self._folder / time.strftime("%Y%m%d%H", time.gmtime(minute)) / f"{minute}.{self._node}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            json.dumps(
                {
                    "Type": each.type, "Name": each.name, "Dimension": each.dimension, "Value": each.value,
                    "NodeId": self._node, "Timestamp": now,
                },
                separators=(",", ":"),
            )
            for each in metrics
        ]  # fmt: skip
        with path.open("ab", buffering=0) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())


def sample_until_closed(readings: Readings, writer: Writer, interval: float, pipe: int) -> None:
    """Sample every `interval` seconds until the pipe's other end is closed, or the parent has changed."""
    parent, begun = os.getppid(), time.monotonic()
    due = begun + interval
    while not select.select([pipe], [], [], min(LOOK_SECONDS, max(0.0, due - time.monotonic())))[0]:
        if os.getppid() != parent:
            break
        if time.monotonic() < due:
            continue
        writer.write(time.time(), readings.sample())
        begun = time.monotonic()
        due = max(due + interval, begun)  # the machine slept, or is too busy: what was missed is a gap
    if time.monotonic() - begun >= SHORTEST:
        writer.write(time.time(), readings.sample())


def main() -> None:
    """The small process."""
    folder, node, interval = json.loads(sys.argv[1])
    try:
        sample_until_closed(Readings(cores()), Writer(Path(folder), node), interval / 1000, sys.stdin.fileno())
    except OSError as error:
        print(f"the sampler ends: {error}", file=sys.stderr, flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
