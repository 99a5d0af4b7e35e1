"""What the work costs, before it starts: a dated file of prices, and an estimate from settings. Pure but for the file.

`ml.` prices are SageMaker's on-demand ones, the same for training and hosting; the others are EC2's. An estimate is
without taxes, free tier, spot's discount, requests and transfers (cents at this size). A price that is not known is
never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Literal

from kennel.cloud.tuning import trial_count
from kennel.comparison.costs import HOURS_A_MONTH, OWN_DISK, Book, Market, Offer, Source
from kennel.settings import Settings, Training

UNKNOWN = "unknown"
TRAININGS = ("instances", "ec2", "spot", "volume_gb_month", "gp3_gb_month", "ipv4_hour")
"""The prices that a training is reckoned by."""
FEATURES_MINUTES = 10.0
TRIAL_MINUTES = {True: 4.0, False: 20.0}
"""By tuning.features_once: heads on features that are there, or fine-tuning through the network."""
TRAINING_MINUTES = {True: 6.0, False: 25.0}
"""Assumed for some 10 000 pictures on an ml.g4dn.xlarge, download and upload included; printed with the estimate."""


@dataclass(frozen=True, slots=True)
class Region:
    """USD: an hour of an instance by its type; a gigabyte and month of a job's volume, of the bucket; a gigabyte and
    second of a function's provisioned concurrency; an hour of an EC2 instance, on demand and as it once was on spot; a
    gigabyte and month of its disk, an hour of its public address."""

    instances: Mapping[str, float]
    volume_gb_month: float | None = None
    bucket_gb_month: float | None = None
    provisioned_gb_s: float | None = None
    ec2: Mapping[str, float] = field(default_factory=dict)
    spot: Mapping[str, float] = field(default_factory=dict)
    gp3_gb_month: float | None = None
    ipv4_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """as_of: the day they were gathered; sources: by a region's member, where they come from and of when they are."""

    as_of: str
    regions: Mapping[str, Region]
    sources: Mapping[str, Source] = field(default_factory=dict)

    def hourly(self, region: str, instance_type: str) -> float | None:
        """USD for an hour of one instance, on demand: SageMaker's (`ml.…`) or EC2's; None where it is not known."""
        found = self.regions.get(region)
        if found is None:
            return None
        return (found.instances if instance_type.startswith("ml.") else found.ec2).get(instance_type)

    def job(self, region: str, instance_type: str, volume_gb: int) -> float | None:
        """USD for an hour of one instance of a training job, with its volume; None where something is not known."""
        found = self.regions.get(region)
        own = instance_type.removeprefix("ml.").startswith(OWN_DISK)
        volume = 0.0 if own else _an_hour(volume_gb, found.volume_gb_month if found else None)
        return _plus(self.hourly(region, instance_type), volume)

    def machine(self, region: str, instance_type: str, volume_gb: int) -> float | None:
        """USD for an hour of a machine by hand, with its disk and its public address; None where something is not
        known."""
        found = self.regions.get(region)
        if found is None:
            return None
        return _sum([self.hourly(region, instance_type), _an_hour(volume_gb, found.gp3_gb_month), found.ipv4_hour])

    def book(self) -> Book:
        """What a training costs by either way, everywhere."""
        offers = [offer for name, region in self.regions.items() for offer in _offers(name, region)]
        sources = [self.sources[each] for each in TRAININGS if each in self.sources]
        return Book(as_of=self.as_of, offers=tuple(offers), sources=tuple(sources))

    def provisioned(self, region: str, memory_mb: int, instances: int) -> float | None:
        """USD for an hour of a function's instances that are always there; None where it is not known."""
        found = self.regions.get(region)
        if found is None or found.provisioned_gb_s is None:
            return None if instances else 0.0
        return instances * memory_mb / 1024 * 3600 * found.provisioned_gb_s


@dataclass(frozen=True, slots=True)
class Line:
    """USD. expected, most: of work that ends; per_hour: of what stays, more: what scaling may add to that. None where
    the price is not known."""

    what: str
    detail: str
    expected: float | None = 0.0
    most: float | None = 0.0
    per_hour: float | None = 0.0
    more: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """expected, most, per_hour and more are sums, None where a price in them is not known; notes: what was assumed."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    as_of: str

    @property
    def expected(self) -> float | None:
        return _sum([line.expected for line in self.lines])

    @property
    def most(self) -> float | None:
        return _sum([line.most for line in self.lines])

    @property
    def per_hour(self) -> float | None:
        return _sum([line.per_hour for line in self.lines])

    @property
    def more(self) -> float | None:
        return _sum([line.more for line in self.lines])

    @property
    def per_month(self) -> float | None:
        return None if self.per_hour is None else self.per_hour * HOURS_A_MONTH

    def month(self) -> str:
        """`123.45 USD`, `83.95–251.85 USD`: of what stays."""
        hour = _plus(self.per_hour, self.more)
        return _from_to(self.per_month, None if hour is None else hour * HOURS_A_MONTH)

    def table(self) -> list[tuple[str, str, str, str, str]]:
        """Rows for people: what, detail, expected, at most, each hour; a head and a sum among them."""
        head = ("what", "how much", "expected", "at most", "an hour")
        rows = [
            (each.what, each.detail, usd(each.expected), usd(each.most), _hours(each.per_hour, each.more))
            for each in self.lines
        ]
        return [head, *rows, ("total", "", usd(self.expected), usd(self.most), _hours(self.per_hour, self.more))]


def load() -> Prices:
    """The file of prices that comes with Kennel."""
    found = json.loads(files("kennel.cloud").joinpath("prices.json").read_text())
    sources = {name: Source(**each) for name, each in found["sources"].items()}
    return Prices(found["as_of"], {name: Region(**each) for name, each in found["regions"].items()}, sources)


def _offers(name: str, region: Region) -> Iterator[Offer]:
    for kind, hourly in region.instances.items():
        yield Offer(
            way="sagemaker", market="on demand", region=name, instance_type=kind.removeprefix("ml."), hourly=hourly,
            gb_month=region.volume_gb_month,
        )  # fmt: skip
    markets: tuple[tuple[Market, Mapping[str, float]], ...] = (("on demand", region.ec2), ("spot", region.spot))
    for market, found in markets:
        for kind, hourly in found.items():
            yield Offer(
                way="ec2", market=market, region=name, instance_type=kind, hourly=hourly,
                gb_month=region.gp3_gb_month, ipv4_hour=region.ipv4_hour,
            )  # fmt: skip


def estimate(settings: Settings, side: Literal["aws", "local"], prices: Prices) -> Estimate:
    """What one `kennel run` costs, and what its endpoint goes on costing."""
    if side == "local":
        return Estimate((Line("everything", "on this machine"),), ("local: nothing is billed",), prices.as_of)
    training, once = settings.training, settings.features_once
    work = _Work(settings, prices)
    features = [work.line("features job", 1, FEATURES_MINUTES)] if once else []
    jobs = work.line("tuning job", trial_count(settings.tuning), TRIAL_MINUTES[once])
    best = work.line("training job", 1, TRAINING_MINUTES[once])
    stays = (_endpoint(settings, prices), _function(settings, prices))
    return Estimate((*features, jobs, best, *stays), tuple(_notes(training, once)), prices.as_of)


def usd(amount: float | None) -> str:
    """`0.115 USD`, `7.36 USD`, `0 USD`; `unknown` for None."""
    if amount is None:
        return UNKNOWN
    return f"{amount:.{2 if amount >= 1 else 3}f} USD" if amount else "0 USD"


def between(price: float | None, least: int, most: int) -> str:
    """`0.115–0.345 USD`: so many at that price; one amount where both are the same."""
    return UNKNOWN if price is None else _from_to(least * price, most * price)


@dataclass(frozen=True, slots=True)
class _Work:
    settings: Settings
    prices: Prices

    def line(self, what: str, jobs: int, minutes: float) -> Line:
        """jobs: so many, each for these minutes as expected, for max_runtime_s at most."""
        training = self.settings.training
        longest = training.max_runtime_s / 3600
        hourly = self._hourly()
        count = f"{jobs} × " if jobs > 1 else ""
        several = f"{training.instances} × " if training.instances > 1 else ""
        detail = f"{count}{several}{training.instance_type}, {minutes:g} min each, {longest * 60:g} at most"
        if hourly is None:
            return Line(what, detail, None, None)
        return Line(what, detail, jobs * min(minutes / 60, longest) * hourly, jobs * longest * hourly)

    def _hourly(self) -> float | None:
        """All instances of one job, their volumes included."""
        training = self.settings.training
        one = self.prices.job(self.settings.region, training.instance_type, training.volume_gb)
        return None if one is None else training.instances * one


def _endpoint(settings: Settings, prices: Prices) -> Line:
    endpoint = settings.endpoint
    hourly = prices.hourly(settings.region, endpoint.instance_type)
    if hourly is None:
        return Line("endpoint", f"{_range(settings)} × {endpoint.instance_type}", per_hour=None, more=None)
    least, most = _bounds(settings)
    month = between(hourly * HOURS_A_MONTH, least, most)
    detail = f"{_range(settings)} × {endpoint.instance_type} until it is deleted, {month} a month"
    return Line("endpoint", detail, per_hour=least * hourly, more=(most - least) * hourly)


def _bounds(settings: Settings) -> tuple[int, int]:
    """How many instances the endpoint may have; scheduled actions count too."""
    scaling, several = settings.scaling, settings.endpoint.instances
    if not scaling.enabled:
        return several, several
    actions = scaling.actions
    least = [scaling.min, *(each.min for each in actions if each.min)]
    return min(least), max([scaling.max, *(each.max for each in actions if each.max)])


def _range(settings: Settings) -> str:
    least, most = _bounds(settings)
    return str(least) if least == most else f"{least}–{most}"


def _function(settings: Settings, prices: Prices) -> Line:
    asked = settings.function
    per_hour = prices.provisioned(settings.region, asked.memory_mb, asked.provisioned)
    month = f", {usd(per_hour * HOURS_A_MONTH)} a month" if per_hour else ""
    detail = f"{asked.provisioned} × {asked.memory_mb} MB provisioned until it is deleted{month}"
    return Line("function", detail, per_hour=per_hour)


def _notes(training: Training, once: bool) -> list[str]:
    notes = [
        f"assumed: 10 000 pictures, {TRIAL_MINUTES[once]:g} min a trial, {TRAINING_MINUTES[once]:g} for the best again",
        "at most: every job runs for max_runtime_s",
        "not counted: taxes, free tier, S3 and logs (cents), requests",
        "endpoint and function cost until they are deleted: kennel teardown",
    ]
    return [*notes, "spot saves up to 70–90 %, not counted"] if training.spot else notes


def _hours(per_hour: float | None, more: float | None) -> str:
    return _from_to(per_hour, _plus(per_hour, more))


def _from_to(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return UNKNOWN
    return usd(least) if least == most else f"{usd(least).removesuffix(' USD')}–{usd(most)}"


def _an_hour(size_gb: int, gb_month: float | None) -> float | None:
    return None if gb_month is None else size_gb * gb_month / HOURS_A_MONTH


def _plus(one: float | None, other: float | None) -> float | None:
    return _sum([one, other])


def _sum(amounts: Sequence[float | None]) -> float | None:
    known = [each for each in amounts if each is not None]
    return sum(known) if len(known) == len(amounts) else None
