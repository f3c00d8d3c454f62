"""Death of the whole line at every numbered step and at any moment: in the end all is as if nothing had happened."""

from __future__ import annotations

import random
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.crash.line_nursery import ROOT, Child, Nursery
from tests.crash.line_story import BATCH, alert_states, sent, unlike, words, write_config
from tests.lakes import view

if TYPE_CHECKING:
    from collections.abc import Iterable

# Steps that a run comes by; the rest belongs to commands of its own.
STEPS = tuple(
    sorted(
        name
        for path in (ROOT / "pipeline").rglob("*.py")
        for name in re.findall(r'faults\.point\("([a-z._]+)"\)', path.read_text("utf-8"))
        if not name.startswith(("anchor.", "listen."))
    )
)


@dataclass(frozen=True, slots=True)
class Run:
    """A run nobody disturbed: where its lake is, how long it took."""

    home: Path
    seconds: float


@pytest.fixture(scope="module")
def reference(nursery: Nursery, logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The uninterrupted run."""
    home = tmp_path_factory.mktemp("reference")
    started = time.monotonic()
    child = nursery.start(*words(home, write_config(home, BATCH), logs))
    assert child.wait() == 10, child.text()
    return Run(home, time.monotonic() - started)


def finish(nursery: Nursery, home: Path, logs: Path) -> Child:
    """Run to the end, undisturbed."""
    child = nursery.start(*words(home, home / "keytrail.toml", logs))
    assert child.wait() in {0, 10}, child.text()
    return child


def test_the_story_has_something_to_lose(reference: Run) -> None:
    """The uninterrupted run meets damage, losses and attacks, and tells its sink of alerts."""
    assert {"gap", "torn", "duplicate", "device_change"} <= set(view(reference.home / "lake", "integrity")["verdict"])
    assert len(view(reference.home / "lake", "rejected"))
    assert len(view(reference.home / "lake", "findings")) > 5
    assert alert_states(reference.home) <= sent(reference.home).keys()
    assert any(name.endswith(":2") for name in sent(reference.home))


def test_the_comparison_notices_a_loss(nursery: Nursery, logs: Path, reference: Run, tmp_path: Path) -> None:
    """A run that was killed and not started again is not like the reference."""
    write_config(tmp_path, BATCH)
    child = nursery.start(*words(tmp_path, tmp_path / "keytrail.toml", logs), fault="store.committed:5")
    assert child.wait() == -signal.SIGKILL
    assert {"view events", "view operations", "view raw"} <= set(unlike(tmp_path, reference.home))


def test_death_at_one_step_after_the_other(nursery: Nursery, logs: Path, reference: Run, tmp_path: Path) -> None:
    """Killed at every numbered step in turn, each restart getting as far as the next, nothing is lost or twice."""
    write_config(tmp_path, BATCH)
    steps = [*STEPS]
    random.Random(5).shuffle(steps)
    missed = [step for step in steps if _killed_at(step, 1, nursery, tmp_path, logs) is False]
    finish(nursery, tmp_path, logs)
    assert missed == []
    assert unlike(tmp_path, reference.home) == []


def _killed_at(step: str, count: int, nursery: Nursery, home: Path, logs: Path) -> bool:
    code = nursery.start(*words(home, home / "keytrail.toml", logs), fault=f"{step}:{count}").wait()
    assert code in {-signal.SIGKILL, 0, 10}
    return code == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_death_at_a_step(nursery: Nursery, logs: Path, reference: Run, tmp_path: Path, step: str) -> None:
    """Killed at this step the first, the second, the fifth time, nothing is lost or twice."""
    write_config(tmp_path, BATCH)
    killed = [_killed_at(step, count, nursery, tmp_path, logs) for count in (1, 2, 5)]
    finish(nursery, tmp_path, logs)
    assert killed[0]
    assert unlike(tmp_path, reference.home) == []


def killed_at_random(nursery: Nursery, home: Path, logs: Path, moments: Iterable[float]) -> int:
    """Kill each run after so many seconds, until one gets to its end or the moments are used up; how many died."""
    deaths = 0
    for seconds in moments:
        child = nursery.start(*words(home, home / "keytrail.toml", logs))
        if child.ended(seconds):
            assert child.wait() in {0, 10}, child.text()
            break
        child.send(signal.SIGKILL)
        deaths += child.wait() == -signal.SIGKILL
    finish(nursery, home, logs)
    return deaths


def test_death_at_a_few_moments(nursery: Nursery, logs: Path, reference: Run, tmp_path: Path) -> None:
    """Killed at some random moments, the run leaves what the uninterrupted one left."""
    dice, seconds = random.Random(11), reference.seconds
    for number in range(8):
        home = tmp_path / str(number)
        home.mkdir()
        write_config(home, BATCH)
        moments = [(0.2 + 0.7 * dice.random()) * seconds for _ in range(4)]
        deaths = killed_at_random(nursery, home, logs, moments)
        assert unlike(home, reference.home) == []
        if deaths:
            return
        seconds /= 2  # the machine has become faster since the reference was timed
    pytest.fail("no run lived long enough to be killed")


@pytest.mark.slow
def test_death_at_two_hundred_moments(nursery: Nursery, logs: Path, reference: Run, tmp_path: Path) -> None:
    """The same over 200 deaths, with batches of several sizes, in as many lakes as it takes."""
    dice, deaths, rounds = random.Random(2), 0, 0
    while deaths < 200:
        home = tmp_path / str(rounds)
        home.mkdir()
        write_config(home, dice.choice((7, 29, BATCH)))
        deaths += killed_at_random(nursery, home, logs, [dice.random() * reference.seconds for _ in range(15)])
        assert unlike(home, reference.home) == []
        rounds += 1
