"""What recorded trainings cost: by dated prices, at the seconds that were measured. Pure; figures are USD.

The billing rules (docs/compare.md has their sources): SageMaker bills its own BillableTimeInSeconds, times instances,
and a volume where the instance has no disk of its own. EC2 bills an instance from running to terminated, by the second,
60 at least; its disk alike, and a public address by the hour. A price that is not known makes the sum unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from kennel.comparison.recorded import Recorded, Strict, Text, Way, Word

Market = Literal["on demand", "spot"]
Money = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
MARKETS: tuple[Market, ...] = ("on demand", "spot")
MANAGED = "managed spot"
LEAST_SECONDS = 60
"""Of an EC2 instance and of its disk."""
HOUR, HOURS_A_MONTH = 3600, 730
OWN_DISK = ("g4dn.", "g5.", "g6.", "p3dn.", "p4d.", "p5.", "m5d.", "c5d.")
"""Instances with a disk of their own: SageMaker attaches, and bills, no volume (CreateTrainingJob, VolumeSizeInGB)."""


class Offer(Strict):
    """What an hour of one instance costs somewhere. instance_type: without `ml.`; gb_month: of a disk; ipv4_hour: of a
    public address, which a machine by hand has in a default VPC."""

    way: Way
    market: Market
    region: Word
    instance_type: Word
    hourly: Money
    gb_month: Money | None = None
    ipv4_hour: Money | None = None


class Source(Strict):
    """Where figures come from, and of when they are."""

    what: Text
    date: Word
    source: Text


class Book(Strict):
    """All prices that are known. as_of: the day they were gathered."""

    as_of: Word
    offers: Annotated[tuple[Offer, ...], Field(max_length=2000)]
    sources: Annotated[tuple[Source, ...], Field(max_length=50)]

    def find(self, way: Way, market: Market, region: str, instance_type: str) -> Offer | None:
        """None where the price is not known."""
        wanted = (way, market, region, instance_type)
        return next((o for o in self.offers if (o.way, o.market, o.region, o.instance_type) == wanted), None)


@dataclass(frozen=True, slots=True)
class Price:
    """Of one trained artifact. amount: None where it is not known, `why` says what is missing; estimate: whether it is
    more than a price times measured seconds; parts: what → USD."""

    way: Way
    market: str
    amount: float | None
    why: str = ""
    estimate: bool = False
    parts: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """What a tuning job of `jobs` trainings costs. seconds: of instances that are billed."""

    way: Way
    how: str
    jobs: int
    seconds: float | None
    amount: float | None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """One instance type in one region. seconds, amount: None where nobody has measured that type."""

    way: Way
    market: Market
    region: str
    instance_type: str
    hourly: float
    seconds: float | None
    amount: float | None
    here: bool


def billed_seconds(run: Recorded) -> float | None:
    """Seconds of one instance that are billed; None where they are not told."""
    if run.billed_seconds is None:
        return None
    return run.billed_seconds if run.way == "sagemaker" else max(float(LEAST_SECONDS), run.billed_seconds)


def listed_seconds(run: Recorded) -> float | None:
    """The same for a list price: a managed spot job's BillableTime is what is left of its TrainingTime by the discount,
    and an on-demand price has none."""
    return run.training_seconds if run.way == "sagemaker" and run.spot else billed_seconds(run)


def price(run: Recorded, offer: Offer | None, seconds: float | None, market: str = "on demand") -> Price:
    """At so many billed seconds of each instance, by this offer."""
    if offer is None:
        return Price(run.way, market, None, f"no price of {run.kind or 'this machine'} in {run.region} is known")
    if seconds is None:
        return Price(run.way, market, None, "its billed seconds are not told")
    hours = run.instances * seconds / HOUR
    parts = [("instance", hours * offer.hourly)]
    if _has_volume(run):
        if offer.gb_month is None or run.volume_gb is None:
            return Price(run.way, market, None, "its disk's size, or the price of it, is not known")
        parts.append(("disk", hours * run.volume_gb * offer.gb_month / HOURS_A_MONTH))
    if run.way == "ec2" and offer.ipv4_hour is not None:
        parts.append(("public address", hours * offer.ipv4_hour))
    return Price(run.way, market, sum(amount for _, amount in parts), "", False, tuple(parts))


def prices(run: Recorded, book: Book, others: Sequence[Recorded] = ()) -> list[Price]:
    """On demand, then spot. others: all records there are, among which a managed spot job's ratio is looked for."""
    seconds = billed_seconds(run)
    if run.way == "sagemaker":
        return _managed(run, book, seconds, others)
    return [price(run, book.find("ec2", market, run.region, run.kind), seconds, market) for market in MARKETS]


def saving(of: Price, against: Price) -> float | None:
    """Share of 1 that the first is cheaper by (negative: dearer); None where a price is not known."""
    if of.amount is None or not against.amount:
        return None
    return 1 - of.amount / against.amount


def forgotten_minutes(of: Price, against: Price, offer: Offer | None) -> float | None:
    """How long a machine by hand may go on running after its work until the saving is gone; None where there is no
    saving or a price is not known. of: by hand; offer: of its machine, whose disk and address go on costing too."""
    if of.amount is None or against.amount is None or offer is None or of.amount >= against.amount:
        return None
    instance = dict(of.parts).get("instance")
    if not instance or not offer.hourly:
        return None
    return (against.amount - of.amount) / (offer.hourly * of.amount / instance) * 60


def tuning_jobs(run: Recorded, book: Book, jobs: int) -> list[Job]:
    """What `jobs` trainings like this one cost: each as it was measured; and, where the profiler told when the loop
    began, with what comes before it (imports, features) done once. All are estimates.

    There is no tuning service by hand: one machine is provisioned and gets image and data once, and trains and uploads
    one after the other.
    """
    seconds = listed_seconds(run)
    if seconds is None:
        return [Job(run.way, "each as measured", jobs, None, None)]
    each = seconds if run.way == "sagemaker" else (run.phases.train or 0.0) + (run.phases.upload or 0.0)
    total = seconds + (jobs - 1) * each
    found = [_tuned(run, book, "each as measured", jobs, total)]
    once = run.utilisation.before_loop if run.utilisation else None
    if once is not None and 0 < once < each:
        found.append(_tuned(run, book, "what comes before the loop once", jobs, total - (jobs - 1) * once))
    return found


def what_if(runs: Sequence[Recorded], book: Book) -> list[WhatIf]:
    """Every offer of the price file; seconds only where a run on that instance type was recorded, of the same way."""
    measured: dict[tuple[Way, str], Recorded] = {}
    for run in runs:
        measured.setdefault((run.way, run.kind), run)
    return [_what_if(offer, measured.get((offer.way, offer.instance_type))) for offer in book.offers]


def _has_volume(run: Recorded) -> bool:
    """A machine by hand always boots from a disk that is billed."""
    return run.way == "ec2" or not run.kind.startswith(OWN_DISK)


def _managed(run: Recorded, book: Book, seconds: float | None, others: Iterable[Recorded]) -> list[Price]:
    """Managed spot has no list price: BillableTime and TrainingTime of a job that had it, on AWS tell what it saves."""
    offer = book.find("sagemaker", "on demand", run.region, run.kind)
    if run.spot:
        found = price(run, offer, listed_seconds(run))
        if run.side == "local":
            return [found, Price("sagemaker", MANAGED, None, "its discount was not measured on AWS")]
        return [found, price(run, offer, seconds, MANAGED)]
    found, share = price(run, offer, seconds), _measured_share(others)
    if share is None or found.amount is None:
        why = found.why or "no managed spot job of AWS was recorded"
        return [found, Price("sagemaker", MANAGED, None, why)]
    return [found, Price("sagemaker", MANAGED, found.amount * share, "", True)]


def _measured_share(others: Iterable[Recorded]) -> float | None:
    """BillableTime / TrainingTime of the first spot job that AWS itself has run."""
    for run in others:
        if run.way == "sagemaker" and run.spot and run.side == "aws" and run.training_seconds and run.billed_seconds:
            return run.billed_seconds / run.training_seconds
    return None


def _tuned(run: Recorded, book: Book, how: str, jobs: int, seconds: float) -> Job:
    offer = book.find(run.way, "on demand", run.region, run.kind)
    return Job(run.way, how, jobs, seconds, price(run, offer, seconds).amount)


def _what_if(offer: Offer, run: Recorded | None) -> WhatIf:
    seconds = listed_seconds(run) if run else None
    asked = run.model_copy(update={"region": offer.region}) if run else None
    amount = price(asked, offer, seconds).amount if asked else None
    here = run is not None and run.region == offer.region
    return WhatIf(offer.way, offer.market, offer.region, offer.instance_type, offer.hourly, seconds, amount, here)
