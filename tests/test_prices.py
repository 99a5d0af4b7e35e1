"""Prices are dated and known or unknown, never guessed; estimates add up."""

from dataclasses import replace
from datetime import date

import pytest

from kennel.cloud.prices import Prices, Region, estimate, load, usd
from kennel.comparison.costs import HOURS_A_MONTH
from kennel.settings import Settings, parse

HERE = Region({"ml.g4dn.xlarge": 1.0, "ml.m5.large": 0.1}, 0.73, 0.02, 0.001 / 3600)
MADE = Prices("2026-11-01", {"us-east-1": HERE})


def test_the_file_of_prices_is_whole_and_dated() -> None:
    prices = load()
    assert date.fromisoformat(prices.as_of) <= date.today()  # noqa: DTZ011
    assert {"us-east-1", "us-west-2", "eu-west-1", "eu-central-1"} <= prices.regions.keys()
    for region in prices.regions.values():
        assert all(0.01 < price < 100 for price in region.instances.values())
    assert prices.hourly("us-east-1", "ml.g4dn.xlarge") == 0.7364
    assert prices.hourly("us-east-1", "ml.m5.large") == 0.115
    assert prices.hourly("eu-west-1", "ml.g4dn.xlarge") == 0.822


def test_the_defaults_can_be_estimated_in_the_default_region() -> None:
    made = estimate(Settings(), "aws", load())
    assert made.most is not None
    assert 5 < made.most < 10
    assert made.per_hour == pytest.approx(0.115 + 3 * 0.5 * 3600 * 0.0000041667)
    assert made.per_month == pytest.approx((made.per_hour or 0) * HOURS_A_MONTH)


def test_an_estimate_adds_up() -> None:
    settings = parse({"tuning": {"jobs": 3}, "training": {"max_runtime_s": 7200}})
    made = estimate(settings, "aws", MADE)
    assert [line.what for line in made.lines] == ["features job", "tuning job", "training job", "endpoint", "function"]
    assert [line.most for line in made.lines] == [2.0, 6.0, 2.0, 0.0, 0.0]
    assert [line.expected for line in made.lines] == pytest.approx([10 / 60, 3 * 4 / 60, 6 / 60, 0.0, 0.0])
    assert made.most == 10.0
    assert made.per_hour == pytest.approx(0.1 + 3 * 0.5 * 0.001)
    assert made.as_of == "2026-11-01"


def test_a_job_is_never_expected_to_cost_more_than_it_may() -> None:
    made = estimate(parse({"training": {"max_runtime_s": 60}}), "aws", MADE)
    for line in made.lines:
        assert line.expected is not None
        assert line.most is not None
        assert line.expected <= line.most


def test_a_volume_counts_where_the_instance_has_no_disk_of_its_own() -> None:
    settings = parse({"training": {"instance_type": "ml.m5.large", "volume_gb": 100, "instances": 2}})
    made = estimate(settings, "aws", MADE)
    assert made.lines[0].most == pytest.approx(2 * (0.1 + 100 * 0.73 / HOURS_A_MONTH))


def test_an_unknown_price_is_unknown_and_so_is_the_sum() -> None:
    for settings in (
        parse({"region": "ap-south-1"}),
        parse({"region": "eu-central-1"}),
        parse({"training": {"instance_type": "ml.p5.48xlarge"}}),
    ):
        made = estimate(settings, "aws", load())
        assert made.expected is made.most is None
        assert made.table()[-1][:3] == ("total", "", "unknown")


def test_spot_is_named_and_not_counted() -> None:
    plain, spot = (estimate(parse({"training": {"spot": spot}}), "aws", MADE) for spot in (False, True))
    assert plain.most == spot.most
    assert any("70–90 %" in note for note in spot.notes)
    assert not any("spot" in note for note in plain.notes)


def test_fine_tuning_has_no_features_job_and_takes_longer() -> None:
    once, fine = (estimate(parse({"tuning": {"features_once": way}}), "aws", MADE) for way in (True, False))
    assert [line.what for line in fine.lines] == ["tuning job", "training job", "endpoint", "function"]
    assert (fine.expected or 0) > (once.expected or 0)


def test_on_this_machine_nothing_is_billed() -> None:
    made = estimate(Settings(region="ap-south-1"), "local", load())
    assert made.expected == made.most == made.per_hour == 0
    assert made.notes == ("local: nothing is billed",)


def test_the_table_has_a_head_rows_and_a_sum() -> None:
    table = estimate(Settings(), "aws", MADE).table()
    assert len(table) == 7
    assert table[1] == ("features job", "ml.g4dn.xlarge, 10 min each, 60 at most", "0.167 USD", "1.00 USD", "0 USD")
    assert table[4][1] == "1–3 × ml.m5.large until it is deleted, 73.00–219.00 USD a month"
    assert table[4][4] == "0.100–0.300 USD"
    assert table[5][1] == "3 × 512 MB provisioned until it is deleted, 1.09 USD a month"


@pytest.mark.parametrize(
    ("amount", "text"), [(None, "unknown"), (0.0, "0 USD"), (0.115, "0.115 USD"), (7.364, "7.36 USD")]
)
def test_amounts_are_written_alike(amount: float | None, text: str) -> None:
    assert usd(amount) == text


@pytest.mark.parametrize(
    ("scaling", "detail", "hour"),
    [
        ({"enabled": False}, "2 × ml.m5.large", "0.200 USD"),
        ({"min": 2, "max": 2}, "2 × ml.m5.large", "0.200 USD"),
        ({"max": 12}, "1–12 × ml.m5.large", "0.100–1.20 USD"),
        ({"actions": [{"name": "fair", "schedule": "rate(1 day)", "max": 5}]}, "1–5 × ml.m5.large", "0.100–0.500 USD"),
    ],
)
def test_what_scaling_may_cost_is_a_range(scaling: dict[str, object], detail: str, hour: str) -> None:
    made = estimate(parse({"scaling": scaling, "endpoint": {"instances": 2}}), "aws", MADE)
    line = next(each for each in made.table() if each[0] == "endpoint")
    assert line[1].startswith(f"{detail} until")
    assert line[4] == hour
    assert made.more == pytest.approx(made.lines[-2].more)


def test_without_provisioned_concurrency_a_function_costs_nothing_while_idle() -> None:
    made = estimate(parse({"function": {"provisioned": 0}}), "aws", replace(MADE, regions={"us-east-1": Region({})}))
    assert (made.lines[-1].what, made.lines[-1].per_hour) == ("function", 0.0)


def test_a_price_may_be_replaced_without_touching_the_rest() -> None:
    dearer = replace(MADE, regions={"us-east-1": Region({"ml.g4dn.xlarge": 2.0, "ml.m5.large": 0.1})})
    assert estimate(Settings(), "aws", dearer).most == 2 * (estimate(Settings(), "aws", MADE).most or 0)
