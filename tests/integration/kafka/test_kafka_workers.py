"""Several processes in one group on one lake: partitions move, and no offset is lost or doubled by it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.ledger import control
from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import feed, read, stored, until
from tests.integration.kafka.workers import group, operations, owners, pause

pytestmark = [pytest.mark.integration, pytest.mark.slow]
NewTopic = Callable[..., str]


def test_partitions_move_with_their_state(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path
) -> None:
    """A worker joins, another leaves, and requests are paired with their answers as in one run by one process."""
    topic, third = new_topic(4), len(lines) // 3
    with group(tmp_path / "many", broker.address, topic) as some:
        produced = feed(broker.address, topic, lines[: third + 1], 4)
        some.begin("a")
        some.holds(produced)
        some.begin("b")
        until(lambda: "b" in owners(some.lake).values())
        produced += feed(broker.address, topic, lines[third + 1 : 2 * third + 1], 4)
        some.holds(produced)
        assert some.end("a") in {0, 10}
        produced += feed(broker.address, topic, lines[2 * third + 1 :], 4)
        some.holds(produced)
        assert set(owners(some.lake).values()) == {"b"}
        assert some.end("b") in {0, 10}
        some.judged()
        assert some.broken() == []
        records = [r.body["sources"] for r in control.parsed(some.lake / "ledger/workers/b/files") if r.kind == 3]
        assert {item["stream"] for items in records for item in items if item.get("taken")} == set(owners(some.lake))
    read(broker.address, topic, tmp_path / "one" / "lake")
    assert stored(tmp_path / "many" / "lake") == stored(tmp_path / "one" / "lake")
    assert operations(tmp_path / "many" / "lake").equals(operations(tmp_path / "one" / "lake"))


def test_a_killed_worker_is_replaced(broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path) -> None:
    """What a worker had read and not committed when it was killed is read by the other; and it may come back."""
    topic, third = new_topic(4), len(lines) // 3
    with group(tmp_path / "many", broker.address, topic) as some:
        produced = feed(broker.address, topic, lines[:third], 4)
        some.begin("a")
        some.begin("b")
        some.share()
        produced += feed(broker.address, topic, lines[third : 2 * third], 4)
        some.kill("a")
        some.holds(produced)
        some.begin("a")
        until(lambda: "a" in owners(some.lake).values())
        assert some.broken() == []
        produced += feed(broker.address, topic, lines[2 * third :], 4)
        some.holds(produced)
        assert some.broken() == []


def test_a_worker_that_was_away_commits_nothing_of_what_is_no_longer_its_own(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path
) -> None:
    """Stopped past its session and woken again, a worker finds its partitions taken, drops its work and joins anew."""
    topic, third = new_topic(4), len(lines) // 3
    with group(tmp_path / "many", broker.address, topic) as some:
        produced = feed(broker.address, topic, lines[:third], 4)
        some.begin("a")
        some.begin("b")
        some.share()
        some.holds(produced)
        some.send("a", signal.SIGSTOP)
        produced += feed(broker.address, topic, lines[third : 2 * third], 4)
        some.holds(produced)
        assert set(owners(some.lake).values()) == {"b"}
        some.send("a", signal.SIGCONT)
        pause(1)
        produced += feed(broker.address, topic, lines[2 * third :], 4)
        some.holds(produced)
        until(lambda: "a" in owners(some.lake).values())
        assert some.alive("a")
        assert stored(some.lake) == produced
        assert some.broken() == []
