"""Minute by minute: what comes, what the alarms see of it, what scaling makes of the count, what queues and is refused.

The decisions are `kennel.scaling`'s own, the same code that scales in the local AWS; around them stand the assumptions:

* A minute's metric is known `metric_delay_s` after it ended, and the alarms look once a minute, then.
* A change takes `start_s` (more instances) or `stop_s` (fewer) from the decision to its success; until then the old
  ones serve, nothing else is begun, and the cooldown has not begun either.
* The metric is what SageMaker documents for InvocationsPerInstance: each request that reaches the variant counts
  1/instances of the moment it came. A request that the function refuses never reaches it.
* What comes in a minute comes evenly on average. What cannot be done in it waits for the next one, at most until
  InvokeEndpoint's 60 s are over; behind a function at most as many wait as it has executions. One that has more of
  them than its timeout's worth of work does not limit the queue: the endpoint does not know that nobody waits any
  longer, and works on what the function gave up, so waits grow beyond its timeout, up to the 60 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kennel.capacity.service import Floats, Service
from kennel.capacity.traffic import MINUTE, Trace
from kennel.errors import SettingError
from kennel.scaling.tracking import Decision, Target, settled, started, step

START_S = 300.0
"""Of an instance on AWS: machine, image, model, first /ping. AWS's own example is 525 s, with caching 258 s (blog on
container caching, June 2026: an 8B model on a GPU); a small image on a CPU takes less, and "several minutes" is what
its users report. The local AWS starts one in seconds."""
STOP_S = 60.0
METRIC_DELAY_S = 60.0
"""Both assumed: AWS publishes neither."""
QUIET = MINUTE / 4
"""Seconds' worth of work in a minute below which nothing can be in the way, a function's concurrency neither."""
ANSWER_S = 60.0
"""InvokeEndpoint's limit, waiting included."""


@dataclass(frozen=True, slots=True)
class Front:
    """The function before the endpoint. concurrency: its executions at most (reserved, or the account's); own_s: what
    it takes itself, beside waiting for the endpoint."""

    concurrency: int = 1000
    provisioned: int = 3
    timeout_s: float = 29.0
    own_s: float = 0.05

    def __post_init__(self) -> None:
        if not (1 <= self.concurrency <= 100_000 and 0 <= self.provisioned <= self.concurrency):
            raise SettingError("a function's concurrency is 1 to 100000, and provisioned within it", "Change them")
        if not (0 < self.timeout_s <= 900 and 0 <= self.own_s < self.timeout_s):
            raise SettingError("a function's timeout is at most 900 s, its own time less than that", "Change them")


@dataclass(frozen=True, slots=True)
class World:
    """All that stays the same while settings are compared. first: instances at the begin, the minimum where None."""

    service: Service
    start_s: float = START_S
    stop_s: float = STOP_S
    metric_delay_s: float = METRIC_DELAY_S
    answer_s: float = ANSWER_S
    front: Front | None = None
    first: int | None = None

    def __post_init__(self) -> None:
        for name in ("start_s", "stop_s", "metric_delay_s"):
            if not 0 <= getattr(self, name) <= 86_400:
                raise SettingError(f"{name} is not within 0 and a day", "Change its value")


class Change(NamedTuple):
    """A scaling activity that was begun. began, ended: seconds from the trace's begin."""

    began: float
    ended: float
    decision: Decision


@dataclass(frozen=True, slots=True)
class Course:
    """What happened, by the minute. serving: instances that serve (most of the minute); wanted: that are paid for.

    metric: invocations per instance. admitted: requests that the endpoint works on, sooner or later; refused: by the
    function, 429; dropped: after they waited for ANSWER_S. before, after: seconds that the fluid takes at the minute's
    begin and end.
    """

    serving: NDArray[np.int64]
    wanted: Floats
    metric: Floats
    admitted: Floats
    refused: Floats
    dropped: Floats
    before: Floats
    after: Floats
    changes: tuple[Change, ...]


def course(trace: Trace, target: Target, world: World) -> Course:
    """One setting's. target's policies all track InvocationsPerInstance."""
    flow, count = _Flow(world), max(target.minimum, min(target.maximum, world.first or target.minimum))
    scaler, policies, serving = started(target), len(target.policies), count
    unsettled: Change | None = None  # blocks what follows until the alarms look after its end
    coming: Change | None = None  # the same, until its instances serve
    changes: list[Change] = []
    rows: list[tuple[float, ...]] = []
    for minute, came in enumerate(trace.counts.tolist()):
        end, old, share = (minute + 1) * MINUTE, serving, 0.0
        if coming is not None and coming.ended < end:
            share = max(0.0, coming.ended - minute * MINUTE) / MINUTE
            serving, coming = coming.decision.to, None
        most = old if share > 0.5 else serving
        admitted, refused, dropped, before, after = flow.minute(came, most)
        metric = admitted * (share / old + (1 - share) / serving)
        rows.append((most, max(count, serving), metric, admitted, refused, dropped, before, after))
        now = end + world.metric_delay_s
        if unsettled is not None and unsettled.ended <= now:
            scaler, unsettled = settled(target, scaler, unsettled.decision, unsettled.ended), None
        scaler, decision = step(target, scaler, (metric,) * policies, count, now, unsettled is not None)
        if decision is not None and decision.to != count:
            takes = world.start_s if decision.to > count else world.stop_s
            unsettled = coming = Change(now, now + takes, decision)
            changes.append(unsettled)
            count = decision.to
    return _course(rows, changes)


def _course(rows: list[tuple[float, ...]], changes: list[Change]) -> Course:
    table = np.array(rows, np.float64).T
    return Course(
        serving=table[0].astype(np.int64),
        wanted=table[1],
        metric=table[2],
        admitted=table[3],
        refused=table[4],
        dropped=table[5],
        before=table[6],
        after=table[7],
        changes=tuple(changes),
    )


class _Flow:
    """The fluid: what waits when a minute ends. Linear, so a minute is a few additions."""

    def __init__(self, world: World) -> None:
        self._answer_s, self._front = world.answer_s, world.front
        self._most_s, self._at_a_time = world.service.most_per_s, world.service.at_a_time
        self._waiting = 0.0

    def minute(self, came: float, instances: int) -> tuple[float, float, float, float, float]:
        """(admitted, refused, dropped, before, after)."""
        able_s = instances * self._most_s
        if not self._waiting and came <= able_s * QUIET:
            return came, 0.0, 0.0, 0.0, 0.0
        room, by_function = self._room(came, able_s, instances)
        before = self._waiting
        admitted = max(0.0, min(came, room + able_s * MINUTE - before))
        over = came - admitted
        self._waiting = max(0.0, before + admitted - able_s * MINUTE)
        if by_function:
            return admitted, over, 0.0, before / able_s, self._waiting / able_s
        return admitted + over, 0.0, over, before / able_s, self._waiting / able_s

    def _room(self, came: float, able_s: float, instances: int) -> tuple[float, bool]:
        """Requests that may wait at the minute's end, and whether it is the function that limits them."""
        front = self._front
        if front is None:
            return able_s * self._answer_s, False
        arrivals_s = min(came / MINUTE, able_s)
        executions = front.concurrency - arrivals_s * front.own_s - instances * self._at_a_time
        if executions <= able_s * front.timeout_s:
            return max(0.0, executions), True
        return able_s * self._answer_s, False
