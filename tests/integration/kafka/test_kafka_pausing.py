"""Partitions that rest: one that is paused for its reader's sake goes on, and one that is silent is given its time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from kafka import KafkaConsumer, TopicPartition

from pipeline.core.model import Handover
from pipeline.sources.kafka import Config, create
from pipeline.sources.kafka.inner import Inner
from pipeline.sources.kafka.splitter import CHUNK_BYTES, batches
from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import producing

pytestmark = pytest.mark.integration

PARTITIONS, RECORDS, SECONDS = 4, 3_000, 60


@pytest.mark.parametrize("split", [True, False])
def test_what_was_paused_is_read_to_its_end(broker: Broker, new_topic: Callable[..., str], split: bool) -> None:
    """Far more than the buffer holds, to a reader that is slow at first: every record comes, none waits for ever."""
    topic = new_topic(PARTITIONS)
    with producing(broker.address, batch_size=64 << 10) as producer:
        for number in range(RECORDS):
            for partition in range(PARTITIONS):
                producer.send(topic, b"%06d" % number + b"x" * 1_000, partition=partition)
    config = Config(split_batches=split, buffer_bytes=1 << 20)
    source = create(config, [broker.address], [topic], f"{topic}-{split}", follow=False, clock=time.time_ns)
    read, deadline, slow = 0, time.monotonic() + SECONDS, 8
    try:
        while not source.exhausted and time.monotonic() < deadline:
            batch = source.poll(200, 0.2, {})
            if isinstance(batch, Handover):
                source.handed_over({})
            elif batch is not None:
                read += len(batch)
                slow -= 1
                time.sleep(0.2 if slow > 0 else 0)
    finally:
        source.close()
    assert read == PARTITIONS * RECORDS


def test_a_partition_that_is_paused_lets_the_others_pass(broker: Broker, new_topic: Callable[..., str]) -> None:
    """What lies ready of a partition that goes on is handed out at once, though another, paused, was in the middle."""
    topic = new_topic(2)
    size = CHUNK_BYTES // 40
    with producing(broker.address, batch_size=16 << 10, compression_type="gzip") as producer:
        for _ in range(100):
            for partition in (0, 1):
                producer.send(topic, b"x" * size, partition=partition)
    consumer = KafkaConsumer(
        bootstrap_servers=broker.address, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=100
    )
    inner = Inner(consumer)
    inner.split_by(batches(1 << 30))
    consumer.assign([TopicPartition(topic, partition) for partition in (0, 1)])
    try:
        first = _next(consumer, SECONDS)
        consumer.pause(first)
        second = _next(consumer, SECONDS)
        consumer.pause(second)
        consumer.resume(first)
        inner.unpark()
        assert second != first
        assert set(consumer.poll(timeout_ms=0, max_records=1)) == {first}
    finally:
        consumer.close()


def _next(consumer: KafkaConsumer, seconds: float) -> TopicPartition:
    """Whose chunk comes next."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for partition in consumer.poll(timeout_ms=200, max_records=1):
            return partition
    raise AssertionError("nothing came")


def test_whoever_speaks_after_a_silence_gives_the_others_time(broker: Broker, new_topic: Callable[..., str]) -> None:
    """After a silence of all, a record of one partition is not taken for all there is: the others may bring theirs."""
    topic, quiet = new_topic(2), 2.0
    config = Config(quiet_seconds=quiet)
    source = create(config, [broker.address], [topic], f"{topic}-group", follow=True, clock=time.time_ns)

    def heard(deadline: float) -> float | None:
        while time.monotonic() < deadline:
            batch = source.poll(None, 0.1, {})
            if isinstance(batch, Handover):
                source.handed_over({})
            elif batch is not None:
                return time.monotonic()
        return None

    try:
        deadline = time.monotonic() + SECONDS
        while not (source.streams() and all(source.streams().values())):
            assert heard(time.monotonic() + 0.1) is None
            assert time.monotonic() < deadline
        with producing(broker.address) as producer:
            producer.send(topic, b"one", partition=0)
        assert (came := heard(time.monotonic() + SECONDS)) is not None
        assert not any(source.streams().values())
        assert heard(came + quiet + 0.5) is None
        assert all(source.streams().values())
    finally:
        source.close()
