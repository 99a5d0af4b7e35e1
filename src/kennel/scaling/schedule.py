"""When a scheduled action is due: `at(…)`, `rate(…)` and `cron(…)`, in a time zone.

Of cron's six fields (minute, hour, day of the month, month, day of the week, year): `*`, `?`, lists, ranges, steps,
names, and `L` for a month's last day. AWS's `W`, `#` and `5L` are not covered. A local time that a change of the clock
leaves out is not due, one that it repeats is due twice.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTE = 60
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
"""1 is Sunday."""
UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_FORM = re.compile(r"(at|rate|cron)\(([^()]{1,256})\)")
_RATE = re.compile(r"([1-9]\d{0,5}) (minute|hour|day)(s?)")
_PART = re.compile(r"(\*|[0-9A-Z]+)(?:-([0-9A-Z]+))?(?:/(\d+))?")


@dataclass(frozen=True, slots=True)
class Once:
    """Epoch seconds."""

    at: float

    def due(self, begin: float, since: float) -> bool:
        return begin <= self.at < begin + MINUTE


@dataclass(frozen=True, slots=True)
class Every:
    """Seconds, counted from its start."""

    seconds: int

    def due(self, begin: float, since: float) -> bool:
        passed = (begin + MINUTE - 1e-6 - since) // self.seconds
        return passed >= 1 and since + passed * self.seconds >= begin


@dataclass(frozen=True, slots=True)
class Cron:
    """What each field allows; last: also a month's last day."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None
    last: bool
    months: frozenset[int]
    weekdays: frozenset[int] | None
    years: frozenset[int]
    zone: tzinfo

    def due(self, begin: float, since: float) -> bool:
        at = datetime.fromtimestamp(begin, self.zone)
        if at.minute not in self.minutes or at.hour not in self.hours or at.month not in self.months:
            return False
        if at.year not in self.years:
            return False
        if self.weekdays is not None:
            return at.isoweekday() % 7 + 1 in self.weekdays
        ends = self.last and at.day == calendar.monthrange(at.year, at.month)[1]
        return ends or self.days is None or at.day in self.days


Schedule = Once | Every | Cron


@lru_cache
def parsed(expression: str, timezone: str = "UTC") -> Schedule:
    """timezone: of `at` and `cron`, as IANA names it. Raises ValueError with what is wrong."""
    found = _FORM.fullmatch(expression.strip())
    if not found:
        raise ValueError("a schedule is at(yyyy-mm-ddThh:mm:ss), rate(value unit) or cron(fields)")
    zone = _zone(timezone)
    if found[1] == "at":
        return _once(found[2], zone)
    return _every(found[2]) if found[1] == "rate" else _cron(found[2].upper().split(), zone)


def due(schedule: Schedule, begin: float, since: float, start: float | None = None, end: float | None = None) -> bool:
    """Whether the minute that begins at `begin` is one of its. since: when it was made; start, end: its own bounds.

    What recurs is due at its start too, and then as it recurs.
    """
    if (start is not None and begin + MINUTE <= start) or (end is not None and begin >= end):
        return False
    if start is not None and begin <= start and not isinstance(schedule, Once):
        return True
    return schedule.due(begin, since if start is None else start)


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise ValueError(f"there is no time zone {name[:64]!r}") from error


def _once(text: str, zone: tzinfo) -> Once:
    try:
        return Once(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=zone).timestamp())
    except ValueError as error:
        raise ValueError(f"at({text}) is no time; write at(yyyy-mm-ddThh:mm:ss)") from error


def _every(text: str) -> Every:
    found = _RATE.fullmatch(text)
    if not found or (found[1] == "1") == bool(found[3]):
        raise ValueError(f"rate({text}) is no rate; write rate(1 hour), rate(5 minutes)")
    return Every(int(timedelta(seconds=int(found[1]) * UNITS[found[2]]).total_seconds()))


def _cron(fields: Sequence[str], zone: tzinfo) -> Cron:
    if len(fields) != 6:
        raise ValueError(f"cron has six fields (minutes hours day-of-month month day-of-week year), not {len(fields)}")
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        raise ValueError("in cron, one of day-of-month and day-of-week is ?, and only one")
    last = "L" in days.split(",")
    given = ",".join(each for each in days.split(",") if each != "L")
    return Cron(
        minutes=_values(minutes, 0, 59),
        hours=_values(hours, 0, 23),
        days=None if days == "?" else _values(given, 1, 31) if given else frozenset(),
        last=last,
        months=_values(months, 1, 12, MONTHS),
        weekdays=None if weekdays == "?" else _values(weekdays, 1, 7, DAYS),
        years=_values(years, 1970, 2199),
        zone=zone,
    )


def _values(field: str, least: int, most: int, names: Sequence[str] = ()) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if not match:
            raise ValueError(f"cron does not know {part[:32]!r} here")
        first = least if match[1] == "*" else _number(match[1], names)
        to = _number(match[2], names) if match[2] else most if match[1] == "*" or match[3] else first
        every = int(match[3] or 1)
        if not least <= first <= to <= most or every < 1:
            raise ValueError(f"{part[:32]!r} of cron is not within {least} to {most}")
        found.update(range(first, to + 1, every))
    return frozenset(found)


def _number(text: str, names: Sequence[str]) -> int:
    if text in names:
        return names.index(text) + 1
    if not text.isdigit() or len(text) > 4:
        raise ValueError(f"cron does not know {text[:32]!r} here")
    return int(text)
