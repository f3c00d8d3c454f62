"""Alerts held against the labels: which tell of an incident, which are false, and of what.

An alert is true when it is not in the twin without attacks, lies in an incident's time, and touches its principal, one
of its secrets or one of its requests. All others are false.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.clock import HOUR_US
from pipeline.evaluate.touched import AFTER_US, BEFORE_US, NONE, rarity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pipeline.evaluate.replay import Told
    from pipeline.evaluate.twins import Happening, Recorded, Staged

LATE_US: Final = 24 * HOUR_US  # an alert this long after an incident's end still tells of it
_SHARED: Final = frozenset({"", "anonymous", "token", "wrapping", "unknown"})


@dataclass(frozen=True)
class Caught:
    """An incident and how it was found: µs after its begin and after the evidence was complete, requests until then.

    Complete it was when the detector whose finding made the alert, asked, would have said the same for the first time,
    in that window, with whatever score; of two that made it at one moment, the one that could have spoken earlier.
    """

    incident: Staged
    delay_us: int | None = None
    waited_us: int = 0
    accesses: int = 0
    alerts: int = 0
    detectors: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether any alert told of it."""
        return self.delay_us is not None


@dataclass
class Verdict:
    """One run at one allowance."""

    caught: list[Caught]
    true: int = 0
    false: int = 0
    quiet: int = 0  # delivered in the twin without attacks
    pages: int = 0  # false pages
    explained: int = 0
    repeated: int = 0  # further alerts about one that had one within a day
    by_confuser: Counter[str] = field(default_factory=Counter)
    by_detector: Counter[str] = field(default_factory=Counter)
    by_day: list[int] = field(default_factory=list)


def judge(recorded: Recorded, staged: Sequence[Told], quiet: Sequence[Told], findings: pl.DataFrame) -> Verdict:
    """`staged` and `quiet` are what was delivered with and without attacks, `findings` the rows `staged` refers to."""
    tested = [one for one in staged if one.opened_us > recorded.test_us]
    benign = [one for one in quiet if one.opened_us > recorded.test_us]
    twin = _spans(quiet)
    marks = _Marks(findings, recorded.incidents, recorded.since)
    hits: dict[int, list[_Hit]] = {}
    verdict = Verdict([], quiet=len(benign))
    for one in tested:
        reached = [] if _in(twin, one) else marks.reached(one)
        for number, hit in reached:
            hits.setdefault(number, []).append(hit)
        verdict.true += bool(reached)
        if not reached:
            _false(verdict, one, recorded)
    verdict.caught = [_caught(each, hits.get(i, [])) for i, each in enumerate(recorded.incidents)]
    verdict.explained = sum(map(_explained, tested))
    verdict.repeated = _repeated(tested)
    days = int((recorded.end_us - recorded.test_us) // (24 * HOUR_US))
    per_day = Counter((one.opened_us - recorded.test_us) // (24 * HOUR_US) for one in tested)
    verdict.by_day = [per_day[day] for day in range(days)]
    return verdict


@dataclass(frozen=True, slots=True)
class _Hit:
    """An alert, when it told of an incident, and when the evidence for that was complete (µs)."""

    alert: Told
    at_us: int
    complete_us: int


class _Marks:
    """Which findings touch which incidents."""

    def __init__(self, findings: pl.DataFrame, incidents: Sequence[Staged], since: Mapping[str, int]) -> None:
        self._since = [since.get(uid) for uid in findings["uid"]]
        self._ready = findings["ready"].to_physical().to_list()
        self._time = findings["time"].to_physical().to_list()
        self._who, self._what = findings["principal"].to_list(), findings["secret"].to_list()
        self._evidence = findings["evidence"].to_list()
        self._incidents = incidents
        self._uids = [frozenset(uid.replace("-", "") for uid in each.label.correlation_uids) for each in incidents]
        self._secrets = [frozenset(each.label.secrets) for each in incidents]

    def reached(self, one: Told) -> list[tuple[int, _Hit]]:
        """Each incident that the alert tells of, once it says something with evidence of it."""
        found: dict[int, list[int]] = {}
        for nth, i in enumerate(one.findings):
            for number, each in enumerate(self._incidents):
                if self._ready[i] > each.begin_us and self._touches(i, number, each):
                    found.setdefault(number, []).append(nth)
        hits = ((n, self._hit(one, places, self._incidents[n].begin_us)) for n, places in found.items())
        return [(number, hit) for number, hit in hits if hit is not None]

    def _hit(self, one: Told, places: Sequence[int], begin_us: int) -> _Hit | None:
        """`places` are those of the alert's findings that touch the incident."""
        at, held = next(((at, held) for at, held in one.said if held > places[0]), (None, 0))
        if at is None:
            return None
        rows = [one.findings[place] for place in places if place < held]
        last = max(self._ready[i] for i in rows)
        made = [i for i in rows if self._ready[i] == last]
        complete = min(last if (since := self._since[i]) is None else since for i in made)
        return _Hit(one, at, max(complete, begin_us))

    def _touches(self, i: int, number: int, each: Staged) -> bool:
        """In its time: the finding's window may have begun before the incident did."""
        if not each.begin_us - HOUR_US <= self._time[i] <= each.end_us + LATE_US:
            return False
        who, what = self._who[i] or "", self._what[i] or ""
        if not self._uids[number].isdisjoint(self._evidence[i] or ()):
            return True
        if who not in _SHARED:
            return who == each.label.principal
        return what in self._secrets[number]


def _spans(alerts: Sequence[Told]) -> dict[tuple[str, str, str], list[tuple[int, int]]]:
    spans: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for one in alerts:
        spans.setdefault(one.about, []).append((_us(one.row["first_time"]), _us(one.row["last_time"])))
    return spans


def _in(twin: dict[tuple[str, str, str], list[tuple[int, int]]], one: Told) -> bool:
    """Whether the twin has an alert about the same at the same time."""
    low, high = _us(one.row["first_time"]) - HOUR_US, _us(one.row["last_time"]) + HOUR_US
    return any(first <= high and last >= low for first, last in twin.get(one.about, ()))


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def _caught(each: Staged, hits: Sequence[_Hit]) -> Caught:
    if not hits:
        return Caught(each)
    at = min(hit.at_us for hit in hits)
    waited = at - min(hit.complete_us for hit in hits if hit.at_us == at)
    names = sorted({name for hit in hits for name in hit.alert.row["detectors"]})
    return Caught(each, at - each.begin_us, waited, sum(t <= at for t in each.times_us), len(hits), tuple(names))


def _false(verdict: Verdict, one: Told, recorded: Recorded) -> None:
    verdict.false += 1
    verdict.pages += one.paged
    verdict.by_detector.update(one.row["detectors"][:1])
    verdict.by_confuser[_confuser(one, recorded.happenings)] += 1


def _confuser(one: Told, happenings: Sequence[Happening]) -> str:
    """The rarest kind of happening that the alert's principal took part in at the time; else that of none."""
    low, high = _us(one.row["first_time"]) - BEFORE_US, _us(one.row["last_time"])
    who = one.row["principal"]
    here = {h.name for h in happenings if who in h.parties and h.begin_us <= high and h.end_us + AFTER_US >= low}
    return next((name for name in rarity(happenings) if name in here), NONE)


def _explained(one: Told) -> bool:
    """It says what was seen, what was expected, what to do, and names evidence where it is about somebody."""
    row = one.row
    words = all(row[name] for name in ("message", "observed", "expected", "next_step"))
    return words and bool(row["evidence"] or not (row["principal"] or row["secret"]))


def _repeated(alerts: Sequence[Told]) -> int:
    last: dict[tuple[str, str, str], int] = {}
    count = 0
    for one in alerts:
        count += one.opened_us - last.get(one.about, -(10**18)) < 24 * HOUR_US
        last[one.about] = one.opened_us
    return count
