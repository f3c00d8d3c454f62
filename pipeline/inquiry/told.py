"""What alerts and findings say of a name, and how far the record of a period is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.core.schema import BROKEN_VERDICTS, SEVERITIES
from pipeline.inquiry.parts import Part
from pipeline.inquiry.period import length, number, told

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from pipeline.inquiry.names import Subject
    from pipeline.inquiry.period import Period
    from pipeline.store import Ask

HIGH: Final = SEVERITIES[SEVERITIES.index("high") :]
_QUIET_HOURS: Final = 1

_FIRST_HIGH: Final = """
SELECT min(first_time) AS since FROM alerts
WHERE severity IN (SELECT unnest($high)) AND first_time < $end AND last_time >= $start
  AND CASE WHEN $kind = 'secret' THEN secret = $name AND coalesce(store, '') IN ($store, '') ELSE principal = $name END
"""
_ALERTS: Final = """
SELECT uid, severity, first_time, last_time, state, count, title, principal, secret, message FROM alerts
WHERE first_time < $end AND last_time >= $start
  AND CASE WHEN $kind = 'secret' THEN secret = $name AND coalesce(store, '') IN ($store, '') ELSE principal = $name END
ORDER BY list_position($severities, severity) DESC, first_time, uid
"""
_FINDINGS: Final = """
WITH told AS (SELECT unnest(finding_uids) AS uid, uid AS alert FROM alerts)
SELECT f.uid, f.time, f.severity, f.detector, f.title, f.principal, f.secret, f.client_ip, f.message,
  any_value(told.alert) AS alert, f.evidence
FROM findings f LEFT JOIN told ON told.uid = f.uid
WHERE f.time < $end AND f.time >= $start
  AND CASE WHEN $kind = 'secret' THEN secret = $name AND coalesce(store, '') IN ($store, '') ELSE principal = $name END
GROUP BY ALL ORDER BY list_position($severities, any_value(f.severity)) DESC, f.time, f.uid
"""
_HOURS: Final = """
SELECT source, min(store) AS store, min(hour) AS first_hour, max(hour) AS last_hour,
  count(*) FILTER (completeness = 'proven') AS proven, count(*) FILTER (completeness = 'bounded') AS bounded,
  count(*) FILTER (completeness = 'unknown') AS unknown, count(*) FILTER (completeness = 'violated') AS violated,
  coalesce(sum(missing_operations), 0)::BIGINT AS missing
FROM coverage WHERE hour >= time_bucket(INTERVAL 1 HOUR, $start) AND hour < $end GROUP BY source ORDER BY source
"""
_VERDICTS: Final = """
SELECT source, verdict, count(*) AS places FROM integrity
WHERE coalesce(from_time, to_time, $start) < $end AND coalesce(to_time, from_time, $start) >= $start AND verdict <> 'ok'
GROUP BY ALL ORDER BY ALL
"""


def about(subject: Subject, period: Period) -> dict[str, Any]:
    """What alerts and findings are asked by."""
    return {
        "kind": subject.kind, "name": subject.name, "store": subject.store, "start": period.start, "end": period.end,
    }  # fmt: skip


def first_high(ask: Ask, subject: Subject, period: Period) -> dt.datetime | None:
    """When the first alert of high severity about it began."""
    found: dt.datetime | None = ask(_FIRST_HIGH, high=list(HIGH), **about(subject, period))[0]["since"]
    return found


def alerts(ask: Ask, subject: Subject, period: Period) -> Part:
    """The alerts about it."""
    rows = ask(_ALERTS, severities=list(SEVERITIES), **about(subject, period))
    hidden = frozenset({"uid", "message", "last_time", subject.kind})
    return Part("alert", "Alerts about it", rows, hidden, "none")


def findings(ask: Ask, subject: Subject, period: Period) -> Part:
    """The findings about it; those that became no alert have none."""
    rows = ask(_FINDINGS, severities=list(SEVERITIES), **about(subject, period))
    hidden = frozenset({"uid", "message", "evidence", "alert", "detector", subject.kind})
    held = sum(row["alert"] is None for row in rows)
    notes = (f"{held:,} of {len(rows):,} in no alert",) if held else ()
    return Part("finding", "Findings", rows, hidden, "none", notes=notes)


def record(ask: Ask, period: Period) -> Part:
    """Source by source: hours by how complete they are, and what does not hold."""
    hours = {row["source"]: row for row in ask(_HOURS, start=period.start, end=period.end)}
    verdicts = ask(_VERDICTS, start=period.start, end=period.end)
    rows: list[dict[str, Any]] = []
    for source in sorted({*hours, *(row["source"] for row in verdicts)}):
        known = hours.get(source) or dict.fromkeys(_COLUMNS)
        found = {row["verdict"]: row["places"] for row in verdicts if row["source"] == source}
        rows.append({"source": source, **{name: known[name] for name in _COLUMNS}, "verdicts": found})
    hidden = frozenset({"store", "first_hour", "last_hour"})
    return Part("record", "Is the record whole?", rows, hidden, notes=_whole(rows, period))


_COLUMNS: Final = ("store", "first_hour", "last_hour", "proven", "bounded", "unknown", "violated", "missing")


def _whole(rows: Sequence[dict[str, Any]], period: Period) -> tuple[str, ...]:
    broken = sum(count for row in rows for verdict, count in row["verdicts"].items() if verdict in BROKEN_VERDICTS)
    total = {name: sum(row[name] or 0 for row in rows) for name in _COLUMNS[3:]}
    notes = []
    if broken or total["violated"]:
        notes.append(
            f"NO: {number(broken, 'place')} broken, a loss in {number(total['violated'], 'hour')}, "
            f"{number(total['missing'], 'operation')} missing: what is not here may still have happened"
        )
    elif total["unknown"]:
        notes.append(f"Nothing shows a loss, but of {number(total['unknown'], 'hour')} one device alone tells")
    elif rows:
        notes.append("Yes, as far as two devices, canaries or the server's counters can show")
    else:
        notes.append("Nothing is known of it for this period")
    silent = (period.end - period.ends).total_seconds()
    if silent > _QUIET_HOURS * 3_600:
        notes.append(f"The record ends {told(period.ends)}; the last {length(silent)} of the period are not in it")
    return tuple(notes)
