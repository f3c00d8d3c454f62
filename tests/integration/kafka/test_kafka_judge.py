"""What several workers read is judged as if one process had read it: principals are spread over all partitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError
from pipeline.simulate import Attack, Scenario, simulate
from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import feed, read, unlike
from tests.integration.kafka.workers import group
from tests.lakes import view

pytestmark = pytest.mark.integration
NewTopic = Callable[..., str]


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Two days with attacks that show only in all of a principal's, an address's or a secret's requests together."""
    folder = tmp_path_factory.mktemp("attacked")
    attacks = tuple(
        Attack(name, "easy", 1.2 + 0.1 * at) for at, name in enumerate(("enumeration", "mass_read", "stuffing"))
    )
    simulate(
        Scenario(days=2, rate=0.02, seed=8, preset="xs", confusers=(), devices=1, history=0.0, attacks=attacks), folder
    )
    return (folder / "audit.log").read_bytes().splitlines(keepends=True)


def test_alerts_do_not_depend_on_who_read_what(
    broker: Broker, new_topic: NewTopic, attacked: list[bytes], tmp_path: Path
) -> None:
    """Two workers and a judge leave every view that one process leaves: findings, alerts and their ids among them."""
    topic, half = new_topic(4), len(attacked) // 2
    with group(tmp_path / "many", broker.address, topic) as some:
        some.begin("a")
        some.begin("b")
        produced = feed(broker.address, topic, attacked[:half], 4)
        some.share()
        produced += feed(broker.address, topic, attacked[half:], 4)
        some.holds(produced)
        assert {some.end(name) for name in "ab"} == {0}
        assert len(view(some.lake, "operations")) == 0
        with pytest.raises(ConfigError, match="judge"):
            read(broker.address, topic, some.lake)
        assert some.judged()["entries"] == len(attacked)
        assert {path.name for path in (some.lake / "ledger").iterdir()} == {"workers"}  # the judge gives no leaves
    one = tmp_path / "one" / "lake"
    read(broker.address, topic, one)
    names = {name for names in view(one, "alerts")["detectors"] for name in names}
    assert names >= {"denials", "invariant"}
    assert unlike(some.lake, one) == []
