"""Erasing entries and holding them: each is a record of the ledger and a change of the lake, in one transaction.

No run may be writing to the lake meanwhile.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline import ledgers, store
from pipeline.core.clock import system_clock
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.core.findings import uid_of
from pipeline.core.model import Hold
from pipeline.core.schema import INTEGRITY, TIME, conform
from pipeline.ledger import control, leaf, redaction, seal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.config import LedgerConfig

LAST_US = (1 << 53) - 1  # the latest time that a control record can name, in the year 2255
EVERY_STREAM = "every stream"


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks for something, why, and what ledger and lake are written with."""

    lake: Path
    reason: str
    authority: str
    config: LedgerConfig
    signing_key: Path | None = None
    upkeep: store.StoreConfig = field(default_factory=store.StoreConfig)

    def __post_init__(self) -> None:
        """Raises ConfigError without a reason or an authority."""
        for name in ("reason", "authority"):
            if not getattr(self, name).strip():
                raise ConfigError(f"--{name} is empty: the record says who and why")

    def opened(self, worker: str) -> store.Lake:
        """The lake, to be written as `worker`."""
        return ledgers.writable(self.lake, worker, self.upkeep)


def redact(order: Order, uids: Sequence[str], *, whole: bool = False) -> pl.DataFrame:
    """Erase entries: bytes and salts from their raw rows, and what was made of them. The rows that were erased now.

    With `whole` every entry of the same requests, on all devices. Columns: uid, source, file, position, leaf_index and
    time.

    Raises HeldError under a legal hold, which is recorded; NoInputError for a uid that the lake does not hold,
    ConfigError for a lake that waits to be judged, StoreError while a run writes to it.
    """
    with store.reading(order.lake) as lake:
        if lake.passed():
            raise ConfigError("workers have passed on what nobody has judged yet: run keytrail judge first")
        found, workers, holds = lake.find(uids, whole=whole), lake.workers(), lake.holds()
    if missing := sorted(set(uids) - set(found["uid"])):
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise NoInputError(f"the lake holds no event {missing[0]}{more}")
    held = _held(found, holds)
    owners = set(found["worker"])
    for worker in sorted(workers, key=lambda name: (name in owners, name)):  # raw rows last: they tell what is done
        if held is None:
            _erase(order, worker, found)
        elif worker in owners:
            _refuse(order, worker, found, held)
    if held is not None:
        raise redaction.HeldError(f"legal hold {held} covers some of these entries: nothing was erased")
    return found.filter(~pl.col("erased")).drop("worker", "erased", "correlation_uid")


def place_hold(order: Order, hold: Hold) -> None:
    """A legal hold. Raises ConfigError when one of that name stands already, NoInputError without a ledger."""
    with store.reading(order.lake) as lake:
        workers = lake.ledgers()
        if hold.hold in lake.holds():
            raise ConfigError(f"legal hold {hold.hold} stands already")
    if not workers:
        raise NoInputError(f"{order.lake} has no ledger: nothing was committed to it yet")
    worker = ledgers.MAIN if ledgers.MAIN in workers else workers[0]
    body = redaction.hold_body(hold, reason=order.reason, authority=order.authority)
    _record(order, worker, body, hold, "legal_hold", holds=(hold,))


def release_hold(order: Order, name: str) -> None:
    """Lift a legal hold, in the ledger that told of it. Raises ConfigError when none of that name stands."""
    with store.reading(order.lake) as lake:
        found = [(worker, lake.holds(worker)[name]) for worker in lake.ledgers() if name in lake.holds(worker)]
    if not found:
        raise ConfigError(f"there is no legal hold {name}")
    worker, hold = found[0]
    body = redaction.release_body(name, reason=order.reason, authority=order.authority)
    _record(order, worker, body, hold, "hold_released", released=(name,))


def history(lake: Path) -> Iterator[dict[str, Any]]:
    """Every legal hold, erasure and refusal that the ledgers tell of: action, when, authority, reason, and what."""
    with store.reading(lake) as opened:
        workers = opened.ledgers()
    for log in map(ledgers.folder_of, workers):
        for record in control.parsed(lake / log):
            body = record.body
            if record.kind == leaf.REDACTION:
                yield _line(record, str(body["action"]), f"{_count(body['leaves'])} leaves", log)
            elif record.kind == leaf.CONFIG and body.get("state") in {redaction.HELD, redaction.RELEASED}:
                yield _line(record, str(body["state"]), f"hold {body['hold']}{_range(body)}", log)


def purge(lake: Path, *, now: bool) -> tuple[int, int]:
    """Delete replaced files whose time is over, or all. How many went, how many stay for their readers."""
    gone = stay = 0
    with store.reading(lake) as opened:
        workers = opened.workers()
    for worker in workers[:1]:
        with store.Lake.open(lake, store.StoreConfig(), writer=True, clock=system_clock, worker=worker) as writer:
            gone, stay = writer.purge(now=now)
    return gone, stay


def _erase(order: Order, worker: str, found: pl.DataFrame) -> None:
    with order.opened(worker) as lake:
        pairs, mine = lake.erase(found), found.filter(~pl.col("erased"), worker=worker)
        if not (lake.exchanging or len(mine)):
            return
        ledger = ledgers.opened(lake, order.config, order.signing_key)
        revise = {}
        if len(mine):
            files = [{"before": seal.file_sha256(order.lake / a), "after": seal.file_sha256(order.lake / b)}
                     for a, b in pairs]  # fmt: skip
            body = redaction.redaction_body(
                redaction.ERASED, mine["leaf_index"].drop_nulls(), reason=order.reason, authority=order.authority,
                files=files,
            )  # fmt: skip
            record = ledger.record(leaf.REDACTION, body)
            revise["integrity"] = _erased_rows(mine, f"{_by(order)} (leaf {record})")
        ledgers.commit(lake, ledger, revise=revise)


def _refuse(order: Order, worker: str, found: pl.DataFrame, held: str) -> None:
    """That somebody wanted to erase what is under a hold is told, too."""
    leaves = found.filter(~pl.col("erased"), worker=worker)["leaf_index"].drop_nulls()
    body = redaction.redaction_body(redaction.REFUSED, leaves, reason=order.reason, authority=order.authority)
    with order.opened(worker) as lake:
        ledger = ledgers.opened(lake, order.config, order.signing_key)
        ledger.record(leaf.REDACTION, {**body, "hold": held})
        ledgers.commit(lake, ledger)


def _record(order: Order, worker: str, body: control.Body, hold: Hold, cause: str, **commit: Any) -> None:
    with order.opened(worker) as lake:
        ledger = ledgers.opened(lake, order.config, order.signing_key)
        record = ledger.record(leaf.CONFIG, body)
        rows = _hold_rows(hold, cause, f"legal hold {hold.hold}, {_by(order)} (leaf {record})")
        ledgers.commit(lake, ledger, revise={"integrity": rows}, **commit)


def _held(found: pl.DataFrame, holds: dict[str, Hold]) -> str | None:
    timed = found.select("source", us=pl.col("time").dt.epoch("us")).drop_nulls("us").unique()
    for source, us in timed.iter_rows():
        for hold in holds.values():
            if hold.covers(source, us, us):
                return hold.hold
    return None


def _by(order: Order) -> str:
    return f"by {order.authority}: {order.reason}"


def _erased_rows(mine: pl.DataFrame, how: str) -> pl.DataFrame:
    rows = mine.select(
        "source", "file", from_position="position", to_position="position", from_time="time", to_time="time",
        verdict=pl.lit("redacted"), cause=pl.lit("erased"), count=pl.lit(1), evidence=pl.lit(f"erased {how}"),
        uid=pl.Series([uid_of("erased", uid) for uid in mine["uid"]], dtype=pl.String),
    )  # fmt: skip
    return conform(rows, INTEGRITY)


def _hold_rows(hold: Hold, cause: str, evidence: str) -> pl.DataFrame:
    sources = hold.streams or (EVERY_STREAM,)
    frame = pl.DataFrame(
        {"source": sources, "uid": [uid_of("hold", hold.hold, source) for source in sources]}
    ).with_columns(
        verdict=pl.lit("ok"), cause=pl.lit(cause), count=pl.lit(1), evidence=pl.lit(evidence),
        from_time=pl.lit(hold.from_us).cast(TIME), to_time=pl.lit(hold.to_us).cast(TIME),
    )  # fmt: skip
    return conform(frame, INTEGRITY)


def _line(record: control.Record, action: str, what: str, log: str) -> dict[str, Any]:
    at = dt.datetime.fromtimestamp(leaf.unpack(record.leaf).ingest_ns // 10**9, tz=dt.UTC)
    return {
        "action": action, "leaf": record.index, "at": at, "authority": record.body["authority"],
        "reason": record.body["reason"], "what": what, "log": log,
    }  # fmt: skip


def _count(spans: Sequence[Sequence[int]]) -> int:
    return sum(end - start for start, end in spans)


def _range(body: control.Body) -> str:
    if body.get("state") != redaction.HELD:
        return ""
    ends = (_day(int(body[name]), edge) for name, edge in (("from_us", 0), ("to_us", LAST_US)))
    return f" on {', '.join(body['streams']) or EVERY_STREAM}, {' to '.join(ends)}"


def _day(us: int, edge: int) -> str:
    if us == edge:
        return "the beginning" if edge == 0 else "the end"
    return dt.datetime.fromtimestamp(us / 1e6, tz=dt.UTC).isoformat().replace("+00:00", "Z")
