"""What to change: said only where the figures support it, and whether waiting for data is why a device was idle.
GPU traces are synthesised; on this machine's own processors a starved loader and a busy core are recorded for real.
"""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kennel.debugger.advice import ENOUGH, Facts, examine, loader
from kennel.debugger.profile import Profile, ProfileReader, read_profile
from kennel.debugger.profiler_rules import evaluate
from kennel.debugger.profiler_settings import ProfilerSettings
from kennel.debugger.sampler import Sampler
from kennel.debugger.steps import StepClock
from profiles import START, profile, steps, wait_for

N = 100


def machine(cpu: float, gpu: float | None = None, others: float = 5.0, disk: float = 0.0) -> dict[str, list[float]]:
    """Eight cores, the first at `cpu`, the others at `others`, and perhaps a GPU, all the time the same."""
    given = {f"cpu{number}": [cpu if number == 0 else others] * N for number in range(8)}
    given |= {f"cpu{number} wait": [disk] * N for number in range(8)}
    return given if gpu is None else {**given, "gpu0": [gpu] * N, "gpu0 memory": [30.0] * N}


def advice(given: Profile, facts: Facts | None = None) -> list[str]:
    return [each.what for each in examine(given, "algo-1", facts).advice]


@pytest.mark.parametrize(
    ("busy", "others", "disk", "expected"),
    [
        (100.0, 5.0, 0.0, "More workers in the loader (now 1): it uses 1.4 cores"),
        (5.0, 5.0, 0.0, "reading further ahead"),
        (95.0, 95.0, 0.0, "More cores"),
        (40.0, 40.0, 35.0, "pack the pictures, and File mode"),
    ],
)
def test_a_starved_training_is_told_what_its_loader_lacks(
    busy: float, others: float, disk: float, expected: str
) -> None:
    given = profile(machine(busy, 4.0, others, disk), [steps(0.4)])
    (found,) = examine(given, "algo-1", Facts(workers=1)).advice
    assert expected in found.what
    assert "80 % of the loop's time" in found.why


@pytest.mark.parametrize(("waiting", "count"), [(0.0995, 0), (0.1005, 1)])
def test_waiting_is_worth_a_word_from_a_fifth_on(waiting: float, count: int) -> None:
    found = advice(profile(machine(30.0, 85.0), [steps(waiting)]))
    assert sum("workers" in each for each in found) == count


def test_small_steps_on_an_idle_gpu_ask_for_larger_batches_and_not_for_workers() -> None:
    given = profile(machine(30.0, 20.0), [steps(0.001)])
    assert advice(given, Facts(batch_size=16)) == [
        "A larger batch_size (now 16), or a smaller GPU: the steps are too small for this one"
    ]
    found = examine(given, "algo-1").cause
    assert found is not None
    assert found.waiting == pytest.approx(0.002)


def test_a_full_gpu_asks_for_mixed_precision_only_where_float32_is_known() -> None:
    given = profile(machine(30.0, 97.0), [steps(0.001)])
    assert "Mixed precision" in advice(given, Facts(precision="float32"))[0]
    assert "unless it has to be faster" in advice(given, Facts(precision="bfloat16"))[0]
    assert "unless it has to be faster" in advice(given)[0]


def test_a_gpu_that_never_worked_beside_one_that_did_is_named() -> None:
    given = profile({**machine(30.0, 80.0), "gpu1": [0.0] * N}, [steps(0.001)])
    found = examine(given, "algo-1").advice
    assert any("gpu1" in each.why for each in found)


def test_a_healthy_training_is_told_nothing() -> None:
    assert advice(profile(machine(40.0, 80.0, 40.0), [steps(0.005)])) == []


@pytest.mark.parametrize(
    ("others", "expected"), [(95.0, "instance with a GPU"), (0.0, "smaller instance"), (40.0, None)]
)
def test_without_a_gpu_the_processors_are_looked_at(others: float, expected: str | None) -> None:
    found = advice(profile(machine(95.0, None, others), [steps(0.001)]))
    assert (expected is None and not found) or (expected is not None and expected in found[0])


@pytest.mark.parametrize(("cpu", "gpu"), [(95.0, None), (95.0, 97.0)])
def test_nothing_is_said_of_waiting_where_no_step_times_are_recorded(cpu: float, gpu: float | None) -> None:
    (found,) = examine(profile(machine(cpu, gpu, 95.0)), "algo-1").advice
    assert "how long it waited for data is unknown, as no step times were recorded" in found.why
    assert "of the training itself" not in found.what


def test_one_busy_core_says_nothing_where_no_step_times_are_recorded() -> None:
    assert advice(profile(machine(95.0, None, 0.0))) == []


@pytest.mark.parametrize(
    ("waiting", "said"),
    [(0.25, "is the bottleneck: 50 %"), (0.1, "is the bottleneck: 20 %"), (0.005, "is not the bottleneck: 1 %")],
)
def test_whether_the_loader_is_the_bottleneck_is_a_share_of_the_loop(waiting: float, said: str) -> None:
    """The loop runs for 10 s of the 50 that were recorded."""
    found = examine(profile(machine(30.0), [steps(waiting, count=20)]), "algo-1").budget
    assert loader(found) == f"The data loader {said} of the loop's time was waiting for data."
    assert loader(None) == "Whether the data loader is the bottleneck is unknown: no step times were recorded."


def test_too_short_a_profile_is_told_nothing() -> None:
    short = {name: values[: ENOUGH - 1] for name, values in machine(100.0, 4.0).items()}
    assert advice(profile(short, [steps(0.4)])) == []
    assert advice(Profile()) == []


def test_full_memory_is_told() -> None:
    given = profile(machine(30.0, 80.0), [steps(0.001)])
    memory = profile({"cpu0": [95.0] * N}).series[0]
    full = replace(memory, kind="memory", name="MemoryUsedPercent", dimension="")
    found = examine(Profile((*given.series, full), given.steps), "algo-1").advice
    assert "95 % full" in found[-1].why


def test_the_cause_is_shown_by_what_the_loop_did_while_the_gpu_was_low() -> None:
    """40 samples waiting with the GPU at 4 %, 60 computing at 90 %: all of the low time is waiting."""
    given = machine(30.0, 4.0)
    given["gpu0"] = [4.0] * 40 + [90.0] * 60
    loop = [steps(0.5, count=40), steps(0.0, count=60, begun=START + 20)]
    found = examine(profile(given, loop), "algo-1").cause
    assert found is not None
    assert found.device == "GPU"
    assert [found.low, found.waiting] == pytest.approx([0.4, 1.0])
    assert [found.while_waiting, found.while_training] == pytest.approx([4.0, 90.0])
    validating = [steps(0.0, count=40, phase="valid"), steps(0.0, count=60, begun=START + 20)]
    found = examine(profile(given, validating), "algo-1").cause
    assert found is not None
    assert found.validating == pytest.approx(1.0)
    assert math.isnan(found.while_waiting)
    assert found.waiting == 0


def test_time_is_added_up_over_phases_and_what_is_outside_of_the_loop() -> None:
    given = profile(machine(30.0), [steps(0.1, count=60), steps(0.05, count=20, phase="valid", begun=START + 35)])
    found = examine(given, "algo-1").budget
    assert found is not None
    figures = [found.waiting, found.training, found.validating, found.outside]
    assert figures == pytest.approx([7.0, 24.0, 9.0, 10.0])
    assert found.steps == 60
    assert found.starved == pytest.approx(7 / 40)


def test_processes_of_one_host_count_as_one_training() -> None:
    one = steps(0.25, count=20)
    other = replace(one, worker="2-algo-1")
    found = examine(profile(machine(30.0), [one, other]), "algo-1").budget
    assert found is not None
    assert [found.waiting, found.training, found.steps] == pytest.approx([5.0, 5.0, 20])


def decoded(folder: Path, samples: int) -> Iterator[bytes]:
    """A loader that works hard for each batch, until the sampler has seen enough of it."""
    reader, until = ProfileReader(folder), time.monotonic() + 30
    while time.monotonic() < until and not any(len(each.times) >= samples for each in reader.read().series):
        yield hashlib.pbkdf2_hmac("sha256", b"picture", b"salt", 200_000)


def test_a_starved_loader_is_recorded_and_found_for_real(tmp_path: Path) -> None:
    watch = StepClock(tmp_path)
    with Sampler(ProfilerSettings(tmp_path, 100)):
        for batch in watch.batches(decoded(tmp_path, ENOUGH + 5), "train"):
            hashlib.sha256(batch).digest()
        watch.close()
    found = examine(read_profile(tmp_path), "algo-1", Facts(workers=1))
    assert found.budget is not None
    assert found.budget.starved > 0.9
    assert len(found.at.times) >= ENOUGH
    assert "of the loop's time was waiting for data" in found.advice[0].why
    assert found.did is not None
    assert float(found.did.waiting[2:-2].mean()) > 0.9


def test_one_busy_core_is_recorded_and_named_for_real(tmp_path: Path) -> None:
    """A process held to one core computes; that core is above 90 %, whatever the others do."""
    core = max(os.sched_getaffinity(0))
    burn = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    with Sampler(ProfilerSettings(tmp_path, 100)), subprocess.Popen([sys.executable, "-c", burn]) as process:
        wait_for(tmp_path, ENOUGH + 3)
        process.kill()
    recorded = read_profile(tmp_path)
    (found,) = recorded.find("CPUUtilization", f"cpu{core}")
    assert float((found.values > 90).mean()) > 0.7
    verdict = evaluate("CPUBottleneck", {}, recorded, True)
    assert verdict.status == "NoIssuesFound"  # there is no GPU that it could starve
    assert "A core was above 90 %" in verdict.words
    assert "no GPU" in verdict.words
