"""Request + response -> operation, over all devices that told of it (INTEGRITY rules V1-V9).

The entries of one request share its id. An operation is complete when one device has both halves, or when the stream
is `PAIR_TIMEOUT` past the first entry; it is handed on `HOLD` later, so that the other devices' copies are in it.
Everything here depends on order_time alone, so the operations and their order are the same however the stream is cut.

A copy that turns up later than that (a device read in a later run, a response after the timeout) corrects the
operation that stands in the lake: the corrected row keeps its uid and replaces the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.clock import NEVER
from pipeline.core.schema import EVENT, OPERATION, TIME, conform, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames

PAIR_TIMEOUT_US = 60_000_000
HOLD_US = 500_000
REMEMBER_US = 600_000_000
REMEMBER_ROWS = 300_000

Recall = Callable[[pl.Series, int, int], pl.DataFrame]  # ids, from, to (µs) -> OPERATION rows that the lake holds

_POOL = pl.Schema({"key": pl.String(), **EVENT})
_MEMORY = pl.Schema({"key": pl.String(), "complete_time": TIME})
# An entry, the operation it told of, and when that was handed on.
ENTRY: Final = pl.Schema({**_POOL, "operation_uid": pl.String(), "complete_time": TIME})


@dataclass(frozen=True, slots=True)
class Paired:
    """What became known: new operations, corrections of earlier ones, and the entries that made them.

    `entries` (ENTRY) say which operation each entry told of; the continuity rules read them. `repeats` are those of
    them that a stream had already told when the operation was handed on.
    """

    operations: pl.DataFrame
    corrections: pl.DataFrame
    entries: pl.DataFrame
    repeats: pl.DataFrame


class Pairing:
    """Holds the entries whose operation is not complete, and a bounded memory of those handed on."""

    def __init__(self, recall: Recall | None = None, *, lake_until_us: int = NEVER) -> None:
        self.recall = recall
        self.lake_until_us = lake_until_us
        self._pool = empty(_POOL)
        self._memory = empty(_MEMORY)
        self._nameless: dict[str, int] = {}

    def push(self, events: pl.DataFrame, watermark_us: int) -> Paired:
        """Take released events (canonical order) and give the operations complete before `watermark_us`."""
        fresh = self._keyed(events.filter(~pl.col("probe").fill_null(value=False)))
        self._pool = pl.concat([self._pool, fresh]) if len(self._pool) else fresh
        parts: list[Paired] = []
        while (entries := self._due(watermark_us)) is not None:
            parts.append(self._handed_on(entries))
        if len(parts) == 1:
            return parts[0]
        return Paired(
            pl.concat([empty(OPERATION), *(p.operations for p in parts)]).sort("complete_time", "uid"),
            pl.concat([empty(OPERATION), *(p.corrections for p in parts)]),
            pl.concat([empty(ENTRY), *(p.entries for p in parts)]),
            pl.concat([empty(ENTRY), *(p.repeats for p in parts)]),
        )

    def _keyed(self, events: pl.DataFrame) -> pl.DataFrame:
        """The pairing key: store and request id; entries without an id pair with their neighbour (V7)."""
        key = pl.concat_str("store", pl.lit(":"), "correlation_uid")
        keyed = events.select(key.alias("key"), pl.all()).select(_POOL.names())
        if keyed["key"].null_count() == 0:
            return keyed
        named = keyed["key"].to_list()
        rows = keyed.select("source", "path", "phase", "uid").rows()
        for i, (source, path, phase, uid) in enumerate(rows):
            if named[i] is None:
                named[i] = self._name(source, path, phase, uid)
        return keyed.with_columns(pl.Series("key", named, dtype=pl.String))

    def _name(self, source: str, path: str | None, phase: str, uid: str) -> str:
        """Requests and responses without id count up apart, per stream and path: the n-th answers the n-th."""
        if phase == "single":
            return f"~{uid}"
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
        ready = ready_times(self._pool)
        due = (ready < watermark_us) & (self._pool["order_time"].to_physical() <= ready)
        if not due.any():
            return None
        pool = self._pool.with_columns(ready.alias("ready"))
        self._pool = pool.filter(~due).drop("ready")
        return pool.filter(due)

    def _handed_on(self, entries: pl.DataFrame) -> Paired:
        """Tell new operations from copies of operations already handed on."""
        old = entries["time"].to_physical() <= self.lake_until_us
        doubtful = pl.concat(
            [entries.filter(old)["key"], entries.join(self._memory, on="key", how="semi")["key"]]
        ).unique()
        stored = self._stored(entries.filter(pl.col("key").is_in(doubtful.implode()))) if len(doubtful) else None
        if stored is None or stored.is_empty():
            operations = merge(entries)
            self._remember(operations)
            told = _told(entries, operations)
            return Paired(conform(operations, OPERATION), empty(OPERATION), told, empty(ENTRY))
        fresh = entries.join(stored, on="key", how="anti", maintain_order="left")
        copies = entries.join(stored, on="key", how="semi", maintain_order="left")
        operations = merge(fresh)
        corrected = correct(merge(copies), stored)
        self._remember(operations)
        told = _told(entries, pl.concat([operations.select("key", "uid"), corrected.select("key", "uid")]))
        repeats = told.join(_halves_told(stored), on=("operation_uid", "source", "phase"), how="semi")
        return Paired(conform(operations, OPERATION), conform(corrected, OPERATION), told, repeats)

    def _stored(self, suspects: pl.DataFrame) -> pl.DataFrame:
        """The lake's rows that these entries are copies of: same id, and a time within the pairing timeout."""
        if self.recall is None:
            return empty(OPERATION).with_columns(key=pl.lit(""))
        times = suspects["time"].to_physical().to_numpy()
        window = int(times.min()) - PAIR_TIMEOUT_US, int(times.max()) + PAIR_TIMEOUT_US
        found = self.recall(suspects["correlation_uid"].drop_nulls().unique(), *window)
        asked = suspects.group_by("key").agg(asked=pl.col("time").min())
        near = found.with_columns(key=pl.concat_str("store", pl.lit(":"), "correlation_uid")).join(asked, on="key")
        apart = (pl.col("time") - pl.col("asked")).abs() <= pl.duration(microseconds=PAIR_TIMEOUT_US)
        return near.filter(apart).sort("time", "uid").unique("key", keep="first", maintain_order=True).drop("asked")

    def _remember(self, operations: pl.DataFrame) -> None:
        if operations.is_empty():
            return
        memory = pl.concat([self._memory, operations.select(_MEMORY.names())])
        newest = operations["complete_time"].to_physical().to_numpy().max()
        recent = memory.filter(pl.col("complete_time").to_physical() > int(newest) - REMEMBER_US)
        self._memory = recent.tail(REMEMBER_ROWS)

    def snapshot(self) -> Frames:
        """The open entries, the memory and the counters of nameless entries."""
        names = {"place": list(self._nameless), "count": list(self._nameless.values())}
        return {
            "pool": self._pool,
            "memory": self._memory,
            "nameless": pl.DataFrame(names, schema={"place": pl.String, "count": pl.Int64}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._pool = frames["pool"]
        self._memory = frames["memory"]
        self._nameless = dict(frames["nameless"].iter_rows())


def ready_times(pool: pl.DataFrame) -> pl.Series:
    """For each entry, when the operation it tells of may be handed on (µs)."""
    at, phase = pl.col("order_time").to_physical(), pl.col("phase")
    first = at.min().over("key")
    asked = pl.when(phase != "response").then(at).min().over("key")
    answered = pl.when(phase != "request").then(at).min().over("key")
    latest = first + PAIR_TIMEOUT_US
    complete = pl.min_horizontal(pl.max_horizontal(asked, answered), latest)
    whole = asked.is_not_null() & answered.is_not_null()
    return pool.select(pl.when(whole).then(complete).otherwise(latest) + HOLD_US).to_series()


def merge(entries: pl.DataFrame) -> pl.DataFrame:
    """One OPERATION row (and `key`) per key of `entries`, which hold `ready` and stand in canonical order.

    The halves are those of the device that first had both; where none has, the first of each, without a latency.
    """
    halves = _halves(entries.select("key", "source", "phase").with_row_index("i"))
    told = halves.select(
        request=pl.coalesce("asked", "first_asked"),
        response=pl.coalesce("answered", "first_answered"),
        owner=pl.coalesce("first_asked", "first_answered"),
    )
    return _merged(entries, told, halves).sort("complete_time", "uid")


def _halves(places: pl.DataFrame) -> pl.DataFrame:
    """Per key: rows of the first request and response, of those of the device that first had both, and the devices."""
    phase, i = pl.col("phase"), pl.col("i")
    rows = {
        "asked": pl.when(phase != "response").then(i).min(),
        "answered": pl.when(phase != "request").then(i).min(),
    }
    sources = places["source"].unique()
    both = pl.col("asked").is_not_null() & pl.col("answered").is_not_null()
    if len(sources) == 1:
        found = places.group_by("key", maintain_order=True).agg(**rows)
        return found.with_columns(
            pl.when(both).then("asked").alias("asked"),
            pl.when(both).then("answered").alias("answered"),
            first_asked="asked",
            first_answered="answered",
            devices=pl.lit(sources.to_list(), dtype=pl.List(pl.String)),
        )
    found = places.group_by("key", "source", maintain_order=True).agg(**rows)
    return found.group_by("key", maintain_order=True).agg(
        first_asked=pl.col("asked").min(),
        first_answered=pl.col("answered").min(),
        asked=pl.col("asked").filter(both).sort_by(pl.col("answered").filter(both)).first(),
        answered=pl.col("answered").filter(both).min(),
        devices=pl.col("source").sort(),
    )


# The response repeats its request and knows more (mounts, the identity a log-in made), so it is what is read, and the
# request only where there is no response.
_TOLD = (
    "store", "cluster", "operation", "api_operation", "principal_type", "session", "client_ip", "user_agent",
    "namespace", "mount", "secret", "secret_version", "error", "correlation_uid", "path", "mount_type", "zone",
    "entity", "policies", "token_type", "login_principal", "login_policies", "login_session", "token_ttl", "wrap_ttl",
    "flags", "canary",
)  # fmt: skip
_ASKED = ("uid", "time", "leaf_index", "outcome", "principal", "error", "clear")
_ANSWERED = (*_ASKED, "discloses_value")


def _merged(entries: pl.DataFrame, told: pl.DataFrame, halves: pl.DataFrame) -> pl.DataFrame:
    response = entries.select(pl.col(_ANSWERED).gather(told["response"])).rename(lambda name: f"p_{name}")
    request = entries.select(pl.col(_ASKED).gather(told["request"])).rename(lambda name: f"q_{name}")
    owner = entries.select(pl.col("uid", "ready").gather(told["owner"]))
    either = entries.select(pl.col(_TOLD).gather(told["response"].fill_null(told["request"]))).drop("error")
    wide = pl.concat([either, request, response, owner, halves.select("key", "devices", "asked")], how="horizontal")
    elapsed = (pl.col("p_time") - pl.col("q_time")).dt.total_microseconds() / 1000.0
    refused = (pl.col("q_outcome") == "denied") & (pl.col("p_outcome") == "success")
    logged_in = (pl.col("operation") == "auth") & pl.col("login_principal").is_not_null() & is_login()
    return wide.select(
        "key", "uid", *(name for name in _TOLD if name != "error"), "devices",
        time=pl.coalesce("q_time", "p_time"),
        latency_ms=pl.when(pl.col("asked").is_not_null()).then(elapsed),
        error=pl.coalesce("p_error", "q_error"),
        request_leaf="q_leaf_index", response_leaf="p_leaf_index", request_uid="q_uid", response_uid="p_uid",
        paired=pl.col("q_uid").is_not_null() & pl.col("p_uid").is_not_null(),
        complete_time=pl.col("ready").cast(TIME),
        clear=pl.col("q_clear").fill_null(value=False) | pl.col("p_clear").fill_null(value=False),
        discloses_value=pl.col("p_discloses_value").fill_null(value=False),
        outcome=pl.when(refused).then(pl.lit("denied")).otherwise(pl.coalesce("p_outcome", "q_outcome")),
        principal=pl.when(logged_in).then("login_principal").otherwise(pl.coalesce("q_principal", "p_principal")),
    ).select("key", *OPERATION.names())  # fmt: skip


def is_login() -> pl.Expr:
    """A log-in proper: its identity stands only in its response; a token creation has one already."""
    return pl.col("path").str.contains(
        r"^(?:[^/]+/)*auth/(?:[^/]+/)+(?:login|callback|oidc/callback)(?:/|$)"
    ) & ~pl.col("path").str.contains("auth/token/", literal=True)


def correct(copies: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The stored operations with what later copies add: devices always, the missing half where there was one."""
    late = copies.join(stored.select("key"), on="key", how="semi").sort("key")
    base = stored.join(late.select("key"), on="key", how="semi").sort("key")
    answers = ~base["paired"] & (late["paired"] | late["response_uid"].is_not_null() & base["response_uid"].is_null())
    late_by = (late["time"] - base["time"]).dt.total_microseconds() / 1000.0
    one_device = base["devices"].list.set_intersection(late["devices"]).list.len() > 0
    latency = late["latency_ms"].fill_null(late_by.set(~one_device, None))
    taken = base.with_columns(
        pl.when(answers).then(late[name]).otherwise(base[name]).alias(name)
        for name in (
            "outcome",
            "error",
            "discloses_value",
            "secret_version",
            "login_principal",
            "login_policies",
            "login_session",
            "response_uid",
            "response_leaf",
        )
    )
    return taken.with_columns(
        devices=base["devices"].list.concat(late["devices"]).list.unique().list.sort(),
        paired=base["paired"] | (base["request_uid"].is_not_null() & taken["response_uid"].is_not_null()),
        latency_ms=pl.when(answers).then(latency).otherwise(base["latency_ms"]),
        clear=base["clear"] | late["clear"],
    ).select("key", *OPERATION.names())


def _told(entries: pl.DataFrame, operations: pl.DataFrame) -> pl.DataFrame:
    """ENTRY rows: which operation each entry told of."""
    names = operations.select("key", operation_uid="uid")
    owner = entries.select("key").join(names, on="key", how="left", maintain_order="left")["operation_uid"]
    return entries.with_columns(owner, complete_time=pl.col("ready").cast(TIME)).select(ENTRY.names())


def _halves_told(stored: pl.DataFrame) -> pl.DataFrame:
    """Which halves the stored operations already have, per device: operation_uid, source, phase."""
    halves = [
        stored.filter(pl.col(f"{phase}_uid").is_not_null()).select(
            operation_uid="uid", source="devices", phase=pl.lit(phase)
        )
        for phase in ("request", "response")
    ]
    return pl.concat(halves).explode("source")
