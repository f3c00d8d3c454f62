"""Request + response -> operation, over all devices that told of it (V1 to V9 of README.md).

The entries of one request share its id. An operation is complete when one device has both halves, or when the stream
is `PAIR_TIMEOUT` past the first entry; it is handed on `hold_us` later, so that the other devices' copies are in it.
Everything here depends on order_time alone, so the operations and their order are the same however the stream is cut.

A copy that turns up later than that (a device read in a later run, a response after the timeout) corrects the
operation that stands in the lake: the corrected row keeps its uid and replaces the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.clock import ALWAYS, NEVER
from pipeline.core.owned import OWN_ROWS, few_pieces, owned
from pipeline.core.schema import EVENT, OPERATION, TIME, conform, empty
from pipeline.integrity.halves import correct, halves_told, merge, says_more

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Ints

PAIR_TIMEOUT_US = 60_000_000
HOLD_US = 500_000  # the default, and the most: clocks.JUDGED_US counts on it
REMEMBER_US = 600_000_000
REMEMBER_ROWS = 50_000
STRANGERS_MAX: Final = 10_000
MAX_STRETCHES: Final = 64  # of time that one look into the lake is split into

Recall = Callable[[pl.Series, int, int], pl.DataFrame]  # ids, from, to (µs) -> OPERATION rows that the lake holds

_POOL = pl.Schema({"key": pl.String(), **EVENT})
_STORED = pl.Schema({"key": pl.String(), **OPERATION})
_MEMORY = pl.Schema({"key": pl.String(), "complete_time": TIME})
# An entry, the operation it told of, when it was handed on, and whether that operation was known already.
ENTRY: Final = pl.Schema({**_POOL, "operation_uid": pl.String(), "complete_time": TIME, "copy": pl.Boolean()})


@dataclass(frozen=True, slots=True)
class Paired:
    """What became known: new operations, corrections of earlier ones, and the entries that made them.

    `changed` are the corrections that say more than the lake does already: an entry read twice corrects nothing.
    `entries` (ENTRY) say which operation each entry told of; the continuity rules read them. `repeats` are those of
    them that a stream had already told when the operation was handed on, `answered` the operations (uids) that lacked
    a half until now. No entry with an order_time before `settled_us` can still be handed on.
    """

    operations: pl.DataFrame
    corrections: pl.DataFrame
    changed: pl.DataFrame
    entries: pl.DataFrame
    repeats: pl.DataFrame
    settled_us: int = ALWAYS
    answered: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.String))

    def of(self, store: str) -> Paired:
        """What concerns one store alone."""
        return replace(
            self,
            operations=of_store(self.operations, store),
            corrections=of_store(self.corrections, store),
            changed=of_store(self.changed, store),
            entries=of_store(self.entries, store),
            repeats=of_store(self.repeats, store),
        )


def of_store(rows: pl.DataFrame, store: str) -> pl.DataFrame:
    """The rows of one store."""
    return rows if (rows["store"] == store).all() else rows.filter(store=store)


def of_others(rows: pl.DataFrame, store: str) -> pl.DataFrame:
    """The rows of all other stores."""
    return rows.filter(pl.col("store") != store) if (rows["store"] == store).any() else rows


class Pairing:
    """Holds the entries whose operation is not complete, and a bounded memory of those handed on."""

    def __init__(self, recall: Recall | None = None, *, lake_until_us: int = NEVER, hold_us: int = HOLD_US) -> None:
        self.recall = recall
        self.hold_us = hold_us
        self.lake_until_us = lake_until_us
        self._pool = empty(_POOL)
        self._leaning = 0  # entries whose texts the pool may keep alive
        self._memory = empty(_MEMORY)
        self._forgotten_us = NEVER  # operations handed on up to this time are not all in the memory
        self._strangers = 0  # entries in a row from before that time which the lake did not know
        self._nameless: dict[str, int] = {}

    def push(self, events: pl.DataFrame, watermark_us: int) -> Paired:
        """Take released events (canonical order) and give the operations complete before `watermark_us`."""
        fresh = self._keyed(events.filter(~pl.col("probe").fill_null(value=False)))
        self._pool = pl.concat([self._pool, fresh]) if len(self._pool) else fresh
        parts: list[Paired] = []
        while (entries := self._due(watermark_us)) is not None:
            parts.append(self._handed_on(entries, parts))
        self._leaning += len(fresh)
        if self._leaning >= OWN_ROWS:
            self._pool, self._leaning = owned(self._pool), 0
        self._pool = few_pieces(self._pool)
        settled = min(watermark_us, int(self._pool["order_time"].to_physical().to_numpy().min(initial=ALWAYS)))
        if len(parts) == 1:
            return replace(parts[0], settled_us=settled)
        return Paired(
            pl.concat([empty(OPERATION), *(p.operations for p in parts)]).sort("complete_time", "uid"),
            pl.concat([empty(OPERATION), *(p.corrections for p in parts)]),
            pl.concat([empty(OPERATION), *(p.changed for p in parts)]),
            pl.concat([empty(ENTRY), *(p.entries for p in parts)]),
            pl.concat([empty(ENTRY), *(p.repeats for p in parts)]),
            settled,
            pl.concat([pl.Series(dtype=pl.String), *(p.answered for p in parts)]),
        )

    def turn(self, to_us: int) -> None:
        """The clock was set back to `to_us`: what is open goes on from there."""
        self._pool = self._pool.with_columns(order_time=pl.min_horizontal("order_time", pl.lit(to_us).cast(TIME)))

    def _keyed(self, events: pl.DataFrame) -> pl.DataFrame:
        """The pairing key: store and request id; entries without an id pair with their neighbour (V7)."""
        key = pl.concat_str("store", pl.lit(":"), "correlation_uid")
        keyed = events.select(key.alias("key"), pl.all()).select(_POOL.names())
        if keyed["key"].null_count() == 0:
            return keyed
        alone = pl.when(pl.col("phase") == "single").then(pl.concat_str(pl.lit("~"), "uid"))
        keyed = keyed.with_columns(pl.coalesce("key", alone))
        if keyed["key"].null_count() == 0:
            return keyed
        named = keyed["key"].to_list()
        rows = keyed.select("source", "path", "phase").rows()
        for i, (source, path, phase) in enumerate(rows):
            if named[i] is None:
                named[i] = self._name(source, path, phase)
        return keyed.with_columns(pl.Series("key", named, dtype=pl.String))

    def _name(self, source: str, path: str | None, phase: str) -> str:
        """Requests and responses without id count up apart, per stream and path: the n-th answers the n-th."""
        place = f"{source}\x00{path}\x00{phase}"
        count = self._nameless.get(place, 0) + 1
        if len(self._nameless) >= 10_000 and place not in self._nameless:
            self._nameless.clear()
        self._nameless[place] = count
        return f"~{source}\x00{path}\x00{count}"

    def _due(self, watermark_us: int) -> pl.DataFrame | None:
        """Take the entries of every operation that is complete before `watermark_us` out of the pool."""
        if self._pool.is_empty():
            return None
        ready = ready_times(self._pool, self.hold_us)
        due = (ready < watermark_us) & (self._pool["order_time"].to_physical() <= ready)
        if not due.any():
            return None
        pool = self._pool.with_columns(ready.alias("ready"))
        self._pool = pool.filter(~due).drop("ready")
        return pool.filter(due)

    def _handed_on(self, entries: pl.DataFrame, just: Sequence[Paired]) -> Paired:
        """Tell new operations from copies of operations already handed on, `just` now or before."""
        old = entries["time"].to_physical() <= max(self.lake_until_us, self._forgotten_us)
        doubtful = pl.concat(
            [entries.filter(old)["key"], entries.select("key").join(self._memory, on="key", how="semi")["key"]]
        ).unique()
        stored = empty(_STORED)
        if len(doubtful):
            stored = self._stored(entries.filter(pl.col("key").is_in(doubtful.implode())), just)
            self._believe(entries["time"].to_physical(), known=len(stored) > 0)
        if stored.is_empty():
            operations = merge(entries)
            self._remember(operations)
            told = _told(entries, operations, stored)
            none = empty(OPERATION)
            return Paired(conform(operations, OPERATION), none, none, told, empty(ENTRY))
        fresh = entries.join(stored, on="key", how="anti", maintain_order="left")
        copies = entries.join(stored, on="key", how="semi", maintain_order="left")
        operations = merge(fresh)
        corrected = correct(merge(copies), stored)
        self._remember(operations)
        told = _told(entries, pl.concat([operations.select("key", "uid"), corrected.select("key", "uid")]), stored)
        repeats = told.join(halves_told(stored), on=("operation_uid", "source", "phase"), how="semi")
        lone = stored.filter(~pl.col("paired"))["uid"]
        answered = corrected.filter(pl.col("paired") & pl.col("uid").is_in(lone.implode()))["uid"]
        changed = conform(corrected.filter(says_more(corrected, stored)), OPERATION)
        corrections = conform(corrected, OPERATION)
        return Paired(conform(operations, OPERATION), corrections, changed, told, repeats, answered=answered)

    def _stored(self, suspects: pl.DataFrame, just: Sequence[Paired]) -> pl.DataFrame:
        """The lake's rows that these entries are copies of: same id, and a time within the pairing timeout."""
        ids, times = suspects["correlation_uid"], suspects["time"].to_physical()
        recall = self.recall
        spans = [
            recall(
                ids.filter(times.is_between(low, high)).drop_nulls().unique(),
                low - PAIR_TIMEOUT_US,
                high + PAIR_TIMEOUT_US,
            )
            for low, high in stretches(times.to_numpy())
            if recall is not None
        ]
        same = pl.col("correlation_uid").is_in(ids.drop_nulls().unique().implode())
        here = [part.filter(same) for paired in just for part in (paired.operations, paired.corrections)]
        known = pl.concat([empty(OPERATION), *spans, *here])
        found = known.unique("uid", keep="last", maintain_order=True)
        asked = suspects.group_by("key").agg(asked=pl.col("time").min())
        near = found.with_columns(key=pl.concat_str("store", pl.lit(":"), "correlation_uid")).join(asked, on="key")
        apart = (pl.col("time") - pl.col("asked")).abs() <= pl.duration(microseconds=PAIR_TIMEOUT_US)
        return near.filter(apart).sort("time", "uid").unique("key", keep="first", maintain_order=True).drop("asked")

    def _believe(self, times: pl.Series, *, known: bool) -> None:
        """Thousands of old entries that the lake never saw are no replay: the clock was ahead before."""
        before = int((times <= self._forgotten_us).sum())
        self._strangers = 0 if known else self._strangers + before
        if self._strangers > STRANGERS_MAX:
            self._strangers = 0
            self._forgotten_us = min(self._forgotten_us, int(times.to_numpy().max()) - REMEMBER_US)

    def _remember(self, operations: pl.DataFrame) -> None:
        if operations.is_empty():
            return
        memory = pl.concat([self._memory, operations.select(_MEMORY.names())])
        newest = int(operations["complete_time"].to_physical().to_numpy().max())
        recent = memory.filter(pl.col("complete_time").to_physical() > newest - REMEMBER_US)
        self._memory = few_pieces(recent.tail(REMEMBER_ROWS))
        dropped = recent.head(len(recent) - len(self._memory))["complete_time"].to_physical().to_numpy()
        self._forgotten_us = max(self._forgotten_us, newest - REMEMBER_US, int(dropped.max(initial=NEVER)))

    def snapshot(self) -> Frames:
        """The open entries, the memory and the counters of nameless entries."""
        names = {"place": list(self._nameless), "count": list(self._nameless.values())}
        return {
            "pool": self._pool,
            "memory": self._memory,
            "forgotten": pl.DataFrame({"time_us": [self._forgotten_us], "strangers": [self._strangers]}),
            "nameless": pl.DataFrame(names, schema={"place": pl.String, "count": pl.Int64}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._pool = conform(frames["pool"], _POOL)
        self._memory = frames["memory"]
        self._forgotten_us, self._strangers = frames["forgotten"].row(0)
        self._nameless = dict(frames["nameless"].iter_rows())


def stretches(times: Ints) -> list[tuple[int, int]]:
    """(first, last) of every stretch of times without a hole of two pairing timeouts; the last one takes the rest."""
    ordered = np.sort(times)
    cuts = np.flatnonzero(np.diff(ordered) > 2 * PAIR_TIMEOUT_US)[: MAX_STRETCHES - 1]
    firsts, lasts = np.append(0, cuts + 1), np.append(cuts, len(ordered) - 1)
    return list(zip(ordered[firsts].tolist(), ordered[lasts].tolist(), strict=True))


def ready_times(pool: pl.DataFrame, hold_us: int) -> pl.Series:
    """For each entry, when the operation it tells of may be handed on (µs)."""
    at, phase = pl.col("order_time").to_physical(), pl.col("phase")
    first = at.min().over("key")
    asked = pl.when(phase != "response").then(at).min().over("key")
    answered = pl.when(phase != "request").then(at).min().over("key")
    latest = first + PAIR_TIMEOUT_US
    complete = pl.min_horizontal(pl.max_horizontal(asked, answered), latest)
    whole = asked.is_not_null() & answered.is_not_null()
    return pool.select(pl.when(whole).then(complete).otherwise(latest) + hold_us).to_series()


def _told(entries: pl.DataFrame, operations: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """ENTRY rows: which operation each entry told of, and whether it is one of the stored."""
    names = operations.select("key", operation_uid="uid")
    owner = entries.select("key").join(names, on="key", how="left", maintain_order="left")["operation_uid"]
    copy = pl.lit(value=False) if stored.is_empty() else pl.col("key").is_in(stored["key"].implode())
    return entries.with_columns(owner, complete_time=pl.col("ready").cast(TIME), copy=copy).select(ENTRY.names())
