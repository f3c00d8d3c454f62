"""A wall clock that steps, runs fast or slow, or passes the end of summer time under a run: nothing changes."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.conftest import Told
from tests.clocks import MOVES, NOTICED_SECONDS, STEADY, WallClock
from tests.crash.line_nursery import Child, Nursery
from tests.crash.line_story import WIDE, broken, sent, words, write_config, write_logs
from tests.crash.test_line_follow import Devices, entries, same, wait_until, write_on
from tests.integration.kafka.cluster import stored
from tests.lakes import VIEWS
from tests.receivers.hooks import Hook
from tests.receivers.http import Answer, BadDay

KEY: Final = b"chaos-key-of-thirty-two-bytes-ok"
ZONE: Final = "Europe/Berlin"
AWAY: Final = [BadDay(Answer(503))] * 10_000
PATIENCE_SECONDS: Final = 15  # for a receiver whose next try is at most half a second away


class Together(Devices):
    """Two devices that write at the same times, as those of one store do, also when all is held up for a while."""

    def _steps(self) -> Iterator[None]:
        ours = _timed(b"".join(self.parts), "audit.log")
        told, at = sorted([*ours, *_timed(self.other, "audit-2.log")], key=lambda one: one[0]), 0
        while at < len(told):
            some = self.dice.randrange(1, 12)
            for _, name, line in told[at : at + some]:
                self._append(name, line)
            at += some
            yield


def _timed(log: bytes, name: str) -> Iterator[tuple[str, str, bytes]]:
    """Lines with their times; one that has none is told with the line before it."""
    newest = ""
    for line in log.splitlines(keepends=True):
        with contextlib.suppress(ValueError):
            newest = max(newest, json.loads(line)["time"])
        yield newest, name, line


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> WallClock:
    return WallClock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def nursery(clock: WallClock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """One whose children live by `clock`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in clock.environment(ZONE).items():
            patch.setenv(name, value)
        made = Nursery(tmp_path_factory.mktemp("nursery"))
    with made:
        yield made


def _asked_again(hook: Hook, child: Child) -> None:
    """A receiver that is away goes on being asked, at its usual pace."""
    before, until = len(hook.requests), time.monotonic() + PATIENCE_SECONDS
    while len(hook.requests) < before + 2:
        assert not child.ended(0.02), child.text()
        assert time.monotonic() < until, f"not asked again: {before}, {len(hook.requests)}"


def _config(home: Path, hook: Hook) -> Path:
    """A config with the story's sink and one that is asked over HTTP."""
    (home / "secret").write_text("whsec_" + base64.b64encode(KEY).decode(), "utf-8")
    config = write_config(home, WIDE)
    text = config.read_text("utf-8").replace("[line]\n", "[line]\nidle_seconds = 1000\n")
    text += f'\n[sinks.hook]\nkind = "webhook"\nurl = "{hook.url}"\nsecret = {{ file = "{home}/secret" }}\n'
    config.write_text(text, "utf-8")
    return config


def followed(nursery: Nursery, clock: WallClock, home: Path, seed: int, moves: Sequence[str]) -> None:
    """Follow logs while the clock moves and the receiver is away; then let it be back, and end."""
    devices = Together(home / "story", home / "logs", random.Random(seed))
    (home / "followed").mkdir()
    with Hook(KEY) as hook:
        hook.bad_days.extend(AWAY)
        arguments = words(home / "followed", _config(home / "followed", hook), home / "logs")
        child = nursery.start(*arguments, "--follow")
        try:
            _followed(devices, clock, hook, child, moves)
        finally:
            child.send(signal.SIGTERM)
            code = child.wait()
        assert code in {0, 10}, child.text()
        clock.says(STEADY)
        child = nursery.start(*arguments)
        assert child.wait() in {0, 10}, child.text()
        assert set(hook.taken) == set(sent(home / "followed"))


def _followed(devices: Devices, clock: WallClock, hook: Hook, child: Child, moves: Sequence[str]) -> None:
    home = devices.folder.parent / "followed"
    wait_until(child.listens, child)
    write_on(devices, 120)  # the better half of the day, with an attack in it
    wait_until(lambda: bool(hook.requests), child)
    for name in moves:
        MOVES[name](clock)
        write_on(devices, 4)
        assert not child.ended(NOTICED_SECONDS), child.text()
        _asked_again(hook, child)
    hook.bad_days.clear()
    for _ in devices.steps:
        pass
    written = sum(part.count(b"\n") for part in (*devices.parts, devices.other))
    wait_until(lambda: entries(home) >= written - 5, child)


def _unlike(home: Path, once: Path) -> list[str]:
    found = [f"view {name}" for name in VIEWS if not same(home / "lake", once / "lake", name)]
    ours, theirs = sent(home), sent(once)
    found += [f"message {name}" for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
    return found + broken(home)


QUICK = ("an hour back", "a day forward")


@pytest.mark.parametrize(
    ("seed", "moves"), [(3, QUICK), *(pytest.param(n, tuple(MOVES), marks=pytest.mark.slow) for n in range(4, 8))]
)
def test_followed_by_a_clock_that_moves(  # noqa: PLR0917
    nursery: Nursery, clock: WallClock, tmp_path: Path, told: Told, seed: int, moves: Sequence[str]
) -> None:
    """Every view, id and message is as without it; a receiver that is away is asked again in its usual time."""
    write_logs(tmp_path / "story")
    followed(nursery, clock, tmp_path, seed, random.Random(seed).sample(moves, len(moves)))
    (once := tmp_path / "once").mkdir()
    child = nursery.start(*words(once, write_config(once, WIDE), tmp_path / "logs"))
    assert child.wait() in {0, 10}, child.text()
    told(
        "wall clock set under a run that follows files",
        len(moves),
        stored(once / "lake"),
        tmp_path / "followed" / "lake",
    )
    assert _unlike(tmp_path / "followed", once) == []
