"""Canary requests: an authenticated client that counts, so that what is lost between two numbers is bounded in time.

Every 10 to 30 seconds the client sends a request with the audited header `<number>.<mac>`, the MAC being the first 32
hexadecimal digits of HMAC-SHA-256(key, decimal number). Per device the numbers must follow each other:

    missing number    gap/canary_gap            from the line before the hole to the line after it
    wrong MAC         altered/canary_mac        the number is not believed
    number again      duplicate/canary_replay   in another request
    out of order      reordered/canary_order    beyond two seconds of honest disorder
    token's hash new  device_change/salt_changed   the same token hashes differently: the device was made anew

A number that no device has was never sent or is lost everywhere; one that a sibling has is this device's loss.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.owned import added, few_pieces
from pipeline.core.schema import INTEGRITY, TIME, empty
from pipeline.integrity.memory import ENTRY, packed, unpacked
from pipeline.integrity.places import Row, first_and_last, frame, moment, place
from pipeline.integrity.sequence import Change, Device, Hole, Spot
from pipeline.integrity.spans import SPAN

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Ints

SILENCE_US: Final = 300_000_000
DISORDER_US: Final = 500_000  # that of the canonical order
_VALUE: Final = re.compile(r"([0-9]{1,15})\.([0-9a-f]{32})")
_ISSUED: Final = pl.Schema({"source": pl.String(), "order_time": TIME, "login_session": pl.String()})
_ISSUED_ROWS: Final = 50_000


class Canaries:
    """Reads the canary entries of every device in canonical order. Without a key the numbers alone are read."""

    def __init__(self, key: bytes | None = None, silence_us: int = SILENCE_US, disorder_us: int = DISORDER_US) -> None:
        self._key = key
        self.disorder_us = disorder_us
        self.silence_us = silence_us
        self._devices: dict[str, Device] = {}
        self._growing: dict[tuple[str, str], Row] = {}  # (source, cause) -> the place that may grow
        self._changes: list[Change] = []
        self._waiting = empty(ENTRY)  # entries whose neighbours may still come
        self._issued = empty(_ISSUED)  # tokens that log-ins made since the canaries before last
        self._moved: set[str] = set()  # devices whose spans have changed since `evidence` was last asked

    def push(self, events: pl.DataFrame, watermark_us: int) -> pl.DataFrame:
        """INTEGRITY rows of released events (canonical order); holes older than the honest disorder are told."""
        marked = events.filter((pl.col("canary").is_not_null() | pl.col("probe")) & (pl.col("store") == "vault"))
        if not self._devices and self._waiting.is_empty() and marked["canary"].null_count() == len(marked):
            return empty(INTEGRITY)
        self._issues(events)
        rows: list[Row] = []
        for now, entry in self._due(marked.select(ENTRY.names()), watermark_us):
            rows += self._settle(now)
            rows += self._take(entry, now)
        rows += self._settle(watermark_us)
        return frame(first_and_last(rows))

    def _due(self, marked: pl.DataFrame, watermark_us: int) -> Iterator[tuple[int, Row]]:
        """Entries whose neighbours in the file are all known, with the moment (µs) when they became so.

        The canonical order may put an entry before one that stands up to `disorder` earlier in its file; here each
        waits for those, and they go first.
        """
        waiting = pl.concat([self._waiting, marked])
        orders = waiting["order_time"].to_physical().to_numpy()
        heads = in_file_order(waiting)
        ripe = orders[heads] + self.disorder_us < watermark_us
        self._waiting = few_pieces(waiting.filter(~pl.Series(ripe)))
        positions = waiting["position"].to_numpy()
        chosen = np.flatnonzero(ripe)
        chosen = chosen[np.lexsort((positions[chosen], heads[chosen]))]
        entries = waiting[chosen].with_columns(pl.col("time").to_physical())
        yield from zip((orders[heads[chosen]] + self.disorder_us).tolist(), entries.iter_rows(named=True), strict=True)

    def evidence(self) -> pl.DataFrame:
        """The spans (spans.SPAN) in which every number came, of the devices that have moved on since the last call."""
        rows = [
            (source, "canaries", span.start, span.end, f"canaries {span.first} to {span.last}")
            for source in sorted(self._moved)
            for span in self._devices[source].spans
        ]
        self._moved.clear()
        return pl.DataFrame(rows, schema=SPAN, orient="row")

    def _issues(self, events: pl.DataFrame) -> None:
        issued = pl.col("login_session").is_not_null() & (pl.col("operation") != "revoke")
        made = events.lazy().filter(issued).select(_ISSUED.names()).collect()
        if len(made):
            self._issued = added(self._issued, made).tail(_ISSUED_ROWS)

    def _take(self, entry: Row, now: int) -> Iterator[Row]:
        source: str = entry["source"]
        if entry["probe"]:
            if source in self._devices:
                self._devices[source].restarted = True
            return
        spot = Spot(entry["position"], entry["time"], now, entry["file"])
        device = self._devices.setdefault(source, Device(source))
        number = self._number(entry["canary"])
        if self._key is None and number is not None:
            yield from self._unkeyed(source, spot)
        if number is None:
            yield self._grow(device, "altered", "canary_mac", entry["uid"], spot)
            return
        request, token = entry["correlation_uid"] or entry["uid"], entry["token_hash"] or ""
        before, last, restarted = device.high, device.spot, device.restarted
        word = device.take(number, request, token, spot, self.silence_us)
        self._moved.add(source)
        if word == "again":
            yield self._grow(device, "duplicate", "canary_replay", entry["uid"], spot)
            return
        if word in ("first", "next", "skip"):
            self._growing.pop((source, "canary_mac"), None)
            self._growing.pop((source, "canary_replay"), None)
        if word in ("next", "skip") and number == device.high and not restarted:
            self._compare(device, (before, number), last, spot, entry["session"] or "")
        if word == "late":
            yield from self._late(device, number, spot)

    def _number(self, value: str) -> int | None:
        """The number that a header's value carries, if its MAC is right (or no key is known)."""
        found = _VALUE.fullmatch(value)
        if found is None:
            return None
        if self._key is not None:
            mac = hmac.new(self._key, str(int(found[1])).encode(), hashlib.sha256).hexdigest()[:32]
            if not hmac.compare_digest(mac, found[2]):
                return None
        return int(found[1])

    def _unkeyed(self, source: str, spot: Spot) -> Iterator[Row]:
        if ("", "canary_unkeyed") not in self._growing:
            row = _row(source, "unverifiable", "canary_unkeyed", "", spot, spot, known=spot.order)
            row["evidence"] = "no key is configured: the canaries' numbers are read, their MACs are not checked"
            self._growing["", "canary_unkeyed"] = row
            yield row

    def _grow(self, device: Device, verdict: str, cause: str, first: str, spot: Spot) -> Row:
        """One place for entries of a kind that no good canary parts."""
        row = self._growing.get((device.source, cause))
        if row is None:
            row = _row(device.source, verdict, cause, first, spot, spot, known=spot.order)
        else:
            row = {**row, "count": row["count"] + 1, "known": moment(spot.order)}
            row |= {"to_position": spot.position, "to_time": moment(spot.time)}
        said = "carry a MAC that is wrong" if cause == "canary_mac" else "carry a number that came in another request"
        row["evidence"] = f"{row['count']} canary entries {said}"
        self._growing[device.source, cause] = row
        return row

    def _late(self, device: Device, number: int, spot: Spot) -> Iterator[Row]:
        hole = device.holding(number)
        if hole is None:
            return
        row = _row(device.source, "reordered", "canary_order", str(hole.first), hole.after, spot, known=spot.order)
        low, high = sorted((hole.after.time, spot.time))
        row |= {"count": hole.late, "from_time": moment(low), "to_time": moment(high)}
        row["evidence"] = f"{hole.late} canary numbers came after number {hole.last + 1}"
        yield row
        if hole.told:
            yield self._gap(device, hole, spot.order)

    def _compare(self, device: Device, numbers: tuple[int, int], before: Spot, after: Spot, session: str) -> None:
        known, fresh = (device.recent[number][1] for number in numbers)
        if known and fresh and known != fresh:
            self._changes.append(Change(device.source, numbers, before, after, session))

    def _settle(self, order_us: int) -> Iterator[Row]:
        """Tell what was due before a place in the canonical order."""
        due = [
            (hole.due, name, hole) for name, d in self._devices.items() for hole in d.untold() if hole.due < order_us
        ]
        for _, name, hole in sorted(due, key=lambda item: item[:2]):
            yield from self._tell(self._devices[name], hole)
        ripe = [change for change in self._changes if change.due < order_us]
        self._changes = [change for change in self._changes if change.due >= order_us]
        for change in ripe:
            yield from self._salted(change)

    def _tell(self, device: Device, hole: Hole) -> Iterator[Row]:
        hole.told = True
        if not hole.missing:
            if not hole.late:
                device.holes.remove(hole)
            return
        device.split(hole)
        self._moved.add(device.source)
        if hole.restarted and self._witnesses(device, hole)[1]:
            return  # the device was off while its siblings told them
        yield self._gap(device, hole, hole.due)

    def _gap(self, device: Device, hole: Hole, known: int) -> Row:
        if not hole.missing:
            row = _row(device.source, "late", "canary_gap", str(hole.first), hole.before, hole.after, known=known)
            return {**row, "evidence": f"canary numbers {hole.first} to {hole.last} came later"}
        row = _row(device.source, "gap", "canary_gap", str(hole.first), hole.before, hole.after, known=known)
        numbers = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in hole.missing[:20])
        witnesses, all_of_them = self._witnesses(device, hole)
        where = f"{', '.join(witnesses)} has {'them' if all_of_them else 'some'}" if witnesses else "no device has them"
        return {**row, "count": hole.count, "evidence": f"canary numbers {numbers} are missing; {where}"}

    def _witnesses(self, device: Device, hole: Hole) -> tuple[list[str], bool]:
        """Siblings that have numbers of the hole, and whether they have them all between them."""
        wanted = [n for low, high in hole.missing for n in range(low, min(high, low + 1000) + 1)][:1000]
        others = [d for d in self._devices.values() if d is not device and _siblings(device, d)]
        having = [d.source for d in others if any(d.has(n) for n in wanted)]
        return sorted(having), all(any(d.has(n) for d in others) for n in wanted)

    def _salted(self, change: Change) -> Iterator[Row]:
        """A token's hash changed: the device's salt, unless every device saw it change or a log-in made the token."""
        device = self._devices[change.source]
        others = [d for d in self._devices.values() if d is not device and _siblings(device, d)]
        seen = [d for d in others if all(n in d.recent for n in change.numbers)]
        if seen:
            new_token = not any(d.recent[change.numbers[0]][1] == d.recent[change.numbers[1]][1] for d in seen)
        else:
            made = self._issued.filter(source=change.source, login_session=change.session)
            made = made.filter(pl.col("order_time").to_physical() <= change.after.order)
            new_token = bool(change.session) and len(made) > 0
        if not new_token:
            first = str(change.numbers[1])
            row = _row(device.source, "device_change", "salt_changed", first, change.before, change.after,
                       known=change.due)  # fmt: skip
            yield {**row, "evidence": "the canary's token hashes differently from here on: the device was made anew"}

    def snapshot(self) -> Frames:
        """The numbers of each device, its holes and spans, and the places that may grow."""
        return packed(self._devices, self._growing, self._changes) | {"issued": self._issued, "waiting": self._waiting}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._devices, self._growing, self._changes = unpacked(frames)
        self._issued, self._waiting = frames["issued"], frames["waiting"]
        self._moved = set()


def in_file_order(entries: pl.DataFrame) -> Ints:
    """For each entry (canonical order) the row it goes with: the first of its file that stands no earlier in it."""
    heads = np.arange(len(entries), dtype=np.int64)
    for group in (
        entries.with_row_index("i")
        .group_by("source", "file", maintain_order=True)
        .agg("i", "position")[["i", "position"]]
        .iter_rows()
    ):
        rows, positions = (np.asarray(column, dtype=np.int64) for column in group)
        heads[rows] = rows[np.searchsorted(np.maximum.accumulate(positions), positions)]
    return heads


def _siblings(one: Device, other: Device) -> bool:
    """Devices of one store: some number came to both in the same request."""
    small, large = sorted((one.recent, other.recent), key=len)
    return any(large.get(number, ("",))[0] == request for number, (request, _) in reversed(small.items()))


def _row(source: str, verdict: str, cause: str, first: str, start: Spot, end: Spot, *, known: int) -> Row:  # noqa: PLR0917
    return {
        "source": source, "verdict": verdict, "from_position": start.position, "to_position": end.position,
        "from_time": moment(start.time), "to_time": moment(end.time), "count": 1, "evidence": "", "file": end.file,
        "cause": cause, "uid": place(source, cause, first), "known": moment(known),
    }  # fmt: skip
