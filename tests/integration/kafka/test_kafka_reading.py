"""Through the whole line from a real broker: what was produced is stored, each offset once, however it is packed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import feed, key_of, producing, read, stored, unlike, verdicts
from tests.lakes import view

pytestmark = pytest.mark.integration
NewTopic = Callable[..., str]


def test_every_record_is_stored_once(broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path) -> None:
    """A topic of several partitions is read to its end: the offsets stored are the offsets produced."""
    topic = new_topic(4)
    produced = feed(broker.address, topic, lines, 4, compression_type="zstd")
    summary = read(broker.address, topic, tmp_path / "lake")
    assert stored(tmp_path / "lake") == produced
    assert summary["entries"] == len(lines)
    assert not summary["rejected"]
    assert summary["operations"] > len(lines) / 3
    assert verdicts(tmp_path / "lake") == []


def test_a_second_run_reads_only_what_is_new(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path
) -> None:
    """A run goes on where the lake stands, and a run with nothing new stores nothing."""
    topic, lake = new_topic(2), tmp_path / "lake"
    half = len(lines) // 2
    produced = feed(broker.address, topic, lines[:half], 2)
    assert read(broker.address, topic, lake)["entries"] == half
    assert read(broker.address, topic, lake)["entries"] == 0
    produced += feed(broker.address, topic, lines[half:], 2)
    assert read(broker.address, topic, lake)["entries"] == len(lines) - half
    assert stored(lake) == produced
    assert verdicts(lake) == []


def test_cuts_do_not_matter(broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path) -> None:
    """The lake is the same whether records come one at a time, by seven, or as the broker packs them."""
    topic = new_topic(2)
    feed(broker.address, topic, lines[:80], 2)
    for name, batch in (("one", 1), ("seven", 7), ("all", None)):
        read(broker.address, topic, tmp_path / name, batch_entries=batch)
    assert unlike(tmp_path / "all", tmp_path / "one") == []
    assert unlike(tmp_path / "all", tmp_path / "seven") == []


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_gives_the_same_bytes(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path, codec: str | None
) -> None:
    """Values come out byte by byte as they went in, without their line end, with headers and keys of any kind."""
    topic = new_topic()
    sent = [*lines[:50], b'{"type":"request"}', "äöü \U0001f511".encode(), b"\xff\xfe", b"x" * 200_000]
    with producing(broker.address, compression_type=codec, max_request_size=1 << 20) as producer:
        for number, value in enumerate(sent):
            headers = [("h", b"v" * (number % 200)), ("none", b"")] if number % 3 else []
            producer.send(topic, value, key=b"k" * number if number % 2 else None, headers=headers)
    read(broker.address, topic, tmp_path / "lake")
    raw = view(tmp_path / "lake", "raw").sort("position")
    plain = raw.filter(~pl.col("redacted"))
    assert raw["position"].to_list() == list(range(len(sent)))
    kept = {position: value.rstrip(b"\n") for position, value in enumerate(sent)}
    assert all(kept[position] == value for position, value in plain.select("position", "raw").rows())
    assert len(plain) >= 50


def test_nothing_to_decode_is_told(broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path) -> None:
    """Null, empty and blank values are rejected with their reasons, at their offsets, between entries that are read."""
    topic = new_topic()
    with producing(broker.address) as producer:
        for value in (lines[0], None, lines[1], b"", b" \r\n", None):
            producer.send(topic, value, key=b"k")
    summary = read(broker.address, topic, tmp_path / "lake")
    assert summary["rejected"] == {"empty_value": 2, "null_value": 2}
    rejected = view(tmp_path / "lake", "rejected").sort("position")
    assert rejected["position"].to_list() == [1, 3, 4, 5]
    assert rejected["reason"].to_list() == ["null_value", "empty_value", "empty_value", "null_value"]
    assert view(tmp_path / "lake", "events").sort("position")["position"].to_list() == [0, 2]
    assert stored(tmp_path / "lake") == Counter((f"{topic}/0", offset) for offset in range(6))


def test_only_what_is_committed_is_read(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path
) -> None:
    """Records of committed transactions are stored, of aborted ones not; neither these nor markers are a gap."""
    topic = new_topic()
    places: list[int] = []

    def write(producer: object, some: list[bytes], *, commit: bool) -> None:
        producer.begin_transaction()  # type: ignore[attr-defined]
        told = [producer.send(topic, line, key=key_of(line)) for line in some]  # type: ignore[attr-defined]
        producer.flush()  # type: ignore[attr-defined]
        if commit:
            producer.commit_transaction()  # type: ignore[attr-defined]
            places.extend(one.get().offset for one in told)
        else:
            producer.abort_transaction()  # type: ignore[attr-defined]

    with producing(broker.address, transactional_id=f"t-{topic}") as producer:
        producer.init_transactions()
        for number in range(6):
            write(producer, lines[number * 10 : number * 10 + 10], commit=number % 3 != 1)
    read(broker.address, topic, tmp_path / "lake")
    assert stored(tmp_path / "lake") == Counter((f"{topic}/0", offset) for offset in places)
    assert verdicts(tmp_path / "lake") == []
    assert read(broker.address, topic, tmp_path / "lake")["entries"] == 0


def test_a_run_that_ends_stops_at_the_last_stable_offset(
    broker: Broker, new_topic: NewTopic, lines: list[bytes], tmp_path: Path
) -> None:
    """What lies behind the beginning of an open transaction is left for the next run, which finds it."""
    topic = new_topic()
    before = feed(broker.address, topic, lines[:5])
    with producing(broker.address, transactional_id=f"open-{topic}") as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic, lines[5], key=key_of(lines[5])).get(timeout=30)
        after = feed(broker.address, topic, lines[6:9])
        assert read(broker.address, topic, tmp_path / "lake")["entries"] == 5
        assert stored(tmp_path / "lake") == before
        producer.abort_transaction()
    read(broker.address, topic, tmp_path / "lake")
    assert stored(tmp_path / "lake") == before + after
    assert verdicts(tmp_path / "lake") == []
