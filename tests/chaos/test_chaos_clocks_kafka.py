"""Wall clocks that are set while topics are read: nothing is lost, doubled, told otherwise or taken away by it."""

from __future__ import annotations

import dataclasses
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.conftest import Told
from tests.chaos.kafka_story import Story, prepare
from tests.clocks import MOVES, NOTICED_SECONDS, STEADY, WallClock
from tests.crash.line_nursery import Nursery
from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import feed, make_topic, read, unlike, until
from tests.integration.kafka.workers import group, made, owners
from tests.lakes import view
from tests.processes import surroundings

pytestmark = [pytest.mark.integration, pytest.mark.slow]
FAULT: Final = "wall clock set back, forward, fast, slow, at the ends of summer time"
JUDGED_SECONDS: Final = 60


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> WallClock:
    return WallClock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def clocked(clock: WallClock, story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story's runs, by a clock of their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in clock.environment("Europe/Berlin").items():
            patch.setenv(name, value)
        made = Nursery(tmp_path_factory.mktemp("nursery"))
    with made:
        yield dataclasses.replace(story, nursery=made)


@pytest.mark.parametrize(
    ("seed", "batch", "deaths"),
    [(1, 400, 0), *((seed, 19, 1) for seed in range(2, 8))],
)
def test_a_topic_read_by_a_clock_that_moves(  # noqa: PLR0917
    clocked: Story, clock: WallClock, tmp_path: Path, told: Told, seed: int, batch: int, deaths: int
) -> None:
    """Set again and again, and killed once in between, the run leaves what the undisturbed one left."""
    home, dice, moved = prepare(tmp_path / f"run-{seed}", batch), random.Random(seed), 0
    for left in range(deaths, -1, -1):
        child = clocked.begin(home)
        while not child.ended(NOTICED_SECONDS):
            MOVES[dice.choice(list(MOVES))](clock)
            moved += 1
            if left and dice.random() < 0.5:
                child.send(signal.SIGKILL)
        assert child.code in {0, 10, -signal.SIGKILL}, child.text()
    clock.says(STEADY)
    clocked.finish(home)
    told(FAULT, moved, clocked.produced, home / "lake")
    assert moved
    assert clocked.unlike(home) == []


@pytest.mark.parametrize("seed", range(3))
def test_workers_whose_clocks_differ_and_move(
    broker: Broker, lines: list[bytes], tmp_path: Path, told: Told, seed: int
) -> None:
    """Two workers and their judge, each by its own clock: no partition is taken away, and nobody waits for a clock."""
    dice, topic, at, moved = random.Random(seed), f"clocks-{tmp_path.parent.name}-{seed}"[-100:], 0, 0
    make_topic(broker.address, topic, 4)
    clocks = {name: WallClock(_folder(tmp_path / f"clock-{name}")) for name in ("a", "b", "judge")}
    with group(tmp_path / "many", broker.address, topic) as some:
        config = some.home / "keytrail.toml"
        config.write_text(config.read_text("utf-8").replace("[line]\n", "[line]\nwait_seconds = 600\n"), "utf-8")
        for name, clock in clocks.items():
            env = surroundings(some.home, **clock.environment())
            if name == "judge":
                until(lambda: made(some.lake))
                some.judge(env=env)
            else:
                some.begin(name, env=env)
        produced = feed(broker.address, topic, lines[:100], 4)
        some.share()
        some.holds(produced)
        before = owners(some.lake)
        for name in MOVES:
            for clock in clocks.values():
                MOVES[dice.choice([name, *MOVES])](clock)
                moved += 1
            time.sleep(NOTICED_SECONDS)
            some_lines = lines[100 + at : 100 + at + 40]
            produced += feed(broker.address, topic, some_lines, 4)
            at += 40
        some.holds(produced)
        until(lambda: not _unjudged(some.lake), JUDGED_SECONDS)
        assert owners(some.lake) == before
        told("the same, two workers and their judge, each by its own", moved, produced, some.lake)
        assert {some.end(name) for name in ("a", "b")} == {0}
        assert some.end("judge") in {0, 10}
    read(broker.address, topic, tmp_path / "one" / "lake")
    assert not [name for name in ("events", "raw", "rejected") if name in unlike(some.lake, tmp_path / "one" / "lake")]


def _unjudged(lake: Path) -> bool:
    """Whether something is stored that nobody has judged."""
    paired = view(lake, "operations")["devices"].len()
    requests = view(lake, "events")["correlation_uid"].n_unique()
    return paired < requests


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
