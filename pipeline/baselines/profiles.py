"""Profiles of secrets, principals and edges (which principal uses which secret): what was usual, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipeline.baselines import answer, update
from pipeline.baselines.exposure import HOUR
from pipeline.baselines.index import Index
from pipeline.baselines.names import Names
from pipeline.baselines.table import EDGES, NAMES, Table
from pipeline.baselines.view import view
from pipeline.core.coded import coded
from pipeline.core.hashing import U64, hash_texts, mix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.baselines.config import Config
    from pipeline.baselines.sketch import Rows
    from pipeline.core.model import Frames, Window

SCOPES: Final = ("principal", "secret", "edge")
_KEYS: Final = {"principal": ("principal",), "secret": ("secret",), "edge": ("principal", "secret")}
_LOW: Final = np.uint64(0xFFFFFFFF)


class Baselines:
    """Profiles of three scopes in bounded memory; satisfies `core.ports.Profiles` and `core.ports.Stateful`.

    Operations by nobody known make no principal and no edge; those on no secret make no secret and no edge. Times
    are the operations' own, held to the end of their window, so that a clock ahead cannot make a key young; hours of
    the day are the window's, as counts are.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.evicted = dict.fromkeys(SCOPES, 0)
        self._half_life = answer.half_life_us(config)
        self._end_us = 0
        self._names = {"principal": Names(), "secret": Names()}
        self._tables = {"principal": Table(NAMES), "secret": Table(NAMES), "edge": Table(EDGES)}
        self._edges = Index()
        self._changes = 0  # since when numbers of names may be others

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables.values())

    @property
    def learned_until_us(self) -> int:
        """The end of the newest window learned; while it stands still, so does the view."""
        return self._end_us

    def turn(self, to_us: int) -> None:
        """The clock was set back to `to_us`: what is usual is told as of then."""
        self._end_us = min(self._end_us, to_us)

    def learn(self, window: Window) -> None:
        """Add a closed window's operations, as WINDOW or OPERATION rows.

        Raises ValueError for a window that may still grow: it will come again.
        """
        if not window.closed:
            raise ValueError("a window that is not closed must not be learned")
        if window.operations.is_empty():
            return
        self._end_us = max(self._end_us, window.end_us)
        columns = _columns(window)
        principal = self._learn_names("principal", window, columns)
        secret = self._learn_names("secret", window, columns)
        self._changes += 1
        self._learn_edges(principal, secret, columns, window.end_us)
        self._evict()

    def lookup(
        self, scope: str, keys: pl.DataFrame, at_us: int, columns: Sequence[str] = answer.ANSWER.names()
    ) -> pl.DataFrame:
        """The profile of each row of `keys` before `at_us`: see `core.ports.Profiles` and `answer.answer`.

        Beside the port's columns: distinct_principals, and succeeded (at least one operation was a success).
        Raises ValueError for a scope that is none.
        """
        return answer.answer(self.config, scope, self._table(scope), self._slots(scope, keys), at_us, columns=columns)

    def numbers(self, scope: str, window: Window) -> Rows:
        """What `lookup` takes for the texts of `coded(window, scope)`, until a window is learned; found once a window.

        -1 stands for names that are not known.
        """
        name = f"numbers.{scope}"
        whose, changes, ids = window.memo.get(name, (None, 0, None))
        if whose is not self or changes != self._changes:
            ids = self._names[scope].find(coded(window, scope).texts)
            window.memo[name] = (self, self._changes, ids)
        return np.asarray(ids)

    def active(self, scope: str, min_rate: float, at_us: int) -> pl.DataFrame:
        """Every key whose mean rate at `at_us` is at least `min_rate` operations an hour.

        Columns: principal, secret or both, those of `lookup`, and expected_since_last: the operations it would have
        made since its last one at the rate it had then. Its silence has the chance (1 + expected / alpha)**-alpha.
        """
        table = self._table(scope)
        alpha, beta = answer.posterior(self.config, table, np.arange(len(table)), at_us)
        slots = np.flatnonzero(alpha >= min_rate * beta)
        due = answer.expected_since_last(self.config, table, slots, at_us)
        profile = answer.answer(self.config, scope, table, slots, at_us)
        return pl.DataFrame([*self._texts(scope, slots), *profile, pl.Series("expected_since_last", due)])

    def merge(self, other: Baselines) -> None:
        """Take in what another instance learned elsewhere, or at another time. Associative but for rounding.

        Raises ValueError when the two forget at different speeds.
        """
        if other.config.half_life_days != self.config.half_life_days:
            raise ValueError("baselines with different half-lives cannot be merged")
        self._end_us = max(self._end_us, other._end_us)
        self._changes += 1
        ids = {scope: self._merge_names(scope, other) for scope in self._names}
        self._merge_edges(other, ids)
        for scope in SCOPES:
            self.evicted[scope] += other.evicted[scope]
        self._evict()

    def snapshot(self) -> Frames:
        """principal, secret and edge: the tables, with `text` for the names; meta: one row."""
        named = {s: self._tables[s].frame().with_columns(self._names[s].texts.clone()) for s in self._names}
        meta = pl.DataFrame({"end_us": [self._end_us], **{f"evicted_{s}": [n] for s, n in self.evicted.items()}})
        return {**named, "edge": self._tables["edge"].frame(), "meta": meta}

    def restore(self, frames: Frames) -> None:
        """Go on from a snapshot."""
        self._changes += 1
        for scope, table in self._tables.items():
            table.load(frames[scope])
        for scope, names in self._names.items():
            names.load(frames[scope]["text"])
        self._index_edges()
        meta = frames["meta"].row(0, named=True)
        self._end_us = meta["end_us"]
        self.evicted = {scope: meta[f"evicted_{scope}"] for scope in SCOPES}

    def view(self) -> pl.DataFrame:
        """`core.schema.BASELINE`: every key as of the last window learned."""
        texts = {scope: self._texts(scope, np.arange(len(table))) for scope, table in self._tables.items()}
        return view(self.config, self._tables, texts, self._end_us)

    def _table(self, scope: str) -> Table:
        if scope not in self._tables:
            raise ValueError(f"unknown scope {scope!r}; there are: {', '.join(SCOPES)}")
        return self._tables[scope]

    def _slots(self, scope: str, keys: pl.DataFrame) -> Rows:
        found = [self._names[name].of(keys[name]) for name in _KEYS[scope]]
        if scope != "edge":
            return found[0]
        slots: Rows = np.full(keys.height, -1, np.int64)
        both = np.flatnonzero((found[0] >= 0) & (found[1] >= 0))
        pairs, row = np.unique(_edge(found[0][both], found[1][both]), return_inverse=True)
        slots[both] = self._edges.find(pairs)[row]
        return slots

    def _texts(self, scope: str, slots: Rows) -> list[pl.Series]:
        if scope != "edge":
            return [self._names[scope].texts.gather(slots).alias(scope)]
        pairs = self._tables["edge"]["key"][slots]
        ids = {"principal": pairs >> np.uint64(32), "secret": pairs & _LOW}
        return [self._names[name].texts.gather(ids[name]).alias(name) for name in ids]

    def _intern(self, scope: str, window: Window, asked: npt.NDArray[np.bool_]) -> tuple[Rows, Rows]:
        """The slots of the names of a column in rows `asked`, and the place of each row's among them, or -1."""
        column, ids = coded(window, scope), self.numbers(scope, window)
        codes = np.where(asked, column.codes, -1)
        there = np.zeros(len(ids) + 1, np.bool_)
        there[codes] = True
        used = np.flatnonzero(there[:-1])
        texts = column.texts if len(used) == len(ids) else column.texts.take(pa.array(used))
        place = np.full(len(ids) + 1, -1)
        place[used] = np.arange(len(used))
        return self._names[scope].intern(texts, ids[used]), place[codes]

    def _learn_names(self, scope: str, window: Window, columns: dict[str, Any]) -> Rows:
        table = self._tables[scope]
        slots, place = self._intern(scope, window, columns[scope])
        table.add(len(self._names[scope]) - len(table))
        some = np.flatnonzero(place >= 0)
        seen = _seen(slots, place[some], some, columns)
        update.learn(table, seen, mix(slots.astype(np.uint64)), window.end_us, self._half_life)
        return np.asarray(np.append(slots, -1)[place])

    def _learn_edges(self, principal: Rows, secret: Rows, columns: dict[str, Any], end_us: int) -> None:
        table = self._tables["edge"]
        both = np.flatnonzero((principal >= 0) & (secret >= 0))
        pairs, row = np.unique(_edge(principal[both], secret[both]), return_inverse=True)
        slots = self._edge_slots(pairs)
        update.learn(table, _seen(slots, row, both, columns), mix(pairs), end_us, self._half_life)

    def _edge_slots(self, pairs: U64) -> Rows:
        """The slots of distinct pairs; new ones get a blank row and count as a peer on both sides."""
        slots: Rows = self._edges.find(pairs)
        new = np.flatnonzero(slots < 0)
        if len(new):
            slots[new] = self._tables["edge"].add(len(new))
            self._tables["edge"]["key"][slots[new]] = pairs[new]
            self._edges.add(pairs[new], slots[new])
            np.add.at(self._tables["principal"]["peers"], (pairs[new] >> np.uint64(32)).astype(np.int64), 1)
            np.add.at(self._tables["secret"]["peers"], (pairs[new] & _LOW).astype(np.int64), 1)
        return slots

    def _merge_names(self, scope: str, other: Baselines) -> Rows:
        names, table, guest = self._names[scope], self._tables[scope], other._tables[scope]
        ids = names.intern(other._names[scope].texts.to_arrow())
        table.add(len(names) - len(table))
        update.merge(table, ids, guest.take(np.arange(len(guest))), self._half_life)
        return ids

    def _merge_edges(self, other: Baselines, ids: dict[str, Rows]) -> None:
        guest = other._tables["edge"]
        pairs = _edge(ids["principal"][guest["key"] >> np.uint64(32)], ids["secret"][guest["key"] & _LOW])
        order = np.argsort(pairs)
        rows = {name: column for name, column in guest.take(order).items() if name != "key"}
        slots = self._edge_slots(pairs[order])
        update.merge(self._tables["edge"], slots, {**rows, "key": pairs[order]}, self._half_life)
        for scope, mine in ids.items():  # what the other had to forget of its edges still counts as met
            peers = self._tables[scope]["peers"]
            peers[mine] = np.maximum(peers[mine], other._tables[scope]["peers"])

    def _evict(self) -> None:
        limit = self.config.max_keys
        over = {scope: len(table) - limit for scope, table in self._tables.items()}
        if max(over.values()) <= 0:
            return
        gone = {s: t.coldest(over[s] + limit // 20 if over[s] > 0 else 0) for s, t in self._tables.items()}
        pairs = self._tables["edge"]["key"]
        high, low = pairs >> np.uint64(32), pairs & _LOW
        gone["edge"] |= gone["principal"][high] | gone["secret"][low]  # no edge outlives its ends
        numbers = {scope: np.cumsum(~gone[scope]) - 1 for scope in self._names}
        self._tables["edge"]["key"][:] = _edge(numbers["principal"][high], numbers["secret"][low])
        for scope, table in self._tables.items():
            self.evicted[scope] += int(gone[scope].sum())
            table.keep(np.flatnonzero(~gone[scope]))
        for scope, names in self._names.items():
            names.load(names.texts.filter(~gone[scope]))
        self._index_edges()

    def _index_edges(self) -> None:
        self._edges = Index()
        self._edges.add(self._tables["edge"]["key"], np.arange(len(self._tables["edge"])))


def _edge(principal: Rows, secret: Rows) -> U64:
    return (principal.astype(np.uint64) << np.uint64(32)) | (secret.astype(np.uint64) & _LOW)


def _columns(window: Window) -> dict[str, Any]:
    """Operations (WINDOW rows, or OPERATION rows that count once) as arrays, times in µs.

    `principal` and `secret` are true where an operation is somebody's and on something.
    """
    rows = window.operations
    if "n" not in rows.columns:
        rows = rows.with_columns(n=pl.lit(1, pl.Int64), last_time=pl.col("time"))
    nobody = pl.col("principal").is_in(["", "anonymous"]) | pl.col("principal_type").eq_missing("anonymous")
    start, newest = pl.lit(window.start_us), pl.lit(window.end_us - 1)  # a clock ahead of its stream is not believed
    first, last = (pl.min_horizontal(pl.col(c).dt.timestamp("us"), newest) for c in ("time", "last_time"))
    frame = rows.select(
        (~nobody).fill_null(value=False).alias("principal"),
        (pl.col("secret") != "").fill_null(value=False).alias("secret"),
        (pl.col("client_ip") != "").fill_null(value=False).alias("client_ip"),
        "n",
        first.alias("time"),
        last.alias("last"),
        (pl.max_horizontal(first, start) // HOUR).alias("hour"),
        pl.col("outcome").eq_missing("success").alias("succeeded"),
    )
    addresses = coded(window, "client_ip")
    return {
        "principal": frame["principal"].to_numpy(),
        "secret": frame["secret"].to_numpy(),
        "address": np.append(hash_texts(addresses.texts), np.uint64(0))[addresses.codes],
        "addressed": frame["client_ip"].to_numpy(),
        "count": frame["n"].to_numpy(),
        "time": frame["time"].to_numpy(),
        "last": frame["last"].to_numpy(),
        "hour": frame["hour"].to_numpy(),
        "succeeded": frame["succeeded"].to_numpy(),
    }


def _seen(slots: Rows, row: Rows, rows: Rows, columns: dict[str, Any]) -> update.Seen:
    names = ("count", "time", "last", "hour", "succeeded", "address", "addressed")
    all_of_them = len(rows) == len(columns["count"])
    seen = {name: columns[name] if all_of_them else columns[name][rows] for name in names}
    return update.Seen(slots=slots, row=row, **seen)
