"""For whoever looks into one store, or into keytrail itself: every counter there is, by every label it has.

What one client or one secret does is in no metric; `notebooks/debug.py` and `keytrail investigate` ask the lake for it.
"""

from __future__ import annotations

from typing import Final

from pipeline.dashboards.panels import BAD, GOOD, Board, Panel, Query, Row
from pipeline.dashboards.queries import HERE, RATE, STORES, age, gauge, ours, quantile, rate, share, total

_OPERATIONS: Final = "keytrail_line_operations_total"
_MOUNTS: Final = "keytrail_line_mount_operations_total"
_LATENCY: Final = "keytrail_line_operation_latency_seconds"


def _per_second(metric: str, by: str) -> str:
    return rate(metric, by, chosen=HERE)


def _an_hour(metric: str, by: str) -> str:
    return f"{total(metric, '1h', by, chosen=HERE)} > 0"


def _quantiles(metric: str) -> tuple[Query, ...]:
    return tuple(
        Query(quantile(q, metric, "instance", chosen=HERE), f"{{{{instance}}}} p{q * 100:g}") for q in (0.5, 0.95, 0.99)
    )


_STORE: Final = Row("The store", (
    Panel(
        "Operations a second", "What is asked of the stores, by kind and outcome.",
        "ops", (Query(rate(_OPERATIONS, "operation, outcome"), "{{operation}} {{outcome}}"),),
    ),
    Panel(
        "Operations a second, by mount", "The twenty busiest mounts, by outcome.",
        "ops", (Query(f"topk(20, {rate(_MOUNTS, 'mount, outcome')})", "{{mount}} {{outcome}}"),),
    ),
    Panel(
        "Reads of what is not there", "A client that asks for a path that was moved or deleted, or a walk over names.",
        "ops", (Query(rate(_OPERATIONS, "store", where='operation="read", outcome="not_found"'), "{{store}}"),),
    ),
    Panel(
        "Latency, all of it", "How many operations took how long. Two bands are two populations: a cache and a"
        " backend, two engines, two regions.",
        "s", (Query(f"sum by (le) (increase({_LATENCY}_bucket{{{STORES}}}[{RATE}]))", "{{le}}"),), "heatmap", 12, 9,
    ),
    Panel(
        "Latency by store", "Quantiles, inside the store.",
        "s", tuple(Query(quantile(q, _LATENCY, "store"), f"{{{{store}}}} p{q * 100:g}") for q in (0.5, 0.95, 0.99)),
        width=12, height=9,
    ),
    Panel(
        "Cache hits (M10)", "The share of lookups that a cache answered, or, labelled an estimate in the view `slis`,"
        " what the gaps between repeated reads tell. Not shown where nothing tells it.",
        "percentunit", (Query(share("M10", "1h"), "{{store}}"),), width=12, most=1,
    ),
    Panel(
        "Indicators by window", "The share that was good in the last quarter of an hour, of every SLI.",
        "percentunit", (Query(share(".+", "15m"), "{{sli}} {{store}}"),), width=12, most=1,
    ),
))  # fmt: skip

_INPUT: Final = Row("What comes in", (
    Panel(
        "Entries a second", "Records taken from the sources.",
        "ops", (Query(_per_second("keytrail_source_entries_total", "instance"), "{{instance}}"),),
    ),
    Panel(
        "Bytes a second", "What was taken from the sources, in bytes.",
        "Bps", (Query(_per_second("keytrail_source_bytes_total", "instance"), "{{instance}}"),),
    ),
    Panel(
        "Rejected a second", "Records that are no event, by reason. Nothing of them is lost: view `rejected`.",
        "ops", (Query(_per_second("keytrail_decode_rejected_entries_total", "reason"), "{{reason}}"),),
    ),
    Panel(
        "Lag", "Records known to be there and not yet taken.",
        "short", (Query(gauge("keytrail_source_lag_entries"), "{{instance}}"),),
    ),
    Panel(
        "Age of the newest event", "By the events' own clock, against Prometheus's.",
        "s", (Query(age("keytrail_source_last_event_timestamp_seconds"), "{{instance}}"),),
    ),
    Panel(
        "Paused", "1 while nothing is taken in, because the disk, the outbox or a listener's spool is full.",
        "none", (Query(gauge("keytrail_line_paused"), "{{reason}} {{instance}}"),), most=1,
    ),
))  # fmt: skip

_LISTENERS: Final = Row("Listeners", (
    Panel(
        "Connections", "Connections that are open now, by the listener's address.",
        "none", (Query(gauge("keytrail_listen_connections"), "{{listener}}"),),
    ),
    Panel(
        "Taken and turned away a second",
        "New connections; connections and datagrams refused, by address or for want of room.",
        "ops",
        (Query(_per_second("keytrail_listen_accepted_connections_total", "listener"), "{{listener}} taken"),
         Query(_per_second("keytrail_listen_refused_connections_total", "listener"), "{{listener}} turned away")),
    ),
    Panel(
        "Lost datagrams", "Datagrams that are known to be lost, an hour each. TCP and unix streams lose none.",
        "none", (Query(_an_hour("keytrail_listen_dropped_datagrams_total", "listener"), "{{listener}}"),),
        steps=((0, GOOD), (1, BAD)), interval="1h",
    ),
    Panel(
        "Bytes received a second", "What came in through sockets.",
        "Bps", (Query(_per_second("keytrail_listen_received_bytes_total", "listener"), "{{listener}}"),), width=12,
    ),
    Panel(
        "Spool", "Bytes received and not yet committed: they are on the disk, and are read again after a crash.",
        "bytes", (Query(gauge("keytrail_listen_spool_bytes"), "{{listener}}"),), width=12,
    ),
))  # fmt: skip

_LINE: Final = Row("The line", (
    Panel(
        "One batch", "Seconds that a batch takes through all stages. The exemplar names a request.",
        "s", _quantiles("keytrail_line_batch_seconds"),
    ),
    Panel(
        "One commit", "Seconds that a commit of the lake takes; it waits for the disk.",
        "s", _quantiles("keytrail_store_commit_seconds"),
    ),
    Panel(
        "From event to alert", "Seconds from an alert's newest event to its commit. Windows close before they are"
        " judged.",
        "s", _quantiles("keytrail_routing_alert_delay_seconds"),
    ),
    Panel(
        "Alerts opened an hour, by detector", "Which detectors speak, and how often.",
        "none", (Query(_an_hour("keytrail_routing_alerts_total", "detector"), "{{detector}}"),),
        width=12, stacked=True, interval="1h",
    ),
    Panel(
        "Verdicts an hour", "What streams prove or belie of their wholeness.",
        "none", (Query(_an_hour("keytrail_integrity_verdicts_total", "verdict"), "{{verdict}}"),),
        width=12, stacked=True, interval="1h",
    ),
))  # fmt: skip

_DELIVERY: Final = Row("What goes out", (
    Panel(
        "Waiting", "Messages that a sink has not taken yet.",
        "short", (Query(gauge("keytrail_outbox_depth_messages"), "{{sink}}"),),
    ),
    Panel(
        "Oldest", "How long the oldest of them has waited.",
        "s", (Query(gauge("keytrail_outbox_oldest_age_seconds"), "{{sink}}"),),
    ),
    Panel(
        "Delivered a second", "Messages a sink has taken.",
        "ops", (Query(_per_second("keytrail_outbox_delivered_messages_total", "sink"), "{{sink}}"),),
    ),
    Panel(
        "Failed attempts a second", "The receiver was away, busy or said no; it is tried again.",
        "ops", (Query(_per_second("keytrail_outbox_failed_attempts_total", "sink"), "{{sink}}"),),
    ),
    Panel(
        "Refused for good", "Messages that no retry can help, an hour each: `keytrail outbox refused`.",
        "none", (Query(_an_hour("keytrail_outbox_dead_messages_total", "sink"), "{{sink}}"),),
        steps=((0, GOOD), (1, BAD)), interval="1h",
    ),
    Panel(
        "Circuit open", "1 while a failing sink is only probed.",
        "none", (Query(gauge("keytrail_outbox_circuit_open"), "{{sink}}"),), most=1,
    ),
))  # fmt: skip

_PROCESS: Final = Row("The process", (
    Panel(
        "Version", "What runs where; two at once are a rollout.",
        "none", (Query(f"count by (version, instance) (keytrail_build_info{{{HERE}}})", "{{version}} {{instance}}"),),
        width=6, stacked=True,
    ),
    Panel(
        "Up for", "How long ago the process started.",
        "s", (Query(ours(f"time() - {gauge('process_start_time_seconds')}"), "{{instance}}"),), width=6,
    ),
    Panel(
        "Processor", "How many cores keytrail keeps busy.",
        "none", (Query(ours(f"rate(process_cpu_seconds_total{{{HERE}}}[{RATE}])"), "{{instance}}"),), width=6,
    ),
    Panel(
        "Memory", "Resident bytes; bounded whatever the number of names.",
        "bytes", (Query(ours(gauge("process_resident_memory_bytes")), "{{instance}}"),), width=6,
    ),
))  # fmt: skip

BOARD: Final = Board(
    "debug",
    "keytrail: debug",
    "Every counter by every label. One client's or one secret's doings are in the lake: notebooks/debug.py.",
    (_STORE, _INPUT, _LISTENERS, _LINE, _DELIVERY, _PROCESS),
    "3h",
    "30s",
)
