"""The simulator and the local AWS's own loop, on the same traffic: the same counts, minute by minute.

The local AWS is a server of its own, asked by plain boto3, with real processes as instances. Its clock stands still
until it is told to go on, so that each minute has the requests that it shall have, however busy this machine is. As a
program (`python test_scaling_agreement.py HOME NOW`), this is that server.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures_scaling import Fast
from kennel.capacity.scaled import World, course
from kennel.capacity.service import Service
from kennel.capacity.sweep import Setting
from kennel.capacity.traffic import Trace, Wanted, drawn
from kennel.local import parts
from kennel.local.hosting.plan import Deployment
from kennel.local.parts import House

AT_ONCE = World(Service.lognormal(0.001, 0, 32), start_s=0, stop_s=0, metric_delay_s=0)
"""What the clock that stands still makes of the local AWS: a change begins and ends at the minute's end."""


class Still:
    """Implements parts.Clock: time is what it was told last."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        until = self._now + seconds
        while self._now < until:
            if event.wait(0.002):
                return True
        return event.is_set()

    def go_on(self, now: float) -> None:
        self._now = now


class Told:
    """Implements hosting's Watcher, after scaling: says when a minute is over and decided on."""

    def minute(self, begin: float) -> None:
        print(begin, flush=True)

    def updating(self, endpoint: str, deployed: Deployment, fresh: Deployment) -> None:
        """Nothing of interest."""

    def deleted(self, endpoint: str) -> None:
        """Nothing of interest."""


def main(home: str, now: str) -> None:
    from fixtures_hosting import Processes
    from kennel.errors import stop_on_signals
    from kennel.local.hosting import Hosting, Limits
    from kennel.local.server import assemble, serve

    clock = Still(float(now))

    def services(house: House) -> Sequence[parts.Service]:
        limits = Limits(drain_s=1, stop_s=2, backoff_s=0.05)
        found = assemble(replace(house, runners=Processes()), limits=limits)
        next(each for each in found if isinstance(each, Hosting)).watched_by(Told())
        return found

    def listen() -> None:
        for line in sys.stdin:
            clock.go_on(float(line))

    stop_on_signals()
    threading.Thread(target=listen, daemon=True).start()
    serve(Path(home), 0, "us-east-1", "process", lambda url: print(url, flush=True), services, clock)


class Stepped(Fast):
    """The server and its clients; `minute` is the one that it is in."""

    def __init__(self, home: Path) -> None:
        self.minute = time.time() // 60 * 60
        super().__init__(home, 1)
        self.clock = Still(self.minute)

    def start(self) -> None:
        arguments = [sys.executable, __file__, str(self.home), str(self.minute)]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline()
        self.connect()

    def next_minute(self, endpoint: str) -> None:
        """The minute ends, is decided on, and what follows is done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.minute += 60
        self.clock = Still(self.minute)
        self.process.stdin.write(f"{self.minute}\n".encode())
        self.process.stdin.flush()
        assert float(self.process.stdout.readline()) == self.minute - 60
        self.until(lambda: self.described(endpoint)["EndpointStatus"] == "InService")


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stepped]:
    server = Stepped(tmp_path_factory.mktemp("still"))
    yield server
    server.stop()


def endpoint(still: Stepped, name: str, setting: Setting, most: int) -> str:
    resource = still.endpoint(name)
    still.register(resource, 1, most)
    config: dict[str, Any] = {"ScaleOutCooldown": setting.out_cooldown_s, "ScaleInCooldown": setting.in_cooldown_s}
    still.track(resource, TargetValue=setting.target, **config)
    return resource


def simulated(counts: Sequence[int], setting: Setting, most: int) -> tuple[list[int], list[tuple[float, int]]]:
    """(instances by the minute, (second, to) of each change)."""
    found = course(Trace("test", np.array(counts, np.int64)), setting.bounded(1, most), AT_ONCE)
    return found.serving.tolist(), [(each.began, each.decision.to) for each in found.changes]


def changes(still: Stepped, resource: str, begin: float) -> list[tuple[float, int]]:
    words = [(each["StartTime"].timestamp() - begin, each["Description"]) for each in still.activities(resource)]
    return [(at, int(text.rstrip(".").split()[-1])) for at, text in words]


def test_with_real_requests_the_counts_are_the_same_minute_by_minute(still: Stepped) -> None:
    setting, counts = Setting(5, 180, 300), [0, 2, 3, *[14] * 7, *[1] * 28]
    resource, begin, seen = endpoint(still, "asked", setting, 3), still.minute, list[int]()
    with ThreadPoolExecutor(8) as pool:
        for count in counts:
            seen.append(still.count("asked"))
            asked = [pool.submit(still.runtime.invoke_endpoint, EndpointName="asked", Body=b"x") for _ in range(count)]
            assert all(each.result()["ResponseMetadata"]["HTTPStatusCode"] == 200 for each in asked)
            still.next_minute("asked")
    expected, changed = simulated(counts, setting, 3)
    assert seen == expected
    assert max(seen) == 3
    assert seen[-1] == 1
    assert changes(still, resource, begin) == changed


TRACES = {
    "spike": (Wanted("spike", 10, 90, start=8, length=12, minutes=60), Setting(25, 180, 300), 3),
    "onoff": (Wanted("on-off", 5, 120, length=9, period=27, minutes=90), Setting(25, 0, 0), 4),
    "ramp": (Wanted("ramp", 5, 150, start=5, length=40, minutes=70), Setting(25, 600, 60), 6),
    "noise": (Wanted("steady", 47, minutes=90), Setting(25, 60, 900), 3),
}


@pytest.mark.parametrize("name", list(TRACES))
def test_whatever_the_traffic_the_counts_are_the_same_minute_by_minute(name: str, still: Stepped) -> None:
    """The minute's requests are put where CloudWatch has them, each of them counted 1/instances as SageMaker does."""
    wanted, setting, most = TRACES[name]
    counts = drawn(wanted, 3).counts.tolist()
    resource, begin, seen = endpoint(still, name, setting, most), still.minute, list[int]()
    for count in counts:
        seen.append(still.count(name))
        still.feed(resource, count / seen[-1])
        still.next_minute(name)
    expected, changed = simulated(counts, setting, most)
    assert seen == expected
    assert len(changed) >= 1
    assert changes(still, resource, begin) == changed


if __name__ == "__main__":
    main(*sys.argv[1:])
