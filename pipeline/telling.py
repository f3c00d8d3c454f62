"""What the log over files says besides seals, line by line: positions, gaps, reconciliations, configurations and
verifications."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from pipeline import ledgers, store
from pipeline.ledger import control, leaf, statements
from pipeline.ledger.sealed import FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_SHOWN: Final = 12  # digits of a digest


def told(lake: Path, *, positions: bool = False) -> Iterator[dict[str, Any]]:
    """Rows (action, leaf, at, authority, reason, what, log), each worker's in order; `positions` are many."""
    with store.reading(lake) as opened:
        workers = opened.ledgers()
    for worker in workers:
        log = f"{ledgers.folder_of(worker)}/{FILES}"
        for record in control.parsed(lake / log):
            if record.kind == leaf.SOURCE_STATE and not positions:
                continue
            action, lines = _LINES.get(record.kind, ("", _nothing))
            at = dt.datetime.fromtimestamp(leaf.unpack(record.leaf).ingest_ns // 10**9, tz=dt.UTC)
            for what in lines(record):
                yield {
                    "action": action, "leaf": record.index, "at": at, "authority": "", "reason": "", "what": what,
                    "log": log,
                }  # fmt: skip


def _nothing(_: control.Record) -> Iterator[str]:
    yield from ()


def _positions(record: control.Record) -> Iterator[str]:
    for item in record.body.get("sources", ()):
        how = ", from another worker" if item.get("taken") else ""
        since = f", from {item['from']['offset']}" if "from" in item else how
        yield f"{item['stream']}, partition {item['partition']}, read to {item['offset']}{since}"


def _gaps(record: control.Record) -> Iterator[str]:
    yield from map(_verdict, record.body.get("gaps", ()))
    yield from _more(record)


def _results(record: control.Record) -> Iterator[str]:
    for item in record.body.get("results", ()):
        yield _verdict(item) if "verdict" in item else _hour(item)
    yield from _more(record)


def _more(record: control.Record) -> Iterator[str]:
    if more := record.body.get("more"):
        yield f"{more} more in this commit"


def _verdict(item: Mapping[str, Any]) -> str:
    places = f", {item['from_position']} to {item['to_position']}" if item["from_position"] is not None else ""
    times = f", {_time(item['from_us'])} to {_time(item['to_us'])}" if item["from_us"] is not None else ""
    return f"{item['verdict']} {item['cause']} on {item['source']}: {item['count']} entries{places}{times}"


def _hour(item: Mapping[str, Any]) -> str:
    missing = f", {item['count']} missing" if item["count"] else ""
    return (
        f"{item['completeness']} by {item['evidence']} on {item['source']}, hour of {_time(item['from_us'])}{missing}"
    )


def _configuration(record: control.Record) -> Iterator[str]:
    if statements.is_configuration(record):
        digests = (f"{name} {record.body[name][:_SHOWN]}" for name in ("configuration", "detectors"))
        yield f"keytrail {record.body['version']}, {', '.join(digests)}"


def _verification(record: control.Record) -> Iterator[str]:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(record.body.get("verdicts", {}).items()))
    yield f"exit {record.body.get('exit_code')}, {record.body.get('size')} leaves: {counts}"


def _time(us: int | str | None) -> str:
    if us is None:
        return "now"
    return dt.datetime.fromtimestamp(int(us) // 1_000_000, tz=dt.UTC).isoformat().replace("+00:00", "Z")


_LINES: Final[Mapping[int, tuple[str, Callable[[control.Record], Iterator[str]]]]] = {
    leaf.SOURCE_STATE: ("position", _positions),
    leaf.GAP: ("missing", _gaps),
    leaf.RECONCILIATION: ("reconciled", _results),
    leaf.CONFIG: ("configuration", _configuration),
    leaf.VERIFICATION: ("verified", _verification),
}
