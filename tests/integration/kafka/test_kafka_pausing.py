"""A partition that is paused for its reader's sake goes on when the reader has caught up."""

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
