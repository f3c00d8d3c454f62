"""Rotations that were asked for, and lifetimes that were declared: M3 and M5.

A secret whose name begins with a declared prefix is to be changed once in each lifetime. One that is used when its time
is up has missed a rotation, and is told once for that time; from then on every read of it is one past its lifetime. So
nothing depends on a clock: who is not used any more, deleted or not, misses nothing. What is a change is said by
`core.effects`, as for `investigate`. Changes within an hour are one, as in the report `rotation`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from pipeline.core import effects
from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.sli.tally import EVENTS, EVENTS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.core.model import Frames
    from pipeline.sli.config import Config

    Key = tuple[str, str, str]  # store, namespace, secret

KNOWN: Final = pl.Schema(
    {
        "store": pl.String(),
        "namespace": pl.String(),
        "secret": pl.String(),
        "changed": pl.Int64(),  # µs: of the last change, else of the first use
        "due_from": pl.Int64(),  # µs: where the lifetime that runs now began
        "seen": pl.Boolean(),  # whether a change was seen at all
    }
)
_NAMES: Final = 100_000  # whose lifetime is remembered, so that no prefix is looked for twice
_ASKED: Final = (pl.col("operation") == "rotate").fill_null(value=False)
_CHANGE: Final = pl.col("operation").is_in(["write", "rotate"])
_READ: Final = (pl.col("operation") == "read") & pl.col("discloses_value")
_USED: Final = (
    (pl.col("outcome") == "success") & (pl.col("secret") != "") & pl.col("operation").is_in(["read", "write", "rotate"])
).fill_null(value=False)
_TOLD: Final = ("operation", "outcome", "api_operation", "path", "mount", "mount_type", "store", "secret")


class Lifetimes:
    """When each secret with a declared lifetime was changed last, at most `max_declared`; further ones are left out."""

    def __init__(self, config: Config) -> None:
        self._most = config.max_declared
        self._declared = {name: int(days * DAY_US) for name, days in config.lifetime_days.items()}
        self._known: dict[Key, tuple[int, int, bool]] = {}
        self._lifetime = lru_cache(_NAMES)(self._of)

    def count(self, operations: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
        """EVENTS_SCHEMA rows: what of these operations counts for M3 and M5, in their order.

        `found` has their windows and places, and when they became complete.
        """
        counts: dict[tuple[int, int], dict[str, int]] = {}
        for (window, place), name, n in self._events(operations, found):
            here = counts.setdefault((window, place), dict.fromkeys(EVENTS, 0))
            here[name] += n
        rows = [(*key, *here.values()) for key, here in counts.items()]
        return pl.DataFrame(rows, schema=EVENTS_SCHEMA, orient="row")

    def _events(self, operations: pl.DataFrame, found: pl.DataFrame) -> Iterator[tuple[tuple[int, int], str, int]]:
        yield from _asked(operations, found)
        if self._declared:
            for row in self._uses(operations, found):
                for name, n in self._use(row):
                    yield (row["window"], row["number"]), name, n

    def _uses(self, operations: pl.DataFrame, found: pl.DataFrame) -> Iterator[dict[str, Any]]:
        """Uses of secrets with a lifetime, in their order; reads between two changes of one secret are one row."""
        rows = operations.select(
            *_TOLD, pl.col("namespace").fill_null(""), found["window"], found["place"].alias("number"),
            found["complete"], told=_USED, change=_CHANGE.fill_null(value=False), read=_READ.fill_null(value=False),
        ).filter("told")  # fmt: skip
        names = rows["secret"].unique()
        mine = names.filter(pl.Series([self._lifetime(name) > 0 for name in names], dtype=pl.Boolean))
        rows = rows.filter(pl.col("secret").is_in(mine.implode()))
        key = ["store", "namespace", "secret", "window", "number"]
        moved = pl.struct("window", "number").rle_id().diff().fill_null(0) != 0
        turns = pl.col("change") | pl.col("change").shift(1, fill_value=False) | moved
        together = rows.with_columns(turn=turns.cum_sum().over(key[:3])).group_by(*key, "turn", maintain_order=True)
        runs = together.agg(
            pl.exclude(*key, "turn", "complete", "read", "told").first(),
            used=pl.col("complete"),
            read=pl.col("complete").filter("read"),
        )
        yield from runs.iter_rows(named=True)

    def _use(self, row: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
        key, lifetime = (row["store"], row["namespace"], row["secret"]), self._lifetime(row["secret"])
        used, reads = np.array(row["used"], np.int64), np.array(row["read"], np.int64)
        first, changed = int(used[0]), effects.effect(row) == effects.REPLACED
        if key not in self._known:
            if len(self._known) >= self._most:
                yield "unwatched", len(reads)
                return
            self._known[key] = (first, first, changed)
            changed = False
        last, due_from, seen = self._known[key]
        times = np.unique((used - due_from - 1) // lifetime)
        yield "due_missed", int(np.count_nonzero(times > 0))
        due_from += max(int(times[-1]), 0) * lifetime
        yield "alive", len(reads)
        yield "outlived", int(np.count_nonzero(reads > last + lifetime))
        if changed:
            in_time = due_from == last and not (seen and first - last < HOUR_US)
            if in_time and row["operation"] != "rotate":
                yield "due_done", 1
            last, due_from, seen = first, first, True
        self._known[key] = (last, due_from, seen)

    def _of(self, secret: str) -> int:
        """The lifetime of a secret by its longest declared prefix, µs; 0 for none."""
        longest = max((name for name in self._declared if secret.startswith(name)), key=len, default=None)
        return 0 if longest is None else self._declared[longest]

    def snapshot(self) -> pl.DataFrame:
        """KNOWN rows."""
        return pl.DataFrame([(*key, *known) for key, known in self._known.items()], schema=KNOWN, orient="row")

    def restore(self, frames: Frames) -> None:
        """Go on from a snapshot, without what has no lifetime any more; an earlier version knows nothing."""
        rows = frames.get("declared", pl.DataFrame(schema=KNOWN)).iter_rows()
        self._known = {
            (store, namespace, secret): (changed, due_from, seen)
            for store, namespace, secret, changed, due_from, seen in rows
            if self._lifetime(secret) > 0
        }

    def add(self, other: Lifetimes) -> None:
        """Know what another instance saw: of each secret the later change."""
        for key, known in other._known.items():
            self._known[key] = max(known, self._known.get(key, known))


def _asked(operations: pl.DataFrame, found: pl.DataFrame) -> Iterator[tuple[tuple[int, int], str, int]]:
    rows = operations.select(_ASKED.arg_true()).to_series()
    if not len(rows):
        return
    here = found.select("window", "place")[rows].rows()
    for place, change in zip(here, operations.select(_TOLD)[rows].iter_rows(named=True), strict=True):
        done = effects.rotated(change)
        if done is not None:
            yield place, "asked_done" if done else "asked_failed", 1
