"""Topics and lines for the tests that read from a broker; one that breaks its broker has one of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import make_topic

_numbers = itertools.count(1)


@pytest.fixture
def new_topic(broker: Broker, tmp_path: Path) -> Callable[..., str]:
    """Makes a topic with a name of its own; says its name."""

    def make(partitions: int = 1, **configs: str) -> str:
        name = f"audit-{tmp_path.parent.name.rsplit('-', 1)[-1]}-{next(_numbers)}-{id(tmp_path) % 10_000}"
        make_topic(broker.address, name, partitions, **configs)
        return name

    return make


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """About a thousand audit entries."""
    from tests.integration.kafka.cluster import audit_lines  # noqa: PLC0415  simulating costs a second

    return audit_lines(tmp_path_factory.mktemp("simulated"))
