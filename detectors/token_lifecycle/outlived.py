"""Tokens that somebody revoked by their accessor and that are good for something all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from detectors._operation import said_of
from detectors._text import show
from detectors._window import Found
from pipeline.core.clock import DAY_US
from pipeline.core.owned import added
from pipeline.core.schema import TIME

if TYPE_CHECKING:
    from pipeline.core.model import Frames

_GRACE: Final = pl.duration(minutes=1)  # a token may still be answered this long after its revocation was asked
_WATCHED: Final = pl.duration(microseconds=DAY_US)
_REVOKED: Final = 20_000  # revocations remembered
_BY_ACCESSOR: Final = r"^auth/token/revoke-accessor(?:/|$)"
_ENDED: Final = pl.Schema(
    {
        "session": pl.String(),
        "ended": TIME,
        "end_complete": TIME,
        "end_uid": pl.String(),
        "ended_by": pl.String(),
        "told": pl.Boolean(),
    }
)
_AT: Final = pl.coalesce("time", "complete_time")


class Outlived:
    """Remembers the revocations of the last day, at most 20,000, newest kept."""

    def __init__(self) -> None:
        self._ended = pl.DataFrame(schema=_ENDED)

    def inspect(self, operations: pl.DataFrame) -> list[Found]:
        """Judge OPERATION rows, in the order in which they became complete, by the revocations before each."""
        if operations.is_empty():
            return []
        first = operations["complete_time"].min()
        watched = self._ended.filter(pl.col("end_complete") + _WATCHED >= first)
        self._ended = added(watched, _ends(operations)).tail(_REVOKED)
        waiting = self._ended.filter(~pl.col("told"))
        if waiting.is_empty():
            return []
        late = _late(operations, waiting)
        told = pl.col("end_uid").is_in(late["end_uid"].implode())
        self._ended = self._ended.with_columns(told=pl.col("told") | told)
        return [_found(row) for row in late.iter_rows(named=True)]

    def snapshot(self) -> Frames:
        """Frame outlived."""
        return {"outlived": self._ended}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with no revocation known."""
        self._ended = frames.get("outlived", pl.DataFrame(schema=_ENDED))


def _ends(operations: pl.DataFrame) -> pl.DataFrame:
    """_ENDED rows of revocations that were granted and tell whose token it was."""
    granted = (pl.col("operation") == "revoke") & (pl.col("outcome") == "success")
    named = pl.col("path").str.contains(_BY_ACCESSOR) & (pl.col("login_session") != "")
    return operations.filter(granted & named).select(
        session="login_session",
        ended=_AT,
        end_complete="complete_time",
        end_uid="uid",
        ended_by="principal",
        told=pl.lit(value=False),
    )


def _late(operations: pl.DataFrame, ended: pl.DataFrame) -> pl.DataFrame:
    """For each revocation the first operation that the token was good for too late."""
    mine = pl.col("session").is_in(ended["session"].unique().implode())
    used = operations.filter(mine & (pl.col("outcome") == "success"))
    after = (pl.col("complete_time") > pl.col("end_complete")) & (pl.col("ended") + _GRACE < _AT)
    within = pl.col("complete_time") <= pl.col("end_complete") + _WATCHED
    late = used.join(ended, on="session").filter(after & within).sort("complete_time", "uid", "end_uid")
    return late.unique("end_uid", keep="first", maintain_order=True)


def _found(row: dict[str, Any]) -> Found:
    seconds = ((row["time"] or row["complete_time"]) - row["ended"]).total_seconds()
    return Found(
        key=f"outlived:{row['end_uid']}",
        cause="used_after_revocation",
        title="Token used after its revocation",
        severity="high",
        confidence=0.8,
        score=0.8,
        message=f"A token of {show(row['principal'])} was still good {seconds / 60:.0f} minutes after"
        f" {show(row['ended_by'])} had revoked it.",
        observed=f"{row['operation']} of {show(row['secret'] or row['path'])} succeeded",
        expected="nothing succeeds with a token once auth/token/revoke-accessor has",
        next_step="Revoke it again and try it: if it is still good, storage or replication lags, so seal off what it"
        " can reach. See what was done with it since (view operations, by session), and compare the nodes' clocks.",
        techniques=("T1550.001",),
        principal=row["principal"],
        secret=row["secret"] or None,
        **said_of(row, [row["end_uid"], row["uid"]]),
    )
