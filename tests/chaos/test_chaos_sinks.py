"""Receivers of alerts that are slow, overloaded, half-willing, lying or away: every alert arrives, known by its id."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from pipeline.core.clock import system_clock
from pipeline.store import Lake, StoreConfig
from tests.chaos.conftest import Told
from tests.chaos.kafka_story import Story, sent_ids
from tests.crash.line_story import alert_states
from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import TopicPartition, make_topic, read, stored
from tests.receivers.bulk import Elastic
from tests.receivers.hec import Hec
from tests.receivers.hooks import Hook
from tests.receivers.http import Answer, BadDay

from kafka import KafkaConsumer  # isort: skip

pytestmark = pytest.mark.integration
KEY = b"chaos-key-of-thirty-two-bytes-ok"


@pytest.fixture
def secret(tmp_path: Path) -> dict[str, str]:
    """A secret by reference."""
    path = tmp_path / "secret"
    path.write_text("whsec_" + base64.b64encode(KEY).decode(), "utf-8")
    return {"file": str(path)}


def depths(lake: Path) -> int:
    """What still waits in the outbox."""
    with Lake.open(lake, StoreConfig(), writer=False, clock=system_clock) as opened:
        return opened.depth("siem")


def run(story: Story, home: Path, sink: dict[str, object]) -> dict[str, object]:
    """One run with a sink; retries come at once."""
    tables = {
        "sinks": {"siem": sink}, "outbox": {"retry_first_seconds": 0.01, "retry_max_seconds": 0.05},
        "line": {"batch_entries": 97}, "detection": {"window_seconds": 7200},
        "sources": {"kafka": {"session_timeout_seconds": 6.0}},
    }  # fmt: skip
    return read(story.address, story.topic, home / "lake", tables=tables)


def held_to(story: Story, home: Path, got: list[str]) -> None:
    """All is stored, nothing waits, and every state told to the undisturbed run's sink came, once by its id."""
    assert stored(home / "lake") == story.produced
    assert depths(home / "lake") == 0
    assert set(got) == set(sent_ids(story.reference / "siem.jsonl"))
    assert alert_states(home) <= set(got)


def test_a_webhook_with_bad_days(story: Story, home: Path, secret: dict[str, str], told: Told) -> None:
    """429 with Retry-After, 503, a hung-up connection, and an answer lost after the message was taken: all arrive."""
    with Hook(KEY) as hook:
        hook.bad_days.extend(
            [
                BadDay(Answer(429, headers={"Retry-After": "0"})), BadDay(Answer(503)), BadDay(None),
                BadDay(None, first=True), BadDay(Answer(500), first=True), BadDay(Answer(200), first=True, sleep=0.3),
            ]
        )  # fmt: skip
        run(story, home, {"kind": "webhook", "url": hook.url, "secret": secret})
        held_to(story, home, list(hook.taken))
        assert not hook.bad_days
        assert hook.repeated >= 2
    told("sink: 429, 503, hung up, slow, answer lost", 1, story.produced, home / "lake")


@pytest.mark.slow
def test_a_collector_that_lies_about_what_it_took(story: Story, home: Path, tmp_path: Path, told: Told) -> None:
    """What is never acknowledged stays in the outbox; the next run brings it, and the receiver knows it by its id."""
    token = tmp_path / "token"
    token.write_text("t", "utf-8")
    with Hec("t", ack=True) as hec:
        sink = {
            "kind": "splunk_hec", "url": hec.url, "token": {"file": str(token)}, "ack": True,
            "ack_timeout_seconds": 0.2,
        }  # fmt: skip
        hec.lie = True
        run(story, home, sink)
        assert depths(home / "lake")
        hec.lie = False
        run(story, home, sink)
        held_to(story, home, hec.event_ids())
    told("sink: lies about what it took", 1, story.produced, home / "lake")


def test_a_bulk_that_takes_half(story: Story, home: Path, tmp_path: Path, told: Told) -> None:
    """Of a batch that is refused in part only that part comes again, until it is taken."""
    key = tmp_path / "key"
    key.write_text("k", "utf-8")
    ids = sent_ids(story.reference / "siem.jsonl")
    with Elastic("alerts", "k") as elastic:
        elastic.faults = {name: [429, 503] for name in ids[::2]}
        run(
            story, home, {"kind": "elastic", "url": elastic.url, "data_stream": "alerts", "api_key": {"file": str(key)}}
        )
        held_to(story, home, list(elastic.documents))
    told("sink: takes half of a batch", 1, story.produced, home / "lake")


@pytest.mark.slow
def test_a_receiver_that_is_away_for_the_whole_run(
    story: Story, home: Path, secret: dict[str, str], told: Told
) -> None:
    """A sink that is down loses nothing and holds nobody up; when it is back, everything comes in order."""
    with Hook(KEY) as hook:
        url = hook.url
    summary = run(story, home, {"kind": "webhook", "url": url, "secret": secret})
    assert summary["entries"] == sum(story.produced.values())
    assert depths(home / "lake") == len(sent_ids(story.reference / "siem.jsonl"))
    with Hook(KEY) as hook:
        run(story, home, {"kind": "webhook", "url": hook.url, "secret": secret})
        held_to(story, home, list(hook.taken))
        revisions: dict[str, list[int]] = {}
        for name in hook.taken:
            uid, _, revision = name.rpartition(":")
            revisions.setdefault(uid, []).append(int(revision))
        assert all(found == sorted(found) for found in revisions.values())
    told("sink: away for the whole run, then back", 1, story.produced, home / "lake")


def test_alerts_into_a_topic(story: Story, home: Path, broker: Broker, told: Told) -> None:
    """Every state of an alert stands in the topic once, keyed by its alert, with its event id in the header."""
    topic = f"alerts-{home.parent.name}"[-90:]
    make_topic(broker.address, topic)
    run(story, home, {"kind": "kafka", "servers": broker.address, "topic": topic})
    consumer = KafkaConsumer(bootstrap_servers=broker.address, enable_auto_commit=False, auto_offset_reset="earliest")
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    end, records = consumer.end_offsets([place])[place], []
    while len(records) < end:
        for some in consumer.poll(timeout_ms=1000).values():
            records += some
    consumer.close()
    names = [dict(record.headers)["event_id"].decode() for record in records]
    held_to(story, home, names)
    assert len(names) == len(set(names))
    assert all(json.loads(record.value)["metadata"]["uid"] == name for record, name in zip(records, names, strict=True))
    assert all(name.startswith(record.key.decode()) for record, name in zip(records, names, strict=True))
    told("sink: alerts into a topic", 1, story.produced, home / "lake")
