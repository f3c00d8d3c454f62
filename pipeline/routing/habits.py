"""What somebody does week after week is his work: which rules a principal triggers as a habit, and which are news.

A rule speaks of what is worth knowing whoever does it. The nightly backup that reads a snapshot at two is worth a line
in the log, not a ticket a night; the same backup reading one at noon is worth the ticket. A rule too mild for a ticket
is worth one when its principal has never done so and does it ten times, or in a company of rules it never had, or where
at most one other does it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from pipeline.core.clock import DAY_US, HOUR_US

SPAN_DAYS: Final = 28
SCHEMA: Final = pl.Schema(
    {
        "principal": pl.String(),
        "cause": pl.String(),
        "at_us": pl.Int64(),  # of what is recent; else the day
        "recent": pl.Boolean(),
        "times": pl.String(),  # of that day: a bit for each quarter of an hour, hexadecimal
    }
)
_SCHEDULED: Final = 10  # days before at the same hour, that a schedule must have been seen on
_WEEKLY: Final = 3  # or weeks before, at the same hour of the same weekday
_PRACTISED: Final = 4  # days before, at any hour, that make it practice
_TEAM: Final = 4  # principals who do it make it a team's work: then one day before is practice
_FEW: Final = 2  # principals who do it: one, mostly a program, and now another
_KNOWN: Final = 7  # days of memory before nobody else is known to do it
_SINCE: Final = "\n"  # in place of a cause: the day on which memory began
_QUARTER_US: Final = HOUR_US // 4
_QUARTERS: Final = 96  # of a day
_NEAR: Final = range(-2, 3)  # quarters of an hour
_AROUND: Final = tuple(sum(1 << (at + shift) % _QUARTERS for shift in _NEAR) for at in range(_QUARTERS))
_MOST: Final = 0.4  # of a day may be near the times of a schedule
_SHARE: Final = 0.8  # of the days before, that must lie near this hour
_RECENT: Final = 256  # what is remembered of one principal's last hour


@dataclass(slots=True)
class _Past:
    days: dict[str, dict[int, int]] = field(default_factory=dict)  # cause -> day -> its quarters, a bit for each
    recent: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a rule's hit compares with what its principal did before. `days` are earlier days of the last 28."""

    days: int
    scheduled: bool
    news: float  # how much of the last hour was new: rules never triggered, their company, how often
    doers: int = 0  # principals who did it in the last 28 days, this one included
    rare: int = 0  # the first time of this one, in so many days in which at most one other did it; 0: not so

    @property
    def practised(self) -> bool:
        """Seen on enough earlier days; on one, where it is what a whole team does."""
        return self.days >= _PRACTISED or (self.days > 0 and self.doers >= _TEAM)


class Habits:
    """Per principal and cause the days of the last 28; of at most `most` principals, the oldest go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._past: dict[str, _Past] = {}
        self._doers: dict[str, dict[str, int]] = {}  # cause -> principal -> last day; follows from the past
        self._swept: dict[str, int] = {}  # cause -> day on which those of long ago were taken out
        self._since_day: int | None = None

    def see(self, principal: str, cause: str, at_us: int) -> Standing:
        """Where a hit stands, judged against what was before it; then it is remembered."""
        past = self._past.pop(principal, None) or _Past()
        self._past[principal] = past
        if len(self._past) > self._most:
            self._evict(next(iter(self._past)))
        today = at_us // DAY_US
        self._forget(past, today, at_us)
        before = {day: times for day, times in past.days.get(cause, {}).items() if day < today}
        past.recent = [*past.recent, (at_us, cause)][-_RECENT:]
        doers = self._doers_of(cause, principal, today)
        self._since_day = today if self._since_day is None else self._since_day
        known = min(today - self._since_day, SPAN_DAYS)
        rare = known if known >= _KNOWN and doers <= _FEW and not past.days.get(cause) else 0
        standing = Standing(len(before), _on_schedule(before, at_us), self._news(past, today), doers, rare)
        _note(past, cause, at_us)
        return standing

    def _evict(self, principal: str) -> None:
        for cause in self._past.pop(principal).days:
            self._doers.get(cause, {}).pop(principal, None)

    def _doers_of(self, cause: str, principal: str, today: int) -> int:
        """How many did it in the last 28 days, with this one."""
        doers = self._doers.setdefault(cause, {})
        doers[principal] = max(today, doers.get(principal, today))
        if self._swept.get(cause) != today:
            self._doers[cause] = doers = {who: day for who, day in doers.items() if day > today - SPAN_DAYS}
            self._swept[cause] = today
        return len(doers)

    def _forget(self, past: _Past, today: int, at_us: int) -> None:
        past.recent = [(at, cause) for at, cause in past.recent if at > at_us - HOUR_US]
        for cause, days in list(past.days.items()):
            past.days[cause] = kept = {day: times for day, times in days.items() if day > today - SPAN_DAYS}
            if not kept:
                del past.days[cause]

    def _news(self, past: _Past, today: int) -> float:
        """Never triggered before today, each 1; the hour's causes never together before; doublings of their number."""
        causes = sorted({cause for _, cause in past.recent})
        fresh = sum(not any(day < today for day in past.days.get(cause, ())) for cause in causes)
        company = "+".join(causes)
        new = len(causes) > 1 and not any(day < today for day in past.days.get(company, ()))
        if len(causes) > 1:
            _note(past, company, past.recent[-1][0])
        if not fresh and not new:
            return 0.0
        return fresh + 0.75 * (len(causes) - 1) * new + math.log2(len(past.recent))

    def snapshot(self) -> pl.DataFrame:
        """A frame of SCHEMA: since when, then oldest principal first."""
        rows: list[tuple[str, str, int, bool, str]] = []
        if self._since_day is not None:
            rows.append(("", _SINCE, self._since_day * DAY_US, False, ""))
        for principal, past in self._past.items():
            rows += [
                (principal, cause, day * DAY_US, False, f"{times:x}")
                for cause, days in past.days.items()
                for day, times in days.items()
            ]
            rows += [(principal, cause, at, True, "") for at, cause in past.recent]
        return pl.DataFrame(rows, schema=SCHEMA, orient="row")

    def restore(self, frame: pl.DataFrame) -> None:
        """The inverse of `snapshot`; of an earlier version's, which knew of each day its first moment."""
        self._past, self._doers, self._swept, self._since_day = {}, {}, {}, None
        if "times" not in frame.columns:
            frame = frame.with_columns(times=pl.Series([f"{_bit(at):x}" for at in frame["at_us"].to_list()]))
        for principal, cause, at, recent, times in frame.select(list(SCHEMA)).iter_rows():
            day = at // DAY_US
            if cause == _SINCE:
                self._since_day = day
                continue
            past = self._past.setdefault(principal, _Past())
            if recent:
                past.recent.append((at, cause))
            else:
                past.days.setdefault(cause, {})[day] = int(times, 16)
                doers = self._doers.setdefault(cause, {})
                doers[principal] = max(day, doers.get(principal, day))


def _on_schedule(before: dict[int, int], at_us: int) -> bool:
    """Whether the days before, or the same weekday of the weeks before, mostly had it near this hour.

    What comes at nearly any hour has no schedule: it would excuse everything.
    """
    days = list(before.values())
    if len(days) < _SCHEDULED:
        today = at_us // DAY_US
        days = [times for day, times in before.items() if (today - day) % 7 == 0]
        if len(days) < _WEEKLY or len(before) > 2 * len(days):
            return False
    return _near(days, at_us // _QUARTER_US % _QUARTERS) and _bounded(days)


def _near(days: list[int], quarter: int) -> bool:
    """Whether enough of the days had it near that quarter of an hour."""
    return sum(bool(times & _AROUND[quarter]) for times in days) >= _SHARE * len(days)


def _bounded(days: list[int]) -> bool:
    """Whether what is near on enough of the days is a small part of a day."""
    return sum(_near(days, quarter) for quarter in range(_QUARTERS)) <= _MOST * _QUARTERS


def _note(past: _Past, cause: str, at_us: int) -> None:
    days = past.days.setdefault(cause, {})
    days[at_us // DAY_US] = days.get(at_us // DAY_US, 0) | _bit(at_us)


def _bit(at_us: int) -> int:
    """The quarter of an hour, of its day."""
    return 1 << (at_us // _QUARTER_US % _QUARTERS)
