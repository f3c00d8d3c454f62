"""What the tests do to a cluster besides reading it: topics made, filled, emptied and deleted."""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from pipeline import config as conf
from pipeline.app import RunOptions
from pipeline.job import Run
from pipeline.simulate import Attack, Scenario, simulate
from pipeline.sources.kafka import client as _quiet  # noqa: F401  the client warns of itself when it is first imported
from tests.components import absent
from tests.integration.kafka.broker import missing
from tests.lakes import VIEWS, view

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition  # isort: skip
from kafka.errors import TopicAlreadyExistsError  # isort: skip

Offsets = Counter[tuple[str, int]]  # stream, offset


def required() -> None:
    """Skip, saying why, where no broker can be had; fail where that is not accepted."""
    if reason := missing():
        absent(reason)


@contextmanager
def admin(address: str) -> Iterator[Any]:
    """An administrator's client."""
    client = KafkaAdminClient(bootstrap_servers=address)
    try:
        yield client
    finally:
        client.close()


def make_topic(address: str, name: str, partitions: int = 1, **configs: str) -> None:
    """Make a topic, also where one of that name is just being deleted."""
    wanted = {name: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}}
    with admin(address) as client:
        for _ in range(100):
            try:
                client.create_topics(wanted, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                time.sleep(0.1)
            else:
                return
    raise AssertionError(f"topic {name} could not be made")


def delete_topic(address: str, name: str) -> None:
    """Delete a topic and wait until it is gone."""
    with admin(address) as client:
        client.delete_topics([name])
        for _ in range(100):
            if client.describe_topics([name])[0]["error_code"]:
                return
            time.sleep(0.1)
    raise AssertionError(f"topic {name} did not go")


def delete_before(address: str, places: Mapping[tuple[str, int], int]) -> None:
    """Delete the records before an offset, as retention would."""
    with admin(address) as client:
        client.delete_records({TopicPartition(topic, number): offset for (topic, number), offset in places.items()})


@contextmanager
def producing(address: str, **options: Any) -> Iterator[Any]:
    """A producer; all is acknowledged when the block ends."""
    producer = KafkaProducer(bootstrap_servers=address, **{"linger_ms": 5, **options})
    try:
        yield producer
        producer.flush(timeout=60)
    finally:
        producer.close(timeout=10)


def key_of(line: bytes) -> bytes:
    """The id of the request that a line tells of: what entries must be keyed by."""
    return str(json.loads(line)["request"]["id"]).encode()


def feed(
    address: str, topic: str, lines: Iterable[bytes], partitions: int = 1, **options: Any
) -> Offsets:  # fmt: skip
    """Produce lines keyed by their request; the offsets they got."""
    told: list[Any] = []
    with producing(address, **options) as producer:
        for line in lines:
            key = key_of(line)
            told.append(producer.send(topic, line, key=key, partition=zlib.crc32(key) % partitions))
    return Counter((f"{topic}/{one.get().partition}", one.get().offset) for one in told)


def audit_lines(folder: Path, *, days: int = 1, rate: float = 0.03, seed: int = 5, attack: str = "") -> list[bytes]:
    """A simulated device's log, line by line."""
    attacks = (Attack(attack, "easy", 0.5),) if attack else ()
    scenario = Scenario(
        days=days, rate=rate, seed=seed, preset="xs", confusers=(), devices=1, history=0.0, attacks=attacks
    )
    simulate(scenario, folder)
    return (folder / "audit.log").read_bytes().splitlines(keepends=True)


def read(
    address: str, topic: str, lake: Path, *, tables: Mapping[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    """One run over a topic into a lake; its summary."""
    chosen: dict[str, Any] = {
        "kafka": (address,), "topics": (topic,), "group": f"group-of-{lake.name}",
        "signing_key": str(lake.parent / "signing.key"), **options,
    }  # fmt: skip
    return Run(RunOptions((), lake, **chosen), conf.Settings(None, dict(tables or {}))).execute()


def stored(lake: Path) -> Offsets:
    """Which offsets the lake holds, and how often: rejected records too."""
    rows = view(lake, "raw").select("source", "position").rows()
    return Counter((source, position) for source, position in rows)


def unlike(left: Path, right: Path) -> list[str]:
    """The views in which two lakes differ. Which of two partitions was read first decides only about leaf indexes."""
    return [name for name in VIEWS if not _placeless(left, name).equals(_placeless(right, name))]


def _placeless(lake: Path, name: str) -> pl.DataFrame:
    frame = view(lake, name).drop("leaf_index", "request_leaf", "response_leaf", strict=False)
    return frame.sort([column for column, kind in frame.schema.items() if not kind.is_nested()])


def verdicts(lake: Path) -> list[tuple[str, str, int, int, int]]:
    """What the lake says of the log itself: verdict, cause, from, to, count."""
    frame = view(lake, "integrity").filter(
        pl.col("cause").is_in(
            ["gap", "retention", "topic_recreated", "log_truncated", "history_changed", "gap_in_doubt"]
        )
    )
    rows = frame.sort("source", "from_position").select("verdict", "cause", "from_position", "to_position", "count")
    return rows.rows()


def until(wanted: Callable[[], bool], seconds: float = 180) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
