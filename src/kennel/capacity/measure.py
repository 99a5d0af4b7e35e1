"""One instance's capacity: what its work takes alone, how much it can do at most, and where the knee is.

The knee is the highest rate whose p99 meets the goal, with few enough errors and a backlog that does not grow. Rates go
up in shares of what the instance can do at most, until one does not meet the goal; then the gap is halved twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kennel.capacity import load
from kennel.capacity.load import Ask, Sample, Step
from kennel.capacity.measured import Machine, Measured, Row, Subject
from kennel.capacity.service import middles
from kennel.errors import ServerError

SHARES = (0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.15)
HALVINGS = 2
FEW = 1000
"""Right answers below which a p99.9 says nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """goal_s: for the p99. step_s: of each rate; most_s, most_requests: of it all. errors: the share above which a
    rate does not meet the goal. warm_s: asked before anything counts."""

    goal_s: float = 0.5
    step_s: float = 15.0
    warm_s: float = 3.0
    alone_requests: int = 200
    alone_s: float = 8.0
    saturated_s: float = 5.0
    most_s: float = 300.0
    most_requests: int = 20_000
    errors: float = 0.01
    seed: int = 1


@dataclass(slots=True)
class Found:
    """What is known so far; whoever ends a measurement early has this much."""

    plan: Plan
    alone: list[Sample] = field(default_factory=list)
    most_per_s: float = 0.0
    steps: list[Step] = field(default_factory=list)
    complete: bool = False

    def meets(self, step: Step) -> bool:
        return not step.grows and step.error_share <= self.plan.errors and step.quantile(0.99) <= self.plan.goal_s

    @property
    def knee(self) -> float | None:
        """The highest rate that meets the goal below all that do not: a lucky one above those is none."""
        bad = min((each.rate for each in self.steps if not self.meets(each)), default=float("inf"))
        return max((each.rate for each in self.steps if self.meets(each) and each.rate < bad), default=None)

    def as_file(self, subject: Subject, machine: Machine, when: str) -> Measured:
        """Raises ServerError where not even the instance's most is known."""
        if not self.most_per_s:
            raise ServerError("the measurement was ended before anything was known", "Let it run for half a minute")
        right = [each.seconds for each in self.alone if not each.error]
        return Measured(
            subject=subject,
            machine=machine,
            when=when,
            goal_ms=self.plan.goal_s * 1000,
            alone_ms=tuple(load.quantile(right, share) * 1000 for share in middles()),
            alone_requests=len(right),
            most_per_s=self.most_per_s,
            steps=tuple(self._row(each) for each in sorted(self.steps, key=lambda each: each.rate)),
            knee_per_s=self.knee,
            found=any(not self.meets(each) for each in self.steps),
            complete=self.complete,
        )

    def _row(self, step: Step) -> Row:
        right = len(step.samples) - step.errors

        def shown(share: float) -> float | None:
            return step.quantile(share) * 1000 if right else None

        return Row(
            rate=step.rate, seconds=step.seconds, sent=len(step.samples), errors=step.errors, p50_ms=shown(0.5),
            p90_ms=shown(0.9), p95_ms=shown(0.95), p99_ms=shown(0.99), p999_ms=shown(0.999) if right >= FEW else None,
            late_ms=step.late_s * 1000, grows=step.grows, meets=self.meets(step),
        )  # fmt: skip


def run(ask: Ask, plan: Plan, found: Found, say: Callable[[str], None] = lambda line: None) -> None:
    """Fills `found` as it goes. Raises ServerError where nothing is answered as it should be."""
    began = time.monotonic()
    _right(load.alone(ask, plan.alone_requests, plan.warm_s))
    found.alone = load.alone(ask, plan.alone_requests, plan.alone_s)
    _right(found.alone)
    median = load.quantile([each.seconds for each in found.alone if not each.error], 0.5)
    say(f"alone: {median * 1000:.1f} ms (median of {len(found.alone)})")
    most, wrong = load.saturated(ask, plan.saturated_s)
    if not most:
        raise ServerError(f"nothing was answered under load, {wrong} requests went wrong", "See the instance's log")
    found.most_per_s = most
    say(f"at most: {most:.1f} a second")
    sent = 0
    for rate in _rates(found):
        if time.monotonic() - began + plan.step_s > plan.most_s or sent >= plan.most_requests:
            say("the time or the number of requests allowed is used up")
            return
        step = load.step(ask, rate, plan.step_s, plan.seed + len(found.steps), plan.most_requests - sent)
        found.steps.append(step)
        sent += len(step.samples)
        say(_line(step, found.meets(step)))
    found.complete = True


def _rates(found: Found) -> Iterator[float]:
    """Each is asked for when what came of the one before is known."""
    for share in SHARES:
        yield share * found.most_per_s
        if not found.meets(found.steps[-1]):
            break
    else:
        return
    for _ in range(HALVINGS):
        bad = min(each.rate for each in found.steps if not found.meets(each))
        yield ((found.knee or 0.0) + bad) / 2


def _right(samples: list[Sample]) -> None:
    wrong = [each.error for each in samples if each.error]
    if len(wrong) * 2 >= len(samples):
        why = wrong[0] if wrong else "no answer came"
        raise ServerError(f"the instance does not answer as it should: {why}", "See its log, then try again")


def _line(step: Step, meets: bool) -> str:
    p50, p99 = (step.quantile(share) * 1000 for share in (0.5, 0.99))
    verdict = "meets the goal" if meets else "the backlog grows" if step.grows else "too slow or too many errors"
    return f"{step.rate:.1f} a second: p50 {p50:.0f} ms, p99 {p99:.0f} ms, {step.errors} errors; {verdict}"
