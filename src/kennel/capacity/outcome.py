"""What a course means for who asks and for who pays: latencies, failures, cost, flapping, recovery.

Failed is a request that gets no answer: refused by the function (429), dropped after InvokeEndpoint's 60 s, or answered
too late for the function's timeout. Latency is of the others, the function's own time included where there is one.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from kennel.capacity import queueing
from kennel.capacity.scaled import Change, Course, World
from kennel.capacity.service import Floats
from kennel.capacity.traffic import MINUTE, Counts, Trace
from kennel.errors import SettingError

SHARES = (0.5, 0.95, 0.99)
FLAPPING_S = 30 * MINUTE
JOIN = 5
"""Minutes within the goal after which an asker would say that it is over."""
FULL = 0.98
"""Of the longest wait, from which on it is what decides."""
NOBODY = 1e-9
"""Shares and sums below it are none."""
MOST_CELLS = 60_000_000


@dataclass(frozen=True, slots=True)
class Goal:
    """seconds: what `share` of a minute's requests shall not exceed."""

    seconds: float = 0.5
    share: float = 0.99

    def __post_init__(self) -> None:
        if not (0 < self.seconds <= 60 and 0.5 <= self.share < 1):
            raise SettingError("a goal is at most 60 s, for 50 to 99.99 percent", "Change --goal-ms, --goal-percentile")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds by the minute: p50, p95, p99; `latency` over all of it. failed, refused, on_demand: requests by the
    minute; the last ones are those that found every provisioned instance busy.

    goal_s, goal_latency: the goal's percentile of all requests, where those that failed take for ever; minute_s and
    latency are of those that were answered; NaN where there is none. instance_hours: paid for. flaps: changes against
    the direction of the one before, within 30 minutes of its end. missed: minutes above the goal. recovery: minutes
    from the first of those until the goal is met for 5 minutes on end, of the longest such time.
    """

    course: Course
    minute_s: Floats
    goal_s: Floats
    latency: tuple[float, float, float]
    goal_latency: float
    failed: Floats
    refused: Floats
    on_demand: Floats
    instance_hours: float
    flaps: int
    missed: int
    recovery: int

    @property
    def failed_count(self) -> float:
        return float(self.failed.sum())


@dataclass(frozen=True, slots=True)
class _Part:
    """Of some minutes. seconds: p50, p95, p99 and the goal's percentile; within: the share that is in time; answered,
    everybody: tails, of those that are answered in time, and of all, where those that failed take for ever."""

    seconds: Floats
    failed: Floats
    refused: Floats
    on_demand: Floats
    within: Floats
    answered: Floats
    everybody: Floats

    def cut(self, at: Counts) -> _Part:
        return _Part(*(getattr(self, each.name)[at] for each in fields(self)))


@dataclass(frozen=True)
class Latencies:
    """Of one trace in one world: what is the same for all settings is reckoned once, for each number of instances."""

    trace: Trace
    world: World
    goal: Goal
    _known: dict[int, _Part] = field(default_factory=dict)

    @functools.cached_property
    def _steady(self) -> Floats:
        return steady(self.trace.counts)

    def outcome(self, course: Course) -> Outcome:
        busy = np.flatnonzero((course.before > 0) | (course.after > 0) | (course.admitted != self.trace.counts))
        calm = np.ones(self.trace.minutes, np.bool_)
        calm[busy] = False
        parts = [(np.flatnonzero(calm & (course.serving == n)), self._calm(int(n))) for n in np.unique(course.serving)]
        found = [(at, part.cut(at)) for at, part in parts]
        if len(busy):
            found.append((busy, self._part(_cut(course, busy), busy)))
        told = _together(found, self.trace.minutes)
        quiet = self.trace.counts == 0
        told.seconds[quiet] = math.nan
        over = told.seconds[:, -1] > self.goal.seconds
        answered, everybody = (
            sum((weights @ rows for weights, rows in each), np.zeros(queueing.GRID_POINTS))
            for each in (
                [((course.admitted * told.within)[at], part.answered) for at, part in found],
                [(self.trace.counts[at].astype(np.float64), part.everybody) for at, part in found],
            )
        )
        answered /= max(float((course.admitted * told.within).sum()), NOBODY)
        everybody /= max(float(self.trace.counts.sum()), NOBODY)
        anybody, answers = self.trace.counts.any(), float((course.admitted * told.within).sum()) > NOBODY
        p50, p95, p99 = (float(queueing.quantiles(answered, share)) if answers else math.nan for share in SHARES)
        return Outcome(
            course=course,
            minute_s=told.seconds[:, :-1],
            goal_s=told.seconds[:, -1],
            latency=(p50, p95, p99),
            goal_latency=float(queueing.quantiles(everybody, self.goal.share)) if anybody else math.nan,
            failed=told.failed,
            refused=told.refused,
            on_demand=told.on_demand,
            instance_hours=float(course.wanted.sum()) / 60,
            flaps=flaps(course.changes),
            missed=int(over.sum()),
            recovery=recovery(over),
        )

    def _calm(self, count: int) -> _Part:
        """All minutes, as they are where nothing was left over from the minute before."""
        if count not in self._known:
            if (len(self._known) + 1) * self.trace.minutes * queueing.GRID_POINTS > MOST_CELLS:
                raise SettingError("too many minutes with too many numbers of instances", "Ask for fewer hours")
            nothing, counts = np.zeros(self.trace.minutes), self.trace.counts.astype(np.float64)
            serving = np.full(self.trace.minutes, count)
            still = Course(serving, nothing, nothing, counts, nothing, nothing, nothing, nothing, ())
            self._known[count] = self._part(still, np.arange(self.trace.minutes))
        return self._known[count]

    def _part(self, course: Course, at: Counts) -> _Part:
        """Of these minutes; course: cut to them."""
        tails, came = self._tails(course, at), self.trace.counts[at]
        failed, refused, on_demand = self._failures(course, at, tails)
        late = tails[:, self._limit, None]
        answered = np.clip((tails - late) / np.maximum(1 - late, NOBODY), 0, 1)
        never = np.minimum(failed / np.maximum(came, 1), 1)[:, None]
        everybody = never + (1 - never) * answered
        seconds = np.stack([queueing.quantiles(answered, share) for share in SHARES], -1)
        within = 1 - late[:, 0]
        seconds[within < NOBODY] = math.nan
        at_goal = queueing.quantiles(everybody, self.goal.share)
        return _Part(np.column_stack([seconds, at_goal]), failed, refused, on_demand, within, answered, everybody)

    def _tails(self, course: Course, at: Counts) -> Floats:
        """[minutes, grid]."""
        able = course.serving * self.world.service.most_per_s
        came, steady = self.trace.counts[at] / MINUTE, self._steady[at] / MINUTE
        grown = course.before[:, None] + ((came - able) / able)[:, None] * queueing.pieces()
        fluid = np.clip(grown, 0, np.maximum(course.before, course.after)[:, None])
        if self.world.front is None:
            fluid = np.minimum(fluid, self.world.answer_s - 2 * self.world.service.mean_s)
        waiting = bool(fluid.any())
        arrivals = np.minimum(steady, able) if waiting else steady
        room = self._room(arrivals, course.serving) - fluid.mean(1) * able
        found = queueing.queue(arrivals, course.serving, self.world.service, room)
        tails = queueing.tails(found, self.world.service, self._own_s)
        return queueing.behind(tails, fluid) if waiting else tails

    def _room(self, arrivals: Floats, serving: Counts) -> Floats:
        """Requests that may wait for the endpoint: as many as the function has executions that are not busy else."""
        front = self.world.front
        if front is None:
            return np.full(len(arrivals), np.inf)
        return front.concurrency - serving * self.world.service.at_a_time - arrivals * front.own_s

    @property
    def _limit(self) -> int:
        """Where in the grid nobody waits any longer."""
        seconds = self.world.front.timeout_s if self.world.front else self.world.answer_s
        return min(int(np.searchsorted(queueing.grid(), seconds)), queueing.GRID_POINTS - 1)

    @property
    def _own_s(self) -> float:
        return self.world.front.own_s if self.world.front else 0.0

    def _failures(self, course: Course, at: Counts, tails: Floats) -> tuple[Floats, Floats, Floats]:
        """(all that failed, of them refused, on demand)."""
        front, arrivals = self.world.front, self.trace.counts[at] / MINUTE
        if front is None:
            late = (course.admitted - course.dropped) * tails[:, self._limit]
            longest = np.minimum(course.before, course.after) >= FULL * self.world.answer_s
            late = np.where(longest, self._too_late(course, arrivals), late)
            nothing = np.zeros(len(late))
            return late + course.dropped, nothing, nothing
        load = arrivals * np.minimum(_means(tails), front.timeout_s)
        full = np.maximum(_full(front.concurrency, load), self._queue_full(course, arrivals))
        refused = course.refused + course.admitted * full
        # late can only be who was let in
        late = np.maximum(course.admitted * (1 - full) - course.dropped, 0) * tails[:, self._limit]
        failed = np.minimum(late + refused + course.dropped, course.admitted + course.refused)
        beyond = queueing.erlang_b(np.full(len(load), front.provisioned), load) if front.provisioned else 1.0
        return failed, refused, course.admitted * beyond

    def _too_late(self, course: Course, arrivals: Floats) -> Floats:
        """Where the queue is as long as anybody waits, those that are served last have little time left: of waits that
        stay a mean of `slack` below the limit (an exponential, as of any queue's distance from its bound), work that
        takes longer fails. The factor is fitted to `events`, where work ends with the asker's patience."""
        service = self.world.service
        able = course.serving * service.most_per_s
        beyond = np.maximum(arrivals / able - 1, NOBODY)  # in quiet minutes hardly anybody is late
        slack = (1 + service.scv) / 2 / able / beyond
        late: Floats = (course.admitted - course.dropped) * service.mean_s / (service.mean_s + 2 * slack)
        return late

    def _queue_full(self, course: Course, arrivals: Floats) -> Floats:
        """Chance that the queue at the endpoint alone fills the function's concurrency, by the wait's exponential."""
        able = course.serving * self.world.service.most_per_s
        arrivals = np.minimum(arrivals, able)
        found = queueing.queue(arrivals, course.serving, self.world.service)
        room = self._room(arrivals, course.serving)
        chance: Floats = np.where(room > 0, found.chance * np.exp(-np.maximum(room, 0) / (able * found.wait_s)), 0.0)
        return np.where(course.refused > 0, 0.0, chance)


def steady(counts: Counts) -> Floats:
    """Rates behind the counts: a minute that differs from the mean of the five around it by no more than chance makes
    is taken at that mean. The arithmetic of waiting knows of chance already; told of it twice, it waits too long."""
    padded = np.pad(counts.astype(np.float64), 2, mode="edge")
    mean = np.convolve(padded, np.full(5, 0.2), "valid").astype(np.float64)
    found: Floats = np.where(np.abs(counts - mean) <= 3 * np.sqrt(mean), mean, counts.astype(np.float64))
    return found


def _cut(course: Course, at: Counts) -> Course:
    values = {each.name: getattr(course, each.name) for each in fields(course)}
    return Course(**{name: value if name == "changes" else value[at] for name, value in values.items()})


def _together(found: Sequence[tuple[Counts, _Part]], minutes: int) -> _Part:
    """In the order of time; tails are left where they are."""
    whole = _Part(np.empty((minutes, len(SHARES) + 1)), *(np.empty(minutes) for _ in range(4)), *[np.empty(0)] * 2)
    for at, part in found:
        for name in ("seconds", "failed", "refused", "on_demand", "within"):
            getattr(whole, name)[at] = getattr(part, name)
    return whole


def _full(executions: int, load: Floats) -> Floats:
    """Erlang B where it is not negligible anyway: many executions are many steps."""
    found, near = np.zeros(len(load)), load > executions / 3
    if near.any():
        found[near] = queueing.erlang_b(np.full(int(near.sum()), executions), load[near])
    return found


def flaps(changes: tuple[Change, ...]) -> int:
    """Scale-outs that follow a scale-in, and scale-ins that follow a scale-out, within 30 minutes of its end."""
    found = 0
    for earlier, later in itertools.pairwise(changes):
        turned = (earlier.decision.to > earlier.decision.have) != (later.decision.to > later.decision.have)
        found += turned and later.began - earlier.ended <= FLAPPING_S
    return found


def recovery(over: NDArray[np.bool_]) -> int:
    """Minutes of the longest time that begins above the goal and ends where it is met for JOIN minutes on end."""
    longest, first, last = 0, -1, -1
    for minute in np.flatnonzero(over).tolist():
        if first < 0 or minute - last > JOIN:
            first = minute
        last = minute
        longest = max(longest, last - first + 1)
    return longest


def _means(tails: Floats) -> Floats:
    """The integral of the tail."""
    marks = queueing.grid()
    found: Floats = marks[0] + ((tails[:, 1:] + tails[:, :-1]) / 2) @ np.diff(marks)
    return found
