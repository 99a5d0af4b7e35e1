"""The page of a comparison: which way was how fast, how dear and how busy, and whether both made the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kennel.comparison import costs, facts, inputs
from kennel.comparison.compared import Comparison
from kennel.comparison.costs import Job, Price, WhatIf
from kennel.comparison.facts import NOT_TOLD
from kennel.comparison.recorded import PHASES, PhaseName, Recorded, Use, Way
from kennel.reports.comparison_plots import bars, use
from kennel.reports.page import render
from kennel.reports.tuning import duration

NAMES: dict[Way, str] = {"sagemaker": "SageMaker", "ec2": "By hand on EC2"}
LOCAL = "measured on this machine, not on AWS"
MEANS: dict[PhaseName, str] = {
    "provision": "until there is a machine",
    "pull": "the image",
    "data": "the pictures and weights; SageMaker's with the image, where it tells no pull",
    "train": "the training itself",
    "upload": "artifact and output",
    "other": "checks, the registry's login",
}
DEVICES = {"CPU": "cpu", "GPU": "gpu", "memory": "memory", "GPU memory": "gpu_memory"}
Mark = Literal["good", "bad", "odd", "plain"]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table of both ways: what, SageMaker's, by hand's."""

    what: str
    one: str
    other: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bill:
    """A line of the table of money."""

    way: str
    market: str
    amount: str
    made_of: str
    saves: str
    estimate: bool


def page(found: Comparison) -> str:
    """The page as HTML."""
    return render(
        "comparison.html",
        found=found,
        names=NAMES,
        answer=answer(found),
        differing=inputs.differing(found.sagemaker, found.ec2),
        given=inputs.compared(found.sagemaker, found.ec2),
        figures=figures(found),
        bars=bars([found.sagemaker, found.ec2]),
        bars_told=told_bars(found),
        phases=phases(found),
        bills=bills(found),
        tuning=tuning(found),
        forgotten=forgotten(found),
        utilisation=utilisation(found),
        use=use([found.sagemaker, found.ec2]),
        what_if=reckoned(found),
        unmeasured=unmeasured(found),
        artifact=artifact_rows(found),
        facts=facts.table(found.sagemaker, found.ec2),
        notes=notes(found),
        money=money,
        duration=duration,
        line=line,
        shown=facts.shown,
    )


def line(found: Comparison) -> str:
    """The two by name."""
    return f"training job {found.sagemaker.name} · run by hand {found.ec2.name}"


def answer(found: Comparison) -> list[tuple[Mark, str]]:
    """The page in a few sentences, each true of these two: of what they made, of money, of time."""
    return [_same(found), *_cheaper(found), *_faster(found)]


def figures(found: Comparison) -> list[tuple[str, str]]:
    """A few of them, large."""
    prices = [_on_demand(found, way) for way in (found.sagemaker, found.ec2)]
    would = ", would be" if found.local else ""
    said = [(money(each.amount), f"{NAMES[each.way]}, on demand{would}") for each in prices]
    runs = (found.sagemaker, found.ec2)
    return [*said, *((duration(run.wall_seconds), f"{NAMES[run.way]}, to the artifact") for run in runs)]


def phases(found: Comparison) -> list[Row]:
    """Seconds, side by side; then what was computed, billed, and from beginning to end."""
    one, other = found.sagemaker, found.ec2
    rows = [Row(each, seconds(one.phases.of(each)), seconds(other.phases.of(each)), MEANS[each]) for each in PHASES]
    return [
        *rows,
        Row("begin to end", seconds(one.wall_seconds), seconds(other.wall_seconds), "from the request, or the launch"),
        Row("computing", seconds(one.compute_seconds), seconds(other.compute_seconds), "training, on all instances"),
        Row("billed", seconds(costs.billed_seconds(one)), seconds(costs.billed_seconds(other)), "of each instance"),
    ]


def told_bars(found: Comparison) -> str:
    """The bars in words, for who cannot see them."""
    said = []
    for run in (found.sagemaker, found.ec2):
        parts = [f"{each} {seconds(run.phases.of(each))}" for each in PHASES if run.phases.of(each) is not None]
        said.append(f"{NAMES[run.way]}: {', '.join(parts)}")
    return "; ".join(said)


def bills(found: Comparison) -> list[Bill]:
    """What one trained artifact costs, each way and market, against SageMaker on demand."""
    all_prices = [each for run in (found.sagemaker, found.ec2) for each in costs.prices(run, found.book, found.runs)]
    against = all_prices[0]
    return [_bill(each, against) for each in all_prices]


def tuning(found: Comparison) -> list[tuple[str, Job]]:
    """What a tuning job of that many trainings costs, each way: estimates all."""
    return [
        (NAMES[run.way], each)
        for run in (found.sagemaker, found.ec2)
        for each in costs.tuning_jobs(run, found.book, found.jobs)
    ]


def forgotten(found: Comparison) -> str:
    """When a saving is gone, where there is one."""
    one, other = (_on_demand(found, run) for run in (found.sagemaker, found.ec2))
    offer = found.book.find("ec2", "on demand", found.ec2.region, found.ec2.kind)
    minutes = costs.forgotten_minutes(other, one, offer)
    if minutes is None:
        return ""
    return (
        f"A machine by hand that is left running for {minutes:.1f} minutes after its work costs all that it saved; "
        "the run's own end is what prevents that."
    )


def utilisation(found: Comparison) -> list[Row]:
    """Means and 95th percentiles."""
    one, other = found.sagemaker.utilisation, found.ec2.utilisation
    if one is None and other is None:
        return []
    rows = [
        Row(name, *(_percent(getattr(each, member) if each else None) for each in (one, other)))
        for name, member in DEVICES.items()
    ]
    rows.append(Row("cores", *(str(each.cores) if each else NOT_TOLD for each in (one, other))))
    rows.append(Row("samples", *(str(each.samples) if each else NOT_TOLD for each in (one, other))))
    rows.append(Row("before the first step", *(seconds(each.before_loop if each else None) for each in (one, other))))
    rows.append(Row("the training loop", *(seconds(each.loop if each else None) for each in (one, other))))
    disk = [each.disk_bytes if each else None for each in (one, other)]
    return [*rows, Row("disk, at most", *(NOT_TOLD if each is None else f"{each / 1e9:.1f} GB" for each in disk))]


def reckoned(found: Comparison) -> list[WhatIf]:
    """Offers whose seconds were measured, the cheapest first."""
    known = [each for each in costs.what_if(found.runs, found.book) if each.amount is not None]
    return sorted(known, key=lambda each: (each.amount or 0.0, each.region))


def unmeasured(found: Comparison) -> list[WhatIf]:
    """Offers of which an hour's price is all that is known."""
    rest = [each for each in costs.what_if(found.runs, found.book) if each.amount is None]
    return sorted(rest, key=lambda each: (each.way, each.market, each.region, each.hourly))


def artifact_rows(found: Comparison) -> list[Row]:
    """What is in the two, and how far apart it is."""
    one, other = found.sagemaker.artifact, found.ec2.artifact
    if one is None or other is None:
        return []
    names = sorted(one.files.keys() | other.files.keys())
    rows = [Row(name, *_short(one.files.get(name), other.files.get(name))) for name in names]
    rows.append(Row("the head's weights and bias", *_short(one.head, other.head)))
    rows.append(Row("test accuracy", *(f"{100 * each.accuracy:.2f} %" for each in (one, other))))
    rows.append(Row("right label among 5", *(f"{100 * each.top5_accuracy:.2f} %" for each in (one, other))))
    engines = sorted(one.engines.keys() | other.engines.keys())
    rows += [Row(f"accuracy by {name}", *(_share(each.engines.get(name)) for each in (one, other))) for name in engines]
    return [*rows, Row("trained on", one.device or NOT_TOLD, other.device or NOT_TOLD)]


def notes(found: Comparison) -> list[str]:
    """What to keep in mind."""
    return list(_notes(found))


def money(amount: float | None) -> str:
    """`0.0663 USD`, `1.25 USD`; `unknown` for None."""
    if amount is None:
        return "unknown"
    return f"{amount:.2f} USD" if amount >= 1 else f"{amount:.4f} USD"


def seconds(amount: float | None) -> str:
    """`4.2 s`, `310 s`, with minutes where there are some."""
    if amount is None:
        return NOT_TOLD
    if amount < 100:
        return f"{amount:.1f} s"
    return f"{amount:.0f} s ({duration(amount)})"


# --- the answer -----------------------------------------------------------------------------------------------------


def _same(found: Comparison) -> tuple[Mark, str]:
    if found.apart is None:
        return "odd", f"Whether both made the same artifact is not known: {found.missing or 'one was not at hand'}."
    if found.apart.same == "files":
        return "good", "Both made the same artifact, bit for bit."
    if found.apart.same == "head":
        return "good", f"Both trained the same head, bit for bit; {', '.join(found.apart.differ)} differ."
    weight = NOT_TOLD if found.apart.weight is None else f"{found.apart.weight:.3g}"
    points = "" if found.apart.accuracy is None else f", test accuracy by {100 * found.apart.accuracy:.2f} points"
    return "bad", f"The artifacts differ: the head's weights by up to {weight}{points}."


def _cheaper(found: Comparison) -> Iterator[tuple[Mark, str]]:
    one, other = (_on_demand(found, run) for run in (found.sagemaker, found.ec2))
    if one.amount is None or other.amount is None:
        yield "odd", f"The prices cannot be compared: {one.why or other.why}."
        return
    would = "would cost" if found.local else "costs"
    share = f"{other.amount / one.amount:.2f} times SageMaker's price" if one.amount else "more than nothing"
    where = f" (at these seconds, {LOCAL})" if found.local else ""
    yield "plain", f"By hand {would} {share} on demand: {money(other.amount)} against {money(one.amount)}{where}."


def _faster(found: Comparison) -> Iterator[tuple[Mark, str]]:
    one, other = found.sagemaker, found.ec2
    if one.wall_seconds is None or other.wall_seconds is None:
        return
    where = ", on this machine," if found.local else ""
    took = f"SageMaker took{where} {duration(one.wall_seconds)} to the artifact, by hand {duration(other.wall_seconds)}"
    trained = f"training itself took {duration(one.phases.train)} and {duration(other.phases.train)}"
    yield "plain", f"{took}; {trained}."


# --- its parts ------------------------------------------------------------------------------------------------------


def _on_demand(found: Comparison, run: Recorded) -> Price:
    return costs.prices(run, found.book, found.runs)[0]


def _bill(price: Price, against: Price) -> Bill:
    made_of = ", ".join(f"{what} {money(amount)}" for what, amount in price.parts) or price.why
    saved = costs.saving(price, against)
    if price is against or saved is None:
        saves = "–"
    else:
        saves = f"{100 * saved:.0f} % less" if saved >= 0 else f"{-100 * saved:.0f} % more"
    return Bill(NAMES[price.way], price.market, money(price.amount), made_of, saves, price.estimate)


def _percent(found: Use | None) -> str:
    return NOT_TOLD if found is None else f"{found.mean:.0f} %, p95 {found.p95:.0f} %"


def _share(found: float | None) -> str:
    return NOT_TOLD if found is None else f"{100 * found:.2f} %"


def _short(one: str | None, other: str | None) -> tuple[str, str, str]:
    """Two digests, as far as a person compares them, and whether they are the same."""
    first, second = (NOT_TOLD if each is None else f"{each[:12]}…" for each in (one, other))
    return first, second, "the same" if one == other and one is not None else "not the same"


def _notes(found: Comparison) -> Iterator[str]:
    if found.local:
        yield (
            "The local AWS bills nothing. The prices are what these seconds would have cost on AWS; the seconds were "
            f"{LOCAL}: no instance was provisioned, instance types are recorded, not imitated, and an image that is "
            "here already is not pulled. Whatever else this machine had to do is in them."
        )
    yield "Not counted: taxes, free tier, transfers, what lies in S3, ECR and CloudWatch (cents at this size)."
    yield "Estimates are marked: other regions and tuning jobs, at the seconds of these runs, measured nowhere else."
    if found.sagemaker.phases.pull is None:
        yield "SageMaker told no seconds of the image's download alone; where there was one, it lies in data or train."
    if found.ec2.phases.provision is None:
        yield "By hand no launch is told, so its seconds begin with its first phase."
    for run in (found.sagemaker, found.ec2):
        if run.status != "Completed":
            yield f"{NAMES[run.way]} ended as {run.status}" + (f": {run.reason}" if run.reason else "") + "."
