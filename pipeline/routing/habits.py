"""What somebody does week after week is his work: which rules a principal triggers as a habit, and which are news.

A rule speaks of what is worth knowing whoever does it. The nightly backup that reads a snapshot at two is worth a line
in the log, not a ticket a night; the same backup reading one at noon is worth the ticket. What administrators do all
week is custom, and one of them who does it for the first time joins in; in the first days, what three of them did. A
rule too mild for a ticket is worth one when its principal has never done so and does it ten times, or in a company of
rules it never had, or where at most one other does it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.schema import conform
from pipeline.routing.places import Places
from pipeline.routing.schedule import bit, on_schedule

SPAN_DAYS: Final = 28
SCHEMA: Final = pl.Schema(
    {
        "principal": pl.String(),
        "cause": pl.String(),
        "at_us": pl.Int64(),  # of what is recent; else the day
        "recent": pl.Boolean(),
        "times": pl.String(),  # of that day: a bit for each quarter of an hour, hexadecimal; of a place its last day
        "place": pl.String(),  # an address, and the day of its first hit; mostly null
    }
)
_PRACTISED: Final = 4  # days before, at any hour, that make it practice
_TEAM: Final = 4  # principals who do it make it a team's work: then one day before is practice
_CUSTOM: Final = 3  # others of its kind who do it, last on so many different days, make it custom
_EVERYBODY: Final = 8  # from so many others on even for one who never broke a rule
_EARLY: Final = 4  # days of memory before which nothing can be a habit: what several do at once is custom then
_FEW: Final = 2  # principals who do it: one, mostly a program, and now another
_KNOWN: Final = 7  # days of memory before nobody else is known to do it
_GRAVE: Final = "\n!"  # behind a cause: days on which it was no mild one
_SINCE: Final = "\n"  # in place of a cause: the day on which memory began
_RECENT: Final = 256  # what is remembered of one principal's last hour


@dataclass(slots=True)
class _Past:
    days: dict[str, dict[int, int]] = field(default_factory=dict)  # cause -> day -> its quarters, a bit for each
    recent: list[tuple[int, str]] = field(default_factory=list)
    places: dict[str, Places] = field(default_factory=dict)  # cause -> from where, of no mild ones


@dataclass(slots=True)
class _Company:
    """Principals of one kind who did something, by the last day on which they did."""

    last: dict[str, int] = field(default_factory=dict)
    on: Counter[int] = field(default_factory=Counter)  # how many of them have that last day

    def see(self, principal: str, day: int) -> None:
        before = self.last.get(principal, -1)
        if day > before:
            self.drop(principal)
            self.last[principal] = day
            self.on[day] += 1

    def drop(self, principal: str) -> None:
        if (day := self.last.pop(principal, None)) is not None:
            self.on[day] -= 1
            if not self.on[day]:
                del self.on[day]

    def sweep(self, until: int) -> None:
        if any(day <= until for day in self.on):
            for principal in [who for who, day in self.last.items() if day <= until]:
                self.drop(principal)

    def custom(self, principal: str, today: int, *, keen: bool) -> int:
        """How many others did it, but for those who did it today, where that makes it custom; else 0."""
        others = len(self.last) - self.on.get(today, 0) - (self.last.get(principal, today) < today)
        enough = others >= _CUSTOM and len(self.on.keys() - {today}) >= _CUSTOM
        return others if enough and (keen or others >= _EVERYBODY) else 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a rule's hit compares with what its principal did before. `days` are earlier days of the last 28."""

    days: int
    scheduled: bool
    news: float  # how much of the last hour was new: rules never triggered, their company, how often
    doers: int = 0  # principals who did it in the last 28 days, this one included
    custom: int = 0  # others of its kind who did so, where that is what its kind does; 0: it is not
    rare: int = 0  # the first time of this one, in so many days in which at most one other did it; 0: not so
    elsewhere: bool = False  # from an address that it never came from, where it comes from one or two

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
        self._companies: dict[str, dict[str, _Company]] = {}  # the same of those no mild ones, by kind of principal
        self._swept: dict[str, int] = {}  # cause -> day on which those of long ago were taken out
        self._since_day: int | None = None

    def see(self, principal: str, cause: str, at_us: int, *, grave: bool = False, address: str = "") -> Standing:
        """Where a hit stands, judged against what was before it; then it is remembered.

        Only `grave` ones make custom: what anybody can bring about by trying in vain is mild.
        """
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
        news, custom = self._news(past, today), self._custom(past, cause, principal, today)
        elsewhere = grave and past.places.setdefault(cause, Places()).strange(address, today)
        standing = Standing(len(before), on_schedule(before, at_us), news, doers, custom, rare, elsewhere)
        _note(past, cause, at_us)
        if grave:
            past.places[cause].note(address, today)
            _note(past, cause + _GRAVE, at_us)
            self._join(cause, principal, today)
        return standing

    def _join(self, cause: str, principal: str, day: int) -> None:
        self._companies.setdefault(cause, {}).setdefault(_kind(principal), _Company()).see(principal, day)

    def _evict(self, principal: str) -> None:
        for cause in self._past.pop(principal).days:
            self._doers.get(cause, {}).pop(principal, None)
            self._leave(cause.removesuffix(_GRAVE), principal)

    def _leave(self, cause: str, principal: str) -> None:
        kinds = self._companies.get(cause, {})
        if (company := kinds.get(_kind(principal))) is not None:
            company.drop(principal)
            if not company.last:
                del kinds[_kind(principal)]

    def _doers_of(self, cause: str, principal: str, today: int) -> int:
        """How many did it in the last 28 days, with this one."""
        doers = self._doers.setdefault(cause, {})
        doers[principal] = max(today, doers.get(principal, today))
        if self._swept.get(cause) != today:
            self._doers[cause] = doers = {who: day for who, day in doers.items() if day > today - SPAN_DAYS}
            kinds = self._companies.get(cause, {})
            for company in kinds.values():
                company.sweep(today - SPAN_DAYS)
            self._companies[cause] = {kind: company for kind, company in kinds.items() if company.last}
            self._swept[cause] = today
        return len(doers)

    def _custom(self, past: _Past, cause: str, principal: str, today: int) -> int:
        """How many others of its kind did it, where that makes it custom; else 0."""
        company = self._companies.get(cause, {}).get(_kind(principal))
        if company is None:
            return 0
        if self._early(today):
            others = len(company.last.keys() - {principal})
            return others if others >= _CUSTOM else 0
        keen = any(day < today for rule, days in past.days.items() if rule.endswith(_GRAVE) for day in days)
        return company.custom(principal, today, keen=keen)

    def _early(self, today: int) -> bool:
        """Whether memory is so short that nothing could be a habit yet."""
        return self._since_day is not None and today - self._since_day < _EARLY

    def _forget(self, past: _Past, today: int, at_us: int) -> None:
        past.recent = [(at, cause) for at, cause in past.recent if at > at_us - HOUR_US]
        for cause, days in list(past.days.items()):
            past.days[cause] = kept = {day: times for day, times in days.items() if day > today - SPAN_DAYS}
            if not kept:
                del past.days[cause]
        past.places = {cause: places for cause, places in past.places.items() if places.forget(today - SPAN_DAYS)}

    def _news(self, past: _Past, today: int) -> float:
        """Never triggered before today, each 1; the hour's causes never together before; doublings of their number."""
        causes = sorted({cause for _, cause in past.recent})
        early = self._early(today)
        first = [cause for cause in causes if not any(day < today for day in past.days.get(cause, ()))]
        fresh = sum(not (early and len(self._doers.get(cause, ())) >= _TEAM) for cause in first)
        company = "+".join(causes)
        new = len(causes) > 1 and not early and not any(day < today for day in past.days.get(company, ()))
        if len(causes) > 1:
            _note(past, company, past.recent[-1][0])
        if not fresh and not new:
            return 0.0
        return fresh + 0.75 * (len(causes) - 1) * new + math.log2(len(past.recent))

    def _known(self, principal: str, cause: str, day: int) -> None:
        """A day of the past: who did what follows from it."""
        rule = cause.removesuffix(_GRAVE)
        if rule != cause:
            self._join(rule, principal, day)
            return
        doers = self._doers.setdefault(cause, {})
        doers[principal] = max(day, doers.get(principal, day))

    def snapshot(self) -> pl.DataFrame:
        """A frame of SCHEMA: since when, then oldest principal first."""
        rows: list[tuple[str, str, int, bool, str, str | None]] = []
        if self._since_day is not None:
            rows.append(("", _SINCE, self._since_day * DAY_US, False, "", None))
        for principal, past in self._past.items():
            rows += [
                (principal, cause, day * DAY_US, False, f"{times:x}", None)
                for cause, days in past.days.items()
                for day, times in days.items()
            ]
            rows += [(principal, cause, at, True, "", None) for at, cause in past.recent]
            rows += [
                (principal, cause, first * DAY_US, False, f"{last:x}", place)
                for cause, places in past.places.items()
                for place, (first, last) in places.days.items()
            ]
        return pl.DataFrame(rows, schema=SCHEMA, orient="row")

    def restore(self, frame: pl.DataFrame) -> None:
        """The inverse of `snapshot`; of an earlier version's, which knew of each day its first moment."""
        self._past, self._doers, self._companies, self._swept, self._since_day = {}, {}, {}, {}, None
        if "times" not in frame.columns:
            frame = frame.with_columns(times=pl.Series([f"{bit(at):x}" for at in frame["at_us"].to_list()]))
        for principal, cause, at, recent, times, place in conform(frame, SCHEMA).iter_rows():
            day = at // DAY_US
            if cause == _SINCE:
                self._since_day = day
                continue
            past = self._past.setdefault(principal, _Past())
            if place is not None:
                past.places.setdefault(cause, Places()).days[place] = (day, int(times, 16))
            elif recent:
                past.recent.append((at, cause))
            else:
                past.days.setdefault(cause, {})[day] = int(times, 16)
                self._known(principal, cause, day)


def _kind(principal: str) -> str:
    """How it logs in, which is how its name begins; of names that do not tell, empty."""
    kind, slash, _ = principal.partition("/")
    return kind if slash else ""


def _note(past: _Past, cause: str, at_us: int) -> None:
    days = past.days.setdefault(cause, {})
    days[at_us // DAY_US] = days.get(at_us // DAY_US, 0) | bit(at_us)
