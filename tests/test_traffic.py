"""Traces: what a file may hold and what is refused in one line; shapes, and what a seed makes of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kennel.capacity import traffic
from kennel.capacity.traffic import Wanted, drawn, rates, read
from kennel.errors import DataError, SettingError


def written(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("minute,invocations\n0,3\n2,5\n", [3, 0, 5]),
        ("invocations, minute\n7,1\n", [0, 7]),
        ("0,3\n1,4\n", [3, 4]),
        ("# a note\n\nminute,invocations\n1,2\n1,3\n", [0, 5]),
        ("timestamp\n1700000040\n1700000059.5\n1700000100\n", [2, 1]),
        ("timestamp,invocations\n2026-11-24T10:00:00Z,4\n2026-11-24T10:01:30,6\n", [4, 6]),
        ("1700000100\n1700000040\n", [1, 1]),
    ],
)
def test_a_table_is_read_with_or_without_a_head(text: str, counts: list[int], tmp_path: Path) -> None:
    assert read(written(tmp_path, text)).counts.tolist() == counts


def test_json_lines_are_read_too(tmp_path: Path) -> None:
    rows = [{"minute": 1, "invocations": 4}, {"minute": 0, "invocations": 2, "note": "ignored"}]
    path = written(tmp_path, "\n".join(map(json.dumps, rows)), "trace.jsonl")
    assert read(path).counts.tolist() == [2, 4]
    path = written(tmp_path, '{"timestamp": "2026-11-24T10:00:59+00:00"}\n{"timestamp": 1795514460}\n', "t.jsonl")
    assert read(path).counts.tolist()[0] == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "", "no line with a number"),
        ("t.csv", "minute,invocations\n0\n", "line 2 has 1 columns instead of 2"),
        ("t.csv", "minute,invocations\n0,-1\n", "line 2: invocations is not a whole number"),
        ("t.csv", "minute,invocations\n0,1.5\n", "invocations is not a whole number"),
        ("t.csv", "minute,invocations\n0,nan\n", "invocations is not a whole number"),
        ("t.csv", "minute,invocations\n0,1e300\n", "invocations is not a whole number"),
        ("t.csv", "minute,invocations\n1e9,1\n", "minute is not a whole number"),
        ("t.csv", "minute,count\n0,1\n", "invocations is not a whole number"),
        ("t.csv", "timestamp\nyesterday\n", "timestamp is neither"),
        ("t.csv", "timestamp\n0\n99999999999\n", "spans more than"),
        ("t.csv", "minute,invocations\n0,1000000\n0,1\n", "more than 1000000 requests in a minute"),
        ("t.csv", "0," + "1" * 2000, "longer than 1000"),
        ("t.jsonl", "{", "line 1 is not JSON"),
        ("t.jsonl", "[1]", "line 1 is not a JSON object"),
        ("t.jsonl", '{"minute": true, "invocations": 1}', "minute is not a whole number"),
        ("t.jsonl", '{"minute": 0, "invocations": null}', "invocations is not a whole number"),
        ("t.jsonl", '{"timestamp": [], "invocations": 1}', "timestamp is neither"),
        ("t.jsonl", f'{{"timestamp": {"9" * 400}}}', "timestamp is neither"),
        ("t.jsonl", f'{{"minute": {"9" * 400}, "invocations": 1}}', "minute is not a whole number"),
        ("t.jsonl", f'{{"minute": 0, "invocations": {"9" * 400}}}', "invocations is not a whole number"),
        ("t.jsonl", "[" * 900, "line 1 is not JSON"),
    ],
)
def test_what_is_no_trace_is_told_in_one_line(name: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read(written(tmp_path, text, name))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read(tmp_path / "nowhere.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not text"):
        read(tmp_path / "bytes.csv")
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(traffic.MOST_BYTES + 1)
    with pytest.raises(DataError, match="larger than 64 MB"):
        read(tmp_path / "large.csv")


def test_what_never_ends_or_never_begins_is_no_trace(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", Path("/dev/zero"), tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            read(path)


@given(st.text(max_size=200))
def test_no_text_gets_past_with_anything_but_an_error_of_ours(text: str) -> None:
    for rows in (traffic._of_csv(text.splitlines()), traffic._of_json(text.splitlines())):
        try:
            counts = traffic._gathered(rows)
        except ValueError:
            continue
        assert (counts >= 0).all()
        assert len(counts) <= traffic.MOST_MINUTES


def test_shapes_have_their_base_and_their_peak_where_they_should() -> None:
    spike = rates(Wanted("spike", 10, 200, start=30, length=10, minutes=60))
    assert spike[29:41].tolist() == [10] + [200] * 10 + [10]
    assert rates(Wanted("steady", 7, 9, minutes=3)).tolist() == [7, 7, 7]
    ramp = rates(Wanted("ramp", 0, 100, start=10, length=10, minutes=30))
    assert ramp[[10, 15, 20, 29]].tolist() == [0, 50, 100, 100]
    day = rates(Wanted("day", 10, 110, minutes=1440))
    assert [round(float(day[hour * 60])) for hour in (0, 6, 12, 18)] == [10, 60, 110, 60]
    on_off = rates(Wanted("on-off", 1, 5, length=2, period=4, minutes=8))
    assert on_off.tolist() == [5, 5, 1, 1, 5, 5, 1, 1]


def test_a_seed_is_a_trace_and_another_is_another() -> None:
    wanted = Wanted("spike", minutes=600)
    assert (drawn(wanted, 1).counts == drawn(wanted, 1).counts).all()
    assert (drawn(wanted, 1).counts != drawn(wanted, 2).counts).any()


def test_what_comes_is_poisson_around_the_rate() -> None:
    counts = drawn(Wanted("steady", base=40, minutes=20_000), 3).counts
    assert counts.mean() == pytest.approx(40, rel=0.02)
    assert counts.var() == pytest.approx(40, rel=0.05)
    assert np.issubdtype(counts.dtype, np.int64)


@pytest.mark.parametrize(
    "wrong",
    [{"minutes": 0}, {"base": -1}, {"peak": 1e9}, {"start": -1}, {"minutes": 10**9}, {"shape": "on-off", "period": 0}],
)
def test_shapes_beyond_their_bounds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        Wanted(**wrong)  # type: ignore[arg-type]
