"""What the profiler costs: the sampler's share of a core at each interval, and StepClock's time a step.

The sampler's processor time is the kernel's own count for its process, beginning when it has written its first sample
(its start, about 0.1 s once, is told by itself). psutil is measured beside it: the usual way to read the same numbers.

    python benchmarks/bench_sampler.py [--samples 40] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from kennel.debugger.profile import read_profile
from kennel.debugger.profiler_settings import ProfilerSettings
from kennel.debugger.readings import Readings
from kennel.debugger.sampler import Sampler
from kennel.debugger.steps import StepClock
from kennel.machine import cores


def of_a_core(interval: int, samples: int) -> tuple[float, float, int]:
    """(share of a core while it samples, processor seconds of its start, samples written)."""
    with tempfile.TemporaryDirectory() as folder, Sampler(ProfilerSettings(Path(folder), interval)) as sampler:
        process = psutil.Process(sampler.pid)
        while not any(Path(folder).rglob("*.json")):
            time.sleep(0.01)
        begun, used = time.monotonic(), sum(process.cpu_times()[:2])
        time.sleep(samples * interval / 1000)
        share = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - begun)
        return share, used, len(read_profile(Path(folder)).find("CPUUtilization")[0].times)


def a_call(call: Callable[[], object], times: int = 300) -> float:
    """Processor seconds of one call."""
    begun = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begun) / times


def by_psutil() -> None:
    psutil.cpu_times(percpu=True)
    psutil.virtual_memory()
    psutil.disk_io_counters()
    psutil.net_io_counters(pernic=True)


def a_step(watch: StepClock, steps: int = 200_000) -> float:
    """Processor seconds of one step that does nothing."""
    begun = time.process_time()
    for _ in watch.batches(range(steps), "train"):
        pass
    return (time.process_time() - begun) / steps


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--samples", type=int, default=40, help="a round")
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    table = Table("what", "figure", "n")
    for interval in (100, 500, 1000):
        found = [of_a_core(interval, given.samples) for _ in range(given.rounds)]
        share = statistics.median(each[0] for each in found)
        table.add_row(
            f"sampler at {interval} ms", f"{100 * share:.2f} % of a core",
            f"{given.rounds} rounds, {sum(each[2] for each in found)} samples",
        )  # fmt: skip
    table.add_row(
        "its start, once", f"{statistics.median(each[1] for each in found):.2f} s of a core", str(given.rounds)
    )
    ours = Readings(cores())
    table.add_row("reading everything once", f"{1e6 * a_call(ours.sample):.0f} µs", "300 calls")
    table.add_row("the same by psutil", f"{1e6 * a_call(by_psutil):.0f} µs", "300 calls")
    with tempfile.TemporaryDirectory() as folder:
        bare, measured = a_step(StepClock(None)), a_step(StepClock(Path(folder)))
    table.add_row("StepClock", f"{1e6 * (measured - bare):.2f} µs a step", "200,000 steps")
    Console().print(table)


if __name__ == "__main__":
    main()
