"""A CloudWatch alarm on one-minute points: M of N, missing data treated as missing.

As CloudWatch documents it: of an evaluation range a little longer than N, the newest N points that are there are taken;
with fewer than N, a point that does not breach makes it OK; where all breach, it is an ALARM as soon as the oldest is M
periods old (a gap is filled by what surrounds it, a single late point is not); with none at all, INSUFFICIENT_DATA. A
new point that breaches, after nothing, leaves the state as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
BEYOND = 2
"""Periods that the range reaches beyond N: CloudWatch's own examples show 5 for 3."""


@dataclass(frozen=True, slots=True)
class Rule:
    """above: breaching is greater than the threshold, else less than it. needed: M; periods: N."""

    threshold: float
    above: bool
    needed: int
    periods: int

    def breached(self, value: float) -> bool:
        return value > self.threshold if self.above else value < self.threshold


class Alarm(NamedTuple):
    """Its range as bits, the newest lowest: which points are there, and which of them breach.

    Tuples and bits, since the simulator makes millions of them.
    """

    state: State = "INSUFFICIENT_DATA"
    there: int = 0
    breaching: int = 0


def observe(rule: Rule, alarm: Alarm, value: float | None) -> Alarm:
    """After one more period; value: None for a period without data."""
    mask = (1 << (rule.periods + BEYOND)) - 1
    there = (alarm.there << 1) & mask
    breaching = (alarm.breaching << 1) & mask
    if value is not None:
        there |= 1
        breaching |= rule.breached(value)
    if there == alarm.there and breaching == alarm.breaching:
        return alarm
    return Alarm(_state(rule, there, breaching, alarm.state), there, breaching)


def _state(rule: Rule, there: int, breaching: int, before: State) -> State:
    newest = (1 << rule.periods) - 1
    if there & newest == newest:
        return "ALARM" if (breaching & newest).bit_count() >= rule.needed else "OK"
    if not there:
        return "INSUFFICIENT_DATA"
    there = _newest(there, rule.periods)
    breaching &= there
    if breaching.bit_count() >= rule.needed:
        return "ALARM"
    if breaching != there:
        return "OK"
    return "ALARM" if there.bit_length() >= rule.needed else before


def _newest(bits: int, count: int) -> int:
    """Without the oldest, so that at most so many remain."""
    while bits.bit_count() > count:
        bits ^= 1 << (bits.bit_length() - 1)
    return bits
