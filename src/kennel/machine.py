"""What this machine, or the container's share of it, offers."""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cores(cgroup: Path = CGROUP) -> int:
    """Processors this process may use: its affinity, bounded by the container's quota (`docker run --cpus`)."""
    allowed = len(os.sched_getaffinity(0))
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):  # cgroup v2; v1
        try:
            quota, period = " ".join((cgroup / each).read_text() for each in files).split()
            return max(1, min(allowed, math.ceil(int(quota) / int(period)))) if int(quota) > 0 else allowed
        except (OSError, ValueError):  # another version's, or "max"
            continue
    return allowed


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads; on an error or a signal what has not begun is dropped, not waited for."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Its maker's name of it, else the architecture."""
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.machine() or "unknown"
