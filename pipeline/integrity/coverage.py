"""How complete each stream can be said to be, hour by hour: the COVERAGE rows.

`violated`: a loss was shown. `proven`: the store's own counters match every line from the hour's first operation to
its last. `bounded`: canary numbers are contiguous throughout, or every operation is told by at least two devices.
`unknown`: one device alone; nothing in a Vault log proves that a line is not missing. A canary number that is missing
where the counters match was never sent: that is no loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from pipeline.core.clock import HOUR_US
from pipeline.core.schema import COVERAGE, empty
from pipeline.integrity.places import moment
from pipeline.integrity.spans import SPAN

if TYPE_CHECKING:
    from pipeline.core.model import Frames

LOSSES: Final = frozenset({"gap", "truncated", "unpaired", "altered"})
KEEP_HOURS: Final = 72  # of a loss
KEPT: Final = 2_048  # hours of a stream, and as many losses by hour and spans, that may still change
REMEMBERED: Final = 20_000  # places that may be told again
SILENCE_US: Final = 300_000_000  # canaries may begin so long after an hour's first operation and end so before its last

_KINDS: Final = {"canary_gap": "canaries", "counter_mismatch": "counters"}
_NEEDED: Final = ("uid", "source", "verdict", "cause", "count")


class Hour(NamedTuple):
    """One stream's hour; `start` in µs."""

    source: str
    store: str
    start: int


@dataclass(slots=True)
class Told:
    """Operations of an hour: all, those that another device told too, and when the first and last were (µs)."""

    told: int = 0
    shared: int = 0
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Loss:
    """A place where something is missing, over the hours it reaches; `count` 0 when it was taken back."""

    source: str
    kind: str  # canaries, counters, entries
    count: int
    from_us: int
    to_us: int

    def hours(self) -> range:
        """The hours it reaches over, in µs."""
        first = self.from_us // HOUR_US * HOUR_US
        return range(first, min(self.to_us, first + KEEP_HOURS * HOUR_US) + 1, HOUR_US)


class Coverage:
    """Adds up, per stream and hour, what was told, what two devices told, what is missing, and what vouches for it."""

    def __init__(self, silence_us: int = SILENCE_US) -> None:
        self.silence_us = silence_us
        self._hours: dict[Hour, Told] = {}
        self._losses: dict[str, Loss] = {}  # the last ones, by uid
        self._lost: dict[tuple[str, int, str], list[int]] = {}  # stream, hour, kind -> places, entries
        self._spans: dict[tuple[str, str, int], tuple[int, str]] = {}

    def push(self, operations: pl.DataFrame, verdicts: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
        """COVERAGE rows of every hour that these operations, INTEGRITY rows and spans (spans.SPAN) touch."""
        touched = {*self._tell(operations), *self._lose(verdicts), *self._vouch(spans)}
        if not touched:
            return empty(COVERAGE)
        rows = [self._graded(hour) for hour in sorted(touched)]
        self._forget()
        return pl.DataFrame(rows, schema=COVERAGE, orient="row")

    def _tell(self, operations: pl.DataFrame) -> Iterator[Hour]:
        if operations.is_empty():
            return
        at = pl.col("time").to_physical()
        told = operations.select("store", at=at, source="devices", two=pl.col("devices").list.len() > 1)
        counted = told.explode("source").group_by("source", "store", hour=at_hour(), maintain_order=True).agg(
            told=pl.len(), shared=pl.col("two").sum(), first=pl.col("at").min(), last=pl.col("at").max()
        )  # fmt: skip
        for source, store, start, told_, shared, first, last in counted.iter_rows():
            hour = Hour(source, store, start)
            known = self._hours.pop(hour, Told(0, 0, first, last))
            self._hours[hour] = Told(
                known.told + told_, known.shared + shared, min(known.first, first), max(known.last, last)
            )
            yield hour

    def _lose(self, verdicts: pl.DataFrame) -> Iterator[Hour]:
        if verdicts.is_empty():
            return
        dated = verdicts.filter(pl.col("from_time").is_not_null())
        times = [pl.col(name).to_physical().alias(name) for name in ("from_time", "to_time")]
        for uid, source, verdict, cause, count, start, end in dated.select(*_NEEDED, *times).iter_rows():
            if verdict not in LOSSES and uid not in self._losses:
                continue
            shown = count if verdict in LOSSES else 0
            loss = Loss(source, _KINDS.get(cause, "entries"), shown, start, max(start, end or start))
            yield from self._replace(uid, loss)

    def _replace(self, uid: str, loss: Loss) -> Iterator[Hour]:
        """Count a place, in the first hour it reaches over, instead of what was counted for it before."""
        before = self._losses.pop(uid, None)
        if before is not None:
            self._add(before, -1)
        self._add(loss, 1)
        self._losses[uid] = loss
        if len(self._losses) > REMEMBERED:
            del self._losses[next(iter(self._losses))]
        for at in loss.hours():
            known = [h for h in self._hours if h.source == loss.source and h.start == at]
            yield from known or (Hour(loss.source, "vault", at),)

    def _add(self, loss: Loss, sign: int) -> None:
        for at in loss.hours() if loss.count else ():
            places = self._lost.setdefault((loss.source, at, loss.kind), [0, 0])
            places[0] += sign
            places[1] += sign * loss.count * (at == loss.hours()[0])

    def _vouch(self, spans: pl.DataFrame) -> Iterator[Hour]:
        for source, kind, start, end, note in spans.iter_rows():
            self._spans.pop((source, kind, start), None)
            self._spans[source, kind, start] = end, note
            for hour in self._hours:
                if hour.source == source and start < hour.start + HOUR_US and end >= hour.start:
                    yield hour

    def _graded(self, hour: Hour) -> tuple[object, ...]:
        told = self._hours.get(hour, Told())
        lost = self._missing(hour)
        counted = told.told > 0 and self._covered(hour.source, "counters", told, 0)
        if counted and not {"counters", "entries"} & lost.keys():
            lost.pop("canaries", None)
        if lost:
            kind, count = max(lost.items(), key=lambda item: (item[1], item[0]))
            grade, note = "violated", f"{count} entries shown to be missing or wrong"
        elif counted:
            grade, kind, count, note = "proven", "counters", 0, counted
        else:
            grade, kind, count, note = self._bounded(hour, told)
        return hour.source, hour.store, moment(hour.start), grade, kind, count, note

    def _bounded(self, hour: Hour, told: Told) -> tuple[str, str, int, str]:
        counted = self._covered(hour.source, "canaries", told, self.silence_us)
        if told.told and told.told == told.shared:
            note = "every operation is told by at least two devices"
            return "bounded", "devices compared", 0, f"{note}; {counted}" if counted else note
        if told.told and counted:
            return "bounded", "canaries", 0, counted
        alone = f"{told.told - told.shared} of {told.told} operations are told by this device alone"
        return "unknown", "one device", 0, alone + self._age(hour.source, told.last)

    def _covered(self, source: str, kind: str, told: Told, slack_us: int) -> str:
        """The note of a span that reaches from an hour's first operation to its last, give or take the slack."""
        for (name, what, start), (end, note) in self._spans.items():
            if (name, what) == (source, kind) and start <= told.first + slack_us and end >= told.last - slack_us:
                return note
        return ""

    def _age(self, source: str, last_us: int) -> str:
        """How long before the hour's last operation the canaries fell silent, where there are any."""
        ends = [end for (name, kind, _), (end, _) in self._spans.items() if (name, kind) == (source, "canaries")]
        before = [end for end in ends if end <= last_us]
        if not ends:
            return ""
        return f"; the last canary is {(last_us - max(before)) // 1_000_000} s older" if before else "; no canary yet"

    def _missing(self, hour: Hour) -> dict[str, int]:
        """What is missing in an hour by kind."""
        kinds = (
            (kind, self._lost.get((hour.source, hour.start, kind))) for kind in ("canaries", "counters", "entries")
        )
        return {kind: places[1] for kind, places in kinds if places and places[0]}

    def _forget(self) -> None:
        """Keep what was touched last, not what is newest: one clock a year ahead must not wipe out today."""
        for known in (self._hours, self._lost, self._spans):
            for key in [*known][: max(0, len(known) - KEPT)]:
                del known[key]

    def snapshot(self) -> Frames:
        """The counts, losses and spans of the last hours."""
        hours = [{**hour._asdict(), **asdict(told)} for hour, told in self._hours.items()]
        losses = [{"uid": uid, **asdict(loss)} for uid, loss in self._losses.items()]
        spans = [(*key, *span) for key, span in self._spans.items()]
        return {
            "hours": pl.DataFrame(hours, schema=_HOURS),
            "losses": pl.DataFrame(losses, schema=_LOSSES),
            "lost": pl.DataFrame([(*key, *places) for key, places in self._lost.items()], schema=_LOST, orient="row"),
            "spans": pl.DataFrame(spans, schema=SPAN, orient="row"),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._hours = {Hour(*row[:3]): Told(*row[3:]) for row in frames["hours"].iter_rows()}
        self._losses = {uid: Loss(*row) for uid, *row in frames["losses"].iter_rows()}
        self._lost = {(source, at, kind): places for source, at, kind, *places in frames["lost"].iter_rows()}
        self._spans = {(source, kind, start): (end, note) for source, kind, start, end, note in frames["spans"].rows()}


_INTEGER: Final = pl.Int64()
_HOURS: Final = pl.Schema(
    {
        "source": pl.String(), "store": pl.String(), "start": _INTEGER, "told": _INTEGER, "shared": _INTEGER,
        "first": _INTEGER, "last": _INTEGER,
    }
)  # fmt: skip
_LOSSES: Final = pl.Schema(
    {
        "uid": pl.String(), "source": pl.String(), "kind": pl.String(), "count": _INTEGER, "from_us": _INTEGER,
        "to_us": _INTEGER,
    }
)  # fmt: skip
_LOST: Final = pl.Schema(
    {"source": pl.String(), "hour": _INTEGER, "kind": pl.String(), "places": _INTEGER, "entries": _INTEGER}
)


def at_hour() -> pl.Expr:
    """The hour of a column `at` (µs), in µs."""
    return pl.col("at") // HOUR_US * HOUR_US
