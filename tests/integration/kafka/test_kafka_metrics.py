"""What a running worker tells of itself to a scraper, in both text formats."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from tests.integration.kafka.broker import Broker, free_port
from tests.integration.kafka.cluster import audit_lines, feed, producing, until
from tests.integration.kafka.workers import made
from tests.processes import start

pytestmark = pytest.mark.integration
OPEN = "application/openmetrics-text; version=1.0.0"
CONFIG = """
[line]
commit_seconds = 0.2
[outbox]
retry_first_seconds = 0.05
retry_max_seconds = 0.1
break_after = 2
[sinks.siem]
kind = "webhook"
url = "http://127.0.0.1:{closed}/"
secret = {{ file = "{secret}" }}
"""


def scrape(port: int, accept: str = "text/plain") -> str:
    """What `/metrics` answers; "" before it does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics", headers={"Accept": accept})
        return connection.getresponse().read().decode()
    except ConnectionRefusedError:
        return ""
    finally:
        connection.close()


def told(port: int) -> dict[str, float]:
    """Every sample of the plain format, by name and labels."""
    return {
        f"{s.name}{sorted(s.labels.items()) or ''}": s.value for f in plain(scrape(port)) for s in f.samples
    }  # fmt: skip


def test_a_running_worker_is_scraped(broker: Broker, new_topic: Callable[..., str], tmp_path: Path) -> None:
    """Received, rejected by reason, seconds, lag, ages, outbox, alerts, verdicts and build; exemplars name requests."""
    topic, port = new_topic(2), free_port()
    (tmp_path / "secret").write_text("whsec_" + "a2V5" * 10)
    config = tmp_path / "keytrail.toml"
    config.write_text(CONFIG.format(closed=free_port(), secret=tmp_path / "secret"))
    lines = audit_lines(tmp_path / "simulated", attack="policy_escalation")
    produced = feed(broker.address, topic, lines, 2)
    with producing(broker.address) as producer:
        producer.send(topic, b"no entry", partition=0)
    process = start(
        "run", "--kafka", broker.address, "--topic", topic, "--group", topic, "--lake", tmp_path / "lake",
        "--signing-key", tmp_path / "signing.key", "--config", config, "--metrics-port", str(port), "--follow",
        home=tmp_path, stdout=None, stderr=None,
    )  # fmt: skip
    try:
        until(lambda: made(tmp_path / "lake"))
        until(lambda: told(port).get("keytrail_source_entries_total", 0) == len(lines) + 1)
        until(lambda: told(port).get("keytrail_outbox_depth_messages[('sink', 'siem')]", 0) > 0)
        until(lambda: told(port).get("keytrail_outbox_circuit_open[('sink', 'siem')]", 0) == 1)
        until(lambda: told(port).get("keytrail_source_lag_entries", 1) == 0)
        values = told(port)
        assert sum(produced.values()) + 1 == values["keytrail_source_entries_total"]
        assert sum(value for name, value in values.items() if "rejected_entries_total" in name) == 1
        assert values["keytrail_source_bytes_total"] > 100 * len(lines)
        assert values["keytrail_line_batch_seconds_count"] >= 1
        assert values["keytrail_store_commit_seconds_count"] >= 1
        assert values["keytrail_store_last_commit_timestamp_seconds"] > 1.7e9
        assert values["keytrail_source_last_event_timestamp_seconds"] > 1.7e9
        assert values["keytrail_outbox_oldest_age_seconds[('sink', 'siem')]"] > 0
        assert values["keytrail_outbox_failed_attempts_total[('sink', 'siem')]"] >= 2
        assert values["keytrail_routing_alert_delay_seconds_count"] >= 1
        assert any(name.startswith("keytrail_routing_alerts_total[('detector', 'invariant')") for name in values)
        assert any(name.startswith("keytrail_build_info[('version', ") for name in values)
        text = scrape(port, OPEN)
        assert text.endswith("# EOF\n")
        samples = [s for family in openmetrics(text) for s in family.samples]
        exemplars = {key: value for s in samples if s.exemplar for key, value in s.exemplar.labels.items()}
        assert exemplars.keys() == {"request_id", "alert_uid"}
        assert any(f'"id":"{exemplars["request_id"]}"'.encode() in line for line in lines)
        names = {family.name for family in openmetrics(text)}
        assert {"keytrail_decode_rejected_entries", "keytrail_integrity_verdicts"} <= names
        assert not re.search(r"hmac-sha256|secret/|kv/", text)
    finally:
        process.terminate()
        assert process.wait(60) in {0, 10}
