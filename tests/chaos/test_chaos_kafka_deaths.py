"""Deaths of the process, of the broker and of the disk, in the middle of reading a topic."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.conftest import Told
from tests.chaos.kafka_story import Story, prepare, words
from tests.crash.test_line_disk_full import enlarge, small_disk
from tests.crash.test_line_follow import wait_until
from tests.crash.test_line_pauses import FULL, ROOM, committed
from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import stored
from tests.lakes import view

pytestmark = pytest.mark.integration

# Where a run is killed besides at random moments: around every step that makes a commit count.
STEPS = (
    "line.before_commit", "store.drained", "store.synced", "store.revised", "store.transaction", "store.committed",
    "store.tidied", "line.after_commit", "ledger.tiles", "ledger.intent",
)  # fmt: skip


def killed(story: Story, home: Path, seed: int, rounds: int) -> int:
    """Kill runs at random moments or steps, each going on where the last was killed; how many died."""
    dice, deaths = random.Random(seed), 0
    for _ in range(rounds):
        if dice.random() < 0.5:
            child = story.begin(home, fault=f"{dice.choice(STEPS)}:{dice.randint(1, 3)}")
            code = child.wait()
        else:
            child = story.begin(home)
            if not child.ended((0.3 + 0.6 * dice.random()) * story.seconds):
                child.send(signal.SIGKILL)
            code = child.wait()
        assert code in {0, 10, -signal.SIGKILL}, child.text()
        if code != -signal.SIGKILL:
            break
        deaths += 1
    story.finish(home)
    return deaths


def test_the_story_has_something_to_lose(story: Story) -> None:
    """The undisturbed run stores every offset and tells its sink of the attack."""
    assert stored(story.reference / "lake") == story.produced
    assert len(view(story.reference / "lake", "alerts"))
    assert (story.reference / "siem.jsonl").stat().st_size


def test_a_few_deaths(story: Story, home: Path, told: Told) -> None:
    """Killed some times while reading a topic, the process leaves what the undisturbed one left."""
    deaths = killed(story, home, seed=3, rounds=4)
    told("kill -9, at random or at a step of the commit", deaths, story.produced, home / "lake")
    assert deaths >= 2
    assert story.unlike(home) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_many_deaths(story: Story, tmp_path: Path, told: Told, seed: int) -> None:
    """Over many series of kills, nothing is lost, doubled or told otherwise."""
    home = prepare(tmp_path / f"run-{seed}", batch=29)
    deaths = killed(story, home, seed=100 + seed, rounds=8)
    told("kill -9, at random or at a step of the commit", deaths, story.produced, home / "lake")
    assert deaths
    assert story.unlike(home) == []


def test_the_broker_dies_and_comes_back(story: Story, mortal: Broker, tmp_path: Path, told: Told) -> None:
    """A broker killed while a run reads from it delays the run, and changes nothing of what it leaves."""
    home = prepare(tmp_path / "run", batch=19)
    child = story.begin(home)
    time.sleep(0.5 * story.seconds)
    mortal.kill()
    time.sleep(1)
    mortal.start()
    assert child.wait() in {0, 10}, child.text()
    told("broker killed mid-batch and started again", 1, story.produced, home / "lake")
    assert story.unlike(home) == []


def test_files_may_not_grow(story: Story, home: Path, told: Told) -> None:
    """A run that cannot write any more ends with an error; without the limit, all is as if that had not been."""
    child = story.begin(home, limits={"RLIMIT_FSIZE": 150_000})
    assert child.wait() == 1, child.text()
    assert "cannot" in child.text() or "too large" in child.text().lower()
    story.finish(home)
    told("files come to their limit, later none", 1, story.produced, home / "lake")
    assert story.unlike(home) == []


@pytest.mark.slow
@pytest.mark.parametrize("size", ["300k", "700k", "1500k"])
def test_the_disk_fills_up_under_a_run_that_follows(story: Story, home: Path, told: Told, size: str) -> None:
    """It leaves the group and waits; with room it goes on from the last commit by itself."""
    config = home / "keytrail.toml"
    config.write_text(config.read_text("utf-8").replace("[line]\n", "[line]\nidle_seconds = 1000\n"), "utf-8")
    total = committed(story.reference)
    with small_disk(home / "lake", size):
        child = story.nursery.start(*words(story.address, story.topic, home), "--follow")
        try:
            wait_until(lambda: FULL in child.text(), child)
            assert committed(home) < total
            enlarge(home / "lake", "200m")
            wait_until(lambda: ROOM in child.text(), child)
            wait_until(lambda: committed(home) == total, child)
            child.send(signal.SIGTERM)
            assert child.wait() in {0, 10}, child.text()
        finally:
            if not child.ended(0):
                child.send(signal.SIGKILL)
                child.wait()
        story.finish(home)
        told("disk full under a run that follows, room later", 1, story.produced, home / "lake")
        assert story.unlike(home) == []
