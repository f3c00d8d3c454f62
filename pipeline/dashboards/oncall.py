"""For whoever was called: is it the store, somebody's rights, or a rotation; and can the answers be believed."""

from __future__ import annotations

from typing import Final

from pipeline.dashboards.panels import BAD, GOOD, WARN, Board, Panel, Query, Row, ratio
from pipeline.dashboards.queries import HERE, RATE, age, bad, burn, gauge, quantile, rate, reads, share, total

_OPERATIONS: Final = "keytrail_line_operations_total"
_MOUNTS: Final = "keytrail_line_mount_operations_total"
_LATENCY: Final = "keytrail_line_operation_latency_seconds"
_ALERTS: Final = "keytrail_routing_alerts_total"


def _worst_mounts(outcome: str) -> str:
    worst = rate(_MOUNTS, "store, mount", where=f'outcome="{outcome}"')
    return f"topk(10, {worst})"


_STORE: Final = Row("Is it the store?", (
    Panel(
        "Reads that succeed", "Of reads that succeeded or failed in the store, at each moment. Denied and not found"
        " are not in it: look at the next row for those.",
        "percentunit",
        (Query(ratio(rate(_OPERATIONS, "store", where=reads("success")),
                     rate(_OPERATIONS, "store", where=reads("success|failure"))), "{{store}}"),),
        most=1, steps=((0, BAD), (0.999, GOOD)),
    ),
    Panel(
        "Failures a second", "What the store could not do, by kind of operation. One kind alone: look at its engine"
        " or its backend. All kinds: the store itself, its storage or its seal.",
        "ops", (Query(rate(_OPERATIONS, "store, operation", where='outcome="failure"'), "{{store}} {{operation}}"),),
    ),
    Panel(
        "Latency", "From request to response inside the store. A p99 that leaves while p50 stays is one slow backend;"
        " all three together is the store.",
        "s",
        tuple(Query(quantile(q, _LATENCY, "store"), f"{{{{store}}}} p{q * 100:g}") for q in (0.5, 0.95, 0.99)),
        steps=((0, GOOD), (0.2, BAD)),
    ),
    Panel(
        "Burn rate, last hour", "How many times too fast error budgets go. Above 14.4 a 30-day budget loses 2 % an"
        " hour: KeytrailBudgetBurnsFast pages. Windows of five minutes count once they are closed.",
        "none", (Query(burn(".+", "1h"), "{{sli}} {{store}}"),), width=12, steps=((0, GOOD), (14.4, BAD)),
    ),
    Panel(
        "Burn rate, last six hours", "The same over six hours. Above 6 a 30-day budget loses 5 % in that time.",
        "none", (Query(burn(".+", "6h"), "{{sli}} {{store}}"),), width=12, steps=((0, GOOD), (6, BAD)),
    ),
))  # fmt: skip

_DENIED: Final = Row("Is it somebody's rights?", (
    Panel(
        "Refused a second", "Refusals by policy or authentication, by kind of operation. Log-ins alone: an auth mount"
        " or its provider. Reads alone: a policy, or somebody trying doors.",
        "ops", (Query(rate(_OPERATIONS, "store, operation", where='outcome="denied"'), "{{store}} {{operation}}"),),
    ),
    Panel(
        "Refused a second, by mount", "The ten mounts with most refusals. `other`: mounts in which nothing ever"
        " succeeded, and those past the first hundred.",
        "ops",
        (Query(_worst_mounts("denied"), "{{store}} {{mount}}"),),
    ),
    Panel(
        "Failures a second, by mount", "The ten mounts with most failures of the store.",
        "ops",
        (Query(_worst_mounts("failure"), "{{store}} {{mount}}"),),
    ),
))  # fmt: skip

_INCIDENTS: Final = Row("Rotation and incidents", (
    Panel(
        "Rotation alerts", "Rotations that failed or are overdue, and clients that go on with what was rotated"
        " (detector rotation_health). `keytrail report rotation` names the secrets.",
        "none",
        (Query(total(_ALERTS, "1h", "severity", where='detector="rotation_health"', chosen=HERE), "{{severity}}"),),
        stacked=True, interval="1h",
    ),
    Panel(
        "Rotations that were not done", "Those asked for that failed, and those due by a declared lifetime that did not"
        " come (M3); reads of what is past its lifetime (M5).",
        "none",
        tuple(Query(bad(sli, "1h", "store"), f"{sli} {{{{store}}}}") for sli in ("M3", "M5")), stacked=True,
        interval="1h",
    ),
    Panel(
        "Alerts opened", "By severity, an hour each. `keytrail alerts --min-severity high` has names, reasons and next"
        " steps.",
        "none", (Query(total(_ALERTS, "1h", "severity", chosen=HERE), "{{severity}}"),),
        stacked=True, interval="1h",
    ),
    Panel(
        "Breaks in the record", "Verdicts other than ok, an hour each: gap, torn, altered, in_clear, device_change, …",
        "none",
        (Query(f"{total('keytrail_integrity_verdicts_total', '1h', 'verdict', chosen=HERE)} > 0", "{{verdict}}"),),
        stacked=True, interval="1h",
    ),
    Panel(
        "Indicators, last hour", "The share that was good, of every SLI; those not yet measured are not shown.",
        "percentunit", (Query(share(".+", "1h"), "{{sli}} {{store}}"),), width=16, most=1,
    ),
))  # fmt: skip

_BELIEVED: Final = Row("Can this be believed?", (
    Panel(
        "Age of the newest event", "How long ago the newest audit event was written. It grows when the store, its"
        " audit device or the way here is silent: then all graphs above say nothing.",
        "s", (Query(age("keytrail_source_last_event_timestamp_seconds"), "{{instance}}"),),
        width=6, steps=((0, GOOD), (900, WARN)),
    ),
    Panel(
        "Age of the newest commit", "How long ago something was last stored. It grows in a quiet hour, too.",
        "s", (Query(age("keytrail_store_last_commit_timestamp_seconds"), "{{instance}}"),), width=6,
    ),
    Panel(
        "From event to alert", "From an alert's newest event to the commit that holds the alert: half of them, and"
        " nineteen in twenty, took no longer.",
        "s",
        tuple(Query(f"histogram_quantile({q:g}, sum by (le) (rate(keytrail_routing_alert_delay_seconds_bucket{{{HERE}}}"
                    f"[1h])))", f"p{q * 100:g}") for q in (0.5, 0.95)),
        width=6,
    ),
    Panel(
        "Alerts that wait for a receiver", "The age of the oldest message that a sink has not taken. Nothing is lost;"
        " it is late.",
        "s", (Query(gauge("keytrail_outbox_oldest_age_seconds"), "{{sink}}"),), width=6,
        steps=((0, GOOD), (900, BAD)),
    ),
    Panel(
        "Paused", "1 while nothing is taken in, because the disk, the outbox or a listener's spool is full.",
        "none", (Query(gauge("keytrail_line_paused"), "{{reason}} {{instance}}"),), width=12, height=6, most=1,
    ),
    Panel(
        "Lag", "Records known to be there and not yet taken.",
        "short", (Query(gauge("keytrail_source_lag_entries"), "{{instance}}"),), width=12, height=6,
    ),
))  # fmt: skip

BOARD: Final = Board(
    "oncall",
    "keytrail: on call",
    f"Is it the store, somebody's rights, or a rotation; and can this be believed. Rates are over {RATE}.",
    (_STORE, _DENIED, _INCIDENTS, _BELIEVED),
    "6h",
)
