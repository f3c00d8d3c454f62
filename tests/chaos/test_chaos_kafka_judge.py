"""Workers and their judge killed again and again: every offset once, every view that of a run that nothing disturbed.

A day is told here in a minute, so that a second's difference in what two workers fetch is half an hour of event time.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.chaos.conftest import Told
from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import feed, make_topic, read, unlike, until
from tests.integration.kafka.workers import group, made

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.parametrize("seed", range(4))
def test_workers_and_judge_killed(broker: Broker, lines: list[bytes], tmp_path: Path, told: Told, seed: int) -> None:
    """Twenty-five deaths of two workers and the judge change nothing of what is stored, found and alerted."""
    topic, dice = f"judged-{tmp_path.parent.name}-{seed}"[-90:], random.Random(seed)
    make_topic(broker.address, topic, 4)
    with group(tmp_path / "many", broker.address, topic) as some:
        some.begin("a")
        until(lambda: made(some.lake))
        some.started("b")
        some.started("judge")
        produced = feed(broker.address, topic, lines[:100], 4)
        at = 100
        for _ in range(25):
            produced += feed(broker.address, topic, lines[at : at + 40], 4)
            at += 40
            time.sleep(dice.uniform(0.5, 4))
            who = dice.choice(("a", "b", "judge"))
            some.kill(who)
            some.started(who)
        some.holds(produced)
        assert {some.end(name) for name in ("a", "b", "judge")} == {0}
        some.judged()
        told("kill -9 of two workers and their judge", 25, produced, some.lake)
    read(broker.address, topic, tmp_path / "one" / "lake")
    assert unlike(some.lake, tmp_path / "one" / "lake") == []
