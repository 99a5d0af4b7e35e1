"""What each way gives and lacks: facts of the records, and those that follow from their figures. Pure."""

from __future__ import annotations

from kennel.comparison.costs import billed_seconds
from kennel.comparison.recorded import Fact, Recorded

NOT_TOLD = "not told"


def table(one: Recorded, other: Recorded) -> list[tuple[str, Fact | None, Fact | None]]:
    """Each fact that either holds, with its evidence."""
    first, second = of(one), of(other)
    return [(name, first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])]


def of(run: Recorded) -> dict[str, Fact]:
    """All of one."""
    found = dict(run.facts)
    if run.utilisation is not None and run.utilisation.samples:
        found["profiler"] = Fact(value=True, evidence=f"utilisation: {run.utilisation.samples} samples")
    if run.phases.pull is not None:
        found["seconds to pull the image"] = Fact(value=round(run.phases.pull, 1), evidence="phases.pull")
    billed = billed_seconds(run)
    if billed is not None and run.wall_seconds is not None:
        waited = max(0.0, run.wall_seconds - billed)
        found["seconds that are not billed"] = Fact(value=round(waited, 1), evidence="begun, ended, billed_seconds")
    found["interruptions"] = Fact(value=float(run.interruptions), evidence="interruptions")
    return found


def shown(fact: Fact | None) -> str:
    """A fact's value as a person reads it."""
    if fact is None:
        return NOT_TOLD
    if isinstance(fact.value, bool):
        return "yes" if fact.value else "no"
    return f"{fact.value:g}" if isinstance(fact.value, float) else fact.value
