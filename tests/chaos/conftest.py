"""One broker, one topic, one undisturbed run for all that is done to the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.kafka_story import Story, prepare, words
from tests.chaos.table import NAME
from tests.crash.line_nursery import Nursery
from tests.integration.kafka.broker import OUTSIDE, Broker, Running, running
from tests.integration.kafka.cluster import Offsets, audit_lines, feed, make_topic, required, stored

PARTITIONS = 3
Told = Callable[[str, int, Offsets, Path], None]


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Told:
    """Takes down what was done, how often, and what it did to the offsets; the run prints it all as one table."""

    def tell(fault: str, rounds: int, produced: Offsets, lake: Path) -> None:
        found = stored(lake)
        lost, doubled = sum((produced - found).values()), sum((found - produced).values())
        record_property(NAME, [fault, rounds, sum(produced.values()), lost, doubled])

    return tell


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running broker; each test leaves it running."""
    required()
    with running(tmp_path_factory.mktemp("broker") / "kafka") as made:
        yield made


@pytest.fixture
def mortal(broker: Broker) -> Broker:
    """The same, for tests that kill it and start it again. Skips where it is not ours."""
    if isinstance(broker, Running):
        pytest.skip(OUTSIDE)
    return broker


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A day of a small estate, with an attack in it."""
    return audit_lines(tmp_path_factory.mktemp("simulated"), attack="policy_escalation")


@pytest.fixture(scope="session")
def story(broker: Broker, lines: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A filled topic and the run that nothing disturbed."""
    home = prepare(tmp_path_factory.mktemp("story") / "reference")
    topic = f"audit-{home.parent.name}"
    make_topic(broker.address, topic, PARTITIONS)
    produced = feed(broker.address, topic, lines, PARTITIONS, compression_type="zstd")
    with Nursery(home.parent) as nursery:
        begun = time.monotonic()
        child = nursery.start(*words(broker.address, topic, home))
        assert child.wait() in {0, 10}, child.text()
        yield Story(broker.address, topic, produced, nursery, home, time.monotonic() - begun)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A place for one lake and its config."""
    return prepare(tmp_path / "run")


@pytest.fixture(scope="session")
def many_lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Enough lines that a minute of producing does not use them up."""
    return audit_lines(tmp_path_factory.mktemp("simulated"), days=7, rate=0.5, seed=6)
