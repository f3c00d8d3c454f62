"""Partitions that rest: one that is paused for its reader's sake goes on, and one that is silent is given its time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pipeline.core.model import Handover
from pipeline.sources.kafka import Config, create
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
