"""What the detectors of single operations share: who asked from where, what a finding names, what was told of late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from detectors._text import shown
from pipeline.core.clock import HOUR_US

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.core.model import Frames


def caller() -> pl.Expr:
    """The principal, made safe to show."""
    nobody = pl.col("principal").is_in(("anonymous", "")) | pl.col("principal").is_null()
    return pl.when(nobody).then(pl.lit("an unidentified caller")).otherwise(shown(pl.col("principal")))


def whence() -> pl.Expr:
    """Namespace and address as the end of a sentence; empty where neither is known."""
    origin = pl.when(pl.col("client_ip") != "").then(pl.format(" from {}", shown(pl.col("client_ip"))))
    inside = pl.when(pl.col("namespace") != "").then(pl.format(" in namespace {}", shown(pl.col("namespace"))))
    return pl.concat_str(inside.otherwise(pl.lit("")), origin.otherwise(pl.lit("")))


def evidence() -> pl.Expr:
    """The uids of an operation's entries."""
    found = pl.concat_list("request_uid", "response_uid").list.drop_nulls().cast(pl.List(pl.String))
    return pl.when(found.list.len() > 0).then(found).otherwise(pl.concat_list("uid"))


def by_hour(rows: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """OPERATION rows by their hour of event time, its number since 1970, in the order in which they became complete."""
    hour = pl.col("complete_time").dt.timestamp("us") // HOUR_US
    ordered = rows.with_columns(hour=hour).sort("complete_time", "uid")
    for (number,), part in ordered.partition_by("hour", as_dict=True, maintain_order=True).items():
        yield int(number), part


def said_of(row: Mapping[str, Any], uids: Sequence[str] | None = None) -> dict[str, Any]:
    """What a finding (`_window.Found`) says of one operation; `uids` are its evidence where it is not alone."""
    return {
        "evidence": [row["uid"]] if uids is None else uids,
        "time": row["time"] or row["complete_time"],
        "ready": row["complete_time"],
        "store": row["store"],
        "client_ip": row["client_ip"],
    }


class Told:
    """Names that were told, each with the hour or day (`unit`) of event time; kept for `keep` of them.

    At most `limit` are remembered: beyond that a name is told again rather than another forgotten.
    """

    def __init__(self, unit: str, keep: int, limit: int) -> None:
        self._unit, self._keep, self._limit = unit, keep, limit
        self._at: dict[str, int] = {}

    def is_new(self, name: str, at: int) -> bool:
        """Whether it was not told before; from now on it was."""
        if name in self._at:
            return False
        if len(self._at) < self._limit:
            self._at[name] = at
        return True

    def forget(self, now: int) -> None:
        """Let go of what was told `keep` units ago and before."""
        self._at = {name: at for name, at in self._at.items() if at > now - self._keep}

    def snapshot(self) -> Frames:
        """Frame told: name, and the unit's column."""
        schema = {"name": pl.String, self._unit: pl.Int64}
        return {"told": pl.DataFrame({"name": list(self._at), self._unit: list(self._at.values())}, schema=schema)}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._at = dict(frames["told"].select("name", self._unit).iter_rows())
