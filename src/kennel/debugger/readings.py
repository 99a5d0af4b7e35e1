"""What the machine is doing now: each core, memory, disks, network, GPUs, in the words of SageMaker's profiler.

Counters come from /proc and the container's cgroup, read by hand: a third of what psutil costs, and psutil knows no
container's limits (docs/debugger.md has the figures). The words are those of recorded files of SageMaker's own agent;
as there, a core that waits for I/O counts as used, and I/OWaitPercentage tells it apart. Standard library only, but for
NVIDIA's own binding where it is installed: this runs in a small process beside the training.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

LARGEST = 1 << 16
"""Bytes read of a file: 500 cores fill half of that in /proc/stat, before its long line of interrupts."""
SECTOR = 512
"""Bytes of a sector in /proc/diskstats, whatever the disk's own are."""
VIRTUAL_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")
"""Block devices that are no disk, or whose bytes are counted at the disks below them."""


class Metric(NamedTuple):
    """One value; type, name and dimension are SageMaker's words."""

    type: str
    name: str
    dimension: str
    value: float


class CoreTimes(NamedTuple):
    """Jiffies since the start of the machine."""

    idle: int
    waiting: int
    total: int


class Readings:
    """Counters, and by `sample` what they say of the time since the last call. root: of /proc and /sys."""

    def __init__(
        self, cores: int, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic, gpus: Gpus | None = None
    ) -> None:
        self._root, self._clock, self._gpus = root, clock, gpus or Gpus()
        self._handles: dict[str, int | None] = {}
        self._disk_names = _disk_names(root / "sys/block")
        self._own = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        self._quota = cores if cores < len(self._own) else None
        self._last: dict[str, Any] = {}
        self._at = clock()
        self.sample()

    def sample(self) -> list[Metric]:
        """Percent, bytes a second, operations a second. What cannot be read is left out."""
        now = self._clock()
        seconds, self._at = now - self._at, now
        cpu = self._quota_share(seconds) if self._quota else self._cores()
        return [*cpu, *self._memory(), *self._disks(seconds), *self._network(seconds), *self._gpus.sample()]

    def _cores(self) -> list[Metric]:
        now = core_times(self._text("proc/stat"), self._own)
        before = self._swap("cores", now) or {}
        found = []
        for name, times in now.items():
            idle, waiting, total = (new - old for new, old in zip(times, before.get(name, times), strict=True))
            if total > 0:
                found.append(Metric("cpu", name, "CPUUtilization", _percent(1 - idle / total)))
                found.append(Metric("cpu", name, "I/OWaitPercentage", _percent(waiting / total)))
        return found

    def _quota_share(self, seconds: float) -> list[Metric]:
        """A quota names no cores, so each of its cores is said to carry the same share."""
        now = _number(self._text("sys/fs/cgroup/cpu.stat"), "usage_usec", 1e6) or _first(
            self._text("sys/fs/cgroup/cpuacct/cpuacct.usage"), 1e9
        )
        before = self._swap("quota", now)
        if now is None or before is None or seconds <= 0 or not self._quota:
            return []
        share = _percent((now - before) / seconds / self._quota)
        return [Metric("cpu", f"cpu{number}", "CPUUtilization", share) for number in range(self._quota)]

    def _memory(self) -> list[Metric]:
        used = memory_used(self._text("proc/meminfo"), self._cgroup_memory())
        return [] if used is None else [Metric("memory", "MemoryUsedPercent", "", _percent(used))]

    def _cgroup_memory(self) -> tuple[float, float] | None:
        """(limit, used without what the kernel would give up at once), in bytes; cgroup v2, then v1."""
        for limit, used, inactive in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, current = (_first(self._text(f"sys/fs/cgroup/{each}"), 1) for each in (limit, used))
            if most is not None and current is not None:
                stat = "memory/memory.stat" if "/" in limit else "memory.stat"
                return most, current - (_number(self._text(f"sys/fs/cgroup/{stat}"), inactive, 1) or 0)
        return None

    def _disks(self, seconds: float) -> list[Metric]:
        names = ("IOPS", "ReadThroughputInBytesPerSecond", "WriteThroughputInBytesPerSecond")
        return self._rates(
            "disks", disk_totals(self._text("proc/diskstats"), self._disk_names), "i/o", names, "", seconds
        )

    def _network(self, seconds: float) -> list[Metric]:
        names = ("ReceiveBytesPerSecond", "TransmitBytesPerSecond")
        totals = network_totals(self._text("proc/net/dev"))
        return self._rates("network", totals, "network", names, "Algorithm", seconds)

    def _rates(
        self, key: str, now: tuple[int, ...], kind: str, names: tuple[str, ...], dimension: str, seconds: float
    ) -> list[Metric]:
        before = self._swap(key, now)
        if before is None or seconds <= 0:
            return []
        rates = (max(0.0, new - old) / seconds for new, old in zip(now, before, strict=True))
        return [Metric(kind, name, dimension, round(rate, 2)) for name, rate in zip(names, rates, strict=True)]

    def _swap(self, key: str, now: Any) -> Any:
        before, self._last[key] = self._last.get(key), now
        return before

    def _text(self, path: str) -> str:
        """The file's beginning, "" where it is missing. It stays open: to open it anew costs as much as to read it."""
        if path not in self._handles:
            try:
                self._handles[path] = os.open(self._root / path, os.O_RDONLY)
            except OSError:
                self._handles[path] = None
        handle = self._handles[path]
        try:
            return "" if handle is None else os.pread(handle, LARGEST, 0).decode("ascii", "replace")
        except OSError:
            return ""


class Gpus:
    """NVIDIA's GPUs by NVML; none where the binding, the driver or the GPU is missing."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        with suppress(ImportError):
            import pynvml

            self._nvml = pynvml
            with suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                count = pynvml.nvmlDeviceGetCount()
                self._handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]

    def sample(self) -> list[Metric]:
        """Utilisation, and memory in use as a share of all of it. A GPU that does not answer leaves a gap."""
        found = []
        for number, handle in enumerate(self._handles):
            with suppress(self._nvml.NVMLError):
                use, memory = (
                    self._nvml.nvmlDeviceGetUtilizationRates(handle),
                    self._nvml.nvmlDeviceGetMemoryInfo(handle),
                )
                found.append(Metric("gpu", f"gpu{number}", "GPUUtilization", float(use.gpu)))
                found.append(
                    Metric("gpu", f"gpu{number}", "GPUMemoryUtilization", _percent(memory.used / memory.total))
                )
        return found


def core_times(text: str, wanted: Iterable[str]) -> dict[str, CoreTimes]:
    """The cores of /proc/stat that are wanted. Guests' time is left out: it is in user and nice already."""
    found = {}
    for line in text.splitlines():
        name, *numbers = line.split()[:9]
        if not name.startswith("cpu"):
            break  # the long line of interrupts follows
        if name in wanted:
            times = [int(number) for number in numbers]
            found[name] = CoreTimes(times[3], times[4], sum(times))
    return found


def memory_used(meminfo: str, cgroup: tuple[float, float] | None) -> float | None:
    """A share of 1: of the container's limit where it is below the machine's memory, else of that."""
    total, available = (_number(meminfo, f"{name}:", 1 / 1024) for name in ("MemTotal", "MemAvailable"))
    if cgroup and 0 < cgroup[0] < (total or float("inf")):
        return cgroup[1] / cgroup[0]
    return None if not total or available is None else 1 - available / total


def disk_totals(text: str, disks: set[str]) -> tuple[int, int, int]:
    """(operations, bytes read, bytes written) of those disks since the start of the machine."""
    rows = [fields for fields in map(str.split, text.splitlines()) if len(fields) > 9 and fields[2] in disks]
    return (
        sum(int(fields[3]) + int(fields[7]) for fields in rows),
        sum(int(fields[5]) * SECTOR for fields in rows),
        sum(int(fields[9]) * SECTOR for fields in rows),
    )


def network_totals(text: str) -> tuple[int, int]:
    """(bytes received, bytes sent) by every interface but the loopback, since the start of the machine."""
    rows = [line.partition(":") for line in text.splitlines()[2:]]
    numbers = [fields.split() for name, _, fields in rows if name.strip() != "lo"]
    return sum(int(each[0]) for each in numbers), sum(int(each[8]) for each in numbers)


def _number(text: str, name: str, divisor: float) -> float | None:
    """The number that follows a name at the start of a line."""
    _, found, rest = f"\n{text}".partition(f"\n{name} ")
    return _first(rest.partition("\n")[0].removesuffix("kB"), divisor) if found else None


def _disk_names(folder: Path) -> set[str]:
    """The whole disks that the machine has, as the kernel names them."""
    with suppress(OSError):
        return {each.name for each in folder.iterdir() if not each.name.startswith(VIRTUAL_DISKS)}
    return set()


def _first(text: str, divisor: float) -> float | None:
    try:
        return float(text) / divisor
    except ValueError:
        return None  # "", or "max"


def _percent(share: float) -> float:
    return round(100 * min(1.0, max(0.0, share)), 2)
