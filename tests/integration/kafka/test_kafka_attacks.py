"""The attacks on lines, each device a topic: told as of files, but for counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pipeline import summary
from pipeline.core import plugins
from tests.attacks import ATTACKS, Attack, Told, over_kafka, sampled
from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import producing, read
from tests.lakes import view
from tests.trail import CANARY_KEY, Trail, trail

pytestmark = pytest.mark.integration
QUIET = [name for name in plugins.kinds("detectors") if name not in ("integrity", "invariant")]


def stored(broker: Broker, topics: list[str], told: Trail, home: Path) -> bool:
    """Produce each device's lines into its topic and read them; whether the run met what breaks integrity."""
    with producing(broker.address) as producer:
        for topic, lines in zip(topics, told.lines.values(), strict=True):
            for line in lines:
                producer.send(topic, line.data, partition=0)
    (home / "canary.key").write_text(CANARY_KEY)
    tables = {"canary": {"key": {"file": str(home / "canary.key")}}, "detection": {"disabled": QUIET}}
    return summary.broken(read(broker.address, topics[0], home / "lake", tables=tables, topics=tuple(topics)))


def unlike(rows: pl.DataFrame, expected: list[Told], devices: dict[str, str]) -> list[object]:
    """What was told and not expected, and what was expected and not told; positions are offsets."""
    left: list[object] = []
    for row in rows.iter_rows(named=True):
        device = devices[row["source"].removesuffix("/0")]  # canaries are judged by topic, the rest by partition
        told = Told(device, row["verdict"], row["cause"], row["from_position"], row["to_position"], row["count"])
        match = next((w for w in expected if all(a in (None, b) for a, b in zip(w, told, strict=True))), None)
        if match is None:
            left.append(told)
        else:
            expected.remove(match)
    return left + list(expected)


@pytest.mark.parametrize("attack", sampled([a for a in ATTACKS if over_kafka(a.harm(trail(*a.devices)))]))
def test_what_is_done_to_lines_is_told(
    attack: Attack, broker: Broker, new_topic: Callable[..., str], tmp_path: Path
) -> None:
    """Each attack that does not show in counts alone is told with verdict, cause and offsets."""
    harmed = trail(*attack.devices)
    expected = over_kafka(attack.harm(harmed))
    topics = [new_topic() for _ in harmed.lines]
    broken = stored(broker, topics, harmed, tmp_path)
    assert broken == any(wanted.verdict not in ("device_change", "in_clear") for wanted in expected)
    rows = view(tmp_path / "lake", "integrity").filter(pl.col("verdict") != "late")
    assert unlike(rows, expected, dict(zip(topics, harmed.lines, strict=True))) == []


def test_the_whole_trail_is_told_of_not_at_all(broker: Broker, new_topic: Callable[..., str], tmp_path: Path) -> None:
    """Two devices in two topics, nothing done to them."""
    whole = trail()
    assert not stored(broker, [new_topic(), new_topic()], whole, tmp_path)
    assert view(tmp_path / "lake", "integrity").is_empty()
