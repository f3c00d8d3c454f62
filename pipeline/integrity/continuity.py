"""What one stream shows of its own wholeness, as INTEGRITY rows (V2 to V4, V7, V8, V10, V11 and V14 of README.md).

A row names a connected place: `from_position` is the first byte of its first line, `to_position` of its last. Places
that grow keep their uid, so that the longer row replaces the shorter one. The first row told of a place with a verdict
is the same whatever the cuts: findings rest on it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.core.schema import INTEGRITY, TIME, conform, empty
from pipeline.integrity.agreement import disagreeing
from pipeline.integrity.pairing import of_store
from pipeline.integrity.places import HONEST_US, first_and_last, frame, place

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Lost
    from pipeline.integrity.pairing import Paired

TOGETHER: Final = dt.timedelta(seconds=1)  # doubled entries that are known within this time are one place

# What a source noticed about its file or partition, and the verdict that states it.
FAULTS: Final = {
    "truncated": "truncated", "gap": "gap", "recreated": "gap", "altered": "altered", "topic_recreated": "truncated",
    "log_truncated": "truncated", "retention": "gap", "history_changed": "altered", "unreadable": "unverifiable",
    "gap_in_doubt": "unverifiable", "history_in_doubt": "unverifiable",  # the topic may be a compacted one
}  # fmt: skip
TORN: Final = ("torn", "nul_run", "unterminated")

# Requests that have no response by design, and responses whose request went elsewhere (V2-V4). Those of the second and
# third kind are told once, with the error they were refused for.
_UNANSWERED = r"^sys/(?:seal|step-down)$"
_REFUSED = r"^sys/wrapping/(?:lookup|rewrap|unwrap)$"
_OVER_QUOTA = r"rate limit quota exceeded$"
_DEVICE = r"^sys/audit/[^/]+/?$"  # it hears the request that disables it, and the response that enabled it

_RUN = pl.Schema({"stream": pl.String(), **INTEGRITY})


class Continuity:
    """Reads each stream's entries in the order they stand in it, and the operations made of them."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], dict[str, Any]] = {}  # (stream, kind) -> the growing row
        self._alive: set[str] = set()  # streams whose device has told of its start
        self._undated: dict[str, list[dict[str, Any]]] = {}  # places before the first entry of their stream

    def stream(  # noqa: PLR0917  a batch and what was noticed of it
        self, source: str, events: pl.DataFrame, rejected: pl.DataFrame, fault: str, file: str, partition: str,
        lost: Lost | None = None, newest_us: int | None = None,
    ) -> pl.DataFrame:  # fmt: skip
        """Rows that one batch of one stream gives: torn remains, faults of the source, clear text, device starts.

        `partition` is the file behind that name: positions are its own. `lost` are those a fault concerns, `newest_us`
        the time of the last entry of the stream.
        """
        rows: list[dict[str, Any]] = []
        if fault and lost is not None:
            rows.append(_loss(source, file, partition, fault, lost, newest_us))
        elif fault:
            rows.append(_fault(source, file, partition, fault, events, rejected, self._open.get((source, "last"))))
        rows += self._torn(source, partition, rejected)
        rows += self._clear(source, events)
        rows += self._starts(source, events)
        if len(events):
            last = events.select("position", pl.col("time").max(), "uid", "file").row(-1)
            row, before = _row(source, "ok", *last, cause="last"), self._open.get((source, "last"), {})
            row["to_time"] = max(row["to_time"], before.get("to_time", row["to_time"]))
            self._open[source, "last"] = row
        return frame(self._dated(source, events, rows))

    def finish(self) -> pl.DataFrame:
        """Places of streams that have ended without an entry that would date them."""
        rows = [row for waiting in self._undated.values() for row in waiting]
        self._undated = {}
        return frame(rows)

    def _dated(self, source: str, events: pl.DataFrame, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A place before the first entry of its stream takes that entry's time, and waits for it."""
        waiting = self._undated.pop(source, [])
        undated = waiting + [row for row in rows if row["from_time"] is None]
        rows = [row for row in rows if row["from_time"] is not None]
        if not undated:
            return rows
        if events.is_empty():
            self._undated[source] = undated
            return rows
        time = events["time"][0]
        return [{**row, "from_time": time, "to_time": time, "known": time} for row in undated] + rows

    def _torn(self, source: str, partition: str, rejected: pl.DataFrame) -> list[dict[str, Any]]:
        remains = rejected.filter(pl.col("reason").is_in(TORN))
        return [
            _row(source, "torn", position, time, f"{partition}:{position}", file, cause=reason,
                 evidence=f"{size} bytes that are no entry")
            for position, time, reason, size, file in remains.select(
                "position", "time", "reason", "size", "file").iter_rows()
        ]  # fmt: skip

    def _clear(self, source: str, events: pl.DataFrame) -> list[dict[str, Any]]:
        bare = events.filter(pl.col("clear"))
        if bare.is_empty():
            return []
        last = bare.row(-1, named=True)
        row = self._open.get((source, "in_clear"))
        told = []
        if row is None:
            first = bare.row(0, named=True)
            row = _row(
                source, "in_clear", first["position"], first["time"], "in_clear", first["file"], cause="in_clear"
            )
            told = [dict(row)]
            row["count"] = 0
        row = {**row, "to_position": last["position"], "to_time": last["time"], "count": row["count"] + len(bare)}
        row["evidence"] = f"{row['count']} entries carry values that should have been hashed"
        self._open[source, "in_clear"] = row
        return [*told, dict(row)]

    def _starts(self, source: str, events: pl.DataFrame) -> list[dict[str, Any]]:
        events = of_store(events, "vault")
        if not events["probe"].any():
            self._alive |= {source} if len(events) else set()
            return []
        last = self._open.get((source, "last"))
        newest = pl.max_horizontal(pl.col("time").cum_max().shift(1), pl.lit(last and last["to_time"], TIME))
        again = pl.col("time") < newest - pl.duration(microseconds=HONEST_US)  # of a file that is read anew
        probes = events.filter(pl.col("probe") & ~again.fill_null(value=False))
        rows = []
        for uid, time, position, file in probes.select("uid", "time", "position", "file").iter_rows():
            if source in self._alive or uid != events["uid"][0]:
                rows.append(
                    _row(source, "device_change", position, time, uid, file, cause="enabled_again",
                         evidence="the device was enabled again: its salt is new, hashes before and after differ")
                )  # fmt: skip
        if len(events):
            self._alive.add(source)
        return rows

    def operations(self, paired: Paired) -> pl.DataFrame:
        """Rows for entries without their other half, halves that disagree, and entries told twice by one stream."""
        parts = [unpaired(paired), answered_late(paired), altered(paired), self._doubled(duplicates(paired))]
        return pl.concat([empty(INTEGRITY), *(p for p in parts if len(p))])

    def _doubled(self, places: pl.DataFrame) -> pl.DataFrame:
        """A block that was told again is one place, from its first line to its last."""
        rows = []
        for row in places.sort("known", "source", "from_position", "uid").to_dicts():
            before = self._open.get((row["source"], "duplicate"))
            touches = before is not None and row["known"] - before["known"] <= TOGETHER
            rows.append(_joined(before, row) if before is not None and touches else row)
            self._open[row["source"], "duplicate"] = rows[-1]
        return frame(first_and_last(rows))

    def snapshot(self) -> Frames:
        """The places that may still grow, and the devices known."""
        rows = [{"stream": kind, **row} for (_, kind), row in sorted(self._open.items())]
        return {
            "open": pl.DataFrame(rows, schema=_RUN) if rows else empty(_RUN),
            "alive": pl.DataFrame({"source": sorted(self._alive)}, schema={"source": pl.String}),
            "undated": frame([row for _, waiting in sorted(self._undated.items()) for row in waiting]),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        rows = frames["open"].to_dicts()
        self._open = {(row["source"], row.pop("stream")): row for row in rows}
        self._alive = set(frames["alive"]["source"])
        self._undated = {}
        for row in frames["undated"].to_dicts():
            self._undated.setdefault(row["source"], []).append(row)


def _row(  # noqa: PLR0917  the columns of a row, in their order
    source: str, verdict: str, position: int, time: Any, first: str, file: str, *, cause: str, evidence: str = ""
) -> dict[str, Any]:
    return {
        "source": source, "verdict": verdict, "from_position": position, "to_position": position, "from_time": time,
        "to_time": time, "count": 1, "evidence": evidence, "file": file, "cause": cause,
        "uid": place(source, cause, first), "known": time,
    }  # fmt: skip


def _joined(place: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Two touching places as one; it keeps the first one's name."""
    ends = {name: max(place[name], more[name]) for name in ("to_position", "to_time", "known")}
    starts = {name: min(place[name], more[name]) for name in ("from_position", "from_time")}
    return {**place, **starts, **ends, "count": place["count"] + more["count"]}


def _fault(  # noqa: PLR0917
    source: str, file: str, partition: str, fault: str, events: pl.DataFrame, rejected: pl.DataFrame,
    last: dict[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    """A fault between the `last` line of the stream, where one is known, and the first of this batch.

    What was changed lies before the last line.
    """
    position = int(events["position"][0]) if len(events) else int(rejected["position"][0]) if len(rejected) else 0
    time = events["time"][0] if len(events) else None
    row = _row(source, FAULTS.get(fault, "unverifiable"), position, time, f"{fault}:{partition}:{position}", file,
               cause=fault, evidence=f"the source reported: {fault}")  # fmt: skip
    if last is None:
        return row
    if row["verdict"] == "altered":
        row |= {"from_position": 0, "to_position": last["to_position"], "to_time": last["to_time"]}
        return {**row, "from_time": last["to_time"], "known": time or last["to_time"]}
    low, high = sorted((last["to_time"], time or last["to_time"]))
    row |= {"from_position": last["to_position"], "from_time": low, "to_time": high}
    return {**row, "known": time or last["to_time"]}


def _loss(  # noqa: PLR0917
    source: str, file: str, partition: str, fault: str, lost: Lost, newest_us: int | None
) -> dict[str, Any]:
    """A fault whose positions the source knows; it happened after the last entry of the stream."""
    time = None if newest_us is None else dt.datetime.fromtimestamp(newest_us // 1_000_000, dt.UTC)
    row = _row(source, FAULTS.get(fault, "unverifiable"), lost.first, time, f"{fault}:{partition}:{lost.first}", file,
               cause=fault, evidence=lost.note)  # fmt: skip
    return {**row, "to_position": lost.last, "count": lost.count}


def _places(entries: pl.DataFrame, verdict: str, cause: str, evidence: pl.Expr) -> pl.DataFrame:
    """INTEGRITY rows, one per operation of `entries`."""
    if entries.is_empty():
        return empty(INTEGRITY)
    ordered = entries.sort("source", "position", maintain_order=True)
    rows = ordered.group_by("source", "operation_uid", maintain_order=True).agg(
        pl.col("file").first(), from_position=pl.col("position").first(), to_position=pl.col("position").last(),
        from_time=pl.col("time").first(), to_time=pl.col("time").last(), count=pl.len().cast(pl.Int64),
        evidence=evidence.first(), first=pl.col("operation_uid").first(), known=pl.col("complete_time").first(),
    )  # fmt: skip
    uids = [place(source, cause, first) for source, first in rows.select("source", "first").rows()]
    named = rows.with_columns(pl.Series("uid", uids, dtype=pl.String), verdict=pl.lit(verdict), cause=pl.lit(cause))
    return conform(named, INTEGRITY)


def unpaired(paired: Paired) -> pl.DataFrame:
    """Requests never answered and answers never asked, save those that are so by design."""
    lone = paired.operations.filter(~pl.col("paired"))
    if lone.is_empty():
        return empty(INTEGRITY)
    asked = pl.col("request_uid").is_not_null()
    device, disables = pl.col("path").str.contains(_DEVICE), pl.col("api_operation") == "delete"
    refused = pl.col("path").str.contains(_REFUSED) & (pl.col("error") != "")
    refused |= pl.col("error").str.contains(_OVER_QUOTA)
    by_design = (
        pl.when(asked)
        .then(pl.col("path").str.contains(_UNANSWERED) | refused.fill_null(value=False) | (device & disables))
        .otherwise(device & ~disables)
    )
    odd = lone.filter(~by_design.fill_null(value=False)).select(operation_uid="uid", asked=asked)
    entries = paired.entries.join(odd, on="operation_uid", how="inner", maintain_order="left")
    text = (
        pl.when("asked")
        .then(pl.lit("a request without its response"))
        .otherwise(pl.lit("a response without its request"))
    )
    return _places(entries, "unpaired", "unpaired", text)


def answered_late(paired: Paired) -> pl.DataFrame:
    """An operation found unpaired in an earlier run whose other half has come: the place is told again as `late`."""
    if paired.answered.is_empty():
        return empty(INTEGRITY)
    entries = paired.entries.filter("copy", pl.col("operation_uid").is_in(paired.answered.implode()))
    return _places(entries, "late", "unpaired", pl.lit("its other half came later"))


def altered(paired: Paired) -> pl.DataFrame:
    """Entries of one request that differ in what their halves and copies must share (V14)."""
    odd = disagreeing(paired)
    causes = ("halves_differ", "devices_differ")
    parts = [_places(odd.filter(cause=cause), "altered", cause, pl.col("evidence")) for cause in causes]
    return pl.concat(parts)


def duplicates(paired: Paired) -> pl.DataFrame:
    """The same half told more than once by one stream, forwarding apart (V8)."""
    told = paired.operations
    if told["paired"].all() and len(paired.entries) == 2 * len(told) and paired.repeats.is_empty():
        return empty(INTEGRITY)  # two entries each, one of either half
    entries = paired.entries.filter(~pl.col("forwarded").fill_null(value=False))
    twice = entries.filter(pl.struct("operation_uid", "source", "phase", "complete_time").is_duplicated())
    repeated = pl.concat([twice, paired.repeats]).unique("uid", keep="first", maintain_order=True)
    return _places(repeated, "duplicate", "duplicate", pl.lit("one stream tells the same entry more than once"))
