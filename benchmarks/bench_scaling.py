"""How many hours of traffic a second are simulated, and how well: beside the same queue request by request.

Seconds are of the process's own CPU time, since simulating waits for nothing and machines are shared.

python benchmarks/bench_scaling.py [--settings 60] [--hours 24]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from kennel.capacity import events
from kennel.capacity.outcome import Goal, Latencies
from kennel.capacity.scaled import Front, World, course
from kennel.capacity.service import Service
from kennel.capacity.sweep import Setting, grid, simulate
from kennel.capacity.traffic import Wanted, drawn

SERVICE = Service.lognormal(0.06, 0.2, 2)
SHAPES = {
    "steady, 20 a minute": Wanted("steady", 20),
    "spike to 200": Wanted("spike", 10, 200),
    "on-off to 200": Wanted("on-off", 10, 200),
    "day to 3000": Wanted("day", 10, 3000),
    "day to 9000, too much": Wanted("day", 10, 9000),
}
USES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--settings", type=int, default=60)
    arguments.add_argument("--hours", type=int, default=24)
    given = arguments.parse_args()
    Console().print(speed(given.settings, given.hours))
    Console().print(accuracy())


def speed(settings: int, hours: int) -> Table:
    table = Table("traffic", "function", "settings", "hours", "CPU s", "hours a second", title="speed, one core")
    several = grid([10, 25, 100, 400, 800, 1200], [0, 60, 180, 600], [0, 300, 1800])[:settings]
    for name, shape in SHAPES.items():
        wanted = Wanted(shape.shape, shape.base, shape.peak, minutes=hours * 60)
        for front in (None, Front()):
            trace, world = drawn(wanted, 1), World(SERVICE, front=front)
            latencies, began = Latencies(trace, world, Goal()), time.process_time()
            for each in several:
                simulate(trace, each, (1, 3), latencies, 0.115)
            seconds, simulated = time.process_time() - began, len(several) * hours
            told = "yes" if front else "no"
            table.add_row(
                name, told, str(len(several)), f"{simulated}", f"{seconds:.2f}", f"{simulated / seconds:,.0f}"
            )
    return table


def accuracy() -> Table:
    """Ten hours of steady traffic on one instance, by the model and by events: seconds, and the model's part more."""
    table = Table("cv", "at a time", "load", "p50", "p95", "p99", title="the model beside events")
    for cv, at_a_time, mean in ((0.2, 2, 0.06), (1.0, 4, 0.2)):
        service = Service.lognormal(mean, cv, at_a_time)
        world = World(service)
        for use in USES:
            trace = drawn(Wanted("steady", base=use * service.most_per_s * 60, minutes=600), 1)
            told = Latencies(trace, world, Goal()).outcome(course(trace, Setting().bounded(1, 1), world)).latency
            seen = np.quantile(np.concatenate(events.answers(trace, [1] * 600, world, 1)), [0.5, 0.95, 0.99])
            cells = [f"{model:.3f} ({model / exact - 1:+.0%})" for model, exact in zip(told, seen, strict=True)]
            table.add_row(f"{cv:g}", str(at_a_time), f"{use:.0%}", *cells)
    return table


if __name__ == "__main__":
    main()
