"""Time to revoke (M8): from a compromise declared in the configuration to the last moment that what leaked was of use.

The clock is that of `keytrail investigate` (`core.revoked`), asked at the end of each window with what was complete by
then. So these windows go by when operations were complete, not by when they happened, and nothing comes late to them.
Of the reads it needs four: the newest version before, the first version after, and the last old ones.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from pipeline.core import revoked
from pipeline.core.clock import NEVER
from pipeline.core.schema import OPERATION, SLI, TIME, conform, empty
from pipeline.sli.config import objective
from pipeline.sli.tally import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.core.model import Frames
    from pipeline.sli.config import Compromised, Config

    Row = dict[str, Any]

_FIELDS: Final = (
    "time", "operation", "api_operation", "path", "mount", "mount_type", "store", "secret", "secret_version",
    "principal", "client_ip", "outcome",
)  # fmt: skip
_NAMED: Final = {"of_store": pl.String(), "of_namespace": pl.String(), "of_secret": pl.String(), "since": TIME}
KNOWN: Final = pl.Schema({**_NAMED, "kept": pl.String(), **{name: OPERATION[name] for name in _FIELDS}})
CLOCKS: Final = pl.Schema({**_NAMED, "from_us": pl.Int64(), "told": pl.Boolean()})
_CHANGES: Final = 1_000  # of one secret; the first of them decide
_BY_PATH: Final = re.compile(r"^sys/(?:leases/)?revoke(?:-prefix|-force)?/(.+)$")
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MOUNTS: Final = "sys/mounts/"


class Clock:
    """One compromise: what was read and changed, as far as it matters, and whether the objective's time is up."""

    def __init__(self, declared: Compromised) -> None:
        self.declared = declared
        self.since = declared.since.astimezone(dt.UTC)
        self.key = (declared.store, declared.namespace, declared.secret, self.since)
        self.from_us: int | None = None  # when the first operation since it was declared was complete
        self.told = False  # whether it was counted
        self.reads: dict[str, Row] = {}
        self.changes: list[Row] = []

    def take(self, row: Row) -> None:
        """An operation that succeeded: a read of this secret, or a change of it or of all around it."""
        if row["operation"] == "read" and row["secret"]:
            self._read(row)
        elif (row["secret"] or self._around(row)) and len(self.changes) < _CHANGES:
            self.changes.append(row if row["secret"] else {**row, "operation": "revoke"})

    def _read(self, row: Row) -> None:
        version, newest = row["secret_version"], self.reads.get("before")
        if version is None:
            self.reads["unversioned"] = row
            return
        if row["time"] <= self.since and (newest is None or version >= newest["secret_version"]):
            self.reads["before"] = row
        if row["time"] >= self.since:
            self.reads.setdefault("first", row)
            leaked = revoked.version_at(self._all(), self.since)
            if leaked is not None and version <= leaked:
                self.reads["old"] = row

    def _around(self, row: Row) -> bool:
        """Whether leases of it were revoked by their path, or its mount was taken away."""
        path = str(row["path"] or "")
        if found := _BY_PATH.match(path):
            asked = found[1]
            return any(p.startswith(asked) or asked.startswith(f"{p}/") for p in self._named("path"))
        if path.startswith(_MOUNTS) and row["api_operation"] == "delete":
            gone = path.removeprefix(_MOUNTS).rstrip("/")
            return any(mount.rstrip("/") == gone for mount in self._named("mount"))
        return False

    def _named(self, column: str) -> set[str]:
        """What this secret was called, or where it was."""
        return {one[column] for one in (*self.reads.values(), *self.changes) if one[column] and one["secret"]}

    def _all(self) -> list[Row]:
        return sorted((*self.reads.values(), *self.changes), key=lambda one: one["time"])

    def at(self, now: dt.datetime) -> Mapping[str, Any]:
        """How it stands."""
        reads = sorted(self.reads.values(), key=lambda one: one["time"])
        changes = sorted(self.changes, key=lambda one: one["time"])
        return revoked.of_secret(reads, changes, (self.since, "declared"), now)

    @property
    def began_late(self) -> bool:
        """Whether it was declared when its beginning had been read."""
        return self.from_us is not None and _moment(self.from_us) > self.since

    def scopes(self) -> list[str]:
        """Where it counts."""
        space = self.declared.namespace
        mounts = sorted(self._named("mount"))
        return ["store", f"namespace:{space}", *(f"mount:{space}/{m}".replace(":/", ":") for m in mounts)]


class Clocks:
    """Every compromise that is declared; without one it costs nothing."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._size = config.window_seconds * SECOND
        self._clocks = self._declared()
        self._windows: set[int] = set()  # not over yet
        self._now = NEVER

    def push(self, operations: pl.DataFrame, watermark_us: int) -> pl.DataFrame:
        """SLI rows of the windows that are over."""
        if not self._clocks:
            return empty(SLI)
        complete = operations["complete_time"].to_physical().to_numpy()
        found = []
        if len(complete):
            self._windows |= set(np.unique(complete // self._size * self._size).tolist())
            for clock in self._clocks.values():
                clock.from_us = int(complete[0]) if clock.from_us is None else clock.from_us
            for at, namespace, row in self._rows(operations):
                found += self._close(at)
                for clock in self._clocks.values():
                    if clock.key[:2] == (row["store"], namespace) and row["secret"] in {"", clock.key[2]}:
                        clock.take(row)
        found += self._close(max(watermark_us, int(complete.max(initial=NEVER))))
        return _framed(found)

    def _declared(self) -> dict[tuple[Any, ...], Clock]:
        made = (Clock(one) for one in self._config.compromised)
        return {clock.key: clock for clock in made}

    def flush(self) -> pl.DataFrame:
        """Rows of the windows still open."""
        return _framed([row for start in sorted(self._windows) for row in self._told(start, self._now, last=False)])

    def turn(self, to_us: int) -> None:
        """The clock was set back."""
        self._now = min(self._now, to_us)

    def _rows(self, operations: pl.DataFrame) -> Iterator[tuple[int, str, Row]]:
        """What may matter to some clock, in order: when it was complete, its namespace, and what it was."""
        wanted = pl.col("secret").is_in([clock.key[2] for clock in self._clocks.values()]) & pl.col("operation").is_in(
            ["read", "write", "rotate", "delete", "revoke"]
        )
        around = (pl.col("secret").fill_null("") == "") & (
            (pl.col("operation") == "revoke") | pl.col("path").str.starts_with(_MOUNTS)
        )
        some = operations.filter((pl.col("outcome") == "success") & (wanted | around))
        told = some.select(
            *_FIELDS, pl.col("namespace").fill_null(""), at=pl.col("complete_time").to_physical()
        ).with_columns(pl.col("secret").fill_null(""), time=pl.coalesce("time", pl.col("at").cast(TIME)))
        for row in told.iter_rows(named=True):
            yield row.pop("at"), row.pop("namespace"), row

    def _close(self, now_us: int) -> list[Row]:
        self._now = max(self._now, now_us)
        over = sorted(start for start in self._windows if start + self._size <= now_us)
        self._windows.difference_update(over)
        return [row for start in over for row in self._told(start, start + self._size, last=True)]

    def _told(self, start_us: int, now_us: int, *, last: bool) -> list[Row]:
        """A row for each scope with a clock that ran, stopped or was counted in a window; `last` that it is over."""
        start, now = _moment(start_us), _moment(max(start_us, now_us))
        scopes: dict[tuple[str, str], list[tuple[Clock, Mapping[str, Any], bool | None]]] = {}
        for clock in self._clocks.values():
            found = clock.at(now) if clock.since < now else None
            counted = None if found is None or clock.told else self._counted(clock, found, now)
            if found and (found["state"] == revoked.RUNNING or found["stopped_at"] >= start or counted is not None):
                for scope in clock.scopes():
                    scopes.setdefault((clock.declared.store, scope), []).append((clock, found, counted))
            clock.told |= last and counted is not None
        return [self._row(place, held, start_us) for place, held in sorted(scopes.items())]

    def _counted(self, clock: Clock, found: Mapping[str, Any], now: dt.datetime) -> bool | None:
        """Whether it kept its objective; None while that is open."""
        limit = objective(self._config, "M8", clock.declared.store, clock.scopes()[-1])
        if (now - clock.since).total_seconds() < limit:
            return None
        return bool(found["state"] == revoked.STOPPED and found["seconds"] <= limit)

    def _row(
        self, place: tuple[str, str], held: list[tuple[Clock, Mapping[str, Any], bool | None]], start_us: int
    ) -> Row:
        (store, scope), limit = place, objective(self._config, "M8", *place)
        value = max(found["seconds"] for _, found, _ in held)
        running = [found for _, found, _ in held if found["state"] == revoked.RUNNING]
        late = sum(clock.began_late for clock, _, _ in held)
        return {
            "sli": "M8", "store": store, "scope": scope, "window_start": start_us,
            "window_seconds": self._config.window_seconds, "good": float(sum(c is True for _, _, c in held)),
            "total": float(sum(c is not None for _, _, c in held)), "value": value, "objective": limit,
            "met": value <= limit, "estimate": False,
            "coverage": f"{len(running)} of {len(held)} still running; each is counted once, when its objective's time"
            f" is up; of {late} the beginning was read before they were declared: keytrail investigate knows it",
        }  # fmt: skip

    def add(self, other: Clocks) -> None:
        """Know what another instance saw."""
        for key, clock in other._clocks.items():
            if mine := self._clocks.get(key):
                mine.told |= clock.told
                mine.from_us = min((at for at in (mine.from_us, clock.from_us) if at is not None), default=None)
                for row in (*clock.reads.values(), *clock.changes):
                    mine.take(row)
        self._windows |= other._windows
        self._now = max(self._now, other._now)

    def snapshot(self) -> Frames:
        """Frames of what clocks know, of which there are, and of the windows that are not over."""
        rows = [
            (*key, kept, *(one[name] for name in _FIELDS))
            for key, clock in self._clocks.items()
            for kept, one in (*clock.reads.items(), *(("change", change) for change in clock.changes))
        ]
        clocks = [(*key, clock.from_us, clock.told) for key, clock in self._clocks.items()]
        return {
            "clocks": pl.DataFrame(clocks, schema=CLOCKS, orient="row"),
            "clocks.known": pl.DataFrame(rows, schema=KNOWN, orient="row"),
            "clocks.windows": pl.DataFrame({"start": sorted(self._windows)}, schema={"start": pl.Int64}),
            "clocks.now": pl.DataFrame({"now": [self._now]}, schema={"now": pl.Int64}),
        }

    def restore(self, frames: Frames) -> None:
        """Go on from a snapshot: of the compromises that are still declared; an earlier version knows none."""
        self._clocks, self._windows, self._now = self._declared(), set(), NEVER
        if "clocks" not in frames:
            return
        for *key, from_us, told in frames["clocks"].iter_rows():
            if clock := self._clocks.get(tuple(key)):
                clock.from_us, clock.told = from_us, told
        for row in frames["clocks.known"].iter_rows(named=True):
            if clock := self._clocks.get(tuple(row.pop(name) for name in _NAMED)):
                kept = row.pop("kept")
                clock.changes.append(row) if kept == "change" else clock.reads.update({kept: row})
        self._windows = set(frames["clocks.windows"]["start"])
        self._now = frames["clocks.now"]["now"][0]


def _framed(rows: list[Row]) -> pl.DataFrame:
    if not rows:
        return empty(SLI)
    told = pl.DataFrame(rows, schema={**SLI, "window_start": pl.Int64()})
    return conform(told.with_columns(pl.col("window_start").cast(TIME)), SLI)


def _moment(at_us: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=at_us)
