"""Erasing entries: what was read of them and what was made of it leaves the lake's files; the raw row's leaf stays.

Of a raw row go `raw` and `salt`, so that its commitment tells nothing any more. Rows of events, operations, rejected
and leaks go whole. Findings and alerts that rest on the entry stay as such and lose every text that may come from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.schema import TIME
from pipeline.store.compact import Rewrite
from pipeline.store.files import remove
from pipeline.store.read import groups
from pipeline.store.steps import Exchange
from pipeline.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.store.catalogue import LiveFile
    from pipeline.store.config import StoreConfig
    from pipeline.store.segment import Segment
    from pipeline.store.steps import Steps

    Change = Callable[[pl.DataFrame], pl.DataFrame]

ERASABLE: Final = ("raw", "events", "operations", "rejected", "leaks", "findings", "alerts")
FOUND: Final = pl.Schema(
    {
        "worker": pl.String(),  # whose ledger has the leaf
        "uid": pl.String(),
        "source": pl.String(),
        "file": pl.String(),
        "position": pl.Int64(),
        "leaf_index": pl.Int64(),
        "erased": pl.Boolean(),
        "time": TIME,  # of the event or the rejected piece; null for what is erased already
        "correlation_uid": pl.String(),
    }
)
_PLACE: Final = ("source", "file", "position")
_NOTE: Final = "erased: an entry that this rests on was taken out of the lake"
_TOLD: Final = ("principal", "secret", "client_ip", "observed", "expected", "next_step")


class Entries:
    """Entries of the lake by uid."""

    def __init__(self, lake: Path, files: Sequence[LiveFile]) -> None:
        self._lake = lake
        self._files = files

    def find(self, uids: Collection[str], *, whole: bool) -> pl.DataFrame:
        """FOUND rows in order of leaf; with `whole` those of every entry of the same requests, on all devices."""
        wanted = pl.Series("uid", sorted(uids), dtype=pl.String)
        told = self._columns("events", ("uid", "time", "correlation_uid"))
        events = told.filter(pl.col("uid").is_in(wanted.implode()))
        if whole:
            requests = events["correlation_uid"].drop_nulls().unique().implode()
            events = told.filter(pl.col("uid").is_in(wanted.implode()) | pl.col("correlation_uid").is_in(requests))
        every = pl.concat([wanted, events["uid"]]).unique().implode()
        rows = self._raw(every)
        times = self._columns("rejected", (*_PLACE, "time")).unique(_PLACE)
        found = rows.join(events.unique("uid"), on="uid", how="left").join(
            times.rename({"time": "_time"}), on=_PLACE, how="left", nulls_equal=True
        )
        found = found.with_columns(time=pl.coalesce("time", "_time")).select(FOUND.names())
        return found.sort("worker", "leaf_index")

    def _raw(self, uids: pl.Series) -> pl.DataFrame:
        columns = pl.Schema({name: TABLES["raw"].columns[name] for name in ("uid", *_PLACE, "leaf_index", "salt")})
        kinds = {**columns, "worker": pl.String(), "erased": pl.Boolean()}
        found = [pl.DataFrame(schema={name: kind for name, kind in kinds.items() if name != "salt"})]
        for file in self._of("raw"):
            for frame in groups(self._lake / file.segment.path, columns):
                hits = frame.filter(pl.col("uid").is_in(uids))
                gone = pl.col("salt").is_null() & pl.col("leaf_index").is_not_null()
                found.append(hits.with_columns(worker=pl.lit(file.worker), erased=gone).drop("salt"))
        return pl.concat(found)

    def _columns(self, table: str, names: tuple[str, ...]) -> pl.DataFrame:
        columns = pl.Schema({name: TABLES[table].columns[name] for name in names})
        frames = [frame for file in self._of(table) for frame in groups(self._lake / file.segment.path, columns)]
        return pl.concat([pl.DataFrame(schema=columns), *frames])

    def _of(self, table: str) -> Iterator[LiveFile]:
        return (file for file in self._files if file.segment.table == table)


class Erasure:
    """The files of one worker without what is told of some entries (FOUND rows)."""

    def __init__(
        self, lake: Path, steps: Steps, config: StoreConfig, files: Sequence[LiveFile], found: pl.DataFrame
    ) -> None:
        self._lake = lake
        self._steps = steps
        self._config = config
        self._files = files
        self._changes = self._touched(found)

    def exchange(self, worker: str) -> tuple[Exchange, list[tuple[str, str]]]:
        """The exchange for the next commit, its new files on the disk; the raw files that go, with those that come."""
        dropped: list[str] = []
        added: list[Segment] = []
        sequences: dict[str, int] = {}
        pairs: list[tuple[str, str]] = []
        digests: dict[str, str] = {}
        try:
            for file in self._files:
                hit, change = self._changes[file.segment.table]
                if file.worker != worker or not self._holds(file, hit):
                    continue
                made, read = self._rewritten(file, change)
                digests |= read
                dropped.append(file.segment.path)
                added += made
                sequences |= {segment.path: file.sequence for segment in made}
                if file.segment.table == "raw":
                    pairs += [(file.segment.path, segment.path) for segment in made]
        except BaseException:
            remove(self._lake / segment.path for segment in added)
            raise
        return Exchange(dropped, {worker: added}, {}, sequences, digests), pairs

    def _rewritten(self, file: LiveFile, change: Change) -> tuple[list[Segment], dict[str, str]]:
        table = TABLES[file.segment.table]
        with Rewrite(self._lake, table, self._config, self._steps.name, file.segment.kind) as made:
            for frame in made.replacing(file):
                made.append(change(frame))
            return made.keep(), made.digests

    def _holds(self, file: LiveFile, hit: pl.Expr) -> bool:
        columns = TABLES[file.segment.table].columns
        needed = pl.Schema({name: columns[name] for name in hit.meta.root_names()})
        return any(frame.select(hit.any()).item() for frame in groups(self._lake / file.segment.path, needed))

    def _touched(self, found: pl.DataFrame) -> Mapping[str, tuple[pl.Expr, Change]]:
        """By table: which rows are concerned, and what becomes of a frame of them."""
        uids = found["uid"].unique().implode()
        read = pl.col("uid").is_in(uids)
        places = _within(_PLACE, found)
        lines = _within(("source", "position"), found)
        rests = pl.col("evidence").list.eval(pl.element().is_in(uids)).list.any()
        requests = self._named("operations", self._of_request(uids, found["correlation_uid"]))
        findings = self._named("findings", rests)
        through = pl.col("finding_uids").list.eval(pl.element().is_in(findings)).list.any()
        alerts = pl.col("uid").is_in(self._named("alerts", rests | through))
        return {
            "raw": (read, _blank(read, {"raw": pl.Binary, "salt": pl.Binary}, redacted=True)),
            "events": (read, _without(read)),
            "operations": (pl.col("uid").is_in(requests), _without(pl.col("uid").is_in(requests))),
            "rejected": (places, _without(places)),
            "leaks": (lines, _without(lines)),
            "findings": (pl.col("uid").is_in(findings), _untold(pl.col("uid").is_in(findings))),
            "alerts": (alerts, _untold(alerts)),
        }

    def _of_request(self, uids: pl.Series, requests: pl.Series) -> pl.Expr:
        """An operation's row tells what any of its entries told."""
        same = pl.col("correlation_uid").is_in(requests.drop_nulls().unique().implode())
        return same | pl.col("request_uid").is_in(uids) | pl.col("response_uid").is_in(uids)

    def _named(self, table: str, rule: pl.Expr) -> pl.Series:
        """The uids of a table's rows that the rule is true of in any revision, folded into one value."""
        columns = pl.Schema({name: TABLES[table].columns[name] for name in ("uid", *rule.meta.root_names())})
        mine = (file for file in self._files if file.segment.table == table)
        hits = [f.filter(rule)["uid"] for file in mine for f in groups(self._lake / file.segment.path, columns)]
        return pl.concat([pl.Series("uid", [], dtype=pl.String), *hits]).unique().implode()


def _within(keys: tuple[str, ...], found: pl.DataFrame) -> pl.Expr:
    rows = found.select(pl.struct(keys).alias("place"))["place"].unique().implode()
    return pl.struct(keys).is_in(rows)


def _without(hit: pl.Expr) -> Change:
    return lambda frame: frame.filter(~hit.fill_null(value=False))


def _blank(hit: pl.Expr, columns: Mapping[str, type[pl.DataType]], **said: object) -> Change:
    chosen = hit.fill_null(value=False)
    made = [
        *(pl.when(~chosen).then(pl.col(name)).otherwise(pl.lit(None, dtype=kind)).alias(name)
          for name, kind in columns.items()),
        *(pl.when(chosen).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in said.items()),
    ]  # fmt: skip
    return lambda frame: frame.with_columns(made)


def _untold(hit: pl.Expr) -> Change:
    """Texts of findings and alerts that may hold what was erased; what kind it was, when, and how grave, stays."""
    return _blank(hit, {}, title=_NOTE, message=_NOTE, **dict.fromkeys(_TOLD, ""))
