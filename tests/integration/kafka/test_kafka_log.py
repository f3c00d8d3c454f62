"""What the broker's log shows to be wrong is told with its positions, and reading goes on."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crc32c import crc32c

from tests.integration.kafka.broker import Broker, running
from tests.integration.kafka.cluster import (
    delete_before,
    delete_topic,
    feed,
    make_topic,
    read,
    required,
    stored,
    verdicts,
)
from tests.lakes import view

pytestmark = pytest.mark.integration
NewTopic = Callable[..., str]


def test_retention_that_overtakes_is_a_gap(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path
) -> None:
    """Records deleted before they were read are told as a gap with their offsets; those read before are none."""
    topic, lake = new_topic(), tmp_path / "lake"
    feed(broker.address, topic, lines[:20])
    read(broker.address, topic, lake)
    feed(broker.address, topic, lines[20:60])
    delete_before(broker.address, {(topic, 0): 35})
    summary = read(broker.address, topic, lake)
    assert verdicts(lake) == [("gap", "retention", 20, 34, 15)]
    assert summary["integrity"]["gap"] == 1
    assert summary["alerts"].get("high")
    assert stored(lake) == Counter((f"{topic}/0", offset) for offset in [*range(20), *range(35, 60)])
    read(broker.address, topic, lake)
    assert len(verdicts(lake)) == 1


def test_a_first_run_misses_nothing_that_it_never_saw(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path
) -> None:
    """A log that began before the first run, and has lost its beginning, is no gap of ours."""
    topic = new_topic()
    feed(broker.address, topic, lines[:20])
    delete_before(broker.address, {(topic, 0): 7})
    assert read(broker.address, topic, tmp_path / "lake")["entries"] == 13
    assert verdicts(tmp_path / "lake") == []


def test_everything_deleted_is_told_without_a_record(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path
) -> None:
    """A gap is told even when no record is left to read behind it, and only once however often it is looked at."""
    topic, lake = new_topic(), tmp_path / "lake"
    feed(broker.address, topic, lines[:10])
    read(broker.address, topic, lake)
    feed(broker.address, topic, lines[10:30])
    delete_before(broker.address, {(topic, 0): 30})
    for _ in range(2):
        assert read(broker.address, topic, lake)["entries"] == 0
        assert verdicts(lake) == [("gap", "retention", 10, 29, 20)]


def test_a_topic_made_again_is_read_from_its_beginning(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path
) -> None:
    """A topic deleted and made again under its name is noticed, and nothing in it is skipped, longer or shorter."""
    topic, lake = new_topic(), tmp_path / "lake"
    feed(broker.address, topic, lines[:20])
    read(broker.address, topic, lake)
    delete_topic(broker.address, topic)
    make_topic(broker.address, topic)
    feed(broker.address, topic, lines[20:60])
    assert read(broker.address, topic, lake)["entries"] == 40
    assert verdicts(lake) == [("truncated", "topic_recreated", 0, 0, 1)]
    assert stored(lake) == Counter((f"{topic}/0", offset) for offset in [*range(20), *range(40)])
    assert len(set(view(lake, "raw")["uid"])) == 60
    read(broker.address, topic, lake)
    assert len(verdicts(lake)) == 1


def test_holes_of_a_compacted_topic_prove_nothing(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path
) -> None:
    """Where the topic's policy lets records vanish, no gap is claimed."""
    topic = new_topic(**{"cleanup.policy": "compact"})
    feed(broker.address, topic, lines[:20])
    assert read(broker.address, topic, tmp_path / "lake")["entries"] == 20
    assert verdicts(tmp_path / "lake") == []


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker whose files a test may tamper with; it is stopped and started by the test, and left running."""
    required()
    with running(tmp_path_factory.mktemp("own") / "kafka", settings={}) as made:
        yield made


class Segment:
    """The log file of a partition of one segment, on a stopped broker's disk."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.folder = broker.folder / "data" / f"{topic}-0"
        self.path = self.folder / f"{0:020d}.log"

    def batches(self) -> list[bytes]:
        """The record batches, each with its header."""
        data, at, found = self.path.read_bytes(), 0, []
        while at + 12 <= len(data):
            size = 12 + struct.unpack_from(">i", data, at + 8)[0]
            if size == 12:
                break
            found.append(data[at : at + size])
            at += size
        return found

    def write(self, batches: list[bytes]) -> None:
        """Put these in place of what was there; the indexes are made anew at start."""
        self.path.write_bytes(b"".join(batches))
        for stale in [*self.folder.glob("*.index"), *self.folder.glob("*.timeindex"), *self.folder.glob("*.snapshot")]:
            stale.unlink()
        for mark in self.folder.parent.glob("*checkpoint"):
            mark.unlink()
        (self.folder.parent / ".kafka_cleanshutdown").unlink(missing_ok=True)


def _filled(broker: Broker, topic: str, lines: list[bytes]) -> None:
    """One record batch per five lines."""
    for first in range(0, len(lines), 5):
        feed(broker.address, topic, lines[first : first + 5], linger_ms=1000)


def test_a_log_cut_off_is_told(own: Broker, lines: list[bytes], tmp_path: Path) -> None:
    """A log that ends before what was read of it is truncated; what is appended there afterwards is read."""
    make_topic(own.address, "cut")
    _filled(own, "cut", lines[:40])
    read(own.address, "cut", tmp_path / "lake")
    own.stop()
    segment = Segment(own, "cut")
    segment.write(segment.batches()[:-2])
    own.start()
    assert read(own.address, "cut", tmp_path / "lake")["entries"] == 0
    assert verdicts(tmp_path / "lake") == [("truncated", "log_truncated", 30, 39, 10)]
    feed(own.address, "cut", lines[103:110])
    assert read(own.address, "cut", tmp_path / "lake")["entries"] == 7
    assert len(verdicts(tmp_path / "lake")) == 1


def test_a_log_cut_off_and_filled_again_is_told(own: Broker, lines: list[bytes], tmp_path: Path) -> None:
    """Where other records have taken the place of those that were read, they are told of and read too."""
    make_topic(own.address, "filled-again")
    _filled(own, "filled-again", lines[:40])
    read(own.address, "filled-again", tmp_path / "lake")
    own.stop()
    segment = Segment(own, "filled-again")
    segment.write(segment.batches()[:-2])
    own.start()
    feed(own.address, "filled-again", lines[100:120])
    assert read(own.address, "filled-again", tmp_path / "lake")["entries"] == 20
    assert verdicts(tmp_path / "lake") == [("altered", "history_changed", 30, 39, 10)]
    assert stored(tmp_path / "lake") == Counter(("filled-again/0", offset) for offset in [*range(40), *range(30, 50)])


def test_history_that_was_changed_is_told(own: Broker, lines: list[bytes], tmp_path: Path) -> None:
    """A record that has another content than when it was read is altered, though its checksum fits; both are kept."""
    make_topic(own.address, "changed")
    _filled(own, "changed", lines[:40])
    read(own.address, "changed", tmp_path / "lake")
    own.stop()
    segment = Segment(own, "changed")
    batches = segment.batches()
    changed = bytearray(batches[-1])
    place = changed.rindex(b"remote_port")
    changed[place + 13] ^= 1
    struct.pack_into(">I", changed, 17, crc32c(bytes(changed[21:])))
    segment.write([*batches[:-1], bytes(changed)])
    own.start()
    feed(own.address, "changed", lines[40:45])
    assert read(own.address, "changed", tmp_path / "lake")["entries"] == 6
    assert verdicts(tmp_path / "lake") == [("altered", "history_changed", 39, 39, 1)]
    both = [*range(45), 39]
    assert stored(tmp_path / "lake") == Counter(("changed/0", offset) for offset in both)
    assert read(own.address, "changed", tmp_path / "lake")["entries"] == 0


def test_a_batch_taken_out_of_the_middle_is_a_gap(own: Broker, lines: list[bytes], tmp_path: Path) -> None:
    """Offsets that no record batch covers are a gap with exactly these offsets; what is around it is stored."""
    make_topic(own.address, "taken-out")
    _filled(own, "taken-out", lines[:40])
    own.stop()
    segment = Segment(own, "taken-out")
    batches = segment.batches()
    bases = [struct.unpack_from(">q", batch)[0] for batch in batches]
    segment.write([*batches[:3], *batches[5:]])
    own.start()
    read(own.address, "taken-out", tmp_path / "lake")
    first, last = bases[3], bases[5] - 1
    assert verdicts(tmp_path / "lake") == [("gap", "gap", first, last, last - first + 1)]
    assert stored(tmp_path / "lake") == Counter(
        ("taken-out/0", offset) for offset in range(40) if not first <= offset <= last
    )
