"""Step times: what is measured, what it costs, and that smdebug's own reader reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from smdebug.profiler.algorithm_metrics_reader import LocalAlgorithmMetricsReader
from smdebug.profiler.utils import TimeUnits

from kennel.debugger.profile import read_profile
from kennel.debugger.steps import StepClock


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def batches(clock: Clock, count: int, seconds: float) -> Iterator[int]:
    """A loader that takes `seconds` for each batch."""
    for number in range(count):
        clock.now += seconds
        yield number


def test_waiting_and_computing_are_told_apart_step_by_step(tmp_path: Path) -> None:
    clock = Clock()
    watch = StepClock(tmp_path, "algo-2", clock)
    taken = []
    for batch in watch.batches(batches(clock, 3, 0.25), "train"):
        taken.append(batch)
        clock.now += 0.5
    for _ in watch.batches(batches(clock, 2, 0.0), "valid"):
        clock.now += 1.0
    watch.close()
    train, valid = read_profile(tmp_path).steps
    assert taken == [0, 1, 2]
    assert (train.node, train.worker, train.phase) == ("algo-2", f"{os.getpid()}-algo-2", "train")
    assert list(train.seconds) == [0.75, 0.75, 0.75]
    assert list(train.waiting) == [0.25, 0.25, 0.25]
    assert list(train.first) == [0, 1, 2]
    assert np.diff(train.begun) == pytest.approx([0.75, 0.75], abs=1e-5)
    assert abs(train.begun[0] - time.time()) < 60
    assert (list(valid.seconds), list(valid.waiting)) == ([1.0, 1.0], [0.0, 0.0])


def test_short_steps_are_put_together_and_none_is_lost(tmp_path: Path) -> None:
    clock = Clock()
    watch = StepClock(tmp_path, clock=clock)
    for _ in range(3):
        for _ in watch.batches(batches(clock, 1000, 0.001), "train"):
            clock.now += 0.001
    watch.close()
    (found,) = read_profile(tmp_path).steps
    assert found.counts.sum() == 3000
    assert len(found.counts) <= 15
    assert list(found.first) == np.concatenate([[0], np.cumsum(found.counts)[:-1]]).tolist()
    assert found.waiting.sum() == pytest.approx(3.0, abs=1e-3)
    assert found.seconds.sum() == pytest.approx(6.0, abs=1e-3)


def test_epochs_shorter_than_a_run_are_put_together_too(tmp_path: Path) -> None:
    """A thousand epochs of 20 ms of training, 5 of validation and 5 of neither: a run each half a second."""
    clock = Clock()
    watch = StepClock(tmp_path, clock=clock)
    for _ in range(1000):
        for _ in watch.batches(batches(clock, 4, 0.002), "train"):
            clock.now += 0.003
        for _ in watch.batches(batches(clock, 1, 0.0), "valid"):
            clock.now += 0.005
        clock.now += 0.005
    watch.close()
    train, valid = read_profile(tmp_path).steps
    assert [train.counts.sum(), valid.counts.sum()] == [4000, 1000]
    assert len(train.counts) < 70
    assert len(valid.counts) < 70
    assert [train.waiting.sum(), train.seconds.sum(), valid.seconds.sum()] == pytest.approx([8.0, 20.0, 5.0], abs=0.01)
    assert all(train.begun[1:] >= train.begun[:-1] + train.spans[:-1] - 1e-4)


def test_a_pause_between_epochs_belongs_to_no_run(tmp_path: Path) -> None:
    clock = Clock()
    watch = StepClock(tmp_path, clock=clock)
    for _ in range(2):
        for _ in watch.batches(batches(clock, 1, 0.0), "train"):
            clock.now += 0.25
        clock.now += 10.0
    watch.close()
    (found,) = read_profile(tmp_path).steps
    assert list(found.spans) == [0.25, 0.25]
    assert found.begun[1] - found.begun[0] == pytest.approx(10.25, abs=1e-4)


def test_a_loop_that_is_left_early_counts_its_last_step(tmp_path: Path) -> None:
    clock = Clock()
    watch = StepClock(tmp_path, clock=clock)
    taken = watch.batches(batches(clock, 9, 0.0), "train")
    next(taken)
    clock.now += 0.25
    del taken  # as `break` does
    watch.close()
    (found,) = read_profile(tmp_path).steps
    assert (list(found.counts), list(found.seconds)) == ([1.0], [0.25])


def test_smdebugs_own_reader_reads_the_steps(tmp_path: Path) -> None:
    clock = Clock()
    watch = StepClock(tmp_path, clock=clock)
    clock.now -= 200  # smdebug seeks until now
    for _ in watch.batches(batches(clock, 200, 0.25), "train"):
        clock.now += 0.5
    watch.close()
    reader = LocalAlgorithmMetricsReader(str(tmp_path))
    events = reader.get_events(0, (time.time() + 600) * 1e6, TimeUnits.MICROSECONDS)
    steps = [each for each in events if each.event_name == "Step:ModeKeys.TRAIN"]
    assert len(steps) == 200
    assert {each.event_phase for each in events} == {"Step:ModeKeys.TRAIN", "DataWaiting"}
    assert {each.duration for each in steps} == {750_000}
    assert sorted(int(each.event_args["step_num"]) for each in steps) == list(range(200))
    begun, ended = reader._get_time_interval_for_step(10, 11)
    assert ended - begun == pytest.approx(750_000, abs=2)
    assert len(list(tmp_path.rglob("*_pythontimeline.json"))) == 3  # 150 s, a file a minute


def test_what_was_measured_a_second_ago_is_on_disk_whole_at_any_moment(tmp_path: Path) -> None:
    clock = Clock()
    watch = StepClock(tmp_path, clock=clock)
    for number in watch.batches(batches(clock, 20, 0.1), "train"):
        if number > 3:
            (found,) = read_profile(tmp_path).steps
            assert found.counts.sum() >= number - 3
        clock.now += 0.5
    assert not list(tmp_path.rglob(".*"))


def test_without_a_folder_the_batches_are_handed_through_and_nothing_is_measured() -> None:
    source = iter([1, 2])
    watch = StepClock(None)
    assert watch.batches(source, "train") is source
    watch.close()


def test_a_full_disk_ends_the_recording_and_not_the_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "framework").write_text("a file where a folder belongs")
    clock = Clock()
    watch = StepClock(tmp_path, clock=clock)
    assert list(watch.batches(batches(clock, 10, 1.0), "train")) == list(range(10))
    watch.close()
    assert caplog.text.count("recorded no longer") == 1


def test_measuring_costs_a_step_of_a_millisecond_next_to_nothing(tmp_path: Path) -> None:
    """At most 1 %; measured: 0.02 %, so this holds on a busy machine too."""
    watch = StepClock(tmp_path)
    begun = time.process_time()
    for _ in watch.batches(range(100_000), "train"):
        pass
    assert (time.process_time() - begun) / 100_000 < 10e-6
