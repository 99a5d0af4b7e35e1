"""Reading profiles: recorded ones of AWS's form, while they grow, and hostile ones."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kennel.debugger.profile import MOST_SERIES, ProfileReader, read_profile
from kennel.debugger.utilisation import activity, samples, stretches
from kennel.errors import DataError
from profiles import START, line, profile, steps, write_lines

RECORDED = [
    ("memory", "MemoryUsedPercent", "", 6.18, 0.508406),
    ("i/o", "IOPS", "", 0.0, 1.008990),
    ("cpu", "cpu0", "CPUUtilization", 98.0, 1.009090),
    ("cpu", "cpu0", "I/OWaitPercentage", 14.0, 1.009090),
    ("cpu", "cpu1", "CPUUtilization", 89.58, 1.009090),
    ("network", "ReceiveBytesPerSecond", "Algorithm", 0.0, 1.013693),
    ("network", "ReceiveBytesPerSecond", "Platform", 66775126.66, 1.013693),
    ("cpu", "cpu0", "CPUUtilization", 98.04, 1.508563),
]
"""First values of a training on an ml.m5.large that somebody published: the agent takes each kind at its own time."""


def test_a_profile_recorded_on_aws_is_read(tmp_path: Path) -> None:
    lines = [
        line(value, name, START + at, Type=kind, Dimension=dimension) for kind, name, dimension, value, at in RECORDED
    ]
    write_lines(tmp_path / "profiler-output", lines)
    found = read_profile(tmp_path)
    assert found.notes == ()
    assert found.nodes == ["algo-1"]
    (core,) = found.find("CPUUtilization", "cpu0")
    assert list(core.values) == [98.0, 98.04]
    assert {each.dimension for each in found.series if each.kind == "network"} == {"Algorithm", "Platform"}


def test_values_of_one_moment_are_one_sample_though_taken_at_different_times(tmp_path: Path) -> None:
    write_lines(
        tmp_path,
        [
            line(91.0, "cpu0", START + 1.000), line(5.0, "gpu0", START + 1.019),
            line(92.0, "cpu0", START + 1.500), line(6.0, "gpu0", START + 1.521),
        ],
    )  # fmt: skip
    found = samples(read_profile(tmp_path), "algo-1")
    assert list(found.times) == [START + 1.0, START + 1.5, START + 1.521]
    assert [f"{value:g}" for value in found.cpu[:, 0]] == ["91", "92", "nan"]
    assert [f"{value:g}" for value in found.gpu[:, 0]] == ["5", "nan", "6"]


def test_cores_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_lines(tmp_path, [line(1, name) for name in ("cpu10", "cpu2", "cpu1", "gpu3", "cpu12")])
    found = [each.name for each in read_profile(tmp_path).find("CPUUtilization")]
    assert found == ["cpu1", "cpu2", "cpu10", "cpu12"]


def test_a_half_written_last_line_is_a_gap_until_its_end_is_there(tmp_path: Path) -> None:
    path = write_lines(tmp_path, [line(1.0)])
    reader = ProfileReader(tmp_path)
    with path.open("a") as file:
        file.write(line(2.0)[:40])
    (core,) = reader.read().series
    assert list(core.values) == [1.0]
    with path.open("a") as file:
        file.write(line(2.0)[40:] + "\n" + line(3.0) + "\n")
    (core,) = reader.read().series
    assert list(core.values) == [1.0, 2.0, 3.0]
    assert reader.read().notes == ()


@pytest.mark.parametrize(
    "bad",
    [
        line("NaN"), line(True), line(None), line([1]), line("x"), '{"Value": NaN}', line(float("nan")),
        line(float("inf")), line(1, at=float("nan")), line(1, at=-5), line(1, at=1e300), line(10**400), "{}", "[]", "7",
        '"x"', "{", "\x00\x00",
        line(1, Dimension=7), line(1, NodeId=None), line(1, Type=[]), "[" * 900, line(1, Name="n" * 2000), "é" * 400,
        '{"Value": 1e999, "Type": "cpu"}',
    ],
)  # fmt: skip
def test_what_is_no_metric_is_left_out_and_said(tmp_path: Path, bad: str) -> None:
    write_lines(tmp_path, [line(1.0), bad, line(2.0)])
    found = read_profile(tmp_path)
    assert [list(each.values) for each in found.series] == [[1.0, 2.0]]
    assert len(found.notes) == 1
    assert found.notes[0].startswith("Left out")


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_a_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("profile")
    write_lines(folder, []).write_bytes(content + b"\n" + line(1.0).encode() + b"\n")
    timeline = folder / "framework/pevents/2020061000" / "1_1-algo-1_pythontimeline.json"
    timeline.parent.mkdir(parents=True)
    timeline.write_bytes(content)
    assert 1.0 in [value for each in read_profile(folder).series for value in each.values]


def test_foreign_files_links_and_pipes_are_not_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path, [line(1.0)])
    secret = tmp_path / "secret"
    secret.write_text(line(2.0) + "\n")
    (path.parent / "1591748160.algo-1.json").symlink_to(secret)
    os.mkfifo(path.parent / "1591748220.algo-1.json")
    (path.parent / "notes.json").write_text(line(3.0) + "\n")
    (tmp_path / "system/incremental/link").symlink_to(path.parent)
    found = read_profile(tmp_path)
    assert [list(each.values) for each in found.series] == [[1.0]]
    assert found.notes == ("Left out: files that cannot be read.",)


def test_folders_without_end_are_not_followed(tmp_path: Path) -> None:
    """Deeper than Python's stack: made step by step, as no path is that long."""
    write_lines(tmp_path, [line(1.0)])
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert len(read_profile(tmp_path).series) == 1
    subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)  # pytest's own clean-up would not come to an end


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    for minute in range(5):
        write_lines(tmp_path, [line(1.0, at=START + 60 * minute)] * 10, int(START) + 60 * minute)
    size = len(line(1.0)) + 1
    found = ProfileReader(tmp_path, most_bytes=25 * size).read()
    assert len(found.series[0].values) == 30  # whole files, until the one that goes beyond
    assert "beyond" in found.notes[0]


def test_a_line_without_an_end_is_passed_over(tmp_path: Path) -> None:
    write_lines(tmp_path, []).write_bytes(b"x" * 5000)
    reader = ProfileReader(tmp_path)
    assert reader.read().series == ()
    assert "longer" in reader.read().notes[0]


def test_metrics_without_number_are_bounded(tmp_path: Path) -> None:
    write_lines(tmp_path, [line(1.0, f"cpu{number}") for number in range(MOST_SERIES + 5)])
    found = read_profile(tmp_path)
    assert len(found.series) == MOST_SERIES
    assert found.notes == (f"Left out: 5 values of metrics beyond the first {MOST_SERIES}.",)


def test_an_empty_folder_is_an_empty_profile_and_none_is_an_error(tmp_path: Path) -> None:
    found = read_profile(tmp_path)
    assert (found.series, found.steps, found.notes, found.nodes) == ((), (), (), [])
    assert len(samples(found, "algo-1").times) == 0
    with pytest.raises(DataError, match="no folder"):
        read_profile(tmp_path / "missing")


def timeline(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "framework/pevents/2020061000" / "1591748160000000_7-algo-1_pythontimeline.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


HEAD = {"name": "process_name", "ph": "M", "pid": 0, "args": {"start_time_since_epoch_in_micros": START * 1e6}}
STEP = {"name": "Step:ModeKeys.TRAIN", "pid": 1, "ph": "X", "ts": 5e5, "dur": 100}


def test_a_timeline_whose_end_is_not_written_yet_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    good = {**STEP, "args": {"step_num": "4", "steps": 1, "waiting_us": 40, "computing_us": 60}}
    timeline(tmp_path, f"[\n{json.dumps(HEAD)},\n{json.dumps(good)},\n{json.dumps(good)[:30]}")
    (found,) = read_profile(tmp_path).steps
    assert (list(found.begun), list(found.waiting), list(found.first)) == ([START + 0.5], [4e-5], [4.0])


@pytest.mark.parametrize(
    "about",
    [
        None, 7, {}, {"step_num": "x", "steps": 1, "waiting_us": 1}, {"step_num": "1", "steps": 0, "waiting_us": 1},
        {"step_num": "1", "steps": 1, "waiting_us": 1},
        {"step_num": "1", "steps": 1, "waiting_us": -1, "computing_us": 1},
        {"step_num": "1", "steps": 1, "waiting_us": float("nan"), "computing_us": 1},
        {"step_num": "1", "steps": 1, "waiting_us": 5000, "computing_us": 1},
    ],
)  # fmt: skip
def test_steps_that_cannot_be_are_left_out(tmp_path: Path, about: object) -> None:
    timeline(tmp_path, json.dumps([HEAD, {**STEP, "args": about}, 5, None, {"args": []}]))
    assert read_profile(tmp_path).steps == ()


def test_a_timeline_that_is_no_json_is_said(tmp_path: Path) -> None:
    timeline(tmp_path, "nonsense")
    assert read_profile(tmp_path).notes == ("Left out: step files that are no JSON.",)


def test_what_the_loop_did_is_laid_beside_each_sample() -> None:
    given = {"cpu0": [50.0] * 4}
    found = profile(given, [steps(0.375, count=2), steps(0.0, count=1, phase="valid", begun=START + 1)])
    at = samples(found, "algo-1")
    did = activity(found, at)
    assert did is not None
    assert list(did.waiting) == pytest.approx([0.75, 0.75, 0, 0], abs=1e-6)
    assert list(did.training) == pytest.approx([0.25, 0.25, 0, 0], abs=1e-6)
    assert list(did.validating) == pytest.approx([0, 0, 1, 0], abs=1e-6)
    assert list(did.outside) == pytest.approx([0, 0, 0, 1], abs=1e-6)
    assert activity(profile(given), at) is None


def test_stretches_are_runs_of_samples_and_a_gap_is_not_filled() -> None:
    at = samples(profile({"cpu0": [1.0] * 6}), "algo-1")
    found = stretches(at, at.cpu[:, 0] > 0)
    assert found == [(START, START + 3.0)]
    mask = at.times > START + 2.0
    assert stretches(at, mask) == [(START + 2.0, START + 3.0)]
    assert stretches(at, mask & ~mask) == []
