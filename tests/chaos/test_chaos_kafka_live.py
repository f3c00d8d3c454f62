"""What happens to topics, groups and sinks while workers follow: nothing is lost, and what is gone is told."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.conftest import Told
from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import (
    Offsets,
    delete_before,
    delete_topic,
    feed,
    make_topic,
    stored,
    until,
    verdicts,
)
from tests.integration.kafka.workers import Group, group, made, owners
from tests.lakes import view

from kafka import KafkaConsumer  # isort: skip
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor  # isort: skip

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def topic(broker: Broker, tmp_path: Path) -> str:
    """A topic of four partitions."""
    name = f"live-{tmp_path.parent.name}-{tmp_path.name}"[-100:]
    make_topic(broker.address, name, 4)
    return name


PATIENT = {"delivery_timeout_ms": 120_000, "max_block_ms": 120_000, "reconnect_backoff_max_ms": 1000}


class Producing(threading.Thread):
    """Produces lines a few at a time until it is stopped; `produced` are their offsets."""

    def __init__(self, address: str, topic: str, lines: list[bytes]) -> None:
        super().__init__(daemon=True)
        self.address, self.topic, self.lines = address, topic, lines
        self.produced: Offsets = Counter()
        self.failure: BaseException | None = None
        self._stop_it = threading.Event()

    def run(self) -> None:
        at = 0
        try:
            while not self._stop_it.is_set():
                some = self.lines[at : at + 25]
                self.produced += feed(self.address, self.topic, some, 4, **PATIENT)
                at += 25
        except BaseException as error:  # noqa: BLE001  told by `end`
            self.failure = error

    def end(self) -> Offsets:
        """Stop; what was acknowledged."""
        self._stop_it.set()
        self.join(90)
        assert self.failure is None, self.failure
        return self.produced


@contextmanager
def producing(broker: Broker, topic: str, lines: list[bytes]) -> Iterator[Producing]:
    thread = Producing(broker.address, topic, lines)
    thread.start()
    yield thread


def test_a_storm_of_rebalances(broker: Broker, topic: str, many_lines: list[bytes], tmp_path: Path, told: Told) -> None:
    """A worker joins, and two seconds later leaves or is killed, again and again; every offset is stored once."""
    with group(tmp_path / "many", broker.address, topic) as some, producing(broker, topic, many_lines) as thread:
        some.begin("a")
        until(lambda: made(some.lake))

        def turn(count: int) -> None:
            some.started("b")
            time.sleep(2)
            if count % 2:
                some.kill("b")
            else:
                assert some.end("b") in {0, 10}, some.text("b")

        for count in range(8):
            turn(count)
        produced = thread.end()
        some.holds(produced)
        told("a member joins, and leaves or is killed 2 s later", 8, produced, some.lake)


def _visit(broker: Broker, topic: str, seconds: float) -> int:
    """A member of the workers' group that reads nothing into any lake, for a while; partitions it was given."""
    options = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "max_poll_records": 1}
    visitor = KafkaConsumer(
        bootstrap_servers=broker.address, group_id=f"group-{topic}", session_timeout_ms=6_000,
        heartbeat_interval_ms=500, partition_assignment_strategy=[CooperativeStickyAssignor], **options,
    )  # fmt: skip
    visitor.subscribe([topic])
    given, until_then = 0, time.monotonic() + seconds
    while time.monotonic() < until_then:
        visitor.poll(timeout_ms=200)
        given = max(given, len(visitor.assignment()))
    visitor.close(autocommit=False)
    return given


def test_a_member_every_two_seconds(
    broker: Broker, topic: str, many_lines: list[bytes], tmp_path: Path, told: Told
) -> None:
    """Every two seconds a member joins the group or leaves it; the worker loses and doubles nothing over it."""
    with group(tmp_path / "many", broker.address, topic) as some, producing(broker, topic, many_lines) as thread:
        some.begin("a")
        until(lambda: made(some.lake))
        given = []
        for _ in range(10):
            given.append(_visit(broker, topic, 2))
            time.sleep(2)
        produced = thread.end()
        some.holds(produced)
        told("a member joins or leaves every 2 s", 20, produced, some.lake)
        assert any(given)
        assert some.end("a") in {0, 10}, some.text("a")


def test_pauses_past_the_session(
    broker: Broker, topic: str, many_lines: list[bytes], tmp_path: Path, told: Told
) -> None:
    """Two workers are stopped past their session in turn and woken again; no commit of the absent one counts."""
    with group(tmp_path / "many", broker.address, topic) as some, producing(broker, topic, many_lines) as thread:
        some.begin("a")
        some.begin("b")
        some.share()
        for worker in ("a", "b", "a"):
            some.send(worker, signal.SIGSTOP)
            time.sleep(5)
            some.send(worker, signal.SIGCONT)
            time.sleep(3)
        produced = thread.end()
        some.holds(produced)
        told("SIGSTOP past the session timeout, then woken", 3, produced, some.lake)
        assert some.alive("a")
        assert some.alive("b")


def test_brokers_that_come_and_go(
    mortal: Broker, topic: str, many_lines: list[bytes], tmp_path: Path, told: Told
) -> None:
    """A broker that is killed and stopped while records are produced and read makes nobody lose or double one."""
    with group(tmp_path / "many", mortal.address, topic) as some, producing(mortal, topic, many_lines) as thread:
        some.begin("a")
        until(lambda: made(some.lake))
        for stop in (mortal.kill, mortal.stop, mortal.kill):
            time.sleep(3)
            stop()
            time.sleep(1)
            mortal.start()
        time.sleep(3)
        produced = thread.end()
        some.holds(produced)
        told("broker killed or stopped under producer and worker", 3, produced, some.lake)
        assert some.end("a") in {0, 10}, some.text("a")


def _follow_over(some: Group, broker: Broker, topic: str, lines: list[bytes]) -> Offsets:
    produced = feed(broker.address, topic, lines[:200], 4)
    some.begin("a")
    until(lambda: made(some.lake))
    some.judge()
    some.holds(produced)
    return produced


def test_a_topic_made_again_while_it_is_followed(
    broker: Broker, topic: str, lines: list[bytes], tmp_path: Path, told: Told
) -> None:
    """A topic deleted and made again under a running worker is told of, and read from its beginning."""
    with group(tmp_path / "many", broker.address, topic) as some:
        produced = _follow_over(some, broker, topic, lines)
        delete_topic(broker.address, topic)
        make_topic(broker.address, topic, 4)
        produced += feed(broker.address, topic, lines[200:500], 4)
        some.holds(produced)
        until(lambda: {cause for _, cause, *_ in verdicts(some.lake)} == {"topic_recreated"})
        told("topic deleted and made again: told as truncated", 1, produced, some.lake)
        assert some.end("a") == 10, some.text("a")


def test_retention_that_overtakes_a_paused_worker(
    broker: Broker, topic: str, lines: list[bytes], tmp_path: Path, told: Told
) -> None:
    """What is deleted while a worker sleeps is told as a gap of exactly these offsets; the rest is stored."""
    with group(tmp_path / "many", broker.address, topic) as some:
        produced = _follow_over(some, broker, topic, lines)
        some.send("a", signal.SIGSTOP)
        produced += feed(broker.address, topic, lines[200:400], 4)
        late = feed(broker.address, topic, lines[400:600], 4)
        firsts = {stream: min(offset for name, offset in late if name == stream) for stream, _ in late}
        delete_before(broker.address, {(topic, int(s.rpartition("/")[2])): offset for s, offset in firsts.items()})
        some.send("a", signal.SIGCONT)
        until(lambda: late <= stored(some.lake))
        until(lambda: len(verdicts(some.lake)) == len(firsts))
        gaps = [(stream, offset) for stream, first, last in _gaps(some.lake) for offset in range(first, last + 1)]
        told("retention overtook the worker: told as a gap", 1, produced + late - Counter(gaps), some.lake)
        assert stored(some.lake) + Counter(gaps) == produced + late
        assert {last for _, _, last in _gaps(some.lake)} == {first - 1 for first in firsts.values()}
        assert some.end("a") == 10, some.text("a")
        assert set(owners(some.lake).values()) == {"a"}


def _gaps(lake: Path) -> list[tuple[str, int, int]]:
    frame = view(lake, "integrity").filter(cause="retention", verdict="gap")
    return frame.select("source", "from_position", "to_position").rows()
