"""The counters of a running line, under the names that dashboards and rules rely on. Labels are bounded words."""

from __future__ import annotations

import re
import threading
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, make_wsgi_app
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from pipeline.core.schema import SEVERITIES, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pipeline.core.model import Heard

REQUEST = re.compile(r"[0-9A-Za-z-]{8,64}")  # what may stand in an exemplar: it comes from a log
DELAYS = (0.1, 0.5, 1, 2, 5, 30, 60, 300)
SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300)
LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10)
PAUSES = ("disk", "outbox", "spool")  # what may keep a run from taking in more: no room on the one or in the others
READY = "/ready"


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
        self.outbox_delivered = Counter(
            "keytrail_outbox_delivered_messages", "Messages a sink has taken", ["sink"], registry=registry
        )
        self.outbox_dead = Counter(
            "keytrail_outbox_dead_messages", "Messages a sink refused for good", ["sink"], registry=registry
        )
        self.outbox_failed = Counter(
            "keytrail_outbox_failed_attempts", "Attempts that a sink failed", ["sink"], registry=registry
        )
        self.outbox_open = Gauge(
            "keytrail_outbox_circuit_open", "1 while a failing sink is only probed", ["sink"], registry=registry
        )
        self.paused = Gauge(
            "keytrail_line_paused", "1 while nothing is taken in for want of room", ["reason"], registry=registry
        )
        for reason in PAUSES:
            self.paused.labels(reason).set(0)
        self._pauses: set[str] = set()
        self.alert_delay = Histogram(
            "keytrail_routing_alert_delay_seconds",
            "From an alert's newest event to the commit that holds the alert",
            registry=registry,
            buckets=DELAYS,
        )
        self._told: dict[tuple[str, str], int] = {}  # counts of sinks and listeners, as far as they are in the counters
        self.alerts = Counter("keytrail_routing_alerts", "Alerts opened", ["detector", "severity"], registry=registry)
        self.verdicts = Counter(
            "keytrail_integrity_verdicts", "Integrity verdicts other than ok", ["verdict"], registry=registry
        )
        for verdict in VERDICTS[1:]:  # all but ok: a series that begins with its first count hides that count
            self.verdicts.labels(verdict)
        self.connections = Gauge("keytrail_listen_connections", "Connections open now", ["listener"], registry=registry)
        told = {
            "accepted": ("keytrail_listen_accepted_connections", "Connections taken"),
            "refused": ("keytrail_listen_refused_connections", "Connections and datagrams turned away"),
            "received": ("keytrail_listen_received_bytes", "Bytes received"),
            "dropped": ("keytrail_listen_dropped_datagrams", "Datagrams known to be lost"),
        }
        self._listened = {word: Counter(*names, ["listener"], registry=registry) for word, names in told.items()}
        self.spool = Gauge(
            "keytrail_listen_spool_bytes", "Received and not yet committed", ["listener"], registry=registry
        )
        self.build = Gauge("keytrail_build_info", "The running version", ["version"], registry=registry)
        self.build.labels(version).set(1)
        ProcessCollector(registry=registry)
        self._of_the_store(registry)

    def _of_the_store(self, registry: CollectorRegistry) -> None:
        """What the stores under watch do. Counted when it is judged: of a backlog, all at once."""
        self.operations = Counter(
            "keytrail_line_operations", "Operations judged", ["store", "operation", "outcome"], registry=registry
        )
        self.mounts = Counter(
            "keytrail_line_mount_operations", "The same by mount; other: past the first hundred, or nothing succeeded",
            ["store", "mount", "outcome"], registry=registry,
        )  # fmt: skip
        self.latencies = Latencies("keytrail_line_operation_latency_seconds", "From request to response, in the store")
        registry.register(self.latencies)
        self.sli_events = Counter(
            "keytrail_sli_events", "What an SLI counts, of closed windows", ["sli", "store"], registry=registry
        )
        self.sli_good = Counter("keytrail_sli_good_events", "What of it was good", ["sli", "store"], registry=registry)
        self.sli_objective = Gauge(
            "keytrail_sli_objective_ratio", "The share that is to be good", ["sli", "store"], registry=registry
        )

    def expect(self, detectors: Iterable[str]) -> None:
        """Alerts of these are counted from zero, so that the first one shows as an increase."""
        for name in detectors:
            for severity in SEVERITIES:
                self.alerts.labels(name, severity)

    def serve(self, port: int, address: str = "127.0.0.1") -> int:
        """Serve /metrics and /ready; on loopback unless told otherwise. Gives the port, which `port` 0 leaves open.

        Raises OSError when the port is taken.
        """
        server = make_server(address, port, self._answers(), ThreadingWSGIServer, handler_class=_Silent)
        threading.Thread(target=server.serve_forever, name="keytrail-metrics", daemon=True).start()
        return server.server_port

    def pausing(self, reason: str, *, now: bool) -> None:
        """Nothing is taken in for one of PAUSES, or no longer for that one."""
        self.paused.labels(reason).set(now)
        self._pauses = self._pauses | {reason} if now else self._pauses - {reason}

    def _answers(self) -> Callable[..., Iterable[bytes]]:
        """What answers to a request: /ready with 200, or 503 and the reasons of a pause; all else with the metrics."""
        metrics = make_wsgi_app(self.registry)

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if environ["PATH_INFO"] != READY:
                return metrics(environ, start_response)  # type: ignore[no-any-return]
            pauses = sorted(self._pauses)
            start_response("503 Service Unavailable" if pauses else "200 OK", [("Content-Type", "text/plain")])
            return [(f"paused: {', '.join(pauses)}\n" if pauses else "ready\n").encode()]

        return answer

    def batch(self, seconds: float, request: object) -> None:
        """One batch went through the line; its last request's id is the exemplar."""
        self.batch_seconds.observe(seconds, exemplar=request_exemplar(request))

    def delays(self, seconds: Mapping[str, float]) -> None:
        """Alerts of a commit: by the alert's uid, the age of its newest event."""
        for uid, delay in seconds.items():
            self.alert_delay.observe(max(delay, 0.0), exemplar={"alert_uid": uid})

    def outbox(self, sink: str, depth: int, age_seconds: float, counts: Mapping[str, int], *, circuit: bool) -> None:
        """The state of one sink's share of the outbox. `counts` since the process started: delivered, dead, failed."""
        self.outbox_depth.labels(sink).set(depth)
        self.outbox_age.labels(sink).set(age_seconds)
        self.outbox_open.labels(sink).set(circuit)
        counters = {"delivered": self.outbox_delivered, "dead": self.outbox_dead, "failed": self.outbox_failed}
        for name, counter in counters.items():
            counter.labels(sink).inc(max(0, counts[name] - self._told.get((sink, name), 0)))
            self._told[sink, name] = counts[name]

    def listening(self, heard: Mapping[str, Heard]) -> None:
        """How the listeners stand. Their names are the configured addresses. One whose spool is full is a pause."""
        for name, one in heard.items():
            self.connections.labels(name).set(one.connections)
            self.spool.labels(name).set(one.spool_bytes)
            counts = {
                "accepted": one.accepted, "refused": one.refused, "received": one.received_bytes,
                "dropped": one.dropped,
            }  # fmt: skip
            for word, count in counts.items():
                before = self._told.get((name, word), 0)
                self._listened[word].labels(name).inc(count - before if count >= before else count)
                self._told[name, word] = count
        self.pausing("spool", now=any(one.full for one in heard.values()))

    def count_rejected(self, reasons: Mapping[str, int]) -> None:
        """Add rejected records by reason."""
        for reason, count in reasons.items():
            self.rejected.labels(reason).inc(count)


class Latencies(Collector):
    """A histogram by store that takes counts by bucket: single observations would cost more than the operations."""

    def __init__(self, name: str, about: str) -> None:
        self._name, self._about = name, about
        self._lock = threading.Lock()
        self._stores: dict[str, tuple[list[int], float]] = {}

    def add(self, store: str, counts: Sequence[int], seconds: float) -> None:
        """So many more in each of the buckets that end at LATENCIES, and in the one past them; `seconds` in all."""
        with self._lock:
            known, total = self._stores.get(store, ([0] * len(counts), 0.0))
            self._stores[store] = ([a + b for a, b in zip(known, counts, strict=True)], total + seconds)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family as it is now."""
        family = HistogramMetricFamily(self._name, self._about, labels=["store"])
        bounds = [*map(str, map(float, LATENCIES)), "+Inf"]
        with self._lock:
            stores = dict(self._stores)
        for store, (counts, total) in stores.items():
            family.add_metric([store], list(zip(bounds, accumulate(counts), strict=True)), total)
        yield family


class _Silent(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def request_exemplar(request: object) -> dict[str, str] | None:
    """The exemplar that names a request; None for an id that is not one."""
    return {"request_id": request} if isinstance(request, str) and REQUEST.fullmatch(request) else None
