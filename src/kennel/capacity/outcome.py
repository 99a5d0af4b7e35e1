"""What a course means for who asks and for who pays: latencies, failures, cost, flapping, recovery.

Failed is a request that gets no answer: refused by the function (429), dropped after InvokeEndpoint's 60 s, or answered
too late for the function's timeout. Latency is of the others, the function's own time included where there is one.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, field

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
    latency are of those that were answered. instance_hours: paid for. flaps: changes against the direction of the one
    before, within 30 minutes of its end. missed: minutes above the goal. recovery: minutes from the first of those
    until the goal is met for 5 minutes on end, of the longest such time.
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


@dataclass(frozen=True)
class Latencies:
    """Of one trace in one world: what is the same for all settings is reckoned once, for each number of instances."""

    trace: Trace
    world: World
    goal: Goal
    _known: dict[int, Floats] = field(default_factory=dict)

    @functools.cached_property
    def _steady(self) -> Floats:
        return steady(self.trace.counts)

    def outcome(self, course: Course) -> Outcome:
        tails = self._tails(course)
        failed, refused, on_demand = self._failures(course, tails)
        answered = _answered(tails, self._limit)
        within = 1 - tails[:, self._limit]
        minutes = np.stack([queueing.quantiles(answered, share) for share in SHARES], -1)
        everybody = _everybody(tails, self._limit, failed, self.trace)
        at_goal = queueing.quantiles(everybody, self.goal.share)
        quiet = self.trace.counts == 0
        minutes[quiet | (within < NOBODY)], at_goal[quiet] = math.nan, math.nan
        whole = _weighted(answered, course.admitted * within)
        over = at_goal > self.goal.seconds
        p50, p95, p99 = (float(queueing.quantiles(whole, share)) for share in SHARES)
        return Outcome(
            course=course,
            minute_s=minutes,
            goal_s=at_goal,
            latency=(p50, p95, p99),
            goal_latency=float(queueing.quantiles(_weighted(everybody, self.trace.counts), self.goal.share)),
            failed=failed,
            refused=refused,
            on_demand=on_demand,
            instance_hours=float(course.wanted.sum()) / 60,
            flaps=flaps(course.changes),
            missed=int(over.sum()),
            recovery=recovery(over),
        )

    def _tails(self, course: Course) -> Floats:
        """[minutes, grid]."""
        tails = np.empty((self.trace.minutes, queueing.GRID_POINTS))
        for count in np.unique(course.serving):
            chosen = course.serving == count
            tails[chosen] = self._calm(int(count))[chosen]
        busy = np.flatnonzero((course.before > 0) | (course.after > 0))
        if len(busy):
            tails[busy] = self._behind(course, busy)
        return tails

    def _calm(self, count: int) -> Floats:
        if count not in self._known:
            if (len(self._known) + 1) * self.trace.minutes * queueing.GRID_POINTS > MOST_CELLS:
                raise SettingError("too many minutes with too many numbers of instances", "Ask for fewer hours")
            arrivals = self._steady / MINUTE
            serving = np.full(len(arrivals), count)
            found = queueing.queue(arrivals, serving, self.world.service, self._room(arrivals, serving))
            self._known[count] = queueing.tails(found, self.world.service, self._own_s)
        return self._known[count]

    def _behind(self, course: Course, busy: Counts) -> Floats:
        able = course.serving[busy] * self.world.service.most_per_s
        came = self.trace.counts[busy] / MINUTE
        steady = self._steady[busy] / MINUTE
        before, after = course.before[busy], course.after[busy]
        grown = before[:, None] + ((came - able) / able)[:, None] * queueing.pieces()
        fluid = np.clip(grown, 0, np.maximum(before, after)[:, None])
        if self.world.front is None:
            fluid = np.minimum(fluid, self.world.answer_s - 2 * self.world.service.mean_s)
        arrivals, serving = np.minimum(steady, able), course.serving[busy]
        room = self._room(arrivals, serving) - fluid.mean(1) * able
        found = queueing.queue(arrivals, serving, self.world.service, room)
        return queueing.behind(queueing.tails(found, self.world.service, self._own_s), fluid)

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

    def _failures(self, course: Course, tails: Floats) -> tuple[Floats, Floats, Floats]:
        """(all that failed, of them refused, on demand)."""
        front = self.world.front
        late = (course.admitted - course.dropped) * tails[:, self._limit]
        if front is None:
            longest = np.minimum(course.before, course.after) >= FULL * self.world.answer_s
            late = np.where(longest, self._too_late(course), late)
            nothing = np.zeros(len(late))
            return late + course.dropped, nothing, nothing
        mean = np.minimum(_means(tails), front.timeout_s)
        arrivals = self.trace.counts / MINUTE
        load = arrivals * mean
        full = _full(front.concurrency, load)
        refused = course.refused + course.admitted * np.maximum(full, self._queue_full(course))
        beyond = queueing.erlang_b(np.full(len(load), front.provisioned), load) if front.provisioned else 1.0
        return late + refused + course.dropped, refused, course.admitted * beyond

    def _too_late(self, course: Course) -> Floats:
        """Where the queue is as long as anybody waits, those that are served last have little time left: of waits that
        stay a mean of `slack` below the limit (an exponential, as of any queue's distance from its bound), work that
        takes longer fails. The factor is fitted to `events`, where work ends with the asker's patience."""
        service = self.world.service
        able = course.serving * service.most_per_s
        beyond = np.maximum(self.trace.counts / MINUTE / able - 1, NOBODY)  # in quiet minutes hardly anybody is late
        slack = (1 + service.scv) / 2 / able / beyond
        late: Floats = (course.admitted - course.dropped) * service.mean_s / (service.mean_s + 2 * slack)
        return late

    def _queue_full(self, course: Course) -> Floats:
        """Chance that the queue at the endpoint alone fills the function's concurrency, by the wait's exponential."""
        service = self.world.service
        arrivals = np.minimum(self.trace.counts / MINUTE, course.serving * service.most_per_s)
        found = queueing.queue(arrivals, course.serving, service)
        able = course.serving * service.most_per_s
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


def _answered(tails: Floats, limit: int) -> Floats:
    """Of those that are answered in time."""
    late = tails[:, limit, None]
    found: Floats = np.clip((tails - late) / np.maximum(1 - late, NOBODY), 0, 1)
    return found


def _everybody(tails: Floats, limit: int, failed: Floats, trace: Trace) -> Floats:
    """Failed ones take for ever."""
    never = np.minimum(failed / np.maximum(trace.counts, 1), 1)[:, None]
    late = tails[:, limit, None]
    found: Floats = never + (1 - never) * np.clip((tails - late) / np.maximum(1 - late, NOBODY), 0, 1)
    return found


def _weighted(tails: Floats, weights: Floats | Counts) -> Floats:
    total = float(weights.sum())
    found: Floats = weights @ tails / total if total > NOBODY else np.zeros(tails.shape[-1])
    return found


def _means(tails: Floats) -> Floats:
    """The integral of the tail."""
    marks = queueing.grid()
    found: Floats = marks[0] + ((tails[:, 1:] + tails[:, :-1]) / 2) @ np.diff(marks)
    return found
