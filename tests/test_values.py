"""Small values: metrics and their regexes, hyperparameters, the contract, the machine, progress."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kennel import metrics
from kennel.contract import Contract
from kennel.errors import SettingError
from kennel.hyperparameters import Hyperparameters, from_assignments, parse
from kennel.machine import cores
from kennel.progress import Printer, Progress


@given(st.floats(allow_nan=True, allow_infinity=True, width=32), st.sampled_from(metrics.ALL), st.integers(1, 1000))
def test_a_metrics_line_is_read_back_by_its_regex(value: float, metric: metrics.Metric, epoch: int) -> None:
    read = metric.read(metric.line(value, epoch))
    assert len(read) == 1
    assert read[0] == pytest.approx(value, abs=1e-6) or (math.isnan(value) and math.isnan(read[0]))


def test_no_metric_reads_another_metrics_line() -> None:
    for one in metrics.ALL:
        assert [other.name for other in metrics.ALL if other.read(one.line(0.5, 1))] == [one.name]


def test_regexes_fit_into_sagemakers_limits() -> None:
    assert len(metrics.ALL) <= 40
    assert all(len(metric.regex) <= 500 and re.compile(metric.regex).groups == 1 for metric in metrics.ALL)


def test_hyperparameters_come_as_strings_and_are_typed() -> None:
    values = parse({"learning_rate": "0.01", "batch_size": "128", "trainable": "layer4"})
    assert (values.learning_rate, values.batch_size, values.trainable) == (0.01, 128, "layer4")
    assert parse({}) == Hyperparameters()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learning_rate": "0"}, "learning_rate"),
        ({"learning_rate": "nan"}, "learning_rate"),
        ({"batch_size": "12.5"}, "batch_size"),
        ({"epochs": "-1"}, "epochs"),
        ({"views": "11"}, "views"),
        ({"optimizer": "lion"}, "optimizer"),
        ({"learningrate": "0.1"}, "unknown hyperparameter 'learningrate'"),
    ],
)
def test_hyperparameters_out_of_range_are_refused_in_one_line(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingError, match=said) as error:
        parse(given)
    assert "\n" not in str(error.value)
    assert error.value.remedy


def test_assignments_are_names_and_values() -> None:
    assert from_assignments(["epochs=3", "optimizer = sgd"]) == {"epochs": "3", "optimizer": "sgd"}


def test_the_contract_moves_with_its_root(tmp_path: Path) -> None:
    moved = Contract.from_environment({"SAGEMAKER_BASE_DIR": str(tmp_path)})
    assert Contract.from_environment({}).model == Path("/opt/ml/model")
    assert moved.data == tmp_path / "input/data"
    assert moved.failure == tmp_path / "output/failure"


def test_sagemakers_own_hyperparameters_are_left_out(tmp_path: Path) -> None:
    config = tmp_path / "input/config"
    config.mkdir(parents=True)
    text = '{"epochs": "3", "sagemaker_region": "x", "_tuning_objective_metric": "valid:loss"}'
    (config / "hyperparameters.json").write_text(text)
    assert Contract(tmp_path).hyperparameters() == {"epochs": "3"}


@pytest.mark.parametrize("text", ["[1]", "{", "3"])
def test_a_configuration_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "input/config").mkdir(parents=True)
    (tmp_path / "input/config/hyperparameters.json").write_text(text)
    with pytest.raises(SettingError, match="not"):
        Contract(tmp_path).hyperparameters()


@pytest.mark.parametrize(
    ("text", "expected"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("", None)]
)
def test_cores_are_bounded_by_the_containers_quota(tmp_path: Path, text: str, expected: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cores(tmp_path) == (expected or cores(tmp_path / "missing"))


def test_a_quota_of_the_older_cgroups_counts_too(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    for quota, expected in (("-1", cores(tmp_path / "missing")), ("50000", 1)):
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota)
        assert cores(tmp_path) == expected


def test_progress_remembers_each_steps_seconds_and_tells_tenths() -> None:
    lines: list[str] = []
    times = iter([0.0, 3.0, 10.0, 11.5])
    progress = Progress(Printer(lines.append), clock=lambda: next(times))
    with progress.step("features", 20) as advance:
        for _ in range(20):
            advance(1)
    with progress.step("write"):
        pass
    assert progress.seconds == {"features": 3.0, "write": 1.5}
    assert lines.count("features: 10 of 20") == 1
    assert len([line for line in lines if line.startswith("features: ")]) == 11


@pytest.mark.parametrize(
    ("total", "said"), [(24_000_000, "upload: 3.1 of 24.0 MB"), (24_000, "upload: 3.1 of 24.0 kB")]
)
def test_bytes_are_told_in_megabytes_or_kilobytes(total: int, said: str) -> None:
    lines: list[str] = []
    with Progress(Printer(lines.append)).step("upload", total, "bytes") as advance:
        advance(total * 31 // 240)
    assert said in lines
