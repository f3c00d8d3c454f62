"""One broker, one topic, one undisturbed run for all that is done to the others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.kafka_story import Story, prepare, words
from tests.crash.line_nursery import Nursery
from tests.integration.kafka.broker import Broker, running
from tests.integration.kafka.cluster import audit_lines, feed, make_topic, required

PARTITIONS = 3


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running broker that the tests here may kill; each leaves it running."""
    required()
    with running(tmp_path_factory.mktemp("broker") / "kafka") as made:
        yield made


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
