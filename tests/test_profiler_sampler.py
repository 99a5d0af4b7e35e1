"""The sampler: SageMaker's files and words, its configuration, and that it ends with what it watches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from smdebug.profiler.system_metrics_reader import LocalSystemMetricsReader
from smdebug.profiler.utils import TimeUnits

from kennel.contract import Contract
from kennel.debugger.profile import read_profile
from kennel.debugger.profiler_settings import ProfilerSettings, profiler_settings
from kennel.debugger.readings import Metric, Readings, core_times, disk_totals, memory_used, network_totals
from kennel.debugger.sampler import Sampler, Writer, wanted
from kennel.errors import SettingError
from profiles import wait_for


def contract(tmp_path: Path, text: str | None, host: str = "algo-1") -> Contract:
    config = tmp_path / "input/config"
    config.mkdir(parents=True)
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": host, "hosts": [host]}))
    if text is not None:
        (config / "profilerconfig.json").write_text(text)
    return Contract(tmp_path)


def started(contract: Contract, environment: Mapping[str, str]) -> Sampler:
    return Sampler(profiler_settings(contract, environment) if wanted(environment) else None)


def test_the_configuration_is_read_as_sagemaker_writes_it(tmp_path: Path) -> None:
    parameters = {"LocalPath": "/opt/ml/output/profiler", "RotateMaxFileSizeInBytes": "300"}
    given = {"ProfilingIntervalInMilliseconds": "1000", "S3OutputPath": "s3://b/p", "ProfilingParameters": parameters}
    found = profiler_settings(contract(tmp_path, json.dumps(given), "algo-2"), {})
    assert found == ProfilerSettings(tmp_path / "output/profiler", 1000, "algo-2")


def test_an_empty_path_and_interval_are_the_defaults(tmp_path: Path) -> None:
    found = profiler_settings(contract(tmp_path, '{"profilingparameters": {}, "S3OutputPath": "s3://b"}'), {})
    assert found == ProfilerSettings(tmp_path / "output/profiler", 500, "algo-1")


@pytest.mark.parametrize(
    "text", [None, "{}", '{"DisableProfiler": true}', '{"DisableProfiler": "True", "LocalPath": "/x"}']
)
def test_no_configuration_or_a_disabled_one_starts_nothing(tmp_path: Path, text: str | None) -> None:
    with started(contract(tmp_path, text), {"KENNEL_SAMPLER": "on"}) as sampler:
        assert sampler.pid is None


@pytest.mark.parametrize("environment", [{}, {"KENNEL_SAMPLER": ""}, {"KENNEL_SAMPLER": "off"}])
def test_where_sagemakers_own_agent_samples_ours_does_not(tmp_path: Path, environment: Mapping[str, str]) -> None:
    with started(contract(tmp_path, '{"ProfilingIntervalInMilliseconds": 100}'), environment) as sampler:
        assert sampler.pid is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "object"),
        ('{"ProfilingParameters": "all"}', "object"),
        ('{"ProfilingIntervalInMilliseconds": "50"}', "50"),
        ('{"ProfilingIntervalInMilliseconds": null}', "None"),
        ('{"DisableProfiler": "perhaps"}', "perhaps"),
        ('{"LocalPath": "relative"}', "relative"),
        ('{"LocalPath": "/opt/ml/../../etc"}', "/etc"),
        ('{"LocalPath": 7}', "7"),
    ],
)
def test_a_bad_configuration_is_one_line_with_a_remedy(tmp_path: Path, text: str, wrong: str) -> None:
    with pytest.raises(SettingError, match=wrong) as caught:
        profiler_settings(contract(tmp_path, text), {})
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["../../algo-1", "127.0.0.1", "", "a" * 64])
def test_a_host_whose_name_is_no_files_is_told_by_its_number(tmp_path: Path, host: str) -> None:
    settings = profiler_settings(contract(tmp_path, '{"LocalPath": "/x"}', host), {})
    assert settings is not None
    assert settings.node == "algo-1"


def test_an_unknown_switch_is_refused() -> None:
    with pytest.raises(SettingError, match="KENNEL_SAMPLER"):
        wanted({"KENNEL_SAMPLER": "1"})


def test_smdebugs_own_reader_reads_what_the_sampler_wrote(tmp_path: Path) -> None:
    with Sampler(ProfilerSettings(tmp_path, 100)):
        wait_for(tmp_path, 3)
    events = LocalSystemMetricsReader(str(tmp_path)).get_events(0, time.time() * 1e6, TimeUnits.MICROSECONDS)
    ours = read_profile(tmp_path)
    assert len(events) == sum(len(each.times) for each in ours.series)
    assert {(each.type, each.name, each.dimension, each.node_id) for each in events} == {
        (each.kind, each.name, each.dimension, each.node) for each in ours.series
    }
    assert ours.notes == ()
    cores = {each.name for each in ours.find("CPUUtilization")}
    assert cores == {f"cpu{number}" for number in os.sched_getaffinity(0)}
    assert {"MemoryUsedPercent", "IOPS", "ReceiveBytesPerSecond", "TransmitBytesPerSecond"} <= {e.name for e in events}
    assert all(0 <= value <= 100 for each in ours.series if each.kind in ("cpu", "memory") for value in each.values)


def test_samples_lie_in_the_file_of_their_minute_and_the_folder_of_its_hour(tmp_path: Path) -> None:
    writer = Writer(tmp_path, "algo-1")
    for now in (1591748109.2321954, 1591747199.9, 1591747200.0):
        writer.write(now, [Metric("cpu", "cpu5", "CPUUtilization", 1.36)])
    found = sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*.json"))
    assert found == [
        "system/incremental/2020060923/1591747140.algo-1.json",
        "system/incremental/2020061000/1591747200.algo-1.json",
        "system/incremental/2020061000/1591748100.algo-1.json",
    ]
    assert (tmp_path / found[2]).read_text() == (
        '{"Type":"cpu","Name":"cpu5","Dimension":"CPUUtilization","Value":1.36,"NodeId":"algo-1",'
        '"Timestamp":1591748109.2321954}\n'
    )


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that has started a sampler, with a child that holds on to every pipe; and the sampler's pid."""
    code = (
        "import os, sys, time; from pathlib import Path; from kennel.debugger.sampler import Sampler;"
        "from kennel.debugger.profiler_settings import ProfilerSettings;"
        f"sampler = Sampler(ProfilerSettings(Path({str(tmp_path)!r}), 100)); print(sampler.pid, flush=True);"
        "os.fork(); time.sleep(30)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    yield process, int(process.stdout.readline())
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_sampler_ends_when_the_training_is_killed(
    trainer: tuple[subprocess.Popen[bytes], int], number: signal.Signals, tmp_path: Path
) -> None:
    process, pid = trainer
    wait_for(tmp_path, 1)
    sampler = psutil.Process(pid)
    process.send_signal(number)
    sampler.wait(20)  # raises when it is still there
    assert not read_profile(tmp_path).notes


def test_a_sampler_that_cannot_write_ends_and_the_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "system").write_text("a file where a folder belongs")
    sampler = Sampler(ProfilerSettings(tmp_path, 100))
    assert sampler.pid is not None
    os.waitid(os.P_PID, sampler.pid, os.WEXITED | os.WNOWAIT)
    sampler.close()
    assert "gaps" in caplog.text
    sampler.close()  # once more is no error


def machine(root: Path, jiffies: tuple[int, int, int], sectors: int, received: int) -> None:
    """A machine of one core. jiffies: busy, idle, waiting."""
    first = min(os.sched_getaffinity(0))
    files = {
        "proc/stat": f"cpu  1 2 3\ncpu{first} {jiffies[0]} 0 0 {jiffies[1]} {jiffies[2]} 0 0 0 50 0\ncpu99 1\nintr 5\n",
        "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n",
        "proc/diskstats": f" 254 0 vda {sectors} 0 {sectors} 1 2 0 4 1 0 0\n"
        " 7 0 loop0 9 9 9 9 9 9 9 9 9\n 8 1 vda1 5 5 5 5 5 5 5 5 5\n",
        "proc/net/dev": f"a\nb\n    lo: 9 9 9 9 9 9 9 9 9 9\n  eth0:{received} 1 0 0 0 0 0 0 {2 * received} 1\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for disk in ("vda", "loop0", "dm-0"):
        (root / "sys/block" / disk).mkdir(parents=True, exist_ok=True)


def test_values_are_those_of_the_time_since_the_last_sample(tmp_path: Path) -> None:
    clock = iter([0.0, 0.0, 2.0])
    machine(tmp_path, (100, 100, 100), 10, 1000)
    readings = Readings(99, tmp_path, lambda: next(clock))
    machine(tmp_path, (150, 130, 120), 14, 5000)
    name = f"cpu{min(os.sched_getaffinity(0))}"
    assert readings.sample() == [
        Metric("cpu", name, "CPUUtilization", 70.0),  # 50 busy and 20 waiting of 100
        Metric("cpu", name, "I/OWaitPercentage", 20.0),
        Metric("memory", "MemoryUsedPercent", "", 75.0),
        Metric("i/o", "IOPS", "", 2.0),
        Metric("i/o", "ReadThroughputInBytesPerSecond", "", 1024.0),
        Metric("i/o", "WriteThroughputInBytesPerSecond", "", 0.0),
        Metric("network", "ReceiveBytesPerSecond", "Algorithm", 2000.0),
        Metric("network", "TransmitBytesPerSecond", "Algorithm", 4000.0),
    ]


def test_in_a_container_memory_is_a_share_of_its_limit_and_cores_are_its_quota(tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.fail("one core has no smaller quota")
    machine(tmp_path, (1, 1, 1), 1, 1)
    cgroup = tmp_path / "sys/fs/cgroup"
    cgroup.mkdir(parents=True)
    for name, text in {
        "memory.max": "512000", "memory.current": "384000", "memory.stat": "anon 1\ninactive_file 128000\n",
        "cpu.stat": "usage_usec 1000000\nuser_usec 5\n",
    }.items():  # fmt: skip
        (cgroup / name).write_text(text)
    clock = iter([0.0, 0.0, 2.0])
    readings = Readings(1, tmp_path, lambda: next(clock))
    (cgroup / "cpu.stat").write_text("usage_usec 2500000\n")
    found = {each.name: each.value for each in readings.sample()}
    assert found["MemoryUsedPercent"] == 50.0
    assert found["cpu0"] == 75.0


def test_counters_that_run_backwards_or_are_missing_leave_gaps(tmp_path: Path) -> None:
    readings = Readings(99, tmp_path / "nothing")
    assert [each for each in readings.sample() if each.type in ("cpu", "memory")] == []
    assert core_times("", ["cpu0"]) == {}
    assert memory_used("MemTotal: x kB\n", None) is None
    assert disk_totals("1 2 3\n", {"3"}) == (0, 0, 0)
    assert network_totals("") == (0, 0)


NVML = r"""
typedef struct { unsigned int gpu, memory; } use; typedef struct { unsigned long long total, free, used; } memory;
int nvmlInitWithFlags(unsigned int flags) { return 0; } int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned int *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int n, void **handle) { *handle = (void *)(unsigned long)(n + 1); return 0; }
int nvmlDeviceGetUtilizationRates(void *handle, use *out) { out->gpu = 42; return handle == (void *)2 ? 15 : 0; }
int nvmlDeviceGetMemoryInfo(void *handle, memory *out) { out->total = 400; out->used = 100; return 0; }
"""
"""A library in the place of NVIDIA's, of two GPUs, the second of which is lost: there is no GPU here."""


def test_gpus_are_read_by_nvidias_binding_and_a_lost_one_leaves_a_gap(tmp_path: Path) -> None:
    (tmp_path / "nvml.c").write_text(NVML)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "nvml.c")], check=True)
    found = subprocess.run(
        [sys.executable, "-c", "from kennel.debugger.readings import Gpus; print(Gpus().sample())"],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert found.strip() == str(
        [Metric("gpu", "gpu0", "GPUUtilization", 42.0), Metric("gpu", "gpu0", "GPUMemoryUtilization", 25.0)]
    )
