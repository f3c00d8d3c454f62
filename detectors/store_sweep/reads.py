"""What was read, or refused, in which store from which address of late."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from detectors._window import READ
from pipeline.core.owned import added
from pipeline.core.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from pipeline.core.model import Frames

Stores = frozenset[str]

_KEPT: Final = pl.duration(hours=1)  # entries that come late still meet those of their time
_ALONE: Final = 2_000  # reads remembered while one store is all there is
_FEW: Final = 4_096  # rows up to which memory is not tidied
_MINUTE_US: Final = 60_000_000
_SCHEMA: Final = pl.Schema(
    {
        "address": pl.String(),
        "store": pl.String(),
        "principal": pl.String(),
        "secret": pl.String(),
        "granted": pl.Boolean(),
        "listed": pl.Boolean(),
        "minute": pl.Int64(),  # of event time, since 1970
        "time": TIME,
        "ready": TIME,  # when it became complete
        "uid": pl.String(),
    }
)
_SAME: Final = ("address", "store", "principal", "secret", "granted", "listed")
_STEP: Final = ("address", "store", "principal", "granted", "minute")

_GRANTED: Final = pl.col("discloses_value") & pl.col("operation").is_in(("read", "list"))
_NAMED: Final = READ & (pl.col("store") != "kubernetes")
_OF_CLUSTER: Final = (
    (pl.col("store") == "kubernetes") & pl.col("operation").is_in(("read", "list")) & (pl.col("mount") == "secrets/")
)
_REFUSED: Final = (pl.col("outcome") == "denied") & (_NAMED | _OF_CLUSTER)
_WORTH: Final = (_GRANTED | _REFUSED).fill_null(value=False) & (pl.col("client_ip") != "")
_COLUMNS: Final = (
    pl.col("client_ip").str.strip_prefix("::ffff:").alias("address"),
    "store",
    pl.col("principal").fill_null(""),
    pl.col("secret").fill_null(""),
    _GRANTED.fill_null(value=False).alias("granted"),
    (pl.col("operation") == "list").alias("listed"),
    (pl.coalesce("time", "complete_time").dt.timestamp("us") // _MINUTE_US).alias("minute"),
    pl.coalesce("time", "complete_time").alias("time"),
    pl.col("complete_time").alias("ready"),
    "uid",
)
_ADDRESS: Final = r"^(?:\d{1,3}\.){3}\d{1,3}$|^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$"
_OWN: Final = r"^127\.|^0\.0\.0\.0$|^(?:0*:)+0*1?$"  # loopback, or none


class Reads:
    """Of each address, store, principal and secret the newest of at most `limit` reads of the last hour."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._since: dict[str, datetime] = {}  # store, and when the first operation of it was complete
        self._rows = pl.DataFrame(schema=_SCHEMA)
        self._tidy_at = _FEW

    def watched(self, stores: Stores, now: datetime) -> timedelta:
        """How long all of the stores have been watched."""
        return now - max(self._since.get(store, now) for store in stores)

    def meet(self, operations: pl.DataFrame) -> pl.DataFrame:
        """Rows of OPERATION that count, in order; empty, and kept in mind, while there is but one store."""
        stores = operations["store"]
        if len(self._since) == 1 and bool((stores == next(iter(self._since))).all()):
            self._alone(operations)
            return self._rows.clear()
        alone = len(self._since) < 2
        first = operations.group_by("store").agg(pl.col("complete_time").min()).drop_nulls()
        for store, at in first.sort("complete_time", "store").iter_rows():
            self._since[store] = min(self._since.get(store, at), at)
        if len(self._since) < 2:
            self._alone(operations)
            return self._rows.clear()
        begun = pl.col("complete_time") >= pl.lit(sorted(self._since.values())[1], TIME)
        if alone:  # until then
            self._alone(operations.filter(~begun))
            operations = operations.filter(begun)
        return _of(operations)

    def _alone(self, operations: pl.DataFrame) -> None:
        recent = pl.col("complete_time") >= pl.col("complete_time").max() - _KEPT
        self._rows = added(self._rows, _of(operations.filter(recent))).tail(_ALONE)

    def shared(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of `rows` (in order) whose address has a second store, in them or in memory."""
        stores = rows.select("address", "store").unique()
        known = self._of(stores["address"]).select("address", "store")
        both = pl.concat([stores, known]).unique().group_by("address").len()
        several = both.filter(
            pl.col("len") > 1, pl.col("address").str.contains(_ADDRESS), ~pl.col("address").str.contains(_OWN)
        )
        return rows.filter(pl.col("address").is_in(several["address"].implode()))

    def _of(self, addresses: pl.Series) -> pl.DataFrame:
        return self._rows.filter(pl.col("address").is_in(addresses.unique().implode()))

    def places(self, rows: pl.DataFrame) -> dict[str, Place]:
        """The addresses of `rows` as they were before."""
        places = {address: Place() for address in rows["address"].unique()}
        each = self._of(rows["address"]).group_by("address", "store", "granted", "principal")
        stores = each.agg(pl.col("minute").max()).group_by("address", "store", "granted").agg("minute", "principal")
        for address, store, granted, minutes, people in stores.iter_rows():
            places[address].stores[store, granted] = max(minutes)
            places[address].newest = max(places[address].newest, *minutes)
            places[address].earlier.append((store, people, minutes))
        return places

    def steps(self, rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
        """`rows` in order, without those that repeat another one of their minute."""
        return rows.unique(_STEP, keep="first", maintain_order=True).iter_rows(named=True)

    def of(self, addresses: Sequence[str], rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """All that is remembered of each address, and what `rows` has of it."""
        mine = pl.concat([self._rows, rows]).filter(pl.col("address").is_in(addresses))
        return {str(name): part for (name,), part in mine.partition_by("address", as_dict=True).items()}

    def remember(self, rows: pl.DataFrame) -> None:
        """Keep `rows` (in order) in mind."""
        self._rows = added(self._rows, rows)
        if len(self._rows) > self._tidy_at:
            self._tidy()

    def _tidy(self) -> None:
        rows = self._rows
        if len(rows) and len(self._since) > 1:
            recent = rows.filter(pl.col("ready") >= pl.col("ready").max() - _KEPT)
            self._rows = _newest(recent).tail(self._limit)
        self._tidy_at = max(2 * len(self._rows), _FEW)

    def snapshot(self) -> Frames:
        """Frames stores and reads."""
        self._tidy()
        since = pl.DataFrame(list(self._since.items()), schema={"store": pl.String, "since": TIME}, orient="row")
        return {"stores": since, "reads": self._rows}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._since = dict(frames["stores"].select("store", "since").iter_rows())
        self._rows = frames["reads"]


@dataclass(slots=True)
class Place:
    """One address: the newest minute of what it did in which store, and of who did it."""

    newest: int = 0
    stores: dict[tuple[str, bool], int] = field(default_factory=dict)
    people: dict[tuple[str, str], int] = field(default_factory=dict)
    earlier: list[tuple[str, list[str], list[int]]] = field(default_factory=list)  # what is not in `people` yet

    def note(self, store: str, principal: str, minute: int, *, granted: bool) -> None:
        """A read, or one that was refused."""
        self.newest = max(self.newest, minute)
        if minute > self.stores.get((store, granted), 0):
            self.stores[store, granted] = minute
        if minute > self.people.get((store, principal), 0):
            self.people[store, principal] = minute

    def since(self, minute: int) -> Stores:
        """The stores it was in from `minute` on; none where it got nothing of any."""
        late = [key for key, at in self.stores.items() if at >= minute]
        return frozenset([store for store, _ in late]) if any(granted for _, granted in late) else frozenset()

    def people_since(self, minute: int) -> set[tuple[str, str]]:
        """Store and principal, of who was there from `minute` on."""
        for store, people, minutes in self.earlier:
            for who, at in zip(people, minutes, strict=True):
                self.people[store, who] = max(self.people.get((store, who), 0), at)
        self.earlier.clear()
        return {key for key, at in self.people.items() if at >= minute}


def _of(operations: pl.DataFrame) -> pl.DataFrame:
    return operations.filter(_WORTH).select(_COLUMNS).sort("ready", "uid")


def until(step: dict[str, Any], rows: pl.DataFrame, first_minute: int) -> pl.DataFrame:
    """What one address read from `first_minute` on, up to `step` and with it, each secret once, in order."""
    at, same = pl.col("ready"), pl.col("ready") == step["ready"]
    before = (at < step["ready"]) | (same & (pl.col("uid") <= step["uid"]))
    return _newest(rows.filter(before)).filter(pl.col("minute") >= first_minute).sort("minute", "ready", "uid")


def _newest(rows: pl.DataFrame) -> pl.DataFrame:
    """One row of each secret, of rows in order: the first of its newest minute."""
    latest = rows.with_row_index("nth").sort("minute", descending=True, maintain_order=True)
    return latest.unique(_SAME, keep="first", maintain_order=True).sort("nth").drop("nth")
