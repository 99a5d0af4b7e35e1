"""The comparison's page and command: what a stranger must find there, and what is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kennel.cloud import prices
from kennel.comparison.artifacts import Apart
from kennel.comparison.compared import Comparison
from kennel.comparison.recorded import Made, Point, Recorded, Use, Utilisation, written
from kennel.reports.comparison import page
from kennel.settings import Settings, parse
from kennel.workflow.both_ways import estimate, with_spot
from recordings import BOOK, DAY, IMAGE, managed, own

MADE = Made(
    files={"model.json": "a" * 64, "network.safetensors": "b" * 64},
    head="c" * 64,
    labels=133,
    pictures=850,
    accuracy=0.892,
    top5_accuracy=0.994,
    engines={"float32": 0.892, "int8": 0.889},
    best_epoch=17,
)
BUSY = Utilisation(
    samples=3,
    seconds=3,
    cores=4,
    gpus=1,
    cpu=Use(mean=41, p95=88),
    before_loop=100,
    series=tuple(Point(at=n, cpu=10 * n, gpu=90, memory=30) for n in range(1, 4)),
)


def compared(one: Recorded | None = None, other: Recorded | None = None, **members: Any) -> Comparison:
    told = {"artifact": MADE, "utilisation": BUSY}
    given: dict[str, Any] = {"book": BOOK, "apart": Apart(same="files"), **members}
    first, second = one or managed().model_copy(update=told), other or own().model_copy(update=told)
    return Comparison(made=DAY, sagemaker=first, ec2=second, **given)


class Reader(HTMLParser):
    """Text, the headers of tables, and what is said of pictures."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[int] = []
        self.labels: list[str] = []
        self.text = ""
        self.scripts = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "table":
            self.tables.append(0)
        if tag == "th" and self.tables:
            assert found.get("scope") in ("row", "col")
            self.tables[-1] += 1
        if found.get("role") == "img":
            self.labels.append(found.get("aria-label") or "")
        self.scripts += tag == "script"

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"

    @property
    def plain(self) -> str:
        return re.sub(r"\s+", " ", self.text)


def test_a_stranger_finds_the_answer_first() -> None:
    found = Reader(page(compared())).plain
    assert "Both made the same artifact, bit for bit." in found
    assert "By hand costs 0.64 times SageMaker's price on demand: 0.0663 USD against 0.1040 USD." in found
    assert found.index("bit for bit") < found.index("Where the time went")
    assert "Not the same training" not in found


def test_it_says_no_more_than_is_true() -> None:
    unknown = Reader(page(compared(apart=None, missing="kennel-ec2-1 left no artifact"))).plain
    assert "is not known: kennel-ec2-1 left no artifact" in unknown
    assert "bit for bit" not in unknown
    apart = Apart(same="no", differ=("network.safetensors",), weight=0.0125, bias=0.5, accuracy=0.01)
    differ = Reader(page(compared(apart=apart))).plain
    assert "The artifacts differ: the head's weights by up to 0.0125, test accuracy by 1.00 points." in differ
    head = Reader(page(compared(apart=Apart(same="head", differ=("model.json",))))).plain
    assert "Both trained the same head, bit for bit; model.json differ." in head
    poor = Reader(page(compared(other=own().model_copy(update={"region": "mars-1"})))).plain
    assert "The prices cannot be compared: no price of g4dn.xlarge in mars-1 is known." in poor


def test_what_was_measured_here_is_said_to_be_and_nothing_was_billed() -> None:
    local = [each.model_copy(update={"side": "local"}) for each in (managed(), own())]
    found = Reader(page(compared(*local))).plain
    assert "By hand would cost" in found
    assert "measured on this machine, not on AWS" in found
    assert "nothing was billed here" in found
    assert "By hand costs" not in found


def test_inputs_that_differ_are_said_at_the_head_and_loudly() -> None:
    other = own(image=IMAGE.replace("a" * 64, "b" * 64), hyperparameters={"epochs": "5"})
    html = page(compared(other=other))
    assert html.index('role="alert"') < html.index('class="answer"')
    assert "Not the same training" in Reader(html).plain
    assert "The same training twice" not in html


def test_tables_have_headers_pictures_have_words_and_nothing_is_fetched() -> None:
    html = page(compared(book=prices.load().book()))
    found = Reader(html)
    assert len(found.tables) >= 8
    assert all(found.tables)
    assert len(found.labels) == 2
    assert "SageMaker: provision 100 s" in found.labels[0]
    assert found.scripts == 0
    assert not re.search(r'(src|href)="http', html)


def test_every_price_is_dated_and_estimates_are_marked() -> None:
    found = Reader(page(compared(book=prices.load().book()))).plain
    assert "one look at a price that moves" in found
    assert "2025-09 to 2026-11" in found
    assert "A tuning job of 8 trainings estimate" in found
    assert "more whose time was not measured: the price of an hour only" in found


def test_facts_come_with_their_evidence() -> None:
    found = Reader(page(compared())).plain
    assert "network isolation yes EnableNetworkIsolation" in found
    assert "seconds that are not billed 100 begun, ended, billed_seconds" in found
    assert "profiler yes utilisation: 3 samples" in found


def test_whatever_a_machine_tells_is_only_text() -> None:
    bad = "<script>alert(1)</script>"
    html = page(compared(other=own(hyperparameters={bad: bad}, data=f"s3://dogs/{bad}/", reason=bad, state="Failed")))
    assert bad not in html
    assert Reader(html).scripts == 0


def test_records_that_tell_next_to_nothing_have_a_page_too() -> None:
    bare = managed(SecondaryStatusTransitions=[], CreationTime=None, TrainingEndTime=None, BillableTimeInSeconds=None)
    silent = own(phases=[], ended="", machine={"instance_id": ""}).model_copy(update={"billed_seconds": None})
    html = page(compared(bare, silent, apart=None))
    assert "Neither run has a profile" in html
    assert "No phases were told" in html


def test_both_ways_are_estimated_at_their_limits_before_anything_starts() -> None:
    found = estimate(parse({"ec2": {"volume_gb": 73, "max_runtime_s": 7200}}), "aws", prices.load())
    amounts = [each.most for each in found.lines]
    assert amounts == [pytest.approx(0.7364), pytest.approx((7200 + 600) / 3600 * (0.526 + 73 * 0.08 / 730 + 0.005))]
    cpu = parse({"training": {"instance_type": "ml.m5.xlarge", "volume_gb": 73}})  # no disk of its own
    assert estimate(cpu, "aws", prices.load()).lines[0].most == pytest.approx(0.23 + 73 * 0.14 / 730)
    assert "launched again" in estimate(with_spot(cpu), "aws", prices.load()).notes[-1]
    assert estimate(parse({"region": "ap-south-1"}), "aws", prices.load()).most is None
    assert estimate(Settings(), "local", prices.load()).most == 0.0


def test_spot_is_asked_for_both_ways_or_for_none() -> None:
    found = with_spot(parse({"training": {"max_runtime_s": 9000}}))
    assert found.training.spot
    assert found.ec2.spot
    assert found.training.max_wait_s == 9000


# --- the command ----------------------------------------------------------------------------------------------------


def kennel(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "kennel"), "compare", *arguments]
    environment = os.environ | {"COLUMNS": "160", "NO_COLOR": "1", "KENNEL_LOCAL_HOME": str(folder / "home")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_recorded_comparison_is_shown_again_without_any_side(tmp_path: Path) -> None:
    (tmp_path / "made.json").write_bytes(written(compared()))
    done = kennel(tmp_path, "show", "made.json", "--out", "shown")
    assert done.returncode == 0, done.stderr
    assert "Both made the same artifact, bit for bit." in done.stdout
    assert "0.0663 USD" in done.stdout
    assert {each.name for each in (tmp_path / "shown").iterdir()} == {
        "comparison.html", "comparison.json", "sagemaker.json", "ec2.json"}  # fmt: skip
    assert (tmp_path / "shown/comparison.json").read_bytes() == (tmp_path / "made.json").read_bytes()
    again = kennel(tmp_path, "show", "shown/comparison.json", "--json")
    assert json.loads(again.stdout)["sagemaker"]["name"] == "kennel-train-1a2b3c4d"


def test_two_that_were_not_given_the_same_are_refused_unless_wanted(tmp_path: Path) -> None:
    (tmp_path / "made.json").write_bytes(written(compared(other=own(hyperparameters={"epochs": "5"}))))
    done = kennel(tmp_path, "show", "made.json")
    assert done.returncode == 1
    assert done.stderr.startswith("NOT THE SAME epochs: 20 · 5")
    assert "--anyway" in done.stderr
    assert kennel(tmp_path, "show", "made.json", "--anyway").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "a comparison needs two"),
        (["one"], "a comparison needs two"),
        (["show", "missing.json"], "cannot be read"),
        (["show", "bad.json"], "this is not a comparison"),
        (["a", "b", "--data", "."], "--data makes both itself"),
        (["a", "b", "--spot"], "are for what is trained now"),
        (["a", "b", "--keep"], "are for what is trained now"),
        (["a", "b"], "no local AWS is running"),
    ],
)
def test_a_users_error_is_one_line_with_a_remedy(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "bad.json").write_text('{"version": 1}')
    done = kennel(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
