"""The counters of a running line, under the names that dashboards and rules rely on. Labels are bounded words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300)


class Metrics:
    """One registry per line, so that two lines in one process do not mix."""

    def __init__(self, version: str) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self.entries = Counter("keytrail_source_entries", "Records taken from the source", registry=registry)
        self.bytes = Counter("keytrail_source_bytes", "Bytes taken from the source", registry=registry)
        self.rejected = Counter(
            "keytrail_decode_rejected_entries", "Records that are no event, by reason", ["reason"], registry=registry
        )
        self.batch_seconds = Histogram(
            "keytrail_line_batch_seconds", "One batch through the line", registry=registry, buckets=SECONDS
        )
        self.commit_seconds = Histogram(
            "keytrail_store_commit_seconds", "One commit of the lake", registry=registry, buckets=SECONDS
        )
        self.lag = Gauge("keytrail_source_lag_entries", "Records known and not yet taken", registry=registry)
        self.last_event = Gauge(
            "keytrail_source_last_event_timestamp_seconds", "Newest event time seen", registry=registry
        )
        self.last_commit = Gauge(
            "keytrail_store_last_commit_timestamp_seconds", "When the lake last committed", registry=registry
        )
        self.outbox_depth = Gauge(
            "keytrail_outbox_depth_messages", "Messages not yet delivered", ["sink"], registry=registry
        )
        self.outbox_age = Gauge(
            "keytrail_outbox_oldest_age_seconds", "Age of the oldest undelivered message", ["sink"], registry=registry
        )
        self.alerts = Counter("keytrail_routing_alerts", "Alerts opened", ["detector", "severity"], registry=registry)
        self.verdicts = Counter(
            "keytrail_integrity_verdicts", "Integrity verdicts other than ok", ["verdict"], registry=registry
        )
        self.build = Gauge("keytrail_build_info", "The running version", ["version"], registry=registry)
        self.build.labels(version).set(1)

    def serve(self, port: int, address: str = "127.0.0.1") -> None:
        """Serve /metrics; on loopback unless told otherwise. Raises OSError when the port is taken."""
        start_http_server(port, addr=address, registry=self.registry)

    def count_rejected(self, reasons: Mapping[str, int]) -> None:
        """Add rejected records by reason."""
        for reason, count in reasons.items():
            self.rejected.labels(reason).inc(count)
