"""A load test of one instance: open loop, the knee, and what is kept of it. Instances here are timed to a few ms."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from pathlib import Path

import pytest

from kennel.capacity import load, measure, measured
from kennel.capacity.load import Sample, Step
from kennel.capacity.measure import Found, Plan
from kennel.capacity.measured import Machine, Measured, Subject
from kennel.errors import DataError, ServerError

SUBJECT, MACHINE = Subject(kind="artifact", name="out", revision="abc"), Machine(cores=2, processor="test")
QUICK = Plan(goal_s=0.1, step_s=1.2, warm_s=0.1, alone_requests=20, alone_s=1, saturated_s=0.6)


class Instance:
    """So many at a time, each for so long; the rest wait their turn."""

    def __init__(self, at_a_time: int, seconds: float) -> None:
        self._free, self._seconds = threading.Semaphore(at_a_time), seconds

    def __call__(self) -> str:
        with self._free:
            time.sleep(self._seconds)
        return ""


def held(rate: float, seconds: list[float], waiting: list[int], errors: int = 0) -> Step:
    both = zip(seconds, waiting, strict=True)
    samples = [Sample(n / rate, each, 0.0, "503" if n < errors else "", w) for n, (each, w) in enumerate(both)]
    return Step(rate, len(samples) / rate, tuple(samples))


def test_requests_leave_when_they_are_due_although_none_is_answered() -> None:
    gate, count, lock = threading.Event(), [0], threading.Lock()

    def ask() -> str:
        with lock:
            count[0] += 1
            if count[0] == 20:
                gate.set()
        return "" if gate.wait(10) else "nobody else came"

    found = load.step(ask, 400, 0.2, 1, 1000)
    assert found.errors == 0
    assert max(each.waiting for each in found.samples) >= 15


def test_time_counts_from_when_a_request_was_due() -> None:
    """One at a time for 20 ms at 100 a second: after a second some have waited for a second, whoever asks."""
    found = load.step(Instance(1, 0.02), 100, 1, 1, 1000)
    assert max(each.seconds for each in found.samples) > 0.5
    assert all(each.seconds >= each.late for each in found.samples)
    assert max(each.late for each in found.samples) > 0.1  # what waited for a thread of the client, counts too
    assert found.grows


def test_arrivals_are_poisson_and_the_seeds() -> None:
    due = load.arrivals(50, 200, 1, 100_000)
    assert len(due) == pytest.approx(10_000, rel=0.05)
    assert due == sorted(due)
    assert due[-1] < 200
    assert due == load.arrivals(50, 200, 1, 100_000) != load.arrivals(50, 200, 2, 100_000)
    assert len(load.arrivals(50, 200, 1, 30)) == 30


def test_what_an_instance_can_do_at_most_is_found_by_never_letting_it_rest() -> None:
    most, errors = load.saturated(Instance(4, 0.02), 1.0)
    assert errors == 0
    assert 100 < most < 220


def test_quantiles_are_values_that_were_seen() -> None:
    assert load.quantile([4, 1, 3, 2], 0.5) == 2
    assert load.quantile([1, 2, 3, 4], 1) == 4
    assert load.quantile([1, 2, 3, 4], 0) == 1
    assert math.isnan(load.quantile([], 0.5))


def test_a_backlog_grows_where_ever_more_are_unanswered() -> None:
    assert not held(10, [0.1] * 40, [1, 2] * 20).grows
    assert held(10, [0.1] * 40, list(range(40))).grows
    assert not held(10, [0.1] * 4, [0, 1, 0, 2]).grows


def test_the_knee_lies_below_every_rate_that_misses_the_goal() -> None:
    found = Found(Plan(goal_s=0.2))
    found.steps = [held(5, [0.1] * 20, [1] * 20), held(10, [0.3] * 20, [1] * 20), held(20, [0.1] * 20, [1] * 20)]
    assert found.knee == 5
    found.steps = [held(5, [0.1] * 20, [1] * 20, errors=3)]
    assert found.knee is None


def test_a_measurement_finds_the_knee_and_what_it_means() -> None:
    found = Found(QUICK)
    measure.run(Instance(2, 0.02), QUICK, found)
    told = found.as_file(SUBJECT, MACHINE, "now")
    assert told.complete
    assert told.most_per_s < 105
    assert told.knee_per_s is not None
    assert told.knee_per_s <= told.most_per_s * 1.2
    assert told.target() == pytest.approx(told.knee_per_s * 30)
    assert told.target(1.0) == pytest.approx(told.knee_per_s * 60)
    assert told.service.most_per_s == pytest.approx(told.most_per_s)
    assert told.service.at_a_time in (1, 2, 3)
    assert [each.rate for each in told.steps] == sorted(each.rate for each in told.steps)


def test_its_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = Found(QUICK, alone=[Sample(0, 0.02, 0, "", 0)], most_per_s=90.0)
    told = found.as_file(SUBJECT, MACHINE, "now")
    assert not told.complete
    measured.write(told, tmp_path / "m.json")
    assert measured.read(tmp_path / "m.json") == told


def test_a_time_that_is_used_up_ends_it() -> None:
    plan = Plan(step_s=5, warm_s=0.05, alone_requests=5, alone_s=0.2, saturated_s=0.2, most_s=1)
    found, lines = Found(plan), list[str]()
    measure.run(Instance(2, 0.01), plan, found, lines.append)
    assert found.steps == []
    assert not found.complete
    assert "used up" in lines[-1]


@pytest.mark.parametrize("wrong", ["503", "ConnectError"])
def test_an_instance_that_does_not_answer_is_told(wrong: str) -> None:
    with pytest.raises(ServerError, match=wrong):
        measure.run(lambda: wrong, QUICK, Found(QUICK))


def test_what_was_ended_before_anything_was_known_is_no_measurement() -> None:
    with pytest.raises(ServerError, match="before anything was known"):
        Found(QUICK).as_file(SUBJECT, MACHINE, "now")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"most_per_s": 0}, "most_per_s"),
        ({"most_per_s": "Infinity"}, "most_per_s"),
        ({"most_per_s": 1e-300}, "most_per_s"),
        ({"alone_ms": [1e-300] * 14}, "alone_ms"),
        ({"alone_ms": []}, "alone_ms"),
        ({"alone_ms": [1e12] * 14}, "alone_ms"),
        ({"format": 2}, "format"),
        ({"code": "import os"}, "code"),
        ({"knee_per_s": -1}, "knee_per_s"),
    ],
)
def test_what_is_no_measurement_is_told_in_one_line(change: dict[str, object], said: str, tmp_path: Path) -> None:
    told = Found(QUICK, alone=[Sample(0, 0.02, 0, "", 0)], most_per_s=90.0).as_file(SUBJECT, MACHINE, "now")
    path = tmp_path / "m.json"
    path.write_text(json.dumps(told.model_dump() | change))
    with pytest.raises(DataError, match=said) as error:
        measured.read(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        measured.read(tmp_path / "nowhere.json")
    (tmp_path / "m.json").write_text("{" * 1000)
    with pytest.raises(DataError, match="is no measurement"):
        measured.read(tmp_path / "m.json")
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", Path("/dev/zero")):
        with pytest.raises(DataError, match="cannot read"):
            measured.read(path)
    assert Measured.model_fields["format"].default == 1
